"""Plasma, the object store that Arrow had until pyarrow 11."""
import os
import sys
import tempfile
import time
import warnings

warnings.filterwarnings("ignore")
import numpy as np
import pyarrow as pa
import pyarrow.plasma as plasma

from rows import (CROWDS, LARGE, OBJECT_BYTES, OBJECTS, SIZES, Child, Rows, asked_for, drawn, gigabytes, serve, server,
                  two_clients, until, wakes)

CAPACITY = 4_000_000_000
new = plasma.ObjectID.from_random
hexed = lambda ids: [i.binary().hex() for i in ids]
unhexed = lambda words: [plasma.ObjectID(bytes.fromhex(word)) for word in words]


def put(client, data, threads=1):
    name = new()
    buffer = client.create(name, data.nbytes)
    if threads > 1:
        writer = pa.FixedSizeBufferWriter(buffer)
        writer.set_memcopy_threads(threads)
        writer.write(data)
        writer.close()
    else:
        np.frombuffer(buffer, dtype=np.uint8)[:] = data
    client.seal(name)
    return name


def child(socket):
    client = plasma.connect(socket)
    large = np.ones(LARGE, dtype=np.uint8)

    def act(verb, *words):
        if verb == "put":
            data = np.ones(int(words[1]), dtype=np.uint8)
            return hexed(put(client, data) for _ in range(int(words[0])))
        if verb == "gigabytes":
            def one():
                name = put(client, large, 2)
                return lambda: client.delete([name])
            return gigabytes(int(words[0]), one)
        if verb == "wait":
            view = client.get_buffers(unhexed(words))
            return time.monotonic_ns()
        if verb == "hammer":
            print("null", flush=True)
            names = unhexed(words)
            while True:
                client.get_buffers(names)
        return None

    serve(act)


def connect(socket):
    found = []

    def attempt():
        try:
            found.append(plasma.connect(socket, num_retries=1))
        except Exception:
            return False
        return True

    until(attempt, "the store")
    return found[0]


class Store:
    """A store of its own."""

    def __init__(self, folder, name):
        self.socket = os.path.join(folder, name)
        binary = os.path.join(os.path.dirname(sys.executable), "plasma_store")
        self.process = server([binary, "-m", str(CAPACITY), "-s", self.socket], folder)
        self.client = connect(self.socket)

    def stop(self):
        self.process.kill()
        self.process.wait()


def measure(rows, folder):
    store = Store(folder, "one")
    client, first = store.client, Child(store.socket)
    children = [first]
    try:
        names = unhexed(first.ask("put", OBJECTS, OBJECT_BYTES))
        draw = drawn(names)
        rows.time("get_200KB", lambda: client.get_buffers([draw()]), rows.count(5000))
        rows.time("contains", lambda: client.contains(draw()), rows.count(5000))
        hot = names[:1]
        rows.time("get_200KB_hot_alone", lambda: client.get_buffers(hot), rows.count(5000))
        second = Child(store.socket)
        children.append(second)
        second.ask("hammer", *hexed(hot))
        rows.time("get_200KB_hot_shared", lambda: client.get_buffers(hot), rows.count(5000))
        second.kill()
        client.delete(names)

        firsts = iter(unhexed(first.ask("put", OBJECTS, OBJECT_BYTES)))
        rows.time("get_200KB_other_process", lambda: client.get_buffers([next(firsts)]), rows.count(900))
        client.evict(CAPACITY)

        for row, size in SIZES.items():
            data = np.ones(size, dtype=np.uint8)
            times = rows.times(lambda: put(client, data), rows.count(2000), lambda name: client.delete([name]))
            rows.emit(row, "ns", times) if row == "put_1KB" else rows.rate(row, size, times)
        small, waiting = np.ones(SIZES["put_1KB"], dtype=np.uint8), []
        waiting.extend(put(client, small) for _ in range(2500))
        rows.time("delete_1KB", lambda: client.delete([waiting.pop()]), rows.count(2000))
        client.delete(waiting)

        def empty():
            name = new()
            buffer = client.create(name, LARGE)
            client.seal(name)
            return name
        rows.time("create_seal_100MB", empty, rows.count(30, 3), lambda name: client.delete([name]))
        large = np.ones(LARGE, dtype=np.uint8)
        times = rows.times(lambda: put(client, large, 2), rows.count(30, 4), lambda name: client.delete([name]))
        rows.rate("put_100MB_warm", LARGE, times)
        writers = [Child(store.socket) for _ in range(2)]
        children.extend(writers)
        two_clients(rows, writers)
        for writer in writers:
            writer.kill()

        def prepare():
            name = new()
            buffer = client.create(name, 64)
            return name.binary().hex(), lambda: client.seal(name), lambda: client.delete([name])
        sleeper = Child(store.socket)
        children.append(sleeper)
        wakes(rows, sleeper, prepare)
        sleeper.kill()
        client.evict(CAPACITY)
    finally:
        for kid in children:
            kid.kill()
        store.stop()

    store = Store(folder, "two")
    try:
        times = rows.times(lambda: put(store.client, large, 2), rows.count(12, 3))
        rows.rate("put_100MB_fresh", LARGE, times)
    finally:
        store.stop()

    store = Store(folder, "three")
    client, crowd = store.client, []
    try:
        tiny, names = np.ones(64, dtype=np.uint8), []
        for row, count in (("get_n10", 10), ("get_n10k", 10_000)):
            names.extend(put(client, tiny) for _ in range(count - len(names)))
            draw = drawn(names)
            rows.time(row, lambda: client.get_buffers([draw()]), rows.count(5000))
        draw = drawn(names[:OBJECTS])
        for clients in CROWDS:
            crowd.extend(connect(store.socket) for _ in range(clients - 1 - len(crowd)))
            rows.time(f"get_c{clients}", lambda: client.get_buffers([draw()]), rows.count(5000))
        listed = rows.count(100_000, 0)
        if listed == 100_000:
            names.extend(put(client, tiny) for _ in range(listed - len(names)))
            rows.time("list_100k", client.list, 5)
    finally:
        store.stop()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2])
    elif asked_for(["store"]):
        with tempfile.TemporaryDirectory(prefix="plasma-") as folder:
            measure(Rows.of_command_line("plasma"), folder)
