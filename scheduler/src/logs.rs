//! What workers print: into files, and line by line to the driver's stderr.
//!
//! ```text
//!   worker stdout -- pipe --+                    +--> logs/worker-<pid>.out
//!   worker stderr -- pipe --+--> mobula-logs ----+--> logs/worker-<pid>.err
//!                                                +--> stderr: (Counter pid=123) text
//! ```
//!
//! A file is made with its first byte: most workers print nothing, and making two files takes longer than
//! forking a worker.
//!
//! - SC-9: every byte goes to the file as it came. To stderr go whole lines, each with its prefix; a
//!   line without an end is printed when its pipe closes, and one longer than [`LONGEST_LINE`] in
//!   pieces.
//! - SC-10: printing happens on this thread alone. If stderr is held up, workers that print wait for
//!   it as they would without a pipe between, and nobody else does.
//!
//! The prefix names what the worker runs when its line is read, which for output shortly before a
//! change of work can be the next work.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::sys;
use crate::trace::tell;
use crate::watch::{Command, Poller, Poster};

/// Lines longer than this are printed in pieces.
const LONGEST_LINE: usize = 64 * 1024;

/// How many reads of [`LONGEST_LINE`] bytes empty a pipe: the largest that an ordinary user may have is 1 MiB.
const PIPE_READS: usize = 17;

/// How much of a worker's stderr is kept for messages about its death.
const TAIL: usize = 2 * 1024;

/// What a worker currently is, for the prefix of its lines.
#[derive(Debug, Clone)]
pub(crate) struct Label(Arc<Mutex<String>>);

impl Label {
    pub(crate) fn new() -> Self {
        Label(Arc::new(Mutex::new("worker".to_owned())))
    }

    pub(crate) fn set(&self, text: &str) {
        let mut label = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *label != text {
            text.clone_into(&mut label);
        }
    }

    fn prefix(&self, pid: u32) -> String {
        format!("({} pid={pid}) ", self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What the log thread is told.
#[derive(Debug)]
pub(crate) enum Order {
    /// Read the output of a worker that was just started.
    Add { worker: u64, pid: u32, label: Label, out: PipeReader, err: PipeReader },
    /// The worker is dead: read what is left, then tell the end of its stderr.
    Finish { worker: u64 },
    /// End the thread, after what is in the pipes.
    Stop,
}

/// Starts `mobula-logs`; `tell` gets the end of a finished worker's stderr.
pub(crate) fn start(
    dir: PathBuf,
    print: bool,
    tell: impl Fn(u64, String) + Send + 'static,
) -> io::Result<(Poster<Order>, JoinHandle<()>)> {
    let (poller, poster) = Poller::new()?;
    let thread = thread::Builder::new().name("mobula-logs".into()).spawn(move || {
        sys::block_signals();
        Logs { poller, dir, print, streams: HashMap::new(), tell }.run();
    })?;
    Ok((poster, thread))
}

struct Logs<F> {
    poller: Poller<Order>,
    dir: PathBuf,
    print: bool,
    /// By key: twice the worker's number for stdout, one more for stderr.
    streams: HashMap<u64, Stream>,
    tell: F,
}

struct Stream {
    pipe: PipeReader,
    file: LogFile,
    pid: u32,
    label: Label,
    lines: Lines,
    tail: VecDeque<u8>,
}

/// Where the bytes of a stream go.
enum LogFile {
    /// There will be a file as soon as there are bytes.
    Ahead(PathBuf),
    Open(File),
    /// It could not be made or written.
    None,
}

impl LogFile {
    fn write(&mut self, bytes: &[u8], pid: u32) {
        if let LogFile::Ahead(path) = self {
            *self = match File::options().create(true).append(true).open(&*path) {
                Ok(file) => LogFile::Open(file),
                Err(error) => {
                    tell!(Warn, warn, path = %path.display(), %error, "a worker's log file cannot be written");
                    LogFile::None
                }
            };
        }
        if let LogFile::Open(file) = self
            && let Err(error) = file.write_all(bytes)
        {
            tell!(Warn, warn, pid, %error, "a worker's log file is given up");
            *self = LogFile::None;
        }
    }
}

impl<F: Fn(u64, String)> Logs<F> {
    fn run(&mut self) {
        let mut ready = Vec::new();
        let mut buffer = vec![0; LONGEST_LINE];
        loop {
            self.poller.wait(&mut ready);
            loop {
                match self.poller.command() {
                    Command::Next(Order::Stop) | Command::Closed => {
                        let keys: Vec<_> = self.streams.keys().copied().collect();
                        keys.into_iter().for_each(|key| {
                            self.drain(key, &mut buffer);
                            self.close(key);
                        });
                        return;
                    }
                    Command::Next(order) => self.obey(order, &mut buffer),
                    Command::None => break,
                }
            }
            for &key in &ready {
                if self.read(key, &mut buffer) == Step::End {
                    self.end(key);
                }
            }
        }
    }

    fn obey(&mut self, order: Order, buffer: &mut [u8]) {
        match order {
            Order::Add { worker, pid, label, out, err } => {
                self.add(worker * 2, pid, label.clone(), out, "out");
                self.add(worker * 2 + 1, pid, label, err, "err");
            }
            Order::Finish { worker } => {
                // A program that the worker started may still hold the pipe's other end, so an end of
                // file need not come; what the worker itself wrote is there now.
                self.drain(worker * 2, buffer);
                self.close(worker * 2);
                self.drain(worker * 2 + 1, buffer);
                let tail = self.streams.get(&(worker * 2 + 1)).map(Stream::tail).unwrap_or_default();
                self.close(worker * 2 + 1);
                (self.tell)(worker, tail);
            }
            Order::Stop => {}
        }
    }

    fn add(&mut self, key: u64, pid: u32, label: Label, pipe: PipeReader, kind: &str) {
        let file = LogFile::Ahead(self.dir.join(format!("worker-{pid}.{kind}")));
        let prepared = set_nonblocking(&pipe).and_then(|()| self.poller.add(&pipe, key));
        if let Err(error) = prepared {
            tell!(Warn, warn, pid, %error, "a worker's output cannot be read");
        }
        self.streams.insert(key, Stream { pipe, file, pid, label, lines: Lines::default(), tail: VecDeque::new() });
    }

    /// Reads what a pipe holds now, and no more: somebody else may go on writing.
    fn drain(&mut self, key: u64, buffer: &mut [u8]) {
        let mut left = PIPE_READS;
        while left > 0 && self.read(key, buffer) == Step::More {
            left -= 1;
        }
    }

    /// Reads one buffer full at most, so that one chatty worker does not starve the others.
    fn read(&mut self, key: u64, buffer: &mut [u8]) -> Step {
        let Some(stream) = self.streams.get_mut(&key) else {
            return Step::Wait;
        };
        let count = match stream.pipe.read(buffer) {
            Ok(0) => return Step::End,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Step::More,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Step::Wait,
            Err(_) => return Step::End,
        };
        let bytes = &buffer[..count];
        stream.file.write(bytes, stream.pid);
        stream.keep_tail(bytes);
        if self.print {
            stream.lines.push(&stream.label.prefix(stream.pid), bytes, &mut io::stderr().lock());
        }
        Step::More
    }

    /// The pipe is at its end. What was read stays until the worker is finished.
    fn end(&mut self, key: u64) {
        if let Some(stream) = self.streams.get_mut(&key) {
            self.poller.remove(&stream.pipe);
            if self.print {
                stream.lines.finish(&stream.label.prefix(stream.pid), &mut io::stderr().lock());
            }
        }
    }

    fn close(&mut self, key: u64) {
        self.end(key);
        self.streams.remove(&key);
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    More,
    Wait,
    End,
}

impl Stream {
    fn keep_tail(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(TAIL)..];
        let surplus = (self.tail.len() + bytes.len()).saturating_sub(TAIL);
        self.tail.drain(..surplus);
        self.tail.extend(bytes);
    }

    fn tail(&self) -> String {
        let bytes: Vec<u8> = self.tail.iter().copied().collect();
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }
}

fn set_nonblocking(fd: impl AsFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(&fd)?;
    Ok(rustix::fs::fcntl_setfl(&fd, flags | rustix::fs::OFlags::NONBLOCK)?)
}

/// Cuts a stream of bytes into lines and puts a prefix before each.
#[derive(Debug, Default)]
struct Lines {
    /// The begin of a line whose end has not come yet.
    open: Vec<u8>,
}

impl Lines {
    /// Prints every line that `bytes` completes. What cannot be printed is lost: there is nowhere to say so.
    fn push(&mut self, prefix: &str, bytes: &[u8], out: &mut impl Write) {
        let mut printed = Vec::new();
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            let mut part = part;
            while self.open.len() + part.len() > LONGEST_LINE {
                let (head, rest) = part.split_at(LONGEST_LINE - self.open.len());
                self.open.extend_from_slice(head);
                self.print(prefix, &mut printed);
                part = rest;
            }
            self.open.extend_from_slice(part);
            if self.open.last() == Some(&b'\n') {
                self.open.pop();
                self.print(prefix, &mut printed);
            }
        }
        let _ = out.write_all(&printed);
    }

    /// Prints the line that was never ended.
    fn finish(&mut self, prefix: &str, out: &mut impl Write) {
        if !self.open.is_empty() {
            let mut printed = Vec::new();
            self.print(prefix, &mut printed);
            let _ = out.write_all(&printed);
        }
    }

    fn print(&mut self, prefix: &str, printed: &mut Vec<u8>) {
        printed.extend_from_slice(prefix.as_bytes());
        printed.append(&mut self.open);
        printed.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(parts: &[&[u8]], finish: bool) -> Vec<u8> {
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        for part in parts {
            lines.push("(A) ", part, &mut out);
        }
        if finish {
            lines.finish("(A) ", &mut out);
        }
        out
    }

    #[test]
    fn each_line_gets_its_prefix_however_it_comes() {
        assert_eq!(printed(&[b"one\ntw", b"o\n", b"\nthree"], false), b"(A) one\n(A) two\n(A) \n");
        assert_eq!(printed(&[b"one\ntw", b"o\n", b"\nthree"], true), b"(A) one\n(A) two\n(A) \n(A) three\n");
        assert_eq!(printed(&[], true), b"");
    }

    #[test]
    fn long_lines_are_cut_and_none_is_lost() {
        let long = vec![b'x'; LONGEST_LINE * 2 + 10];
        let out = printed(&[&long, b"\n"], true);
        let lines: Vec<_> = out.split(|&byte| byte == b'\n').collect();
        assert_eq!(
            lines.iter().map(|line| line.len()).collect::<Vec<_>>(),
            [LONGEST_LINE + 4, LONGEST_LINE + 4, 14, 0]
        );
    }

    #[test]
    fn output_reaches_the_file_and_the_tail() {
        let dir = std::env::temp_dir().join(format!("mobula-logs-test-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let (sender, receiver) = crossbeam::channel::unbounded();
        let (poster, thread) = start(dir.clone(), false, move |worker, tail| {
            sender.send((worker, tail)).unwrap();
        })
        .unwrap();
        let (out, mut out_end) = io::pipe().unwrap();
        let (err, mut err_end) = io::pipe().unwrap();
        poster.post(Order::Add { worker: 3, pid: 77, label: Label::new(), out, err });
        out_end.write_all(b"hello\nopen end").unwrap();
        err_end.write_all(&[b'e'; TAIL]).unwrap();
        err_end.write_all(b"the last words\n").unwrap();
        poster.post(Order::Finish { worker: 3 });
        let (worker, tail) = receiver.recv().unwrap();
        assert_eq!(worker, 3);
        assert!(tail.ends_with("the last words") && tail.len() < TAIL, "{}", tail.len());
        poster.post(Order::Stop);
        thread.join().unwrap();
        assert_eq!(std::fs::read(dir.join("worker-77.out")).unwrap(), b"hello\nopen end");
        assert_eq!(std::fs::read(dir.join("worker-77.err")).unwrap().len(), TAIL + 15);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_label_names_the_work() {
        let label = Label::new();
        assert_eq!(label.prefix(5), "(worker pid=5) ");
        label.set("Counter");
        assert_eq!(label.clone().prefix(5), "(Counter pid=5) ");
    }
}
