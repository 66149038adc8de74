//! What all jobs do at present: asked for at the edge, each job by itself, with a limit of time for all together.

use std::time::Duration;

use actix::prelude::*;

use crate::event::WatchName;
use crate::messages::{
    CatalogEntry, CatalogStatus, CatalogStatusQuery, CheckStatus, CheckStatusQuery, JobEntry, JobStatus,
    JobStatusQuery, Overview, OverviewQuery, WatchStatusQuery,
};
use crate::policy::job::{Health, State};

/// How long everybody together may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A job as it is.
#[derive(Debug)]
pub struct JobReport {
    /// What the config says of it.
    pub entry: JobEntry,
    /// What it does; nothing while it has stopped to be started anew.
    pub status: Option<JobStatus>,
    /// What its checks have seen.
    pub checks: Option<CheckStatus>,
}

/// Everything as it is.
#[derive(Debug)]
pub struct Report {
    /// What does not belong to one of them. Its jobs and watches are in `jobs` and `watches`.
    pub overview: Overview,
    /// In the config's order.
    pub jobs: Vec<JobReport>,
    /// In the config's order: a watch, and how many instances it has seen last, if it ever had an answer.
    pub watches: Vec<(WatchName, Option<usize>)>,
    /// What is known of registrations.
    pub catalog: CatalogReport,
}

/// A catalog as it is.
#[derive(Debug)]
pub enum CatalogReport {
    /// The config names none.
    NotConfigured,
    /// It cannot be asked as configured; why.
    Unusable(String),
    /// Its actor does not answer.
    Silent,
    /// What its actor says.
    Known(CatalogStatus),
}

/// Nobody has said in time how things are.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("no answer in time")]
pub struct NoAnswer;

/// What the config says of all jobs.
pub async fn entries(supervisor: &Recipient<OverviewQuery>) -> Result<Vec<JobEntry>, NoAnswer> {
    let overview = actix::clock::timeout(PATIENCE, supervisor.send(OverviewQuery)).await;
    Ok(overview.map_err(|_| NoAnswer)?.map_err(|_| NoAnswer)?.jobs)
}

/// Asks the supervisor, and then all jobs at the same time.
pub async fn report(
    supervisor: &Recipient<OverviewQuery>,
    wanted: impl Fn(&JobEntry) -> bool,
) -> Result<Report, NoAnswer> {
    let all = async {
        let mut overview = supervisor.send(OverviewQuery).await.map_err(|_| NoAnswer)?;
        let entries: Vec<JobEntry> = std::mem::take(&mut overview.jobs).into_iter().filter(&wanted).collect();
        // Sending is what asks; all are asked before the first answer is waited for.
        let asked: Vec<_> = entries
            .into_iter()
            .map(|entry| {
                let status = entry.job.as_ref().map(|job| job.send(JobStatusQuery));
                let checks = entry.check.as_ref().map(|check| check.send(CheckStatusQuery));
                (entry, status, checks)
            })
            .collect();
        let catalog = match &overview.catalog {
            CatalogEntry::NotConfigured => Err(CatalogReport::NotConfigured),
            CatalogEntry::Unusable(reason) => Err(CatalogReport::Unusable(reason.clone())),
            CatalogEntry::Known(catalog) => Ok(catalog.send(CatalogStatusQuery)),
        };
        let mut jobs = Vec::with_capacity(asked.len());
        for (entry, status, checks) in asked {
            // An actor that has ended meanwhile has nothing to say.
            let status = match status {
                Some(status) => status.await.ok(),
                None => None,
            };
            let checks = match checks {
                Some(checks) => checks.await.ok(),
                None => None,
            };
            jobs.push(JobReport { entry, status, checks });
        }
        let asked: Vec<_> = std::mem::take(&mut overview.watches)
            .into_iter()
            .map(|entry| (entry.name, entry.watch.map(|watch| watch.send(WatchStatusQuery))))
            .collect();
        let mut watches = Vec::with_capacity(asked.len());
        for (name, status) in asked {
            let status = match status {
                Some(status) => status.await.ok(),
                None => None,
            };
            watches.push((name, status.and_then(|status| Some(status.instances?.len()))));
        }
        let catalog = match catalog {
            Ok(asked) => asked.await.map_or(CatalogReport::Silent, CatalogReport::Known),
            Err(unasked) => unasked,
        };
        Ok(Report { overview, jobs, watches, catalog })
    };
    actix::clock::timeout(PATIENCE, all).await.unwrap_or(Err(NoAnswer))
}

impl JobReport {
    /// What its state is called.
    pub fn state(&self) -> &'static str {
        match self.status.as_ref().map(|status| status.state) {
            Some(State::Waiting) => "waiting",
            Some(State::Blocked) => "blocked",
            Some(State::NotNeeded) => "not needed",
            Some(State::GaveUp) => "gave up",
            Some(State::Running(_)) => "running",
            Some(State::Pausing) => "pausing",
            Some(State::Idle) => "idle",
            Some(State::Stopping | State::Ending) => "stopping",
            Some(State::Stopped) if self.stopped_well() => "completed",
            Some(State::Stopped) => "failed",
            None => "stopped",
        }
    }

    fn stopped_well(&self) -> bool {
        let last = self.status.as_ref().and_then(|status| status.last_end.as_ref());
        last.is_none_or(|end| end.is_success())
    }

    /// What its health is called, as in 3.8.
    pub fn health(&self, maintenance: bool) -> &'static str {
        if maintenance {
            return "maintenance";
        }
        match self.status.as_ref().map(|status| status.health) {
            Some(Health::Healthy) => "healthy",
            Some(Health::Unhealthy) => "unhealthy",
            Some(Health::Idle | Health::Unknown) | None => "unknown",
        }
    }
}
