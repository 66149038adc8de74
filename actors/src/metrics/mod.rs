//! What is measured, and how it looks to Prometheus. Not here: the port where it is served (`telemetry`).

mod exposition;
mod histogram;
mod summary;
mod user;

use std::collections::{BTreeMap, BTreeSet};

use actix::prelude::*;
use slog::{Logger, debug, error, warn};

use crate::guard::PanicGuard;
use crate::messages::{MetricCommand, MetricsText, RecordMetrics};
use user::UserMetric;

pub use exposition::{CONTENT_TYPE, Exposition};
pub use histogram::Histogram;
pub use user::number;

/// How many metrics are warned of.
const MOST_WARNINGS: usize = 100;

/// Takes what is measured, and keeps it.
#[derive(Debug)]
pub struct Metrics {
    log: Logger,
    user: BTreeMap<String, UserMetric>,
    warned: BTreeSet<String>,
    control_requests: BTreeMap<(&'static str, u16), u64>,
    reloads: [u64; 2],
    _guard: Option<PanicGuard>,
}

impl Metrics {
    /// Nothing has been measured yet.
    pub fn new(log: Logger, guard: Option<PanicGuard>) -> Self {
        Self {
            log,
            user: BTreeMap::new(),
            warned: BTreeSet::new(),
            control_requests: BTreeMap::new(),
            reloads: [0; 2],
            _guard: guard,
        }
    }

    fn expose(&mut self, exposition: &mut Exposition) {
        if !self.control_requests.is_empty() {
            let name = "containerpilot_control_http_requests";
            exposition.family(
                name,
                "counter",
                "count of requests to control socket, partitioned by path and HTTP code",
            );
            for ((path, status), count) in &self.control_requests {
                exposition.sample(name, &[("code", &status.to_string()), ("path", path)], *count as f64);
            }
        }
        let name = "containerpilot_reloads_total";
        exposition.family(name, "counter", "reloads of the configuration by result");
        for (result, count) in ["refused", "accepted"].into_iter().zip(self.reloads) {
            exposition.sample(name, &[("result", result)], count as f64);
        }
        let now = actix::clock::Instant::now().into_std();
        for metric in self.user.values_mut() {
            metric.expose(now, exposition);
        }
    }

    /// Takes each value that can be taken, and says why the others cannot.
    fn record(&mut self, values: Vec<(String, Result<f64, String>)>) -> Vec<String> {
        let now = actix::clock::Instant::now().into_std();
        let mut refused = Vec::new();
        for (name, value) in values {
            let Some(metric) = self.user.get_mut(&name) else {
                self.skip(name, "there is no such metric");
                continue;
            };
            match value {
                Err(sent) => refused.push(format!("{name}: {sent} is not a number")),
                Ok(value) if !metric.record(value, now) => {
                    refused.push(format!(
                        "{name}: {value} is not a finite number of at least 0, and a counter cannot go down"
                    ));
                }
                Ok(_) => {}
            }
        }
        refused
    }

    fn measure(&mut self, name: &str, value: f64) {
        let now = actix::clock::Instant::now().into_std();
        // A reload may have taken it out meanwhile.
        let Some(metric) = self.user.get_mut(name) else { return };
        if !metric.record(value, now) {
            error!(self.log, "a counter cannot go down"; "metric" => name, "value" => value);
        }
    }

    /// One warning for each metric; names come from outside, so somewhere is an end.
    fn skip(&mut self, name: String, why: &'static str) {
        if self.warned.len() < MOST_WARNINGS && self.warned.insert(name.clone()) {
            warn!(self.log, "cannot take the value of a metric"; "metric" => name, "reason" => why);
        } else {
            debug!(self.log, "cannot take the value of a metric"; "metric" => name, "reason" => why);
        }
    }
}

impl Actor for Metrics {
    type Context = Context<Self>;
}

impl Handler<MetricCommand> for Metrics {
    type Result = ();

    fn handle(&mut self, command: MetricCommand, _ctx: &mut Self::Context) {
        match command {
            MetricCommand::Define(specs) => {
                let now = actix::clock::Instant::now().into_std();
                let mut old = std::mem::take(&mut self.user);
                for spec in specs {
                    let kept = old.remove(&spec.full_name).filter(|metric| *metric.spec() == spec);
                    let metric = kept.unwrap_or_else(|| UserMetric::new(spec.clone(), now));
                    self.user.insert(spec.full_name, metric);
                }
            }
            MetricCommand::Measure(name, value) => self.measure(&name, value),
            MetricCommand::Reloaded { accepted } => self.reloads[usize::from(accepted)] += 1,
            MetricCommand::ControlServed { path, status } => {
                *self.control_requests.entry((path, status)).or_default() += 1;
            }
        }
    }
}

impl Handler<RecordMetrics> for Metrics {
    type Result = MessageResult<RecordMetrics>;

    fn handle(&mut self, RecordMetrics(values): RecordMetrics, _ctx: &mut Self::Context) -> Self::Result {
        MessageResult(self.record(values))
    }
}

impl Handler<MetricsText> for Metrics {
    type Result = String;

    fn handle(&mut self, _query: MetricsText, _ctx: &mut Self::Context) -> String {
        let mut exposition = Exposition::default();
        self.expose(&mut exposition);
        exposition.finish()
    }
}
