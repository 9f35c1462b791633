//! The file of a stream, which makes room for another one when it has grown.
//!
//! ```text
//!   worker-7.out   --full-->   worker-7.out.1   --another full-->   worker-7.out.2   ...   removed
//! ```
//!
//! A file ends with a whole line, unless the line alone is too long for one.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::trace::tell;

/// How large files become, and how many there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rotation {
    /// The most bytes of a file.
    pub(super) size: u64,
    /// How many full files are kept.
    pub(super) backups: usize,
}

/// Where the bytes of a stream go.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    rotation: Rotation,
    state: FileState,
}

#[derive(Debug)]
enum FileState {
    /// There will be a file as soon as there are bytes.
    Ahead,
    /// It has so many bytes.
    Open(File, u64),
    /// It could not be made or written.
    Failed,
}

impl LogFile {
    pub(super) fn new(path: PathBuf, rotation: Rotation) -> Self {
        LogFile { path, rotation, state: FileState::Ahead }
    }

    /// Writes bytes to the file; one that cannot be written is given up, which is told once.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        if let Err(error) = self.try_write(bytes) {
            tell!(Warn, warn, path = %self.path.display(), %error, "a worker's log file is given up");
            self.state = FileState::Failed;
        }
    }

    fn try_write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if matches!(self.state, FileState::Ahead) {
                let file = File::options().create(true).append(true).open(&self.path)?;
                let length = file.metadata()?.len();
                self.state = FileState::Open(file, length);
            }
            let FileState::Open(file, length) = &mut self.state else {
                return Ok(());
            };
            let room = usize::try_from(self.rotation.size.saturating_sub(*length)).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(fitting(bytes, room, *length > 0));
            file.write_all(now)?;
            *length += now.len() as u64;
            if !later.is_empty() {
                self.state = FileState::Ahead;
                self.rotate()?;
            }
            bytes = later;
        }
        Ok(())
    }

    /// Moves each file to the next number, the last one away.
    fn rotate(&self) -> io::Result<()> {
        let Rotation { backups, .. } = self.rotation;
        if backups == 0 {
            return absent_is_fine(fs::remove_file(&self.path));
        }
        for number in (1..backups).rev() {
            absent_is_fine(fs::rename(numbered(&self.path, number), numbered(&self.path, number + 1)))?;
        }
        absent_is_fine(fs::rename(&self.path, numbered(&self.path, 1)))
    }
}

/// Returns how many of `bytes` go into a file that has so much room, and something in it or not.
fn fitting(bytes: &[u8], room: usize, begun: bool) -> usize {
    if bytes.len() <= room {
        return bytes.len();
    }
    match bytes[..room].iter().rposition(|&byte| byte == b'\n') {
        Some(end) => end + 1,
        // A line that has begun elsewhere goes on in the next file, and so does one that is too long for any.
        None if begun => 0,
        None => room.max(1),
    }
}

fn numbered(path: &Path, number: usize) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}

fn absent_is_fine(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("mobula-log-files-{}-{name}", std::process::id()));
            fs::create_dir_all(&dir).unwrap();
            Folder(dir)
        }

        fn file(&self, size: u64, backups: usize) -> LogFile {
            LogFile::new(self.0.join("log"), Rotation { size, backups })
        }

        /// What is in the files, by their names.
        fn contents(&self) -> Vec<(String, String)> {
            let entries = fs::read_dir(&self.0).unwrap().flatten();
            let mut all: Vec<_> = entries
                .map(|entry| {
                    let name = entry.file_name().into_string().unwrap();
                    (name, fs::read_to_string(entry.path()).unwrap())
                })
                .collect();
            all.sort();
            all
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn owned(files: &[(&str, &str)]) -> Vec<(String, String)> {
        files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn a_file_is_made_with_its_first_byte() {
        let folder = Folder::new("first");
        let mut file = folder.file(100, 2);
        assert_eq!(folder.contents(), []);
        file.write(b"a");
        assert_eq!(folder.contents(), owned(&[("log", "a")]));
    }

    #[test]
    fn full_files_are_numbered_and_the_oldest_goes() {
        let folder = Folder::new("full");
        let mut file = folder.file(8, 2);
        for line in ["one\n", "two\n", "three\nfour\n", "five\n", "six\n"] {
            file.write(line.as_bytes());
        }
        let expected = [("log", "six\n"), ("log.1", "five\n"), ("log.2", "four\n")];
        // `four` alone is too short to fill a file, but `five` does not fit behind it.
        assert_eq!(folder.contents(), owned(&expected));
    }

    #[test]
    fn a_line_that_fits_into_no_file_is_cut_and_nothing_is_lost() {
        let folder = Folder::new("long");
        let mut file = folder.file(8, 9);
        file.write(b"a\n0123456789abcdef");
        file.write(b"ghij\nb\n");
        let files = folder.contents();
        let oldest_first = files.iter().skip(1).rev().chain(files.first());
        let all: String = oldest_first.map(|(_, text)| text.as_str()).collect();
        assert_eq!(all, "a\n0123456789abcdefghij\nb\n");
        assert!(files.iter().all(|(_, text)| text.len() <= 8));
    }

    #[test]
    fn without_backups_a_full_file_is_begun_anew() {
        let folder = Folder::new("none");
        let mut file = folder.file(8, 0);
        (0..5).for_each(|number| file.write(format!("line {number}\n").as_bytes()));
        assert_eq!(folder.contents(), owned(&[("log", "line 4\n")]));
    }

    #[test]
    fn what_an_earlier_process_of_the_same_pid_left_counts() {
        let folder = Folder::new("again");
        folder.file(8, 1).write(b"earlier\n");
        folder.file(8, 1).write(b"later\n");
        assert_eq!(folder.contents(), owned(&[("log", "later\n"), ("log.1", "earlier\n")]));
    }

    #[test]
    fn a_folder_that_is_gone_is_no_matter() {
        let folder = Folder::new("gone");
        let mut file = folder.file(8, 1);
        fs::remove_dir_all(&folder.0).unwrap();
        file.write(b"nobody reads this\n");
        file.write(b"nor this\n");
        assert!(!folder.0.exists());
    }
}
