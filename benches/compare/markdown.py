"""The README's figures: tables of rows of `mobula-bench`, the limit of each, and the peers' figures beside it.

They stand in two parts, each between marks of its own and with the machine that it was measured on. A part of which
nothing was measured stays as it is.
"""
import re
import textwrap

from rows import mobulas

TITLES = {
    "iceoryx2": "iceoryx2 0.10",
    "ipc-channel": "ipc-channel 0.23",
    "multiprocessing": "multiprocessing",
    "ray": "Ray 2.60",
    "plasma": "Plasma (pyarrow 11)",
    "vineyard": "vineyard 0.24",
}

LIMITS = {
    "limit_spin_rtt": "spinning round trip",
    "limit_futex_rtt": "futex round trip",
    "limit_stream": "bare ring",
    "limit_copy_1MB": "copy",
    "limit_copy_1KB": "copy",
    "limit_memcpy_100KB": "memcpy",
    "limit_memcpy_1MB": "memcpy",
    "limit_memcpy_1t": "memcpy, 1 thread",
    "limit_copy_best": "best copy of 2 threads",
    "limit_put_gigabytes": "best copy of 2 threads",
    "limit_fresh_write": "memcpy, 1 thread",
    "limit_atomic_pair": "pair of atomic operations",
    "limit_spawn_hello": "spawn to first byte",
    "limit_kill_seen": "until the kernel says so",
    "limit_futex_wake": "futex",
    "limit_ps_8MB": "2 threads, no store",
    "limit_ps_async_8MB": "2 threads, no store",
    "limit_ps_80MB": "2 threads, no store",
    "actor_call_sync_hot": "call without it",
}

# Rows whose limit says how fast the processor is, not what the row could be.
SCALED = ("get_200KB_other_process", "put_1KB", "delete_1KB", "list_100k")

# The tables of each part in their order: what stands above it, its suites, and the rows with what is said of each.
# Rows that were not measured are left out.
RUNTIME = [
    ("Calls, tasks and objects of a runtime:", ("calls", "tasks"), {
        "actor_call_sync_hot": "synchronous actor call, both awake",
        "actor_call_sync_hot:publish-subscribe": "- theirs by publish-subscribe",
        "actor_call_sync_hot:event": "- theirs asleep until an event",
        "actor_call_sync_hot:polling": "- theirs polling",
        "actor_call_sync_asleep": "the same, both asleep before",
        "actor_call_sync_oversubscribed": "the same, 4 actors in turn on 2 CPUs",
        "actor_call_1MB_array": "a call, both awake, with 1 MB that is shared already",
        "actor_call_1MB_array_put": "a call, both awake, with 1 MB put for it",
        "actor_call_1MB_array_put:bytes": "- theirs through a channel of bytes",
        "1_1_actor_calls_async": "pipelined calls, one to one",
        "1_1_actor_calls_async:publish-subscribe": "- theirs by publish-subscribe",
        "1_n_actor_calls_async": "the same, one caller and two actors",
        "n_n_actor_calls_async": "the same, two callers and two actors",
        "n_n_actor_calls_with_arg_async": "the same, each with a ref to an array",
        "tasks_sync": "synchronous task",
        "tasks_async": "pipelined tasks",
        "queued_10k_tasks": "10^4 tasks queued at once",
        "queued_1M_tasks": "10^6 tasks queued at once",
        "as_completed_1k": "1,000 tasks, results as they come",
        "wait_1k_refs": "1,000 tasks, a `wait` for each",
        "get_10k_refs": "`get` of a list of 10^4 refs",
        "kill_actor_to_error": "SIGKILL of an actor to its caller's error",
    }),
    ("A parameter server and two workers, rounds or iterations a second:", ("ps",), {
        "ps_sync_8MB": "8 MB, in rounds",
        "ps_async_8MB": "8 MB, each worker at its own pace",
        "ps_sync_80MB": "80 MB, in rounds",
    }),
    ("Start, end and rest:", ("startup",), {
        "init": "`init`",
        "shutdown": "`shutdown`",
        "actor_creation_1": "actor: creation to first result, no process waiting",
        "actor_creation_10": "ten at once",
        "actor_creation_warm": "from the pool",
        "idle_pss": "memory of an idle node with two workers (PSS)",
        "idle_cpu": "processor time that it takes",
    }),
    ("The store:", ("store",), {
        "get_200KB": "`get` of a sealed 200 KB object, view dropped",
        "get_200KB_other_process": "`get` of what another process has just sealed",
        "contains": "`contains`",
        "put_1KB": "`put` of 1 KB",
        "delete_1KB": "`delete` of 1 KB",
        "put_100KB": "`put` of 100 KB",
        "put_1MB": "`put` of 1 MB",
        "put_100MB_warm": "`put` of 100 MB into reused memory",
        "put_100MB_fresh": "`put` of 100 MB into fresh memory",
        "put_gigabytes_2_clients": "`put` of 100 MB by two processes at a time",
        "wait_wake": "a waiter wakes",
        "list_100k": "`list` of 10^5 objects",
    }),
]
BETWEEN = [
    ("Channels, queues and graphs between processes:", ("channel", "queue", "graph"), {
        "channel_hop_8B": "channel: 8 bytes one way, both awake",
        "channel_hop_1MB": "the same, 1 MB written and read in place",
        "channel_hop_4MB": "the same, 4 MB",
        "channel_stream_8B": "1,000 values there, and back",
        "channel_broadcast_4": "a value to four readers, until each has answered",
        "value_channel_hop": "a value that is encoded, one way",
        "queue_1_1": "queue: messages of 64 bytes, one to one",
        "queue_1_1_batches": "the same, 100 at a time",
        "queue_unbounded_1_1": "the same, a queue without a bound",
        "queue_2_2": "the same, two to two",
        "queue_values_1_1": "values that are encoded, one to one",
        "graph_1_actor": "graph: one actor, input to result",
        "graph_1_actor_calls": "- the same as calls",
        "graph_1_actor_async": "1,000 executions, then their results",
        "graph_chain_4": "a chain of four actors",
        "graph_chain_4_calls": "- the same as calls",
        "graph_scatter_4": "four actors side by side",
        "graph_scatter_4_calls": "- the same as calls",
        "graph_args_8_1B": "one actor, eight arrays of 1 byte",
        "graph_args_8_1MB": "one actor, eight arrays of 1 MB, put for it",
        "graph_args_8_10MB": "one actor, eight arrays of 10 MB, put for it",
    }),
    ("Actors with `async` methods, rows of Ray's own benchmark:", ("ray",), {
        "1_1_async_actor_calls_sync": "one call after the other",
        "1_1_async_actor_calls_async": "1,000 calls at a time",
        "1_1_async_actor_calls_with_args_async": "the same with an argument",
        "1_n_async_actor_calls_async": "one caller, several actors",
        "n_n_async_actor_calls_async": "four callers, several actors",
    }),
]
PARTS = {"figures": RUNTIME, "figures between actors": BETWEEN}

def crowd(row, held):
    return [f"{row}_c{clients}_{held}" for clients in (1, 16, 128)]


# Rows of the store against its scale: the head of the first column, the other columns, and the lines.
SCALES = [
    ("with so many objects", ["10", "10^4", "10^5", "10^6"], [
        ("`get`", ["get_n10", "get_n10k", "get_n100k", "get_n1M"]),
    ]),
    ("with so many clients", ["1", "16", "128"], [
        ("`get`", ["get_c1", "get_c16", "get_c128"]),
        ("`delete` of 1 KB, nothing else held", crowd("delete_1KB", "h0")),
        ("the same, 10^5 objects held", crowd("delete_1KB", "h100k")),
        ("the last of two processes lets go of an object", crowd("release_last_shared", "h0")),
        ("the same, 10^5 objects held", crowd("release_last_shared", "h100k")),
    ]),
]

SCALE_NOTE = "With a million objects the tables are larger than the processor's caches and what its TLB reaches."


def shown(unit, value):
    """A figure with three digits that count."""
    if unit == "ns":
        for size, name in ((1e9, "s"), (1e6, "ms"), (1e3, "us")):
            if value >= size:
                return f"{digits(value / size)} {name}"
        return f"{value:.0f} ns"
    if unit == "1/s":
        for size, name in ((1e6, " M/s"), (1e4, " k/s")):
            if value >= size:
                return f"{digits(value / size if size == 1e6 else value / 1e3)}{name}"
        return f"{digits(value)}/s"
    return f"{digits(value)} {unit}"


def digits(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def ratio(unit, ours, theirs):
    """How many times better Mobula is; times that are too short for the clock count as one nanosecond."""
    less = unit in ("ns", "MB", "%")
    better = max(theirs, 1) / max(ours, 1) if unit == "ns" else theirs / ours if less else ours / theirs
    return f"{better:,.0f}x" if better >= 10 else f"{better:.2g}x"


def pages(results, machine):
    """Returns the text of each part that there are figures for: an introduction and all tables."""
    found = {}
    for part, tables in PARTS.items():
        pieces = [piece for piece in (table(results, *each) for each in tables) if piece]
        if tables is RUNTIME:
            pieces += scaled(results["mobula"])
        if pieces:
            found[part] = "\n\n".join([introduction(machine), *pieces])
    return found


def scaled(ours):
    scales = [piece for piece in (scale(ours, *each) for each in SCALES) if piece]
    if not scales:
        return []
    return ["The store's cost against its scale:", *scales] + ([SCALE_NOTE] if "get_n1M" in ours else [])


def introduction(machine):
    # The kernel's release without what its builder added.
    machine = re.sub(r"(Linux \d+\.\d+)\S*", r"\1", machine) or "a machine that was not named"
    text = (f"Measured by `benches/compare/compare.py` on {machine}: real processes, default options, Mobula built "
            "by its profile `dist`, medians with the clock's own cost taken off. Every limit was measured in the same run. The others were measured in turn with "
            "it on the same machine, through their own libraries; in brackets is how many times better Mobula is (below "
            "1 the other one is). What each row of theirs is, and what it leaves out, stands in "
            "[benches/compare](benches/compare/README.md).")
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def table(results, title, suites, rows):
    ours = results["mobula"]
    rows = {label: words for label, words in rows.items()
            if mobulas(label) in ours and ours.suite(mobulas(label)) in suites}
    names = [name for name in TITLES if any(has(results, name, row) for row in rows)]
    lines = []
    for label, words in rows.items():
        row, way = mobulas(label), ":" in label
        if way and not any(has(results, name, label) for name in names):
            continue
        unit, value = ours.unit(row), ours.value(row)
        # The line of another way of theirs is about them alone.
        bound = None if row in SCALED else ours.limit(row)
        cells = [words, "", ""] if way else [words, shown(unit, value), limit(unit, bound)]
        for name in names:
            theirs = results[name].value(label) if has(results, name, label) else None
            cells.append("" if theirs is None else f"{shown(unit, theirs)} ({ratio(unit, value, theirs)})")
        lines.append(cells)
    if not lines:
        return ""
    return title + "\n\n" + grid(["what", "Mobula", "limit"] + [TITLES[name] for name in names], lines)


def has(results, name, label):
    """Says whether somebody has a row in the unit of ours."""
    ours, row = results["mobula"], mobulas(label)
    return name in results and label in results[name] and row in ours and results[name].unit(label) == ours.unit(row)


def limit(unit, found):
    return "" if found is None else f"{shown(unit, found[1])}, {LIMITS.get(found[0], found[0])}"


def scale(ours, head, columns, lines):
    cells = lambda rows: [shown(ours.unit(row), ours.value(row)) if row in ours else "" for row in rows]
    body = [[words, *cells(rows)] for words, rows in lines if any(row in ours for row in rows)]
    return grid([head, *columns], body) if body else ""


def grid(header, lines):
    line = lambda cells: "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)
    return "\n".join([line(header), "|" + "---|" * len(header), *map(line, lines)])


def marks(part):
    """Returns the lines between which a part stands."""
    return f"<!-- {part}: written by benches/compare/compare.py --markdown -->", f"<!-- end of {part} -->"


def unmarked(file):
    """Returns the parts that a file has no place for."""
    lines = file.read_text().splitlines() if file.exists() else []

    def has(begin, end):
        return lines.count(begin) == 1 and lines.count(end) == 1 and lines.index(begin) < lines.index(end)
    return [part for part in PARTS if not has(*marks(part))]


def write(file, texts):
    """Replaces what stands between the marks of these parts."""
    for part, text in texts.items():
        lines = file.read_text().splitlines()
        begin, end = map(lines.index, marks(part))
        file.write_text("\n".join(lines[:begin + 1] + ["", *text.splitlines(), ""] + lines[end:]) + "\n")
