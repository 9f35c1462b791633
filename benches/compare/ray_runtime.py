"""Ray: calls, tasks, a parameter server, queues, compiled graphs, start and end; and Ray's own microbenchmark."""
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import ray
from ray.dag import InputNode, MultiOutputNode
from ray.util.queue import Queue

from rows import (BATCH, FEW_NUMBERS, MANY_NUMBERS, MEGABYTE, MESSAGE, PLACES, QUEUES, apply, gradient, memory_of,
                  now)

CAPACITY = 4_000_000_000
# Ray's microbenchmark counts arrays of 100 Mi numbers as 0.8 GB.
MEBI = 1024 * 1024 / 1e6


@ray.remote(num_cpus=0)
class Echo:
    def successor(self, number):
        return number + 1

    def last(self, array):
        return array[-1]

    def pid(self):
        return os.getpid()

    def nap(self):
        time.sleep(600)


@ray.remote(num_cpus=0)
class Client:
    def __init__(self, callees):
        self.callees = callees

    def batch(self, calls):
        return len(ray.get([callee.successor.remote(i) for callee in self.callees for i in range(calls)]))

    def batch_with_array(self, calls):
        array = ray.put(np.full(128, 2.5))
        return len(ray.get([callee.last.remote(array) for callee in self.callees for _ in range(calls)]))


@ray.remote
def successor(number):
    return number + 1


@ray.remote
def many_refs(count):
    return [ray.put(i) for i in range(count)]


@ray.remote(num_cpus=0)
class Server:
    def __init__(self, numbers):
        self.weights = np.zeros(numbers)

    def parameters(self):
        return self.weights

    def push(self, step):
        self.weights = apply(self.weights, step)

    def apply(self, *steps):
        self.weights = apply(self.weights, *steps)
        return self.weights


@ray.remote(num_cpus=0)
class Worker:
    def gradient(self, parameters):
        return gradient(parameters)

    def run(self, server, iterations):
        for _ in range(iterations):
            ray.get(server.push.remote(gradient(ray.get(server.parameters.remote()))))
        return iterations


def init():
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=CAPACITY, log_to_driver=False,
             logging_level="ERROR")


def batches(rows, row, operation, operations, count):
    """Emits a rate; `operation` does so many operations."""
    times = [time / operations for time in rows.times(operation, count)]
    rows.emit(row, "1/s", times, 1e9 / max(statistics.median(times), 1))


def echoes(count):
    made = [Echo.remote() for _ in range(count)]
    ray.get([echo.successor.remote(0) for echo in made])
    return made


def end(actors):
    for actor in actors:
        ray.kill(actor)
    time.sleep(1)


def calls(rows):
    init()
    echo, = echoes(1)
    rows.time("actor_call_sync_hot", lambda: ray.get(echo.successor.remote(1)), rows.count(2000))
    batches(rows, "1_1_actor_calls_async", lambda: ray.get([echo.successor.remote(i) for i in range(BATCH)]), BATCH,
            rows.count(10, 2))
    four, turn = echoes(4), [0]

    def in_turn():
        turn[0] += 1
        return ray.get(four[turn[0] % 4].successor.remote(1))
    rows.time("actor_call_sync_oversubscribed", in_turn, rows.count(1000))
    two = echoes(2)
    crowds = [("1_n_actor_calls_async", [two], "batch", 2), ("n_n_actor_calls_async", [two, two], "batch", 4),
              ("n_n_actor_calls_with_arg_async", [two[:1], two[1:]], "batch_with_array", 2)]
    for row, callees, method, factor in crowds:
        clients = [Client.remote(some) for some in callees]
        batches(rows, row, lambda: ray.get([getattr(client, method).remote(BATCH) for client in clients]),
                factor * BATCH, rows.count(10, 2))
    array = np.arange(MEGABYTE // 8, dtype=np.float64)
    stored = ray.put(array)
    rows.time("actor_call_1MB_array", lambda: ray.get(echo.last.remote(stored)), rows.count(500))
    rows.time("actor_call_1MB_array_put", lambda: ray.get(echo.last.remote(array)), rows.count(500))
    listed = many_refs.remote(10_000)
    rows.time("get_10k_refs", lambda: ray.get(listed), rows.count(10, 2))

    def one_by_one():
        left = [successor.remote(i) for i in range(BATCH)]
        while left:
            ready, left = ray.wait(left)
            ray.get(ready)
    rows.time("wait_1k_refs", one_by_one, rows.count(5, 1))
    times = []
    for _ in range(rows.count(10, 2)):
        victim, = echoes(1)
        pid, nap = ray.get(victim.pid.remote()), victim.nap.remote()
        time.sleep(0.5)
        start = now()
        os.kill(pid, signal.SIGKILL)
        try:
            ray.get(nap)
        except ray.exceptions.RayActorError:
            times.append(now() - start)
    rows.emit("kill_actor_to_error", "ns", times)
    ray.shutdown()


def tasks(rows):
    init()
    ray.get([successor.remote(i) for i in range(10)])
    rows.time("tasks_sync", lambda: ray.get(successor.remote(1)), rows.count(500))
    batches(rows, "tasks_async", lambda: ray.get([successor.remote(i) for i in range(BATCH)]), BATCH, rows.count(5, 1))
    many = 10 * BATCH
    batches(rows, "queued_10k_tasks", lambda: ray.get([successor.remote(i) for i in range(many)]), many, 1)
    ray.shutdown()


def parameter_server(rows):
    init()
    for size, numbers, count in (("8MB", FEW_NUMBERS, rows.count(40, 4)), ("80MB", MANY_NUMBERS, rows.count(6, 2))):
        server, workers = Server.remote(numbers), [Worker.remote() for _ in range(2)]

        def rounds():
            parameters = server.parameters.remote()
            for _ in range(count):
                parameters = server.apply.remote(*[worker.gradient.remote(parameters) for worker in workers])
            ray.get(parameters)
        batches(rows, f"ps_sync_{size}", rounds, count, 2)
        if size == "8MB":
            batches(rows, f"ps_async_{size}", lambda: ray.get([worker.run.remote(server, count) for worker in workers]),
                    2 * count, 2)
        for actor in [server, *workers]:
            ray.kill(actor)
    ray.shutdown()


@ray.remote(num_cpus=0)
class Hand:
    def take(self, queue, count):
        return sum(len(queue.get()) for _ in range(count))

    def put(self, queue, count):
        for n in range(count):
            queue.put(bytes([n % 256]) * MESSAGE)


def queues(rows):
    """`ray.util.queue`, an actor in the middle; messages of 64 bytes, and values as Mobula's row has them."""
    init()
    count = rows.count(1000, 100)
    takers, putters = [Hand.remote() for _ in range(2)], [Hand.remote() for _ in range(2)]
    ray.get([hand.take.remote(None, 0) for hand in takers + putters])

    def one_to_one(queue, message):
        taken = takers[0].take.remote(queue, count)
        for _ in range(count):
            queue.put(message)
        ray.get(taken)
    for row, room, message in QUEUES:
        queue = Queue(maxsize=room, actor_options={"num_cpus": 0})
        batches(rows, row, lambda: one_to_one(queue, message), count, rows.count(5, 1))
        queue.shutdown(force=True)
    queue = Queue(maxsize=PLACES, actor_options={"num_cpus": 0})

    def two_to_two():
        taken = [taker.take.remote(queue, count) for taker in takers]
        ray.get([putter.put.remote(queue, count) for putter in putters] + taken)
    batches(rows, "queue_2_2", two_to_two, 2 * count, rows.count(5, 1))
    queue.shutdown(force=True)
    ray.shutdown()


@ray.remote(num_cpus=0)
class Reader:
    def count(self, *arrays):
        return sum(len(array) for array in arrays)


def graphs(rows):
    """Compiled graphs, and the same calls one by one."""
    init()
    echo, = echoes(1)
    rows.time("graph_1_actor_calls", lambda: ray.get(echo.successor.remote(1)), rows.count(2000))
    with InputNode() as x:
        graph = echo.successor.bind(x)
    graph = graph.experimental_compile(_max_inflight_executions=BATCH, _max_buffered_results=BATCH)
    rows.time("graph_1_actor", lambda: ray.get(graph.execute(1)), rows.count(5000))

    def batch():
        for ref in [graph.execute(i) for i in range(BATCH)]:
            ray.get(ref)
    batches(rows, "graph_1_actor_async", batch, BATCH, rows.count(10, 2))
    graph.teardown()
    four = echoes(4)

    def chain(first, call):
        for echo in four:
            first = call(echo.successor, first)
        return first
    rows.time("graph_chain_4_calls", lambda: ray.get(chain(1, lambda method, of: method.remote(of))), rows.count(500))
    with InputNode() as x:
        graph = chain(x, lambda method, of: method.bind(of)).experimental_compile()
    rows.time("graph_chain_4", lambda: ray.get(graph.execute(1)), rows.count(2000))
    graph.teardown()
    rows.time("graph_scatter_4_calls", lambda: ray.get([echo.successor.remote(1) for echo in four]), rows.count(500))
    with InputNode() as x:
        graph = MultiOutputNode([echo.successor.bind(x) for echo in four]).experimental_compile()
    rows.time("graph_scatter_4", lambda: ray.get(graph.execute(1)), rows.count(2000))
    graph.teardown()
    end([echo, *four])
    reader = Reader.remote()
    for size, length, count in (("1B", 1, 500), ("1MB", MEGABYTE, 100), ("10MB", 10 * MEGABYTE, 20)):
        eight = [np.full(length, 7, dtype=np.uint8) for _ in range(8)]
        rows.time(f"graph_args_8_{size}_calls", lambda: ray.get(reader.count.remote(*eight)), rows.count(count))
        with InputNode() as x:
            graph = reader.count.bind(*[x[i] for i in range(8)])
        graph = graph.experimental_compile(_buffer_size_bytes=8 * length + MEGABYTE)
        rows.time(f"graph_args_8_{size}", lambda: ray.get(graph.execute(*eight)), rows.count(count))
        graph.teardown()
    ray.shutdown()


def startup(rows):
    inits, shutdowns, warm, ones, tens = [], [], [], [], []
    memory = 0
    for _ in range(rows.count(3, 1)):
        start = now()
        init()
        inits.append(now() - start)
        time.sleep(3)
        memory = memory_of(os.getpid())
        # Ray keeps a process ready for each CPU: the first two actors take these, the third starts one.
        taken = []
        for times in (warm, [], ones):
            start = now()
            taken += echoes(1)
            times.append(now() - start)
        end(taken)
        start = now()
        taken = echoes(10)
        tens.append(now() - start)
        end(taken)
        start = now()
        ray.shutdown()
        shutdowns.append(now() - start)
    for row, times in (("init", inits), ("shutdown", shutdowns), ("actor_creation_warm", warm),
                       ("actor_creation_1", ones), ("actor_creation_10", tens)):
        rows.emit(row, "ns", times)
    rows.amount("idle_pss", "MB", memory / 1e6)


def microbenchmark(rows):
    """Ray's own program; it prints means of four runs of two seconds and knows nothing of quick."""
    program = Path(sys.executable).parent / "ray"
    # One piece of a name: that of the rows of Ray's proxy.
    skip = {"TESTS_TO_SKIP": "client: ", **os.environ}
    done = subprocess.run([str(program), "microbenchmark"], env=skip, capture_output=True, text=True)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
    for line in done.stdout.splitlines():
        found = re.match(r"(.*?) per second ([\d.]+) \+-", line)
        if found:
            name = re.sub(r"[()]", "", found[1]).translate(str.maketrans(" :-", "___"))
            if "gigabytes" in name:
                rows.amount(name, "GB/s", float(found[2]) * MEBI)
            else:
                rows.amount(name, "1/s", float(found[2]))


SUITES = {"calls": calls, "tasks": tasks, "ps": parameter_server, "queue": queues, "graph": graphs, "startup": startup,
          "ray": microbenchmark}
