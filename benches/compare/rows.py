"""What the peers' scripts share: the clock, the rows, and children that do what they are told.

A row is a line of JSON in the form of `mobula-bench --json`, the suite being the peer's name. It has the name of the
row of Mobula that it stands beside; a peer that can do that in several ways adds the way's name behind a colon.
`native/parts` has the same for the peers in Rust, whose rows are:

    row                               iceoryx2                               ipc-channel
    actor_call_sync_hot               request, response, both polling        send, recv
    actor_call_sync_hot:WAY           publish-subscribe; event (sleeping)    polling (try_recv)
    actor_call_sync_asleep            request, response, event each          send, recv
    actor_call_sync_oversubscribed    the same, four servers                 the same, four processes
    1_1_actor_calls_async             requests, 8 without a response         numbers, 250 without an answer
    1_1_actor_calls_async:WAY         publish-subscribe, 1,000
    actor_call_1MB_array              loaned sample, one byte written        IpcSharedMemory that exists
    actor_call_1MB_array_put          loaned sample, all bytes copied        IpcSharedMemory::from_bytes
    actor_call_1MB_array_put:WAY                                             bytes (IpcBytesSender)
    kill_actor_to_error                                                      recv that fails
    actor_creation_1, .._10           process, node, ports, first response   process, one-shot server, first answer
"""
import ctypes
import json
import pathlib
import random
import signal
import subprocess
import sys
import time

now = time.perf_counter_ns

OBJECTS = 1000
OBJECT_BYTES = 200_000
SIZES = {"put_1KB": 1024, "put_100KB": 100_000, "put_1MB": 1_000_000}
LARGE = 100_000_000
CROWDS = (1, 16, 128)
# Calls and tasks of a batch, the numbers of 8 and 80 MB, and an array that is an argument.
BATCH = 1000
FEW_NUMBERS, MANY_NUMBERS = 1_000_000, 10_000_000
MEGABYTE = 1_000_000
# Bytes of a message, how many a queue takes, and the queues from one process to another: row, room, message.
MESSAGE, PLACES = 64, 4096
QUEUES = (("queue_1_1", PLACES, b"x" * MESSAGE), ("queue_unbounded_1_1", 0, b"x" * MESSAGE),
          ("queue_values_1_1", PLACES, (1, "twenty bytes of text")))
# As long as mobula-bench lets both sides of a wake-up sleep.
IDLE_S = 0.0025


def mobulas(row):
    """Returns the row of Mobula that a peer's row stands beside."""
    return row.split(":")[0]


def _clock_cost():
    """Median of a timed call of a function that does nothing."""
    nothing = lambda: None
    costs = []
    for _ in range(20_001):
        start = now()
        nothing()
        costs.append(now() - start)
    return sorted(costs)[len(costs) // 2]


def asked_for(known):
    """Returns those of the suites on the command line that this peer knows; all if none is named."""
    named = [word for word in sys.argv[1:] if not word.startswith("-")]
    return [suite for suite in named or known if suite in known]


def gradient(parameters):
    """What a worker of the suite ps computes."""
    return (parameters - 1.0) * (1.0 / 1024.0)


def apply(parameters, *steps):
    """What its server makes of parameters and gradients."""
    return parameters - sum(steps)


def memory_of(process):
    """Returns the proportional share of memory of a process and its descendants, in bytes."""
    parents = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue  # It has just ended.
    family = {process}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    total = 0
    for pid in family:
        try:
            text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))
    return total


class Rows:
    """Measures and prints the rows of one peer."""

    @staticmethod
    def of_command_line(suite):
        return Rows(suite, "--quick" in sys.argv)

    def __init__(self, suite, quick):
        self.suite, self.quick = suite, quick
        self.cost = _clock_cost()

    def count(self, full, quick=None):
        return max(quick if quick is not None else full // 10, 1) if self.quick else full

    def emit(self, row, unit, times, value=None):
        ordered = sorted(times)
        at = lambda percent: float(ordered[max(-(-len(ordered) * percent // 100) - 1, 0)])
        line = {"suite": self.suite, "row": row, "unit": unit, "p50": at(50), "p99": at(99),
                "value": at(50) if value is None else value, "limit": None, "limit_row": None}
        print(json.dumps(line), flush=True)

    def amount(self, row, unit, value):
        """Emits something that is no time of single operations."""
        line = {"suite": self.suite, "row": row, "unit": unit, "p50": None, "p99": None, "value": value,
                "limit": None, "limit_row": None}
        print(json.dumps(line), flush=True)

    def time(self, row, operation, count, undo=None):
        """Emits the times of single operations; `undo` gets each result and is not timed."""
        self.emit(row, "ns", self.times(operation, count, undo))

    def times(self, operation, count, undo=None):
        """Returns the times; without `undo` the drop of the result is timed as well."""
        times = []
        for i in range(-2 - count // 20, count):
            if undo:
                start = now()
                result = operation()
                end = now()
                undo(result)
                del result
            else:
                start = now()
                operation()
                end = now()
            if i >= 0:
                times.append(max(end - start - self.cost, 0))
        return times

    def rate(self, row, size, times):
        """Emits a bandwidth at the median time (bytes a nanosecond are gigabytes a second)."""
        median = sorted(times)[len(times) // 2]
        self.emit(row, "GB/s", times, size / max(median, 1))


_libc = ctypes.CDLL(None)


def die_with_parent():
    set_parent_death_signal = 1
    _libc.prctl(set_parent_death_signal, signal.SIGKILL)


def server(command, folder):
    """Starts a peer's server, which dies with this process, however that ends."""
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder,
                            preexec_fn=die_with_parent)


def drawn(ids):
    """Returns a function that draws from `ids`, the same in every run."""
    draws, position = random.Random(1).choices(ids, k=1 << 14), [0]

    def draw():
        position[0] += 1
        return draws[position[0] % len(draws)]

    return draw


class Child:
    """This script again, with other arguments; it answers each line with a line."""

    def __init__(self, *args):
        command = [sys.executable, "-B", "-W", "ignore", sys.argv[0], "--child", *map(str, args)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)

    def tell(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("a child ended before it answered")
        return json.loads(line)

    def ask(self, *words):
        self.tell(*words)
        return self.answer()

    def kill(self):
        self.process.kill()
        self.process.wait()


def serve(act):
    """The child's side: answers every line with what `act` makes of its words."""
    for line in sys.stdin:
        print(json.dumps(act(*line.split())), flush=True)


def two_clients(rows, children):
    """Emits put_gigabytes_2_clients of children that answer (began, ended, times)."""
    for count in (2, rows.count(20, 3)):
        for child in children:
            child.tell("gigabytes", count)
        answers = [child.answer() for child in children]
    both_clients(rows, answers)


def both_clients(rows, answers):
    began, ended = min(a[0] for a in answers), max(a[1] for a in answers)
    times = [time for answer in answers for time in answer[2]]
    rows.emit("put_gigabytes_2_clients", "GB/s", times, len(times) * LARGE / (ended - began))


def gigabytes(count, put):
    """The child's side of put_gigabytes_2_clients; `put` returns what undoes it."""
    times, began = [], time.monotonic_ns()
    for _ in range(count):
        start = now()
        undo = put()
        times.append(now() - start)
        undo()
    return began, time.monotonic_ns(), times


def wakes(rows, child, prepare):
    """Emits wait_wake: `prepare` returns the name to wait for, what wakes, and what cleans up."""
    times = []
    for _ in range(rows.count(200, 20)):
        name, wake, clean = prepare()
        child.tell("wait", name)
        time.sleep(2 * IDLE_S)
        start = time.monotonic_ns()
        wake()
        time.sleep(IDLE_S)
        times.append(child.answer() - start)
        clean()
    rows.emit("wait_wake", "ns", times)


def until(done, what, seconds=60):
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} did not come within {seconds} s")
        time.sleep(0.005)
