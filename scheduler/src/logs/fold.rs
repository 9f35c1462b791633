//! Lines of several workers that are alike, told as one.
//!
//! ```text
//!   (A pid=1) epoch 1 took 0.31 s      printed at once
//!   (A pid=2) epoch 1 took 0.29 s      held back: the same but for its numbers, and of another worker
//!    ...
//!   (A pid=9) epoch 1 took 0.30 s      the last of them, after 5 s: ` [repeated 8x]` is added to it
//! ```
//!
//! - SC-50: a line is printed at once, or held back and counted. What is held back is told at most [`WINDOW`] after a
//!   line like it was printed, and at the end. Held back is only a line of which another worker printed the like within
//!   the [`WINDOW`] before: what one worker alone prints is never folded.
//! - At most [`MOST`] kinds of lines are known at a time, each by a number and its last line of at most [`LONGEST`]
//!   bytes; what is beyond that is printed.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, Instant};

use super::lines;

/// For how long a line has those like it held back.
pub(super) const WINDOW: Duration = Duration::from_secs(5);

/// How many kinds of lines are known at a time.
const MOST: usize = 1024;

/// Longer lines are not held back.
const LONGEST: usize = 4096;

/// A word of so many hexadecimal digits is a number even without `0x`.
const HEX: usize = 8;

/// What lines have in common when they are alike.
#[derive(Debug)]
struct Kind {
    /// The worker of the first line, until there is another one's.
    only: Option<u64>,
    /// When one was printed last.
    printed: Instant,
    held: u32,
    /// The last that was held back.
    last: (String, u32, Vec<u8>),
}

/// What was printed lately, and what is held back.
#[derive(Debug, Default)]
pub(super) struct Fold {
    kinds: HashMap<u64, Kind>,
    hasher: RandomState,
    /// How many kinds have something held back.
    holding: usize,
}

impl Fold {
    /// Prints a line, or holds it back.
    pub(super) fn line(&mut self, now: Instant, worker: u64, class: &str, pid: u32, line: &[u8], out: &mut Vec<u8>) {
        let key = self.key(class, line);
        if line.len() > LONGEST || !(self.kinds.contains_key(&key) || self.has_room(now, out)) {
            return lines::print(class, pid, line, out);
        }
        match self.kinds.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(Kind { only: Some(worker), printed: now, held: 0, last: Default::default() });
                lines::print(class, pid, line, out);
            }
            Entry::Occupied(mut entry) => {
                let kind = entry.get_mut();
                if kind.held == 0 && now.saturating_duration_since(kind.printed) >= WINDOW {
                    // As if there had been none.
                    kind.only = Some(worker);
                }
                if kind.only == Some(worker) {
                    kind.printed = now;
                    return lines::print(class, pid, line, out);
                }
                kind.only = None;
                self.holding += usize::from(kind.held == 0);
                kind.held += 1;
                let (last_class, last_pid, last) = &mut kind.last;
                class.clone_into(last_class);
                *last_pid = pid;
                line.clone_into(last);
            }
        }
    }

    /// Returns when something is to be told.
    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.holding == 0 {
            return None;
        }
        self.kinds.values().filter(|kind| kind.held > 0).map(|kind| kind.printed + WINDOW).min()
    }

    /// Tells what was held back for long enough `now`, or everything.
    pub(super) fn tell(&mut self, now: Option<Instant>, out: &mut Vec<u8>) {
        if self.holding == 0 {
            return;
        }
        let due = |kind: &Kind| kind.held > 0 && now.is_none_or(|now| kind.printed + WINDOW <= now);
        let mut told: Vec<_> = self.kinds.values_mut().filter(|kind| due(kind)).collect();
        // In the order in which their first lines were printed.
        told.sort_by_key(|kind| kind.printed);
        for kind in told {
            self.holding -= 1;
            let (class, pid, line) = &mut kind.last;
            if kind.held > 1 {
                line.extend_from_slice(format!(" [repeated {}x]", kind.held).as_bytes());
            }
            lines::print(class, *pid, line, out);
            kind.held = 0;
            if let Some(now) = now {
                kind.printed = now;
            }
        }
    }

    /// True if there is room for another kind, or will be when the old ones are gone.
    fn has_room(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        if self.kinds.len() < MOST {
            return true;
        }
        self.tell(Some(now), out);
        self.kinds.retain(|_, kind| kind.held > 0 || now.saturating_duration_since(kind.printed) < WINDOW);
        self.kinds.len() < MOST
    }

    /// Returns a number that lines of one class share which differ in numbers only.
    fn key(&self, class: &str, line: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(class.as_bytes());
        hasher.write_u8(0);
        for part in parts(line) {
            match part {
                Part::Text(text) => hasher.write(text),
                Part::Number => hasher.write_u8(0),
            }
        }
        hasher.finish()
    }
}

/// A piece of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a [u8]),
    Number,
}

/// Cuts a line into its numbers, decimal or hexadecimal, and what is between them.
fn parts(mut line: &[u8]) -> impl Iterator<Item = Part<'_>> {
    std::iter::from_fn(move || {
        let length = number_at(line);
        if length > 0 {
            line = &line[length..];
            return Some(Part::Number);
        }
        if line.is_empty() {
            return None;
        }
        // A word whose begin is no number may still have digits in it.
        let mut end = 1;
        while end < line.len() && number_at(&line[end..]) == 0 {
            end += 1;
        }
        let (text, rest) = line.split_at(end);
        line = rest;
        Some(Part::Text(text))
    })
}

/// Returns the length of the number that the text begins with: `12`, `1.5e-3`, `0xff`, `00c0ffee`.
fn number_at(text: &[u8]) -> usize {
    let digits = |from: usize, is: fn(&u8) -> bool| text[from.min(text.len())..].iter().take_while(|c| is(c)).count();
    let decimal: fn(&u8) -> bool = u8::is_ascii_digit;
    let hex: fn(&u8) -> bool = u8::is_ascii_hexdigit;
    let word = digits(0, hex);
    if word >= HEX && text[..word].iter().any(decimal) {
        return word;
    }
    let mut length = digits(0, decimal);
    if length == 0 {
        return 0;
    }
    if length == 1 && text[0] == b'0' && text.get(1) == Some(&b'x') && digits(2, hex) > 0 {
        return 2 + digits(2, hex);
    }
    if text.get(length) == Some(&b'.') && digits(length + 1, decimal) > 0 {
        length += 1 + digits(length + 1, decimal);
    }
    if matches!(text.get(length), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(length + 1), Some(b'-' | b'+')));
        match digits(length + 1 + sign, decimal) {
            0 => {}
            exponent => length += 1 + sign + exponent,
        }
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Printed {
        fold: Fold,
        begin: Instant,
        out: Vec<u8>,
    }

    impl Printed {
        fn new() -> Self {
            Printed { fold: Fold::default(), begin: Instant::now(), out: Vec::new() }
        }

        /// A worker says something so many milliseconds after the begin; returns what is printed.
        fn says(&mut self, at: u64, worker: u64, line: &str) -> String {
            let now = self.begin + Duration::from_millis(at);
            self.fold.tell(Some(now), &mut self.out);
            self.fold.line(now, worker, "A", worker as u32, line.as_bytes(), &mut self.out);
            self.taken()
        }

        fn passes(&mut self, at: Option<u64>) -> String {
            let now = at.map(|at| self.begin + Duration::from_millis(at));
            self.fold.tell(now, &mut self.out);
            self.taken()
        }

        fn taken(&mut self) -> String {
            String::from_utf8(std::mem::take(&mut self.out)).unwrap()
        }

        fn deadline(&self) -> Option<u128> {
            self.fold.deadline().map(|at| at.duration_since(self.begin).as_millis())
        }
    }

    #[test]
    fn the_first_is_printed_and_the_rest_is_told_as_one() {
        let mut log = Printed::new();
        assert_eq!(log.says(0, 1, "epoch 1 took 0.31 s"), "(A pid=1) epoch 1 took 0.31 s\n");
        assert_eq!(log.deadline(), None);
        for worker in 2..=10 {
            assert_eq!(log.says(worker, worker, &format!("epoch 1 took 0.{worker} s")), "");
        }
        assert_eq!(log.deadline(), Some(5000));
        assert_eq!(log.passes(Some(4999)), "");
        assert_eq!(log.passes(Some(5000)), "(A pid=10) epoch 1 took 0.10 s [repeated 9x]\n");
        assert_eq!(log.deadline(), None);
        assert_eq!(log.passes(None), "");
    }

    #[test]
    fn what_one_worker_alone_says_is_printed_however_often() {
        let mut log = Printed::new();
        for at in 0..100 {
            assert_eq!(log.says(at, 1, &format!("step {at}")), format!("(A pid=1) step {at}\n"));
        }
        assert_eq!(log.passes(None), "");
    }

    #[test]
    fn one_line_that_was_held_back_is_told_as_it_came() {
        let mut log = Printed::new();
        log.says(0, 1, "ready");
        assert_eq!(log.says(1, 2, "ready"), "");
        assert_eq!(log.passes(None), "(A pid=2) ready\n");
    }

    #[test]
    fn who_speaks_on_is_told_every_five_seconds() {
        let mut log = Printed::new();
        log.says(0, 1, "step 1");
        log.says(1, 2, "step 1");
        // The first one's lines are held back now, too.
        assert_eq!(log.says(2, 1, "step 2"), "");
        assert_eq!(log.says(6000, 1, "step 3"), "(A pid=1) step 2 [repeated 2x]\n");
        assert_eq!(log.deadline(), Some(11000));
        assert_eq!(log.passes(Some(11000)), "(A pid=1) step 3\n");
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let mut log = Printed::new();
        log.says(0, 1, "ready");
        assert_eq!(log.says(5000, 2, "ready"), "(A pid=2) ready\n");
        assert_eq!(log.says(5001, 1, "ready"), "");
    }

    #[test]
    fn other_texts_and_classes_are_other_lines() {
        let mut log = Printed::new();
        log.says(0, 1, "ready");
        assert_eq!(log.says(0, 2, "readier"), "(A pid=2) readier\n");
        let now = log.begin;
        log.fold.line(now, 3, "B", 3, b"ready", &mut log.out);
        assert_eq!(log.taken(), "(B pid=3) ready\n");
    }

    #[test]
    fn numbers_of_all_kinds_are_left_out() {
        let shape = |line: &str| -> String {
            let shown = |part| match part {
                Part::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
                Part::Number => "#".to_owned(),
            };
            parts(line.as_bytes()).map(shown).collect()
        };
        for (line, expected) in [
            ("", ""),
            ("no number", "no number"),
            ("12 of 100", "# of #"),
            ("loss 1.5e-3, then 2E+7 or 3.e", "loss #, then # or #.e"),
            ("at 0xdeadBEEF in worker7", "at # in worker#"),
            ("object 00c0ffee00c0ffee is lost", "object # is lost"),
            ("a facade of deadbeef", "a facade of deadbeef"),
            ("12:34:56.789 up", "#:#:# up"),
            ("0x", "#x"),
        ] {
            assert_eq!(shape(line), expected);
        }
    }

    #[test]
    fn memory_is_bounded_and_nothing_is_lost() {
        let mut log = Printed::new();
        let kinds: Vec<_> =
            (0..3 * MOST).map(|number| "x".repeat(number % 3000) + &"y".repeat(number / 3000)).collect();
        for kind in &kinds {
            assert_eq!(log.says(0, 1, kind).lines().count(), 1);
            let held = log.says(0, 2, kind);
            assert!(log.fold.kinds.len() <= MOST && held.lines().count() <= 1);
        }
        assert_eq!(log.passes(None).lines().count(), MOST);
        let long = "z".repeat(LONGEST + 1);
        assert_eq!(log.says(6000, 1, &long).lines().count() + log.says(6000, 2, &long).lines().count(), 2);
    }
}
