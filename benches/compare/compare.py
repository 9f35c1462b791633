#!/usr/bin/env python3
"""Runs mobula-bench and its peers one after the other and prints their figures side by side."""
import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PEERS = ("plasma", "vineyard", "ray", "multiprocessing")
SUITES = ("store", "calls", "tasks", "ps", "ray", "startup")


def environments():
    return Path(os.environ.get("COMPARE_VENVS", ROOT / "target" / "compare"))


def lines(text):
    for line in text.splitlines():
        if line.startswith("{"):
            yield json.loads(line)


def run(command, timeout):
    """Returns the rows of a command, or why there are none."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=ROOT)
    except (OSError, subprocess.TimeoutExpired) as error:
        return [], str(error)
    why = "" if done.returncode == 0 else (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
    return list(lines(done.stdout)), why


def mobula(arguments):
    program = ["cargo", "run", "--quiet", "--release", "-p", "mobula-bench", "--"]
    return ([arguments.bench] if arguments.bench else program) + arguments.suites + ["--json"]


def peer(name, suites):
    python = environments() / name / "bin" / "python"
    return [str(python), "-B", "-W", "ignore", str(HERE / f"peer_{name}.py"), *suites]


def figure(row):
    """What is compared: the median time, or the bandwidth."""
    return row["p50"] if row["unit"] == "ns" else row["value"]


def collect(name, command, arguments):
    """Returns {row: (unit, median of the runs)}."""
    if name != "mobula" and not Path(command[0]).exists():
        print(f"{name}: not installed (setup.sh installs it)", file=sys.stderr)
        return {}
    found = {}
    for repetition in range(arguments.repeat):
        print(f"{name}: run {repetition + 1} of {arguments.repeat}", file=sys.stderr, flush=True)
        rows, why = run(command + (["--quick"] if arguments.quick else []), arguments.timeout)
        if why:
            print(f"{name}: did not finish: {why}", file=sys.stderr)
        for row in rows:
            if figure(row) is not None:
                found.setdefault(row["row"], (row["unit"], []))[1].append(figure(row))
        if arguments.keep:
            arguments.keep.mkdir(parents=True, exist_ok=True)
            text = "".join(json.dumps(row) + "\n" for row in rows)
            (arguments.keep / f"{name}.{repetition + 1}.jsonl").write_text(text)
    return {row: (unit, statistics.median(values)) for row, (unit, values) in found.items()}


def shown(unit, value):
    if unit != "ns":
        return f"{value:,.0f} {unit}" if value >= 1000 else f"{value:.2f} {unit}"
    for size, name in ((1e6, "ms"), (1e3, "us")):
        if value >= size * 10:
            return f"{value / size:.1f} {name}"
    return f"{value:.0f} ns"


def ratio(unit, ours, theirs):
    """How many times better Mobula is; times that are too short for the clock count as one nanosecond."""
    less = unit in ("ns", "MB", "%")
    better = max(theirs, 1) / max(ours, 1) if unit == "ns" else theirs / ours if less else ours / theirs
    return f"{better:,.0f}x" if better >= 100 else f"{better:.2g}x" if better < 10 else f"{better:.0f}x"


def table(results):
    ours, names = results["mobula"], [name for name in results if name != "mobula" and results[name]]
    header = ["row", "mobula"] + [cell for name in names for cell in (name, "ratio")]
    body = []
    for row, (unit, value) in ours.items():
        theirs = [results[name].get(row) for name in names]
        if any(theirs):
            cells = [cell for found in theirs
                     for cell in ((shown(*found), ratio(unit, value, found[1])) if found else ("-", ""))]
            body.append([row, shown(unit, value)] + cells)
    widths = [max(len(line[i]) for line in [header] + body) for i in range(len(header))]
    for line in [header] + body:
        print("  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                        for i, (cell, width) in enumerate(zip(line, widths))).rstrip())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few samples")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="median of N runs (default 1)")
    parser.add_argument("--peers", default=",".join(PEERS), help=f"some of {','.join(PEERS)}")
    parser.add_argument("--suites", default="store", help=f"some of {','.join(SUITES)} (default store)")
    parser.add_argument("--bench", help="a built mobula-bench in place of cargo's")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="write the raw lines there")
    parser.add_argument("--timeout", type=float, default=900, metavar="S", help="for one run (default 900)")
    arguments = parser.parse_args()
    names = [name for name in arguments.peers.split(",") if name]
    arguments.suites = [name for name in arguments.suites.split(",") if name]
    unknown = [name for name in names if name not in PEERS] + [name for name in arguments.suites if name not in SUITES]
    if unknown or arguments.repeat < 1:
        parser.error(f"there is no peer or suite {unknown[0]!r}" if unknown else "--repeat takes 1 or more")
    results = {"mobula": collect("mobula", mobula(arguments), arguments)}
    for name in names:
        results[name] = collect(name, peer(name, arguments.suites), arguments)
    if not results["mobula"] or len([found for found in results.values() if found]) < 2:
        print("there is nothing to compare", file=sys.stderr)
        return 1
    table(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
