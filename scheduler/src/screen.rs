//! The way of workers' lines to the stderr of a driver of another process.
//!
//! ```text
//!   mobula-logs --+--> stderr                                    the driver is in the node's process
//!                 '--> pipe --> mobula-lines --> its stderr      it attached (`attach.rs`)
//! ```
//!
//! - SC-49: who shows lines waits for no driver of another process: what its pipe does not take at once is left out, whole
//!   lines, and the next lines that fit are preceded by how many were. The files of a session have them all.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// How much a pipe is to hold; the system may allow less.
const PIPE: usize = 1 << 20;

/// The longest piece that a pipe takes whole or not at all.
const ATOMIC: usize = 4096;

/// The way to a driver's stderr.
#[derive(Debug)]
pub(crate) struct Pipe {
    file: File,
    /// Lines that found no room.
    skipped: u64,
    /// The last piece was not the end of a line.
    open: bool,
}

impl Write for Pipe {
    /// Shows some lines. What cannot be shown is lost: there is nowhere to say so.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.show(lines)?;
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Pipe {
    /// Takes the pipe that a driver has brought.
    pub(crate) fn new(pipe: OwnedFd) -> io::Result<Self> {
        let flags = fcntl_getfl(&pipe)?;
        fcntl_setfl(&pipe, flags | OFlags::NONBLOCK)?;
        // Bursts find room if the system allows it.
        let _ = rustix::pipe::fcntl_setpipe_size(&pipe, PIPE);
        Ok(Pipe { file: File::from(pipe), skipped: 0, open: false })
    }

    /// Writes what there is room for; an error means that nobody reads any more.
    fn show(&mut self, lines: &[u8]) -> io::Result<()> {
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            if self.skipped > 0 && !self.open {
                let notice = format!("[{} lines left out: they are in the session's logs]\n", self.skipped);
                if !self.put(notice.as_bytes())? {
                    self.skipped += 1;
                    continue;
                }
                self.skipped = 0;
            }
            if !self.line(line)? {
                self.skipped += 1;
            }
        }
        Ok(())
    }

    /// Writes a line; false if some of it found no room.
    fn line(&mut self, line: &[u8]) -> io::Result<bool> {
        for piece in line.chunks(ATOMIC) {
            if self.put(piece)? {
                self.open = !piece.ends_with(b"\n");
            } else {
                // The rest of a line that was begun is not worth waiting for, its end is.
                self.open = self.open && !self.put(b"\n")?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn put(&mut self, piece: &[u8]) -> io::Result<bool> {
        match self.file.write(piece) {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_driver_that_does_not_read_holds_nobody_up_and_hears_how_much_it_missed() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut pipe = Pipe::new(writer.into()).unwrap();
        let line = [b"x".repeat(99), b"\n".to_vec()].concat();
        for _ in 0..20_000 {
            pipe.write_all(&line).unwrap();
        }
        let mut room = vec![0; 40_000];
        reader.read_exact(&mut room).unwrap();
        pipe.write_all(b"the last\n").unwrap();
        drop(pipe);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert!(rest.contains(" lines left out") && rest.ends_with("the last\n"), "{}", &rest[rest.len() - 200..]);
        assert!(rest.lines().all(|line| line.len() == 99 || line.starts_with('[') || line == "the last"));
    }

    #[test]
    fn a_reader_that_is_gone_is_an_error() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut pipe = Pipe::new(writer.into()).unwrap();
        assert!(pipe.write_all(b"one\ntwo\n").is_err());
    }
}
