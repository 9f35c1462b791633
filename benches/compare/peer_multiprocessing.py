"""Python's own processes: an actor made of a process and a pipe, and `multiprocessing.Pool`."""
import multiprocessing
import os
import signal
import statistics
from multiprocessing import connection

import numpy as np

from rows import BATCH, FEW_NUMBERS, MEGABYTE, MESSAGE, PLACES, QUEUES, Rows, apply, asked_for, gradient, now

context = multiprocessing.get_context("fork")
# What a pipe takes before both sides wait for each other.
WINDOW = 250


class Echo:
    def successor(self, number):
        return number + 1

    def last(self, array):
        return array[-1]


def serve(pipe):
    actor = Echo()
    while (message := pipe.recv()) is not None:
        method, *arguments = message
        pipe.send(getattr(actor, method)(*arguments))


class Actor:
    def __init__(self):
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=serve, args=(other,), daemon=True)
        self.process.start()
        other.close()

    def call(self, *message):
        self.pipe.send(message)
        return self.pipe.recv()

    def end(self):
        self.pipe.send(None)
        self.process.join()


def successor(number):
    return number + 1


def rate(rows, row, operation, operations, count):
    times = [time / operations for time in rows.times(operation, count)]
    rows.emit(row, "1/s", times, 1e9 / max(statistics.median(times), 1))


def calls(rows):
    actor = Actor()
    rows.time("actor_call_sync_hot", lambda: actor.call("successor", 1), rows.count(10_000))

    def pipelined():
        for _ in range(BATCH // WINDOW):
            for i in range(WINDOW):
                actor.pipe.send(("successor", i))
            for _ in range(WINDOW):
                actor.pipe.recv()
    rate(rows, "1_1_actor_calls_async", pipelined, BATCH, rows.count(50))
    four, turn = [Actor() for _ in range(4)], [0]

    def in_turn():
        turn[0] += 1
        return four[turn[0] % 4].call("successor", 1)
    rows.time("actor_call_sync_oversubscribed", in_turn, rows.count(5000))
    array = np.arange(MEGABYTE // 8, dtype=np.float64)
    rows.time("actor_call_1MB_array_put", lambda: actor.call("last", array), rows.count(300))
    for one in [actor, *four]:
        one.end()
    times = []
    for _ in range(rows.count(50)):
        victim = Actor()
        victim.call("successor", 1)
        start = now()
        os.kill(victim.process.pid, signal.SIGKILL)
        try:
            victim.pipe.recv()
        except EOFError:
            times.append(now() - start)
        victim.process.join()
    rows.emit("kill_actor_to_error", "ns", times)


def tasks(rows):
    with context.Pool(2) as pool:
        pool.map(successor, range(100))
        rows.time("tasks_sync", lambda: pool.apply(successor, (1,)), rows.count(3000))
        rate(rows, "tasks_async", lambda: pool.map(successor, range(BATCH), chunksize=1), BATCH, rows.count(30))
        many = 10 * BATCH
        rate(rows, "queued_10k_tasks", lambda: pool.map(successor, range(many), chunksize=1), many, 1)


def parameter_server(rows):
    """Each worker has a pipe to the server."""
    def server(pipes, ready):
        weights, left = np.zeros(FEW_NUMBERS), list(pipes)
        ready.send(None)
        while left:
            for pipe in connection.wait(left):
                message = pipe.recv()
                if message is None:
                    left.remove(pipe)
                elif isinstance(message, str):
                    pipe.send(weights)
                else:
                    weights = apply(weights, message)
                    pipe.send(None)

    def worker(pipe, iterations):
        for _ in range(iterations):
            pipe.send("parameters")
            pipe.send(gradient(pipe.recv()))
            pipe.recv()
        pipe.send(None)
    iterations, times = rows.count(20, 3), []
    for _ in range(2):
        pairs, (ready, told) = [context.Pipe() for _ in range(2)], context.Pipe()
        parts = [context.Process(target=server, args=([pair[0] for pair in pairs], told))]
        parts[0].start()
        ready.recv()
        start = now()
        parts += [context.Process(target=worker, args=(pair[1], iterations)) for pair in pairs]
        for part in parts[1:]:
            part.start()
        for part in parts:
            part.join()
        times.append((now() - start) / (2 * iterations))
    rows.emit("ps_async_8MB", "1/s", times, 1e9 / statistics.median(times))


def queues(rows):
    """`multiprocessing.Queue`: a pipe, a lock on each side, a thread that feeds it."""
    def put(queue, count):
        for n in range(count):
            queue.put(bytes([n % 256]) * MESSAGE)

    def take(queue, count, told):
        for _ in range(count):
            queue.get()
        told.put(None)
    count, told = rows.count(20_000), context.SimpleQueue()

    def one_to_one(queue, message):
        taker = context.Process(target=take, args=(queue, count, told))
        taker.start()
        for _ in range(count):
            queue.put(message)
        told.get()
        taker.join()
    for row, room, message in QUEUES:
        queue = context.Queue(room)
        rate(rows, row, lambda: one_to_one(queue, message), count, rows.count(10, 2))

    def two_to_two():
        hands = [context.Process(target=put, args=(queue, count)) for _ in range(2)]
        hands += [context.Process(target=take, args=(queue, count, told)) for _ in range(2)]
        for hand in hands:
            hand.start()
        for _ in range(2):
            told.get()
        for hand in hands:
            hand.join()
    queue = context.Queue(PLACES)
    rate(rows, "queue_2_2", two_to_two, 2 * count, rows.count(10, 2))


def startup(rows):
    def create():
        actor = Actor()
        actor.call("successor", 1)
        return actor
    rows.time("actor_creation_1", create, rows.count(50), Actor.end)

    def ten():
        actors = [Actor() for _ in range(10)]
        for actor in actors:
            actor.call("successor", 1)
        return actors
    rows.time("actor_creation_10", ten, rows.count(10, 2), lambda actors: [actor.end() for actor in actors])


SUITES = {"calls": calls, "tasks": tasks, "ps": parameter_server, "queue": queues, "startup": startup}

if __name__ == "__main__":
    for suite in asked_for(SUITES):
        SUITES[suite](Rows.of_command_line("multiprocessing"))
