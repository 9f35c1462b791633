//! Victims: this binary again, told by the environment which script to play, and talked to by lines.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

use mobula_store::{ClientKey, Store, crash};

use crate::scripts;

const SCRIPT: &str = "MOBULA_POINTS_SCRIPT";
const ADDRESS: &str = "MOBULA_POINTS_ADDRESS";

/// The script of the process that creates the store.
pub(crate) const NODE: &str = "node";
/// The script of a client that reaps another.
pub(crate) const REAPER: &str = "reaper";

/// A child that is ready to play its script.
pub(crate) struct Victim {
    child: Child,
    input: ChildStdin,
    output: BufReader<std::process::ChildStdout>,
    /// The rest of the line in which it said that it is ready.
    pub(crate) said: String,
}

/// What a victim said before its end.
#[derive(Debug)]
pub(crate) struct End(Vec<String>);

impl Victim {
    /// Starts a victim and waits until it is attached and prepared.
    pub(crate) fn start(script: &str, address: &str) -> Victim {
        let mut child = Command::new(std::env::current_exe().expect("this binary"))
            .env(SCRIPT, script)
            .env(ADDRESS, address)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let input = child.stdin.take().expect("a pipe");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut victim = Victim { child, input, output, said: String::new() };
        let line = victim.line().unwrap_or_else(|| panic!("{script} ended before it was ready"));
        victim.said = line.strip_prefix("ready ").unwrap_or_else(|| panic!("{script} said {line}")).to_owned();
        victim
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let got = self.output.read_line(&mut line).expect("a line");
        (got > 0).then(|| line.trim_end().to_owned())
    }

    /// Says a line to it.
    pub(crate) fn tell(&mut self, line: &str) {
        // It may be dead already.
        let _ = writeln!(self.input, "{line}");
    }

    /// Lets it play, to its end or its `n`-th store.
    pub(crate) fn go(mut self, n: u64) -> Victim {
        self.tell(&format!("go {n}"));
        self
    }

    /// Waits for it to say a line.
    pub(crate) fn expect(&mut self, said: &str) {
        assert_eq!(self.line().as_deref(), Some(said));
    }

    /// Says whether it has not ended.
    pub(crate) fn lives(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> End {
        let lines = std::iter::from_fn(|| self.line()).collect();
        let status = self.child.wait().expect("a status");
        assert!(!matches!(status.code(), Some(code) if code != 0), "a victim failed by itself: {status}, {lines:?}");
        End(lines)
    }

    /// Stops it or lets it go on, and waits until that is so.
    pub(crate) fn stop(&self, stop: bool) {
        let pid = self.child.id().cast_signed();
        // SAFETY: signals our own child, which is not waited for yet.
        let sent = unsafe { libc::kill(pid, if stop { libc::SIGSTOP } else { libc::SIGCONT }) };
        assert_eq!(sent, 0, "kill");
        if stop {
            let mut status = 0;
            // SAFETY: waits for our own child's stop; the status is a local.
            let got = unsafe { libc::waitpid(pid, &raw mut status, libc::WUNTRACED) };
            assert!(got == pid && libc::WIFSTOPPED(status), "the child did not stop: {status:#x}");
        }
    }

    /// The client that it said it is.
    pub(crate) fn client(&self) -> ClientKey {
        key(&self.said)
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl End {
    /// How many stores the script makes, if the victim came to its end.
    pub(crate) fn stores(&self) -> Option<u64> {
        self.0.iter().find_map(|line| line.strip_prefix("stores ")).map(|n| n.parse().expect("a number"))
    }

    /// The numbers of the objects of which it said `what`, in order.
    pub(crate) fn said(&self, what: &str) -> impl Iterator<Item = u8> {
        self.0
            .iter()
            .filter_map(move |line| line.strip_prefix(what)?.strip_prefix(' '))
            .map(|n| n.parse().expect("a number"))
    }
}

fn key(said: &str) -> ClientKey {
    let (index, generation) = said.split_once(' ').expect("a client");
    ClientKey { index: index.parse().expect("an index"), generation: generation.parse().expect("a generation") }
}

/// Says whether this process is a victim.
pub(crate) fn is_victim() -> bool {
    std::env::var_os(SCRIPT).is_some()
}

/// Says that an object has come to a state, which must hold whatever happens from now on.
pub(crate) fn say(what: &str, n: u8) {
    println!("{what} {n}");
}

/// Says that this victim is prepared, waits for the word, and arms.
pub(crate) fn ready(client: ClientKey) {
    println!("ready {} {}", client.index, client.generation);
    arm();
}

fn listen() -> String {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("a line");
    line.trim_end().to_owned()
}

/// Waits for the word to go and arms; ends with the parent.
fn arm() {
    let line = listen();
    let Some(n) = line.strip_prefix("go ") else { exit_now() };
    crash::arm(n.parse().expect("a number"));
}

/// Plays a part, which ends at its n-th store or with the count of them.
pub(crate) fn play() -> ! {
    let script = std::env::var(SCRIPT).expect("a script");
    let address = std::env::var(ADDRESS).expect("an address");
    match script.as_str() {
        NODE => node(),
        REAPER => reaper(&address),
        name => (scripts::find(name).child)(&address),
    }
    println!("stores {}", u64::MAX - crash::left());
    exit_now();
}

/// Creates a store and serves it; its server does all the work.
fn node() {
    let store = Store::create(scripts::plain()).expect("a store");
    println!("ready {}", store.address());
    arm();
    println!("armed");
    // Until the parent is gone or says so.
    listen();
    println!("stores {}", u64::MAX - crash::left());
    exit_now();
}

/// Reaps the client that it is told.
fn reaper(address: &str) {
    let store = scripts::attach(address);
    let me = store.client();
    println!("ready {} {}", me.index, me.generation);
    let dead = key(&listen());
    arm();
    store.reap(dead);
    println!("stores {}", u64::MAX - crash::left());
    exit_now();
}

/// Ends this process as a death does: no destructor runs.
pub(crate) fn exit_now() -> ! {
    // SAFETY: `_exit` never returns and runs nothing of ours.
    unsafe { libc::_exit(0) }
}
