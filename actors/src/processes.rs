//! Which processes there are and who is below whom, as `/proc` has it. Never blocks; costs a few microseconds a process.
//!
//! Not here: signals (`sys`), and what becomes of anybody (`policy::remainder`).

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::policy::remainder::Process;

/// More than the fields of `/proc/PID/stat` that are read here ever have.
const STAT: usize = 1024;

/// A process as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which.
    pub process: Process,
    /// Its parent's pid.
    pub parent: i32,
    /// Its process group.
    pub group: i32,
    /// Whether it has ended, and only waits for its parent to notice.
    pub is_zombie: bool,
}

/// All processes that we can see.
#[derive(Debug)]
pub struct ProcessTable(Vec<Row>);

impl ProcessTable {
    /// As they are now.
    ///
    /// # Errors
    /// `/proc` is missing, another namespace's, or cannot be listed.
    pub fn read() -> io::Result<Self> {
        if !are_ours() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let rows = fs::read_dir("/proc")?.filter_map(|entry| row(entry.ok()?.file_name().to_str()?.parse().ok()?));
        Ok(Self(rows.collect()))
    }

    /// The living members of a process group.
    pub fn group(&self, group: i32) -> Vec<Process> {
        self.0.iter().filter(|row| row.group == group && !row.is_zombie).map(|row| row.process).collect()
    }

    /// Those of the living whose parent, or its parent and so on, is one of these and alive.
    pub fn started_by(&self, these: &BTreeSet<Process>) -> BTreeSet<Process> {
        let living = these.iter().filter(|process| self.0.iter().any(|row| row.process == **process && !row.is_zombie));
        living.flat_map(|process| self.below(process.pid)).map(|row| row.process).collect()
    }

    /// The living descendants of a process, itself excluded.
    pub fn below(&self, pid: i32) -> Vec<Row> {
        let mut children: HashMap<i32, Vec<&Row>> = HashMap::new();
        for row in &self.0 {
            children.entry(row.parent).or_default().push(row);
        }
        let (mut found, mut parents) = (Vec::new(), vec![pid]);
        while let Some(parent) = parents.pop() {
            // Taken out, so that even a table that changed while it was read holds no circle.
            for row in children.remove(&parent).unwrap_or_default() {
                parents.push(row.process.pid);
                if !row.is_zombie {
                    found.push(*row);
                }
            }
        }
        found
    }
}

/// Whether `/proc` is that of our own PID namespace. Where another one's is mounted, each number is another process.
pub fn are_ours() -> bool {
    static KNOWN: AtomicBool = AtomicBool::new(false);
    let is_us = |target: PathBuf| target.to_str().and_then(|pid| pid.parse().ok()) == Some(std::process::id());
    // A job may mount it, but nobody replaces the right one.
    KNOWN.load(Ordering::Relaxed)
        || (fs::read_link("/proc/self").is_ok_and(is_us) && {
            KNOWN.store(true, Ordering::Relaxed);
            true
        })
}

/// One process, if it is there.
pub fn row(pid: i32) -> Option<Row> {
    if !are_ours() {
        return None;
    }
    let mut bytes = [0; STAT];
    let count = File::open(format!("/proc/{pid}/stat")).ok()?.read(&mut bytes).ok()?;
    parse(pid, &bytes[..count])
}

/// Whether this very process is there, and has not ended.
pub fn is_alive(process: Process) -> bool {
    row(process.pid).is_some_and(|row| row.process == process && !row.is_zombie)
}

fn parse(pid: i32, stat: &[u8]) -> Option<Row> {
    // The command's name in parentheses may hold anything, parentheses too.
    let after = stat.iter().rposition(|byte| *byte == b')')? + 2;
    let mut fields = std::str::from_utf8(stat.get(after..)?).ok()?.split(' ');
    // The first of them is the third of proc(5).
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let threads: u64 = fields.nth(20 - 6)?.parse().ok()?;
    let started = fields.nth(22 - 21)?.parse().ok()?;
    // A main thread that has ended before the others looks like a zombie, but the process lives.
    let is_zombie = matches!(state, "Z" | "X" | "x") && threads <= 1;
    Some(Row { process: Process { pid, started }, parent, group, is_zombie })
}

/// Whether a process has one of these pipes open. Where we may not look, it counts as so.
pub fn has_open(pid: i32, pipes: &BTreeSet<u64>) -> bool {
    if !are_ours() {
        return false;
    }
    match fs::read_dir(format!("/proc/{pid}/fd")) {
        Ok(mut entries) => entries.any(|entry| {
            let inode = entry.and_then(|entry| fs::metadata(entry.path())).map(|metadata| metadata.ino());
            inode.is_ok_and(|inode| pipes.contains(&inode))
        }),
        Err(cause) => cause.kind() == io::ErrorKind::PermissionDenied,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us() -> i32 {
        i32::try_from(std::process::id()).expect("a pid fits")
    }

    #[test]
    fn a_name_with_parentheses_hides_no_field() {
        let stat = b"12 (a ) (b) S 3 4 5 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 2 0 777 8 9";
        let process = Process { pid: 12, started: 777 };
        assert_eq!(parse(12, stat), Some(Row { process, parent: 3, group: 4, is_zombie: false }));
    }

    #[test]
    fn a_main_thread_that_has_ended_before_the_others_is_no_zombie() {
        let stat = |threads| format!("12 (a) Z 3 4 5 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 {threads} 0 777 8 9");
        let is_zombie = |threads| parse(12, stat(threads).as_bytes()).is_some_and(|row| row.is_zombie);
        assert!(is_zombie(1) && !is_zombie(2));
    }

    #[test]
    fn nonsense_is_no_process() {
        for stat in ["", ")", "1 (a)", "1 (a) S x y", "1 (a) S 1 1"] {
            assert_eq!(parse(1, stat.as_bytes()), None, "{stat}");
        }
    }

    #[test]
    fn we_are_alive_and_below_our_parent() {
        let table = ProcessTable::read().expect("/proc is there");
        let own = row(us()).expect("we are there");
        assert!(is_alive(own.process) && table.group(own.group).contains(&own.process));
        assert!(table.below(own.parent).iter().any(|row| row.process == own.process));
        assert!(!table.below(us()).iter().any(|row| row.process == own.process));
        assert!(!is_alive(Process { started: own.process.started + 1, ..own.process }), "another of that number");
    }

    #[test]
    fn a_pipe_is_found_where_it_is_open() {
        let (read, write) = io::pipe().expect("a pipe");
        let inode = |of: std::os::fd::OwnedFd| File::from(of).metadata().expect("it is open").ino();
        let pipe = inode(write.try_clone().expect("a copy").into());
        assert!(has_open(us(), &BTreeSet::from([pipe])));
        assert!(!has_open(us(), &BTreeSet::new()));
        drop(read);
    }
}
