"""Ray: `ray.put` and `ray.get` of numpy arrays; `ray_runtime.py` has what is not the store's."""
import os
import time

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
import numpy as np
import ray

from ray_runtime import SUITES
from rows import LARGE, OBJECT_BYTES, OBJECTS, SIZES, Rows, asked_for, both_clients, drawn, gigabytes, now

CAPACITY = 4_000_000_000
# Freed memory comes back by messages.
PAUSE_S = 0.3


@ray.remote(num_cpus=0, max_concurrency=2)
class Peer:
    """The other process."""

    def put(self, count, size):
        data = np.ones(size, dtype=np.uint8)
        return [ray.put(data) for _ in range(count)]

    def hammer(self, refs):
        while True:
            ray.get(refs[0])

    def gigabytes(self, count):
        data = np.ones(LARGE, dtype=np.uint8)

        def one():
            held = [ray.put(data)]
            return held.clear
        return gigabytes(count, one)

    def nothing(self):
        return None


def large_puts(rows):
    """Comes first: only then has nobody touched the memory."""
    large, held, fresh, warm = np.ones(LARGE, dtype=np.uint8), [], [], []

    def timed():
        start = now()
        ref = ray.put(large)
        return now() - start, ref

    for _ in range(rows.count(12, 3)):
        time.sleep(PAUSE_S)
        took, ref = timed()
        fresh.append(took)
        held.append(ref)
    del ref
    held.clear()
    time.sleep(4 * PAUSE_S)
    for _ in range(rows.count(12, 3)):
        time.sleep(PAUSE_S)
        took, ref = timed()
        warm.append(took)
        del ref
    rows.rate("put_100MB_warm", LARGE, warm)
    rows.rate("put_100MB_fresh", LARGE, fresh)


def measure(rows):
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=CAPACITY, log_to_driver=False,
             logging_level="ERROR")
    large_puts(rows)
    peer = Peer.remote()
    refs = ray.get(peer.put.remote(OBJECTS, OBJECT_BYTES))
    for ref in refs:
        ray.get(ref)
    draw = drawn(refs)
    rows.time("get_200KB", lambda: ray.get(draw()), rows.count(3000))
    rows.time("contains", lambda: ray.wait([draw()], timeout=0), rows.count(3000))
    hot = refs[0]
    rows.time("get_200KB_hot_alone", lambda: ray.get(hot), rows.count(3000))
    second = Peer.remote()
    ray.get(second.nothing.remote())
    second.hammer.remote([hot])
    time.sleep(PAUSE_S)
    rows.time("get_200KB_hot_shared", lambda: ray.get(hot), rows.count(3000))
    ray.kill(second)
    firsts = iter(ray.get(peer.put.remote(OBJECTS, OBJECT_BYTES)))
    rows.time("get_200KB_other_process", lambda: ray.get(next(firsts)), rows.count(900))
    del firsts, refs, hot, draw

    nothing = lambda ref: None
    for row, size in SIZES.items():
        data = np.ones(size, dtype=np.uint8)
        times = rows.times(lambda: ray.put(data), rows.count(1000), nothing)
        rows.emit(row, "ns", times) if row == "put_1KB" else rows.rate(row, size, times)

    writers = [Peer.remote() for _ in range(2)]
    for count in (2, rows.count(20, 3)):
        answers = ray.get([writer.gigabytes.remote(count) for writer in writers])
    both_clients(rows, answers)
    for writer in writers:
        ray.kill(writer)

    tiny, refs = np.ones(64, dtype=np.uint8), []
    for row, count in (("get_n10", 10), ("get_n10k", 10_000)):
        refs.extend(ray.put(tiny) for _ in range(count - len(refs)))
        draw = drawn(refs)
        rows.time(row, lambda: ray.get(draw()), rows.count(3000))
    ray.shutdown()


if __name__ == "__main__":
    for suite in asked_for(["store", *SUITES]):
        {"store": measure, **SUITES}[suite](Rows.of_command_line("ray"))
