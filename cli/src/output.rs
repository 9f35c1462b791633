//! What a command prints on standard output: text, tables, lines of JSON, bytes.

use std::io::{self, BufWriter, Stdout, Write};

use serde::Serialize;

use crate::failure::Failure;

/// Buffered standard output whose errors are a command's failures.
#[derive(Debug)]
pub(crate) struct Output {
    to: BufWriter<Stdout>,
}

impl Output {
    /// Wraps standard output.
    pub(crate) fn stdout() -> Output {
        Output { to: BufWriter::with_capacity(64 << 10, io::stdout()) }
    }

    /// Prints bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.to.write_all(bytes).map_err(lost)
    }

    /// Prints a line.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) -> Result<(), Failure> {
        self.bytes(text.as_ref().as_bytes())?;
        self.bytes(b"\n")
    }

    /// Prints a value as a line of JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.to, value).map_err(|e| lost(e.into()))?;
        self.bytes(b"\n")
    }

    /// Prints rows under a header, columns aligned; those in `right` to the right.
    pub(crate) fn table<const N: usize>(
        &mut self,
        header: [&str; N],
        right: [bool; N],
        rows: &[[String; N]],
    ) -> Result<(), Failure> {
        let mut widths = header.map(str::len);
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.len());
            }
        }
        self.row(header, right, widths)?;
        rows.iter().try_for_each(|row| self.row(row.each_ref().map(String::as_str), right, widths))
    }

    fn row<const N: usize>(&mut self, cells: [&str; N], right: [bool; N], widths: [usize; N]) -> Result<(), Failure> {
        let cells = cells.iter().zip(right).zip(widths).map(|((cell, right), width)| match right {
            true => format!("{cell:>width$}"),
            false => format!("{cell:<width$}"),
        });
        self.line(cells.collect::<Vec<_>>().join("  ").trim_end())
    }

    /// Writes out what is buffered.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.to.flush().map_err(lost)
    }
}

fn lost(source: io::Error) -> Failure {
    Failure::Io { what: "could not write to standard output".to_owned(), source }
}
