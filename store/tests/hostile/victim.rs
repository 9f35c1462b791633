//! A process that may be hurt: started again from this binary, watched for crashes and hangs.
//!
//! The child notes what it is about to do in a file, so that its parent can say where it ended.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, setrlimit};

const PART: &str = "MOBULA_HOSTILE_PART";
const NOTES: &str = "MOBULA_HOSTILE_NOTES";
const FIRST: &str = "MOBULA_HOSTILE_FIRST";
/// Longer than any call may take here, on a machine that is busy with other things.
const HANG: Duration = Duration::from_secs(15);
/// More memory than the stores of these tests have many times over.
const MEMORY: u64 = 6 << 30;
const NOTE: usize = 200;

/// What the child notes.
pub(crate) struct Notes {
    file: File,
    seed: u64,
    damage: String,
}

impl Notes {
    /// Notes that a round begins.
    pub(crate) fn round(&mut self, seed: u64) {
        self.seed = seed;
        self.damage.clear();
        self.say("begin");
    }

    /// Notes what was damaged last.
    pub(crate) fn damaged(&mut self, how: &str) {
        self.damage = how.to_owned();
    }

    /// Notes what comes next.
    pub(crate) fn say(&self, what: &str) {
        let mut note = format!("{} {what} [{}]", self.seed, self.damage).into_bytes();
        note.resize(NOTE, b' ');
        self.file.write_all_at(&note, 0).unwrap();
    }
}

/// Plays the part that this process was started for, if it was; `play` gets its notes and the first seed.
pub(crate) fn play_if(part: &str, play: impl FnOnce(Notes, u64)) -> bool {
    let var = |name: &str| std::env::var(name).ok();
    let (Some(given), Some(notes), Some(first)) = (var(PART), var(NOTES), var(FIRST)) else { return false };
    if given == part {
        // A panic of any thread, also of the store's own, is a failure.
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            print(info);
            std::process::abort();
        }));
        setrlimit(Resource::As, Rlimit { current: Some(MEMORY), maximum: Some(MEMORY) }).unwrap();
        setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).unwrap();
        let file = File::options().write(true).open(notes).unwrap();
        play(Notes { file, seed: 0, damage: String::new() }, first.parse().unwrap());
    }
    true
}

/// A child at its part.
pub(crate) struct Victim {
    child: Child,
    folder: tempfile::TempDir,
    last: (String, Instant),
}

impl Victim {
    /// Starts the test `part` of this binary as a child that begins with `first`.
    pub(crate) fn start(part: &str, first: u64) -> Victim {
        let folder = tempfile::tempdir().unwrap();
        let notes = folder.path().join("notes");
        fs::write(&notes, " ".repeat(NOTE)).unwrap();
        let stderr = File::create(folder.path().join("stderr")).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", part, "--nocapture", "--test-threads=1"])
            .env(PART, part)
            .env(NOTES, &notes)
            .env(FIRST, first.to_string())
            .env("TMPDIR", folder.path())
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .unwrap();
        Victim { child, folder, last: (String::new(), Instant::now()) }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the seed of the round that the child is in.
    pub(crate) fn seed(&self) -> Option<u64> {
        self.note().split(' ').next()?.parse().ok()
    }

    fn note(&self) -> String {
        fs::read_to_string(self.folder.path().join("notes")).unwrap_or_default().trim_end().to_owned()
    }

    /// Looks at the child: how it ended if it did, an error if it crashed or no longer moves.
    pub(crate) fn poll(&mut self) -> Option<Result<(), String>> {
        let note = self.note();
        if let Some(status) = self.child.try_wait().unwrap() {
            let stderr = fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default();
            let said = stderr.lines().take(4).collect::<Vec<_>>().join(" | ");
            return Some(if status.success() { Ok(()) } else { Err(format!("{status}: {note}: {said}")) });
        }
        if note != self.last.0 {
            self.last = (note, Instant::now());
        } else if self.last.1.elapsed() > HANG {
            return Some(Err(format!("hangs: {note}")));
        }
        None
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
