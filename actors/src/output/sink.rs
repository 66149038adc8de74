//! Where log lines go: our stdout, our stderr, or a file that can be reopened.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::spec::LogOutput;
use crate::sys;

/// Why an output cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the log `{output}`: {cause}")]
pub struct OpenError {
    /// Which.
    pub output: LogOutput,
    /// Why.
    pub cause: io::Error,
}

/// An open output.
#[derive(Debug)]
pub struct Sink {
    file: File,
    /// For reopening.
    path: Option<PathBuf>,
    /// The rest of a record whose beginning was written when the disk was full.
    torn: Vec<u8>,
    /// Records that could not be written.
    lost: u64,
    /// How many of them have been spoken of.
    told: u64,
    /// Bytes that have been written, for others to see.
    written: Arc<AtomicU64>,
}

impl Sink {
    /// Opens an output. Files are appended to.
    pub fn open(output: &LogOutput) -> Result<Self, OpenError> {
        let (file, path) = match output {
            LogOutput::Stdout => (sys::duplicate(io::stdout()), None),
            LogOutput::Stderr => (sys::duplicate(io::stderr()), None),
            LogOutput::File(path) => (append_to(path), Some(path.clone())),
        };
        let file = file.map_err(|cause| OpenError { output: output.clone(), cause })?;
        Ok(Self { file, path, torn: Vec::new(), lost: 0, told: 0, written: Arc::default() })
    }

    /// Writes to where the other one does from now on.
    pub fn replace(&mut self, other: Self) {
        self.move_to(other.file);
        self.path = other.path;
    }

    /// Writes records, waiting as long as it takes. After an error those that are left are lost and counted; but the rest of
    /// one that was begun is kept and goes before all others, so that no half of a record stays.
    pub fn write(&mut self, records: &[u8]) -> io::Result<()> {
        if !self.torn.is_empty() {
            let torn = std::mem::take(&mut self.torn);
            let (written, result) = self.write_all(&torn);
            if result.is_err() {
                self.torn = torn[written..].to_vec();
                self.lost += count(records);
                return result;
            }
        }
        let (written, result) = self.write_all(records);
        if result.is_err() {
            let (begun, mut rest) = records.split_at(written);
            if begun.last().is_some_and(|byte| *byte != b'\n') {
                let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
                self.torn = rest[..end].to_vec();
                rest = &rest[end..];
            }
            self.lost += count(rest);
        }
        result
    }

    /// How much of it was written.
    fn write_all(&mut self, bytes: &[u8]) -> (usize, io::Result<()>) {
        let mut written = 0;
        while written < bytes.len() {
            match self.file.write(&bytes[written..]) {
                Ok(0) => return (written, Err(ErrorKind::WriteZero.into())),
                Ok(more) => {
                    written += more;
                    self.written.fetch_add(more as u64, Ordering::Relaxed);
                }
                // It is a FIFO, or somebody whom we share the description with has made it non-blocking.
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => sys::wait_writable(&self.file),
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                Err(cause) => return (written, Err(cause)),
            }
        }
        (written, Ok(()))
    }

    /// Bytes that have been written. It goes on to count.
    pub fn written(&self) -> Arc<AtomicU64> {
        self.written.clone()
    }

    /// How many records are lost.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// How many records were lost since this was asked last.
    pub fn told_lost(&mut self) -> u64 {
        let lost = self.lost - self.told;
        self.told = self.lost;
        lost
    }

    /// Opens the file anew, which may have another name by now. On failure the open one goes on to be used.
    pub fn reopen(&mut self) -> io::Result<()> {
        if let Some(path) = &self.path {
            let file = append_to(path)?;
            self.move_to(file);
        }
        Ok(())
    }

    fn move_to(&mut self, file: File) {
        self.file = file;
        // Its beginning is in the other file.
        self.lost += u64::from(!std::mem::take(&mut self.torn).is_empty());
    }
}

fn count(records: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', records).count() as u64
}

fn append_to(path: &Path) -> io::Result<File> {
    if path.metadata().is_ok_and(|found| found.file_type().is_fifo()) {
        return sys::write_to_fifo(path);
    }
    OpenOptions::new().append(true).create(true).open(path)
}
