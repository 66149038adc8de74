//! The metrics that a config defines.

use std::time::Instant;

use super::exposition::{self, Exposition};
use super::histogram::Histogram;
use super::summary::{QUANTILES, Summary};
use crate::spec::{MetricKind, MetricSpec};

/// The values of a metric.
#[derive(Clone, Debug)]
pub enum Values {
    /// The sum of what was counted.
    Counter(f64),
    /// The last value.
    Gauge(f64),
    /// Counts by size.
    Histogram(Histogram),
    /// Quantiles.
    Summary(Box<Summary>),
}

/// A metric and what was measured.
#[derive(Clone, Debug)]
pub struct UserMetric {
    spec: MetricSpec,
    values: Values,
}

impl UserMetric {
    /// Without a value.
    pub fn new(spec: MetricSpec, now: Instant) -> Self {
        let values = match spec.kind {
            MetricKind::Counter => Values::Counter(0.0),
            MetricKind::Gauge => Values::Gauge(0.0),
            MetricKind::Histogram => Values::Histogram(Histogram::default()),
            MetricKind::Summary => Values::Summary(Box::new(Summary::new(now))),
        };
        Self { spec, values }
    }

    /// What the config says of it.
    pub fn spec(&self) -> &MetricSpec {
        &self.spec
    }

    /// Writes it down for Prometheus.
    pub fn expose(&mut self, now: Instant, exposition: &mut Exposition) {
        let MetricSpec { full_name: name, help, kind } = &self.spec;
        let word = match kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
            MetricKind::Summary => "summary",
        };
        exposition.family(name, word, help);
        match &mut self.values {
            Values::Counter(value) | Values::Gauge(value) => exposition.sample(name, &[], *value),
            Values::Histogram(histogram) => histogram.expose(exposition, name, &[]),
            Values::Summary(summary) => {
                for ((quantile, _), value) in QUANTILES.into_iter().zip(summary.quantiles(now)) {
                    exposition.sample(name, &[("quantile", &exposition::number(quantile))], value);
                }
                exposition.sample(&format!("{name}_sum"), &[], summary.sum);
                exposition.sample(&format!("{name}_count"), &[], summary.count as f64);
            }
        }
    }

    /// One more value; false if the metric cannot take it.
    pub fn record(&mut self, value: f64, now: Instant) -> bool {
        match &mut self.values {
            // 3.8: dies of it
            Values::Counter(_) if !value.is_finite() || value < 0.0 => return false,
            Values::Counter(total) => *total += value,
            Values::Gauge(last) => *last = value,
            Values::Histogram(histogram) => histogram.record(value),
            Values::Summary(summary) => summary.record(value, now),
        }
        true
    }
}

/// A number as Go writes it, and as Rust reads it. One that is too large is not a number; infinity has to be meant.
pub fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let number: f64 = text.parse().ok()?;
    (!number.is_infinite() || !text.contains(|digit: char| digit.is_ascii_digit())).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(kind: MetricKind, values: &[f64]) -> String {
        let now = actix::clock::Instant::now().into_std();
        let spec = MetricSpec { full_name: "m".into(), help: "h".into(), kind };
        let mut metric = UserMetric::new(spec, now);
        for value in values {
            metric.record(*value, now);
        }
        let mut exposition = Exposition::default();
        metric.expose(now, &mut exposition);
        exposition.finish()
    }

    #[test]
    fn a_counter_never_goes_down() {
        let text = metric(MetricKind::Counter, &[1.0, -1.0, f64::NAN, f64::INFINITY, 2.5]);
        assert_eq!(text, "# HELP m h\n# TYPE m counter\nm 3.5\n");
    }

    #[test]
    fn numbers_are_what_they_say() {
        assert_eq!([number(" 1e-9 "), number("-2.5"), number("+Inf")], [Some(1e-9), Some(-2.5), Some(f64::INFINITY)]);
        assert!(number("NaN").is_some_and(f64::is_nan));
        for text in ["1e400", "-1e400", "", "x", "1 2", "0x10"] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn a_gauge_is_its_last_value() {
        assert!(metric(MetricKind::Gauge, &[1.0, -3.0]).ends_with("\nm -3\n"));
    }

    #[test]
    fn the_bounds_of_buckets_are_inclusive() {
        let text = metric(MetricKind::Histogram, &[0.005, 0.3, 100.0]);
        for line in [
            "m_bucket{le=\"0.005\"} 1",
            "m_bucket{le=\"0.25\"} 1",
            "m_bucket{le=\"0.5\"} 2",
            "m_bucket{le=\"10\"} 2",
            "m_bucket{le=\"+Inf\"} 3",
            "m_sum 100.305",
            "m_count 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
    }

    #[test]
    fn a_summary_without_values_has_no_quantiles() {
        let text = metric(MetricKind::Summary, &[]);
        assert!(text.contains("m{quantile=\"0.99\"} NaN\n") && text.ends_with("m_sum 0\nm_count 0\n"), "{text}");
    }
}
