#!/usr/bin/env python3
"""Runs mobula-bench and its peers one after the other and prints their figures side by side."""
import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import markdown
from rows import mobulas

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PEERS = ("plasma", "vineyard", "ray", "multiprocessing", "iceoryx2", "ipc-channel")
SUITES = ("store", "calls", "tasks", "ps", "channel", "queue", "graph", "ray", "startup")
MOBULA = "mobula"
# How mobula-bench and the peers say on standard error that they left a row out.
LEFT_OUT = "was not measured"
# Where a folder of kept lines has what they were taken on.
MACHINE = "machine.txt"


def say(text):
    print(text, file=sys.stderr, flush=True)


class Figures:
    """What one program measured, over all of its runs."""

    def __init__(self):
        self.rows = {}

    def add(self, lines):
        order = lambda line: SUITES.index(line["suite"]) if line["suite"] in SUITES else len(SUITES)
        for line in sorted(lines, key=order):
            # Suites may have rows of the same name: the first counts.
            known = self.rows.setdefault(line["row"], [])
            if line.get("value") is not None and (not known or known[0]["suite"] == line["suite"]):
                known.append(line)

    def names(self):
        return [row for row, lines in self.rows.items() if lines]

    def __contains__(self, row):
        return bool(self.rows.get(row))

    def suite(self, row):
        return self.rows[row][0]["suite"]

    def unit(self, row):
        return self.rows[row][0]["unit"]

    def value(self, row):
        """The median of the runs."""
        return statistics.median(line["value"] for line in self.rows[row])

    def limit(self, row):
        """Returns the limit's row and value; nothing if the row has none."""
        limits = [line for line in self.rows[row] if line.get("limit") is not None]
        return (limits[0]["limit_row"], statistics.median(line["limit"] for line in limits)) if limits else None


def parsed(text):
    """Takes lines of JSON; other lines are none of ours."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def environments():
    return Path(os.environ.get("COMPARE_VENVS", ROOT / "target" / "compare"))


def mobula(arguments):
    program = ["cargo", "run", "--quiet", "--profile", "dist", "-p", "mobula-bench", "--"]
    return ([arguments.bench] if arguments.bench else program) + arguments.suites + ["--json"]


def peer(name, suites):
    """Returns the command of a peer: a program of its own, or a script for the Python of its environment."""
    installed = environments() / name / "bin"
    if (HERE / "native" / name).is_dir():
        return [str(installed / f"peer_{name}"), *suites]
    return [str(installed / "python"), "-B", "-W", "ignore", str(HERE / f"peer_{name}.py"), *suites]


def run(name, command, timeout):
    """Returns what a command prints; says what went wrong."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=ROOT)
    except (OSError, subprocess.TimeoutExpired) as error:
        say(f"{name}: did not finish: {error}")
        return "", ""
    complaints = done.stderr.strip().splitlines()
    for line in complaints:
        if LEFT_OUT in line:
            say(f"{name}: {line}")
    if done.returncode:
        say(f"{name}: did not finish: {(complaints or [f'status {done.returncode}'])[-1]}")
    return done.stdout, done.stderr


def measured(arguments):
    """Returns everybody's figures and the machine.

    With `--repeat` all take turns: what the machine gives may be another thing in some minutes.
    """
    commands = {MOBULA: mobula(arguments)}
    for name in arguments.names:
        commands[name] = peer(name, arguments.suites)
        if not Path(commands[name][0]).exists():
            say(f"{name}: not installed: {commands.pop(name)[0]} is not there (setup.sh installs it)")
    results, machine = {name: Figures() for name in commands}, ""
    for repetition in range(1, arguments.repeat + 1):
        for name, command in commands.items():
            say(f"{name}: run {repetition} of {arguments.repeat}")
            text, notes = run(name, command + (["--quick"] if arguments.quick else []), arguments.timeout)
            results[name].add(parsed(text))
            if name == MOBULA:
                machine = notes.splitlines()[0] if notes else ""
            if arguments.keep:
                keep(arguments, name, repetition, parsed(text), machine)
    for name, figures in results.items():
        if not figures.names():
            say(f"{name}: has no figures for {', '.join(arguments.suites)}")
    return results, machine


def keep(arguments, name, repetition, lines, machine):
    """Writes what a run printed."""
    arguments.keep.mkdir(parents=True, exist_ok=True)
    file = arguments.keep / f"{name}.{'+'.join(arguments.suites)}.{repetition}.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (arguments.keep / MACHINE).write_text(machine + "\n")


def kept(folder, names):
    """Returns the figures that lie in a folder, and the machine."""
    lines = {name: [] for name in [MOBULA, *names]}
    for file in sorted(folder.glob("*.jsonl")):
        lines.get(file.name.split(".")[0], []).extend(parsed(file.read_text()))
    results = {name: Figures() for name in lines}
    for name, figures in results.items():
        figures.add(lines[name])
    for name in names:
        if not results[name].names():
            say(f"{name}: has no figures in {folder}")
    machine = folder / MACHINE
    return results, machine.read_text().strip() if machine.exists() else ""


def beside(results):
    """Returns the rows that somebody else has, too: `(label, our row, {peer: its row})`.

    A peer's row NAME:WAY, which is the same thing done in another way, gets a line of its own.
    """
    ours, lines = results[MOBULA], []
    for row in ours.names():
        labels = {row: None}
        for name, figures in results.items():
            if name != MOBULA:
                labels.update((other, None) for other in figures.names() if mobulas(other) == row)
        for label in labels:
            theirs = {name: label for name, figures in results.items()
                      if name != MOBULA and label in figures and figures.unit(label) == ours.unit(row)}
            if theirs:
                lines.append((label, row, theirs))
    return lines


def unmatched(results):
    """Returns what peers have and we do not, which stands in no table."""
    ours = results[MOBULA]
    fits = lambda figures, row: mobulas(row) in ours and figures.unit(row) == ours.unit(mobulas(row))
    found = {name: [row for row in figures.names() if not fits(figures, row)]
             for name, figures in results.items() if name != MOBULA}
    return {name: rows for name, rows in found.items() if rows}


def table(results):
    ours, names = results[MOBULA], [name for name in results if name != MOBULA and results[name].names()]
    header, body = ["row", MOBULA] + [cell for name in names for cell in (name, "ratio")], []
    for label, row, theirs in beside(results):
        line = [label, markdown.shown(ours.unit(row), ours.value(row))]
        for name in names:
            if name in theirs:
                value = results[name].value(label)
                line += [markdown.shown(ours.unit(row), value), markdown.ratio(ours.unit(row), ours.value(row), value)]
            else:
                line += ["-", ""]
        body.append(line)
    widths = [max(len(line[i]) for line in [header] + body) for i in range(len(header))]
    for line in [header] + body:
        print("  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                        for i, (cell, width) in enumerate(zip(line, widths))).rstrip())


def asked(argv):
    """Takes the command line apart."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few samples")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="median of N runs (default 1)")
    parser.add_argument("--peers", "--against", default=",".join(PEERS), help=f"some of {','.join(PEERS)}")
    parser.add_argument("--suites", default="store", help=f"some of {','.join(SUITES)} (default store)")
    parser.add_argument("--bench", help="a built mobula-bench in place of cargo's")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="write the raw lines there")
    parser.add_argument("--from", type=Path, metavar="FOLDER", dest="folder",
                        help="run nothing, take the lines that --keep wrote")
    parser.add_argument("--markdown", metavar="FILE",
                        help="write tables between the marks of a file as well, - prints them in place of the table")
    parser.add_argument("--timeout", type=float, default=900, metavar="S", help="for one run (default 900)")
    arguments = parser.parse_args(argv)
    arguments.names = [name for name in arguments.peers.split(",") if name]
    arguments.suites = [name for name in arguments.suites.split(",") if name]
    unknown = ([name for name in arguments.names if name not in PEERS]
               + [name for name in arguments.suites if name not in SUITES])
    if unknown or arguments.repeat < 1:
        parser.error(f"there is no peer or suite {unknown[0]!r}" if unknown else "--repeat takes 1 or more")
    return arguments


def main(argv=None):
    arguments = asked(argv)
    # Whoever wants the page first learns that it has no place in the file.
    lacking = [] if arguments.markdown in (None, "-") else markdown.unmarked(Path(arguments.markdown))
    if lacking:
        say(f"{arguments.markdown} has no lines {' and '.join(map(repr, markdown.marks(lacking[0])))}")
        return 1
    results, machine = kept(arguments.folder, arguments.names) if arguments.folder else measured(arguments)
    for name, rows in unmatched(results).items():
        say(f"{name}: beside no row of mobula's: {', '.join(rows)}")
    if not results[MOBULA].names() or (not beside(results) and not arguments.markdown):
        say("there is nothing to compare")
        return 1
    if arguments.markdown != "-":
        table(results)
    if arguments.markdown:
        texts = markdown.pages(results, machine)
        if arguments.markdown == "-":
            print("\n\n".join(texts.values()))
        else:
            markdown.write(Path(arguments.markdown), texts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
