//! Figures of processes, ours as in 3.8.

use crate::metrics::Exposition;
use crate::process_stats::{ProcessStats, Units, most_descriptors, open_descriptors, process_stats};

/// Of a job's process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures {
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: f64,
}

/// The figures of processes that may have ended meanwhile.
pub(super) fn of_jobs(pids: Vec<Option<i32>>, units: Units) -> Vec<Option<Figures>> {
    let figures = |pid: i32| {
        let ProcessStats { cpu_seconds, resident_bytes, .. } = process_stats(&pid.to_string(), units)?;
        Some(Figures { cpu_seconds, resident_bytes: resident_bytes as f64 })
    };
    pids.into_iter().map(|pid| figures(pid?)).collect()
}

/// Our own.
#[derive(Debug)]
pub(super) struct Own {
    stats: ProcessStats,
    units: Units,
    open: usize,
    most: Option<f64>,
}

pub(super) fn own(units: Units) -> Own {
    let stats = process_stats("self", units).unwrap_or_default();
    Own { stats, units, open: open_descriptors(), most: most_descriptors() }
}

impl Own {
    pub(super) fn expose(&self, exposition: &mut Exposition) {
        let Self { stats, units, open, most } = self;
        let samples = [
            (
                "process_cpu_seconds_total",
                "counter",
                "user and system CPU time spent in seconds",
                Some(stats.cpu_seconds),
            ),
            ("process_max_fds", "gauge", "maximum number of open file descriptors", *most),
            ("process_open_fds", "gauge", "number of open file descriptors", Some(*open as f64)),
            (
                "process_resident_memory_bytes",
                "gauge",
                "resident memory size in bytes",
                Some(stats.resident_bytes as f64),
            ),
            (
                "process_start_time_seconds",
                "gauge",
                "start time of the process since unix epoch in seconds",
                Some(units.boot + stats.started),
            ),
            ("process_virtual_memory_bytes", "gauge", "virtual memory size in bytes", Some(stats.virtual_bytes as f64)),
        ];
        for (name, kind, help, value) in samples {
            if let Some(value) = value {
                exposition.family(name, kind, help);
                exposition.sample(name, &[], value);
            }
        }
    }
}
