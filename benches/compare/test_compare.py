"""How lines are read, put beside each other, and what is said of those that are missing. No peer is needed."""
import contextlib
import io
import json
import os
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import compare
import markdown


def line(row, value, unit="ns", suite="calls", **more):
    return {"suite": suite, "row": row, "unit": unit, "p50": value, "p99": value, "value": value, **more}


def figures(*lines):
    made = compare.Figures()
    made.add(lines)
    return made


def printed(function, *arguments):
    """Returns what a function returns, prints and says on standard error."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        result = function(*arguments)
    return result, out.getvalue(), err.getvalue()


class Lines(unittest.TestCase):
    def test_other_lines_are_none_of_ours(self):
        self.assertEqual(compare.parsed('warming up\n{"row": "a"}\n\n'), [{"row": "a"}])

    def test_runs_give_their_median(self):
        made = figures(line("get", 1), line("get", 9), line("get", 2, limit=4, limit_row="l"))
        self.assertEqual((made.value("get"), made.limit("get")), (2, ("l", 4)))

    def test_the_first_suite_has_the_name(self):
        made = figures(line("put_1KB", 2000, suite="calls"), line("put_1KB", 150, suite="store"))
        self.assertEqual((made.value("put_1KB"), made.suite("put_1KB")), (150, "store"))


class Beside(unittest.TestCase):
    def test_each_way_of_a_peer_has_a_line(self):
        results = {"mobula": figures(line("call", 500), line("alone", 1)),
                   "a": figures(line("call", 900), line("call:event", 60_000)), "b": figures(line("call", 5000))}
        self.assertEqual(compare.beside(results),
                         [("call", "call", {"a": "call", "b": "call"}), ("call:event", "call", {"a": "call:event"})])
        _, out, _ = printed(compare.table, results)
        self.assertEqual([text.split()[0] for text in out.splitlines()], ["row", "call", "call:event"])
        self.assertIn("1.8x", out)
        self.assertIn("120x", out)

    def test_units_must_be_the_same(self):
        results = {"mobula": figures(line("call", 500)), "a": figures(line("call", 900, unit="1/s"), line("b:x", 1))}
        self.assertEqual(compare.beside(results), [])
        self.assertEqual(compare.unmatched(results), {"a": ["call", "b:x"]})

    def test_ratios_above_one_say_that_ours_is_better(self):
        self.assertEqual(markdown.ratio("ns", 100, 250), "2.5x")
        self.assertEqual(markdown.ratio("1/s", 1e6, 4e6), "0.25x")
        self.assertEqual(markdown.ratio("MB", 5, 500), "100x")


class Missing(unittest.TestCase):
    def test_peers_are_programs_or_scripts(self):
        self.assertTrue(compare.peer("iceoryx2", ["calls"])[0].endswith("iceoryx2/bin/peer_iceoryx2"))
        self.assertTrue(compare.peer("ray", ["calls"])[0].endswith("ray/bin/python"))

    def test_all_that_is_missing_is_said(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)

            def program(path, *lines, status=0, left_out=""):
                path.parent.mkdir(parents=True, exist_ok=True)
                text = "".join(json.dumps(each) + "\n" for each in lines)
                path.write_text(f"#!/bin/sh\ncat <<'END'\n{text}END\necho '{left_out}' >&2\nexit {status}\n")
                path.chmod(0o755)
                return str(path)
            bench = program(folder / "bench", line("actor_call_sync_hot", 500), left_out="a machine")
            program(folder / "iceoryx2/bin/peer_iceoryx2", line("actor_call_sync_hot", 900), line("other", 1), status=3,
                    left_out="iceoryx2: gone was not measured: too hot")
            program(folder / "ray/bin/python")
            with mock.patch.dict(os.environ, COMPARE_VENVS=str(folder)):
                status, out, err = printed(compare.main, [
                    "--bench", bench, "--suites", "calls", "--keep", str(folder / "kept"), "--markdown", "-",
                    "--against", "iceoryx2,ipc-channel,ray"])
            self.assertEqual(status, 0, err)
            for text in ("ipc-channel: not installed: ", "iceoryx2: did not finish: ", "ray: has no figures for calls",
                         "gone was not measured: too hot", "iceoryx2: beside no row of mobula's: other"):
                self.assertIn(text, err)
            self.assertIn("on a machine: real", out)
            _, again, err = printed(compare.main, ["--from", str(folder / "kept"), "--markdown", "-"])
            self.assertEqual(again, out)
            self.assertIn("plasma: has no figures in ", err)

    def test_nonsense_is_refused(self):
        with self.assertRaises(SystemExit), contextlib.redirect_stderr(io.StringIO()):
            compare.asked(["--peers", "nobody"])


class Page(unittest.TestCase):
    RESULTS = {
        "mobula": figures(line("actor_call_sync_hot", 500, limit=60, limit_row="limit_spin_rtt"),
                          line("get_c1", 40, suite="store"), line("put_1KB", 2000)),
        "iceoryx2": figures(line("actor_call_sync_hot", 900), line("actor_call_sync_hot:event", 60_000)),
        "ray": figures(),
    }

    def test_tables_have_what_was_measured(self):
        texts = markdown.pages(self.RESULTS, "two CPUs, Linux 6.18.44-own")
        self.assertEqual(list(texts), ["figures"], "nothing of the other part was measured")
        text = texts["figures"]
        self.assertIn("on two CPUs, Linux 6.18: real", text)
        self.assertIn("| what | Mobula | limit | iceoryx2 0.10 |\n|---|---|---|---|\n"
                      "| synchronous actor call, both awake | 500 ns | 60 ns, spinning round trip | 900 ns (1.8x) |\n"
                      "| - theirs asleep until an event | | | 60.0 us (120x) |\n", text)
        self.assertIn("| `get` | 40 ns | | |", text)
        self.assertNotIn("Ray", text)
        self.assertNotIn("The store:", text, "there is only a row of that name in another suite")

    def test_only_what_stands_between_the_marks_is_written(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "page.md"
            file.write_text("before\n")
            self.assertEqual(markdown.unmarked(file), list(markdown.PARTS))
            status, _, err = printed(compare.main, ["--from", folder, "--markdown", str(file)])
            self.assertEqual(status, 1)
            self.assertIn("has no lines", err)
            (begin, end), (other, last) = map(markdown.marks, markdown.PARTS)
            file.write_text(f"before\n{begin}\nold\n{end}\nbetween\n{other}\nold\n{last}\nafter\n")
            self.assertEqual(markdown.unmarked(file), [])
            markdown.write(file, {"figures": "new\n\nlines"})
            self.assertEqual(file.read_text(), f"before\n{begin}\n\nnew\n\nlines\n\n{end}\nbetween\n"
                                               f"{other}\nold\n{last}\nafter\n")

    def test_the_readme_has_the_marks(self):
        self.assertEqual(markdown.unmarked(compare.ROOT / "README.md"), [])

    def test_figures_have_three_digits(self):
        wanted = {("ns", 27.4): "27 ns", ("ns", 1740): "1.74 us", ("ns", 2.1e9): "2.10 s", ("1/s", 5448): "5,448/s",
                  ("1/s", 57_600): "57.6 k/s", ("1/s", 2.5e6): "2.50 M/s", ("GB/s", 25.71): "25.7 GB/s",
                  ("MB", 577): "577 MB"}
        self.assertEqual({each: markdown.shown(*each) for each in wanted}, wanted)


if __name__ == "__main__":
    unittest.main()
