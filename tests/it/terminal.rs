//! A terminal, and a shell or whatever else runs on it.
#![expect(clippy::disallowed_methods, reason = "a test waits for its own child, for as long as it takes")]

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long anything may take that must happen.
const LIMIT: Duration = Duration::from_secs(30);

/// Somebody sits at it.
pub struct Terminal {
    keys: File,
    pieces: Receiver<Vec<u8>>,
    /// What is on the screen, and how much of it has been looked at.
    screen: String,
    at: usize,
    leader: Child,
}

impl Terminal {
    /// A shell with job control, as one logs in to; it knows `$containerpilot`.
    pub fn with_shell() -> Self {
        let mut terminal = Self::with(&["bash", "--norc", "--noprofile", "--noediting", "-i"]);
        terminal.shows("ready> ");
        terminal
    }

    /// A command that leads the terminal's session.
    pub fn with(command: &[&str]) -> Self {
        Self::without_session(&[&["setsid", "--ctty"], command].concat())
    }

    /// A command that has yet to make a session.
    pub fn without_session(command: &[&str]) -> Self {
        let terminal = nix::pty::openpty(None, None).unwrap();
        let screen = || terminal.slave.try_clone().unwrap();
        let leader = Command::new(command[0])
            .args(&command[1..])
            .env("PS1", "ready> ")
            .env("containerpilot", env!("CARGO_BIN_EXE_containerpilot"))
            .stdin(screen())
            .stdout(screen())
            .stderr(screen())
            .spawn()
            .unwrap();
        let keys = File::from(terminal.master);
        let mut seen = keys.try_clone().unwrap();
        let (sender, pieces) = channel();
        std::thread::spawn(move || {
            let mut piece = [0; 1024];
            // Reading ends when nobody has the terminal any more.
            while let Ok(count) = seen.read(&mut piece) {
                if sender.send(piece[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { keys, pieces, screen: String::new(), at: 0, leader }
    }

    /// Types a line.
    pub fn enter(&mut self, line: &str) {
        self.press(&format!("{line}\n"));
    }

    /// Types keys.
    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for words on the screen, after those that were waited for before; the line in which they are, up to there.
    pub fn shows(&mut self, words: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(found) = self.screen[self.at..].find(words) {
                self.at += found + words.len();
                let line = self.screen[..self.at].trim_end_matches('\n').rsplit('\n').next().unwrap();
                return line.to_owned();
            }
            match self.pieces.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(piece) => self.screen.push_str(&String::from_utf8_lossy(&piece).replace('\r', "")),
                Err(_) => panic!("never showed `{words}`:\n{}", self.screen),
            }
        }
    }

    /// Waits until what leads the session has ended.
    pub fn end(mut self) -> Option<i32> {
        self.leader.wait().unwrap().code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // With its leader the whole session goes.
        drop(self.leader.kill());
        drop(self.leader.wait());
    }
}
