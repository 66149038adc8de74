//! What a container is made of: processes, and perhaps a network and mounts, of its own.
#![expect(clippy::disallowed_methods, reason = "a test waits for its own child")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};

use crate::pilot::Pilot;

/// A place for processes, in which the next command is PID 1.
pub const CONTAINER: [&str; 5] = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
/// The addresses of `eth0` in a network of its own.
pub const ADDRESSES: [&str; 2] = ["10.9.0.2", "10.9.0.3"];

/// A network with an `eth0`, and an empty `/run` and `/etc/nginx`; gone with it.
pub struct Machine {
    holder: Child,
}

impl Machine {
    pub fn new() -> Self {
        let addresses = ADDRESSES.map(|address| format!("ip address add {address}/24 dev eth0"));
        let steps = [
            "ip link set lo up",
            "ip link add eth0 type veth peer name eth1",
            &addresses.join(" && "),
            "ip link set eth0 up && ip link set eth1 up",
            "mount -t tmpfs tmpfs /run",
            "mount -t tmpfs tmpfs /etc/nginx",
            "echo ready && exec cat",
        ];
        let mut holder = Command::new("unshare")
            .args(["--net", "--mount", "sh", "-c", &steps.join(" && ")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "`ip` on the PATH, and the rights of root");
        Self { holder }
    }

    fn within(&self) -> [String; 4] {
        ["nsenter".to_owned(), format!("--target={}", self.holder.id()), "--net".to_owned(), "--mount".to_owned()]
    }

    fn command(&self, words: &[&str]) -> Command {
        let within = self.within();
        let mut command = Command::new(&within[0]);
        command.args(&within[1..]).args(words).stdin(Stdio::null());
        command
    }

    /// Runs a command there to its end.
    pub fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Starts a server there.
    pub fn start(&self, words: &[&str]) -> Server {
        Server(self.command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// The binary there, as PID 1, with these arguments and variables; it is on its own PATH.
    pub fn pilot(&self, variables: &str, args: &[&str]) -> Pilot {
        let folder = env!("CARGO_BIN_EXE_containerpilot").rsplit_once('/').unwrap().0;
        let script = format!("export PATH={folder}:$PATH {variables}; exec \"$@\"");
        let within = self.within();
        let within = within.iter().map(String::as_str);
        let words: Vec<&str> = within.chain(["sh", "-c", &script, "sh"]).chain(CONTAINER).collect();
        Pilot::contained(&words, args)
    }

    /// What a server there says; empty if there is none.
    pub fn get(&self, url: &str) -> String {
        String::from_utf8(self.run(&["curl", "-s", url]).stdout).unwrap()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.holder.kill().unwrap();
        self.holder.wait().unwrap();
    }
}

/// A server beside the binary, gone with it.
pub struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Whether a command after these words has our stdin, stdout and stderr as they are, within a container and without.
pub fn passes_every_byte(words: &[&str]) {
    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).chain(*b"\0no newline at the end").collect();
    for prefix in [&[][..], &CONTAINER] {
        let command =
            [prefix, &[env!("CARGO_BIN_EXE_containerpilot")], words, &["sh", "-c", "tee /dev/stderr"]].concat();
        let mut child = Command::new(command[0])
            .args(&command[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut stdin, sent) = (child.stdin.take().unwrap(), bytes.clone());
        let writer = std::thread::spawn(move || stdin.write_all(&sent).unwrap());
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        assert!(output.stdout == bytes && output.stderr == bytes, "{command:?}");
        assert_eq!(output.status.code(), Some(0));
    }
}
