//! What workers print: into files, and line by line to the driver's stderr.
//!
//! ```text
//!   worker stdout -- pipe --+                    +--> logs/worker-<pid>.out   .out.1 .. .out.5 (file.rs)
//!   worker stderr -- pipe --+--> mobula-logs ----+--> logs/worker-<pid>.err
//!                                                +--> lines.rs --> fold.rs --> stderr: (Counter pid=123) text
//! ```
//!
//! A file is made with its first byte: most workers print nothing, and making two files takes longer than
//! forking a worker.
//!
//! - SC-9: every byte goes to the file as it came. To stderr go whole lines, each with its prefix; a
//!   line without an end is printed when its pipe closes, and one longer than [`LONGEST_LINE`] in
//!   pieces. Lines that are alike are told as one (SC-50, fold.rs).
//! - SC-10: printing happens on this thread alone. If stderr is held up, workers that print wait for
//!   it as they would without a pipe between, and nobody else does.
//!
//! The prefix names what the worker runs when its line is read, which for output shortly before a
//! change of work can be the next work.

mod file;
mod fold;
mod lines;

use std::collections::{HashMap, VecDeque};
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use self::file::{LogFile, Rotation};
use self::fold::Fold;
use self::lines::{LONGEST_LINE, Lines};
use crate::screen::Pipe;
use crate::sys;
use crate::trace::tell;
use crate::watch::{Command, Poller, Poster};

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

    pub(crate) fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The number of the driver in the node's own process.
pub(crate) const OWN: u32 = 0;

/// What becomes of the output.
#[derive(Debug, Clone)]
pub(crate) struct LogOptions {
    /// Where the files are.
    pub(crate) dir: PathBuf,
    /// How large a file grows before another one takes its place, in bytes.
    pub(crate) file_size: u64,
    /// How many of those are kept.
    pub(crate) backups: usize,
    /// Whether it goes to the driver, too.
    pub(crate) print: bool,
    /// Whether the driver gets lines that are alike as one.
    pub(crate) fold: bool,
}

/// What the log thread is told.
#[derive(Debug)]
pub(crate) enum Order {
    /// Read the output of a worker that was just started.
    Add { worker: u64, driver: u32, pid: u32, label: Label, out: PipeReader, err: PipeReader },
    /// Print the lines of a driver's workers to it, too.
    Show { driver: u32, pipe: Pipe },
    /// A driver hears no lines any more: its pipe is closed when it has those that were held back.
    Hide { driver: u32 },
    /// Print a text as if a worker had on its stderr, or the driver.
    Say { worker: Option<u64>, driver: u32, text: String, aloud: bool },
    /// The worker is dead: read what is left, then tell the end of its stderr.
    Finish { worker: u64 },
    /// End the thread, after what is in the pipes.
    Stop,
}

/// Starts `mobula-logs`, which prints to `out`; `tell` gets the end of a finished worker's stderr.
pub(crate) fn start(
    options: LogOptions,
    out: impl Write + Send + 'static,
    tell: impl Fn(u64, String) + Send + 'static,
) -> io::Result<(Poster<Order>, JoinHandle<()>)> {
    let (poller, poster) = Poller::new()?;
    let thread = thread::Builder::new().name("mobula-logs".into()).spawn(move || {
        sys::block_signals();
        let fold = options.fold.then(Fold::default);
        let own = Printer { out: Box::new(out), wanted: options.print, fold, text: Vec::new() };
        let printers = HashMap::from([(OWN, own)]);
        Logs { poller, options, printers, streams: HashMap::new(), tell }.run();
    })?;
    Ok((poster, thread))
}

struct Logs<F> {
    poller: Poller<Order>,
    options: LogOptions,
    /// By the numbers of the drivers.
    printers: HashMap<u32, Printer>,
    /// By key: twice the worker's number for stdout, one more for stderr.
    streams: HashMap<u64, Stream>,
    tell: F,
}

struct Stream {
    pipe: PipeReader,
    file: LogFile,
    driver: u32,
    pid: u32,
    label: Label,
    lines: Lines,
    tail: VecDeque<u8>,
}

/// Prints lines with their prefixes; those that are alike as one.
struct Printer {
    out: Box<dyn Write + Send>,
    /// Whether anybody wants what workers print.
    wanted: bool,
    fold: Option<Fold>,
    /// What is to be printed next.
    text: Vec<u8>,
}

impl Printer {
    /// Prints a line of a worker's as soon as [`Printer::flush`] is called, or later if others are like it.
    fn line(&mut self, worker: u64, class: &str, pid: u32, line: &[u8]) {
        match &mut self.fold {
            _ if !self.wanted => {}
            Some(fold) => fold.line(Instant::now(), worker, class, pid, line, &mut self.text),
            None => self.print(class, pid, line),
        }
    }

    /// Prints a line whatever was printed before, and whoever wants it.
    fn print(&mut self, class: &str, pid: u32, line: &[u8]) {
        lines::print(class, pid, line, &mut self.text);
    }

    /// What cannot be printed is lost: there is nowhere to say so.
    fn flush(&mut self) {
        if !self.text.is_empty() {
            let _ = self.out.write_all(&self.text).and_then(|()| self.out.flush());
            self.text.clear();
        }
    }

    /// Tells of the lines that were held back for long enough; of all at the `end`.
    fn tell_held(&mut self, end: bool) {
        if let Some(fold) = &mut self.fold {
            fold.tell((!end).then(Instant::now), &mut self.text);
            self.flush();
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.fold.as_ref().and_then(Fold::deadline)
    }
}

impl<F: Fn(u64, String)> Logs<F> {
    fn run(&mut self) {
        let mut ready = Vec::new();
        let mut buffer = vec![0; LONGEST_LINE];
        loop {
            self.poller.wait_until(&mut ready, self.printers.values().filter_map(Printer::deadline).min());
            self.printers.values_mut().for_each(|printer| printer.tell_held(false));
            loop {
                match self.poller.command() {
                    Command::Next(Order::Stop) | Command::Closed => {
                        let keys: Vec<_> = self.streams.keys().copied().collect();
                        keys.into_iter().for_each(|key| {
                            self.drain(key, &mut buffer);
                            self.close(key);
                        });
                        self.printers.values_mut().for_each(|printer| printer.tell_held(true));
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
            Order::Add { worker, driver, pid, label, out, err } => {
                self.add(worker * 2, driver, pid, label.clone(), out, "out");
                self.add(worker * 2 + 1, driver, pid, label, err, "err");
            }
            Order::Show { driver, pipe } => {
                let fold = self.options.fold.then(Fold::default);
                self.printers.insert(driver, Printer { out: Box::new(pipe), wanted: true, fold, text: Vec::new() });
            }
            Order::Hide { driver } => {
                // What its workers have printed so far is still for it.
                let keys: Vec<_> =
                    self.streams.iter().filter(|(_, stream)| stream.driver == driver).map(|(&key, _)| key).collect();
                keys.into_iter().for_each(|key| self.drain(key, buffer));
                if let Some(mut printer) = self.printers.remove(&driver) {
                    printer.tell_held(true);
                }
            }
            Order::Say { worker, driver, text, aloud } => self.say(worker, driver, &text, aloud),
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

    fn say(&mut self, worker: Option<u64>, driver: u32, text: &str, aloud: bool) {
        let mut stream = worker.and_then(|worker| self.streams.get_mut(&(worker * 2 + 1)));
        if let Some(stream) = stream.as_deref_mut() {
            stream.file.write(format!("{text}\n").as_bytes());
        }
        let Some(printer) = self.printers.get_mut(&driver) else {
            return;
        };
        match stream {
            Some(stream) => {
                if aloud {
                    text.lines().for_each(|line| printer.print(&stream.label.text(), stream.pid, line.as_bytes()));
                } else {
                    let (worker, class) = (worker.unwrap_or_default(), stream.label.text());
                    text.lines().for_each(|line| printer.line(worker, &class, stream.pid, line.as_bytes()));
                }
            }
            None if aloud || printer.wanted => {
                printer.text.extend_from_slice(text.as_bytes());
                printer.text.push(b'\n');
            }
            None => {}
        }
        printer.flush();
    }

    fn add(&mut self, key: u64, driver: u32, pid: u32, label: Label, pipe: PipeReader, kind: &str) {
        let LogOptions { file_size: size, backups, .. } = self.options;
        let file = LogFile::new(self.options.dir.join(format!("worker-{pid}.{kind}")), Rotation { size, backups });
        let prepared = set_nonblocking(&pipe).and_then(|()| self.poller.add(&pipe, key));
        if let Err(error) = prepared {
            tell!(Warn, warn, pid, %error, "a worker's output cannot be read");
        }
        let (lines, tail) = (Lines::default(), VecDeque::new());
        self.streams.insert(key, Stream { pipe, file, driver, pid, label, lines, tail });
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
        stream.file.write(bytes);
        stream.keep_tail(bytes);
        if let Some(printer) = self.printers.get_mut(&stream.driver).filter(|printer| printer.wanted) {
            let (class, pid) = (stream.label.text(), stream.pid);
            stream.lines.push(bytes, |line| printer.line(key / 2, &class, pid, line));
            printer.flush();
        }
        Step::More
    }

    /// The pipe is at its end. What was read stays until the worker is finished.
    fn end(&mut self, key: u64) {
        if let Some(stream) = self.streams.get_mut(&key) {
            self.poller.remove(&stream.pipe);
            if let Some(printer) = self.printers.get_mut(&stream.driver) {
                let (class, pid) = (stream.label.text(), stream.pid);
                stream.lines.finish(|line| printer.line(key / 2, &class, pid, line));
                printer.flush();
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::watch::Poster;

    /// A log thread for tests: what it prints, and where its files are.
    struct Started {
        options: LogOptions,
        poster: Poster<Order>,
        thread: JoinHandle<()>,
        printed: PipeReader,
        tails: crossbeam::channel::Receiver<(u64, String)>,
    }

    fn started(name: &str, change: impl FnOnce(&mut LogOptions)) -> Started {
        let dir = std::env::temp_dir().join(format!("mobula-logs-test-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let mut options = LogOptions { dir, file_size: 1 << 20, backups: 1, print: true, fold: true };
        change(&mut options);
        let (sender, tails) = crossbeam::channel::unbounded();
        let (printed, out) = io::pipe().unwrap();
        let tell = move |worker, tail| sender.send((worker, tail)).unwrap();
        let (poster, thread) = start(options.clone(), out, tell).unwrap();
        Started { options, poster, thread, printed, tails }
    }

    impl Started {
        fn worker(&self, worker: u64, class: &str) -> (io::PipeWriter, io::PipeWriter) {
            let ((out, out_end), (err, err_end)) = (io::pipe().unwrap(), io::pipe().unwrap());
            let label = Label::new();
            label.set(class);
            let pid = worker as u32 + 70;
            self.poster.post(Order::Add { worker, driver: OWN, pid, label, out, err });
            (out_end, err_end)
        }

        /// Ends the thread and returns what it has printed.
        fn stop(mut self) -> String {
            self.poster.post(Order::Stop);
            self.thread.join().unwrap();
            let mut text = String::new();
            self.printed.read_to_string(&mut text).unwrap();
            std::fs::remove_dir_all(&self.options.dir).unwrap();
            text
        }
    }

    #[test]
    fn output_reaches_the_file_and_the_tail() {
        let logs = started("tail", |options| options.print = false);
        let (mut out_end, mut err_end) = logs.worker(3, "A");
        out_end.write_all(b"hello\nopen end").unwrap();
        err_end.write_all(&[b'e'; TAIL]).unwrap();
        err_end.write_all(b"the last words\n").unwrap();
        logs.poster.post(Order::Finish { worker: 3 });
        let (worker, tail) = logs.tails.recv().unwrap();
        assert_eq!(worker, 3);
        assert!(tail.ends_with("the last words") && tail.len() < TAIL, "{}", tail.len());
        let file = |name| std::fs::read(logs.options.dir.join(name)).unwrap();
        assert_eq!(file("worker-73.out"), b"hello\nopen end");
        assert_eq!(file("worker-73.err").len(), TAIL + 15);
        assert_eq!(logs.stop(), "");
    }

    #[test]
    fn what_was_held_back_is_told_at_the_end() {
        let logs = started("end", |_| {});
        for worker in 0..10 {
            let (mut out, _err) = logs.worker(worker, "A");
            out.write_all(format!("step {worker}\n").as_bytes()).unwrap();
            logs.poster.post(Order::Finish { worker });
            logs.tails.recv().unwrap();
        }
        assert_eq!(logs.stop(), "(A pid=70) step 0\n(A pid=79) step 9 [repeated 9x]\n");
    }

    #[test]
    fn nothing_is_folded_if_nobody_wants_that() {
        let logs = started("plain", |options| options.fold = false);
        for worker in 0..2 {
            let (mut out, _err) = logs.worker(worker, "A");
            out.write_all(b"step\nopen").unwrap();
            logs.poster.post(Order::Finish { worker });
            logs.tails.recv().unwrap();
        }
        assert_eq!(logs.stop(), "(A pid=70) step\n(A pid=70) open\n(A pid=71) step\n(A pid=71) open\n");
    }

    #[test]
    fn held_lines_are_told_without_anything_else_happening() {
        let logs = started("time", |_| {});
        let mut printed = logs.printed.try_clone().unwrap();
        let ends: Vec<_> = (0..3).map(|worker| logs.worker(worker, "A")).collect();
        for (out, _) in &ends {
            let mut out = out;
            out.write_all(b"ready\n").unwrap();
        }
        let mut text = Vec::new();
        let begin = Instant::now();
        while !text.ends_with(b"[repeated 2x]\n") {
            let mut part = [0; 100];
            let count = printed.read(&mut part).unwrap();
            text.extend_from_slice(&part[..count]);
        }
        assert!(begin.elapsed() > Duration::from_secs(1), "{}", String::from_utf8_lossy(&text));
        drop((ends, printed));
        assert_eq!(logs.stop(), "");
    }

    #[test]
    fn a_label_names_the_work() {
        let label = Label::new();
        assert_eq!(label.text(), "worker");
        label.set("Counter");
        assert_eq!(label.clone().text(), "Counter");
    }
}
