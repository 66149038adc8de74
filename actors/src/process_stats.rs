//! What the kernel knows of a process: for metrics. Reads files of `/proc`, so to be called where that may take a while.

use std::fs;

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
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?, units)
}

fn parse_stat(stat: &str, units: Units) -> Option<ProcessStats> {
    // The command's name in parentheses may hold anything, parentheses too.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    // The first of them is the third of proc(5).
    let number = |at: usize| fields.get(at - 3)?.parse::<f64>().ok();
    let ticks = number(14)? + number(15)? + number(16)? + number(17)?;
    Some(ProcessStats {
        cpu_seconds: ticks / units.ticks,
        resident_bytes: fields.get(24 - 3)?.parse::<u64>().ok()? * units.page,
        virtual_bytes: fields.get(23 - 3)?.parse().ok()?,
        started: number(22)? / units.ticks,
    })
}

/// How many descriptors we have open.
pub fn open_descriptors() -> usize {
    // The folder that is read is one of them.
    fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count().saturating_sub(1))
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
