//! What the kernel knows of a process: for metrics. Reads files of `/proc`, so to be called where that may take a while.

use std::fs;
use std::io::Read;

/// More than `/proc/PID/stat` ever has.
const STAT: usize = 2048;

/// Figures of one process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessStats {
    /// Of itself and the children that it has waited for, user and system, in seconds.
    pub cpu_seconds: f64,
    /// Resident memory in bytes.
    pub resident_bytes: u64,
    /// Virtual memory in bytes.
    pub virtual_bytes: u64,
    /// When it started, in seconds since the system did.
    pub started: f64,
}

/// How many ticks and bytes the kernel's units are, and when the system started, in seconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Units {
    /// Ticks a second.
    pub ticks: f64,
    /// Bytes a page.
    pub page: u64,
    /// The system's start.
    pub boot: f64,
}

impl Units {
    /// Those of this system.
    pub fn of_system() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let boot = stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
        Self { ticks: crate::sys::clock_ticks(), page: crate::sys::page_size(), boot: boot.unwrap_or(0.0) }
    }
}

/// The figures of a process, if it is there.
pub fn process_stats(pid: &str, units: Units) -> Option<ProcessStats> {
    if pid != "self" && !crate::processes::are_ours() {
        return None;
    }
    // One read gives all of it: asking for its size and for its end would be five calls more.
    let mut bytes = [0; STAT];
    let count = fs::File::open(format!("/proc/{pid}/stat")).ok()?.read(&mut bytes).ok()?;
    parse_stat(&String::from_utf8_lossy(&bytes[..count]), units)
}

fn parse_stat(stat: &str, units: Units) -> Option<ProcessStats> {
    // The command's name in parentheses may hold anything, parentheses too.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    // The first of them is the third of proc(5).
    let mut next = |skipped: usize| fields.nth(skipped)?.parse::<u64>().ok();
    let ticks = next(14 - 3)? + next(0)? + next(0)? + next(0)?;
    let started = next(22 - 18)?;
    Some(ProcessStats {
        cpu_seconds: ticks as f64 / units.ticks,
        virtual_bytes: next(0)?,
        resident_bytes: next(0)? * units.page,
        started: started as f64 / units.ticks,
    })
}

/// How many descriptors we have open.
pub fn open_descriptors() -> usize {
    const FOLDER: &str = "/proc/self/fd";
    // Linux 6.2 and later: the folder's size. Looking at each of them takes a while if there are hundreds.
    match fs::metadata(FOLDER).map(|folder| usize::try_from(folder.len())) {
        Ok(Ok(count @ 1..)) => count,
        // The folder that is read is one of them.
        Ok(_) | Err(_) => fs::read_dir(FOLDER).map_or(0, |entries| entries.count().saturating_sub(1)),
    }
}

/// How many we may have.
pub fn most_descriptors() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_parentheses_and_spaces_confuse_nobody() {
        let units = Units { ticks: 100.0, page: 4096, boot: 0.0 };
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 25 25 20 0 1 0 1000 8192 3 184";
        let expected = ProcessStats { cpu_seconds: 2.5, resident_bytes: 12288, virtual_bytes: 8192, started: 10.0 };
        assert_eq!(parse_stat(stat, units), Some(expected));
        assert_eq!(parse_stat("", units), None);
    }

    #[test]
    fn we_are_a_process_ourselves() {
        let own = process_stats("self", Units::of_system()).expect("/proc is there");
        assert!(own.resident_bytes > 100_000 && own.virtual_bytes > own.resident_bytes, "{own:?}");
        assert!(open_descriptors() >= 3);
        assert!(most_descriptors().is_none_or(|most| most > 3.0));
    }
}
