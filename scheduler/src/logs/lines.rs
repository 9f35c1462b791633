//! A stream of bytes as lines.

/// Lines longer than this are cut into pieces.
pub(super) const LONGEST_LINE: usize = 64 * 1024;

/// Cuts a stream of bytes into lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The begin of a line whose end has not come yet.
    open: Vec<u8>,
}

impl Lines {
    /// Gives every line that `bytes` completes, without its end.
    pub(super) fn push(&mut self, bytes: &[u8], mut line: impl FnMut(&[u8])) {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (mut part, ends) = match part.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (part, false),
            };
            while self.open.len() + part.len() > LONGEST_LINE {
                let (head, rest) = part.split_at(LONGEST_LINE - self.open.len());
                self.open.extend_from_slice(head);
                line(&self.open);
                self.open.clear();
                part = rest;
            }
            if ends && self.open.is_empty() {
                line(part);
                continue;
            }
            self.open.extend_from_slice(part);
            if ends {
                line(&self.open);
                self.open.clear();
            }
        }
    }

    /// Gives the line that was never ended.
    pub(super) fn finish(&mut self, line: impl FnOnce(&[u8])) {
        if !self.open.is_empty() {
            line(&std::mem::take(&mut self.open));
        }
    }
}

/// Writes a line behind the name and pid of its worker.
pub(super) fn print(class: &str, pid: u32, line: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("({class} pid={pid}) ").as_bytes());
    out.extend_from_slice(line);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(parts: &[&[u8]], finish: bool) -> Vec<u8> {
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        for part in parts {
            lines.push(part, |line| print("A", 5, line, &mut out));
        }
        if finish {
            lines.finish(|line| print("A", 5, line, &mut out));
        }
        out
    }

    #[test]
    fn each_line_gets_its_prefix_however_it_comes() {
        let lines = b"(A pid=5) one\n(A pid=5) two\n(A pid=5) \n".to_vec();
        assert_eq!(printed(&[b"one\ntw", b"o\n", b"\nthree"], false), lines);
        let all = [lines, b"(A pid=5) three\n".to_vec()].concat();
        assert_eq!(printed(&[b"one\ntw", b"o\n", b"\nthree"], true), all);
        assert_eq!(printed(&[b"one", b"\ntwo\n\nthree"], true), all);
        assert_eq!(printed(&[], true), b"");
    }

    #[test]
    fn long_lines_are_cut_and_none_is_lost() {
        let long = vec![b'x'; LONGEST_LINE * 2 + 10];
        let out = printed(&[&long, b"\n"], true);
        let lines: Vec<_> = out.split(|&byte| byte == b'\n').map(|line| line.len()).collect();
        assert_eq!(lines, [LONGEST_LINE + 10, LONGEST_LINE + 10, 20, 0]);
    }
}
