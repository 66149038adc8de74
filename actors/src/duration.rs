//! Durations as Go writes them, for messages that 3.8's users know.

use std::time::Duration;

/// `1.5s`, `300ms`, `1h0m0s`: what Go's `Duration.String` prints.
pub fn go_format(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let fraction = |unit: u128, suffix: &str| {
        let text = format!("{}.{:0width$}", nanos / unit, nanos % unit, width = unit.ilog10() as usize);
        format!("{}{suffix}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    match nanos {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => fraction(1_000, "µs"),
        1_000_000..1_000_000_000 => fraction(1_000_000, "ms"),
        _ => {
            let (hours, minutes) = (duration.as_secs() / 3600, duration.as_secs() / 60 % 60);
            let rest = duration - Duration::from_secs(duration.as_secs() / 60 * 60);
            let seconds = format!("{}.{:09}", rest.as_secs(), rest.subsec_nanos());
            let seconds = seconds.trim_end_matches('0').trim_end_matches('.');
            match (hours, minutes) {
                (0, 0) => format!("{seconds}s"),
                (0, _) => format!("{minutes}m{seconds}s"),
                _ => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

/// A limit for a message: as it was written, if version 2 tells it so, or as Go prints it.
pub fn told(limit: Option<Duration>, written: Option<&str>) -> String {
    written.map_or_else(|| limit.map(go_format).unwrap_or_default(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_in_go() {
        let cases: [(u64, &str); 9] = [
            (0, "0s"),
            (7, "7ns"),
            (1_500, "1.5µs"),
            (300_000_000, "300ms"),
            (2_500_000, "2.5ms"),
            (1_000_000_000, "1s"),
            (10_050_000_000, "10.05s"),
            (60_000_000_000, "1m0s"),
            (3_661_500_000_000, "1h1m1.5s"),
        ];
        for (nanos, text) in cases {
            assert_eq!(go_format(Duration::from_nanos(nanos)), text);
        }
    }
}
