//! A load as a process: started, told what to do, listened to.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::load::{Part, Said};

/// How long a load may be silent: much longer than any season.
const SILENCE: Duration = Duration::from_secs(120);

/// A running load; it is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    orders: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Process {
    pub(crate) fn start(part: &Part) -> Process {
        let mut command = Command::new(std::env::current_exe().expect("this binary"));
        part.tell(&mut command);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a child");
        let orders = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, lines) = channel();
        // It ends with the child.
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Process { child, orders, lines }
    }

    pub(crate) fn order(&mut self, order: &str) {
        let orders = self.orders.as_mut().expect("it has not been told to leave");
        writeln!(orders, "{order}").expect("a load that listens");
    }

    /// Waits until the load is quiet.
    pub(crate) fn answer(&mut self) -> Said {
        let pid = self.child.id();
        match self.lines.recv_timeout(SILENCE) {
            Ok(line) => Said::read(&line).unwrap_or_else(|| panic!("load {pid}: {line}")),
            Err(error) => panic!("load {pid}: {error}; {:?}", self.child.try_wait()),
        }
    }

    /// Has the load leave and waits for that.
    pub(crate) fn leave(mut self) {
        self.orders = None;
        let status = self.child.wait().expect("a child");
        assert!(status.success(), "a load ended with {status}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
