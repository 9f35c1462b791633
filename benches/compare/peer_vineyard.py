"""vineyard: its blobs, the layer below its objects."""
import os
import signal
import sys
import tempfile
import time
import warnings

warnings.filterwarnings("ignore")
import numpy as np
import vineyard

from rows import (CROWDS, LARGE, OBJECT_BYTES, OBJECTS, SIZES, Child, Rows, asked_for, die_with_parent, drawn,
                  gigabytes, serve, server, two_clients, until, wakes)


def put(client, data):
    blob = client.create_blob(data.nbytes)
    blob.copy(0, data)
    return blob.seal(client).id


def child(socket):
    client = vineyard.connect(socket)
    large = np.ones(LARGE, dtype=np.uint8)

    def act(verb, *words):
        if verb == "put":
            data = np.ones(int(words[1]), dtype=np.uint8)
            return [int(put(client, data)) for _ in range(int(words[0]))]
        if verb == "gigabytes":
            def one():
                name = put(client, large)
                return lambda: client.delete([name])
            return gigabytes(int(words[0]), one)
        if verb == "wait":
            client.get_name(words[0], wait=True)
            return time.monotonic_ns()
        if verb == "hammer":
            print("null", flush=True)
            name = vineyard.ObjectID(int(words[0]))
            while True:
                client.get_blob(name)
        return None

    serve(act)


def crowd(socket):
    """The child's side of a crowd: forks clients, as a process has one connection to a socket for all of it."""
    def act(count):
        for _ in range(int(count)):
            reader, writer = os.pipe()
            if os.fork() == 0:
                die_with_parent()
                client = vineyard.connect(socket)
                os.write(writer, b"+")
                signal.pause()
            os.close(writer)
            ready = os.read(reader, 1)
            os.close(reader)
            if not ready:
                raise RuntimeError("a client of the crowd did not connect")

    serve(act)


def connect(socket):
    found = []

    def attempt():
        try:
            found.append(vineyard.connect(socket))
        except Exception:
            return False
        return True

    until(attempt, "the store")
    return found[0]


class Store:
    """A store of its own."""

    def __init__(self, folder, name):
        self.socket = os.path.join(folder, name)
        binary = os.path.join(os.path.dirname(vineyard.__file__), "bdist", "vineyardd")
        command = [binary, "--socket", self.socket, "--size", "4Gi", "--meta", "local", "--rpc=false"]
        self.process = server(command, folder)
        self.client = connect(self.socket)

    def stop(self):
        self.process.kill()
        self.process.wait()


def measure(rows, folder):
    store = Store(folder, "one")
    client, first = store.client, Child(store.socket)
    children = [first]
    try:
        made = lambda count, size: [vineyard.ObjectID(name) for name in first.ask("put", count, size)]
        names = made(OBJECTS, OBJECT_BYTES)
        draw = drawn(names)
        rows.time("get_200KB", lambda: client.get_blob(draw()), rows.count(5000))
        rows.time("contains", lambda: client.exists(draw()), rows.count(5000))
        hot = names[0]
        rows.time("get_200KB_hot_alone", lambda: client.get_blob(hot), rows.count(5000))
        second = Child(store.socket)
        children.append(second)
        second.ask("hammer", int(hot))
        rows.time("get_200KB_hot_shared", lambda: client.get_blob(hot), rows.count(5000))
        second.kill()
        client.delete(names)

        names = made(OBJECTS, OBJECT_BYTES)
        firsts = iter(names)
        rows.time("get_200KB_other_process", lambda: client.get_blob(next(firsts)), rows.count(900))
        client.delete(names)

        for row, size in SIZES.items():
            data = np.ones(size, dtype=np.uint8)
            times = rows.times(lambda: put(client, data), rows.count(2000), lambda name: client.delete([name]))
            rows.emit(row, "ns", times) if row == "put_1KB" else rows.rate(row, size, times)
        small = np.ones(SIZES["put_1KB"], dtype=np.uint8)
        waiting = [put(client, small) for _ in range(2500)]
        rows.time("delete_1KB", lambda: client.delete([waiting.pop()]), rows.count(2000))
        client.delete(waiting)

        rows.time("create_seal_100MB", lambda: client.create_blob(LARGE).seal(client).id, rows.count(200),
                  lambda name: client.delete([name]))
        large = np.ones(LARGE, dtype=np.uint8)
        times = rows.times(lambda: put(client, large), rows.count(30, 4), lambda name: client.delete([name]))
        rows.rate("put_100MB_warm", LARGE, times)
        writers = [Child(store.socket) for _ in range(2)]
        children.extend(writers)
        two_clients(rows, writers)
        for writer in writers:
            writer.kill()

        # Blobs cannot be waited for, names can.
        named, number = client.put(np.zeros(8)), iter(range(1 << 30))
        client.persist(named)

        def prepare():
            name = f"n{next(number)}"
            return name, lambda: client.put_name(named, name), lambda: client.drop_name(name)
        sleeper = Child(store.socket)
        children.append(sleeper)
        wakes(rows, sleeper, prepare)
    finally:
        for kid in children:
            kid.kill()
        store.stop()

    store = Store(folder, "two")
    try:
        rows.rate("put_100MB_fresh", LARGE, rows.times(lambda: put(store.client, large), rows.count(12, 3)))
    finally:
        store.stop()

    store = Store(folder, "three")
    client, attached, kid = store.client, 1, Child("crowd", store.socket)
    try:
        tiny, names = np.ones(64, dtype=np.uint8), []
        for row, count in (("get_n10", 10), ("get_n10k", 10_000)):
            names.extend(put(client, tiny) for _ in range(count - len(names)))
            draw = drawn(names)
            rows.time(row, lambda: client.get_blob(draw()), rows.count(5000))
        draw = drawn(names[:OBJECTS])
        for clients in CROWDS:
            kid.ask(clients - attached)
            attached = clients
            rows.time(f"get_c{clients}", lambda: client.get_blob(draw()), rows.count(5000))
    finally:
        kid.kill()
        store.stop()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2]) if len(sys.argv) == 3 else crowd(sys.argv[3])
    elif asked_for(["store"]):
        with tempfile.TemporaryDirectory(prefix="vineyard-") as folder:
            measure(Rows.of_command_line("vineyard"), folder)
