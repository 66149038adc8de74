//! Where log lines go: our stdout, our stderr, or a file that can be reopened.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;

use crate::spec::LogOutput;
use crate::sys;

/// An open output.
#[derive(Debug)]
pub struct Sink {
    file: File,
    /// For reopening.
    path: Option<PathBuf>,
}

impl Sink {
    /// Opens an output. Files are appended to.
    pub fn open(output: &LogOutput) -> io::Result<Self> {
        match output {
            LogOutput::Stdout => Ok(Self { file: sys::duplicate(io::stdout())?, path: None }),
            LogOutput::Stderr => Ok(Self { file: sys::duplicate(io::stderr())?, path: None }),
            LogOutput::File(path) => Ok(Self { file: append_to(path)?, path: Some(path.clone()) }),
        }
    }

    /// Writes everything, waiting as long as it takes. An error means that nobody will ever read the rest.
    pub fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => bytes = &bytes[written..],
                // Somebody whom we share the description with has made it non-blocking.
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => sys::wait_writable(&self.file),
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause),
            }
        }
        Ok(())
    }

    /// Opens the file anew, which may have another name by now. On failure the open one goes on to be used.
    pub fn reopen(&mut self) -> io::Result<()> {
        if let Some(path) = &self.path {
            self.file = append_to(path)?;
        }
        Ok(())
    }
}

fn append_to(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}
