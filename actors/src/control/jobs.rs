//! Status, and orders to single jobs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ControlNeighbours;
use crate::event::JobName;
use crate::http::{JSON, Reply, Request};
use crate::messages::{JobEntry, JobOrder, Order, OrderError};
use crate::nearest::nearest;
use crate::overview::{self, JobReport, NoAnswer};
use crate::policy::job::State;
use crate::status::{JobBody, StatusBody};
use crate::sys;

/// How long a stop may take before the client is told that it takes long; the stop goes on.
const STOP_PATIENCE: Duration = Duration::from_secs(600);
/// How long a process may take to come up, or to be found impossible.
const START_PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(5);

pub(super) fn json(status: u16, body: &impl Serialize) -> Reply {
    match serde_json::to_vec(body) {
        Ok(mut bytes) => {
            bytes.push(b'\n');
            Reply::new(status, JSON, bytes)
        }
        Err(error) => Reply::refused(500, &error.to_string()),
    }
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: &'a str,
}

pub(super) fn refused(status: u16, why: &str) -> Reply {
    json(status, &ErrorBody { error: why })
}

pub(super) async fn status(neighbours: &ControlNeighbours) -> Reply {
    match overview::report(&neighbours.overview, |_| true).await {
        Ok(report) => json(200, &StatusBody::new(&report)),
        Err(error @ NoAnswer) => refused(504, &error.to_string()),
    }
}

pub(super) async fn job_status(name: &str, neighbours: &ControlNeighbours) -> Reply {
    match job_body(name, neighbours).await {
        Ok(Some(body)) => json(200, &body),
        Ok(None) => unknown(name, neighbours).await,
        Err(error) => refused(504, &error.to_string()),
    }
}

async fn unknown(name: &str, neighbours: &ControlNeighbours) -> Reply {
    match overview::entries(&neighbours.overview).await {
        Ok(jobs) => no_such_job(name, &jobs),
        Err(error) => refused(504, &error.to_string()),
    }
}

pub(super) fn no_such_job(name: &str, jobs: &[JobEntry]) -> Reply {
    let hint = nearest(name, jobs.iter().map(|job| job.name.as_str()));
    let hint = hint.map(|name| format!(", perhaps `{name}`")).unwrap_or_default();
    refused(404, &format!("there is no job `{name}`{hint}"))
}

/// The sentence about a job may be about others, so all are asked.
async fn job_body(name: &str, neighbours: &ControlNeighbours) -> Result<Option<JobBody>, NoAnswer> {
    let report = overview::report(&neighbours.overview, |_| true).await?;
    Ok(StatusBody::new(&report).jobs.into_iter().find(|job| job.name == name))
}

/// What `POST /v3/jobs/{name}/signal` may have as a body.
#[derive(Deserialize)]
struct SignalBody {
    signal: String,
}

/// Does what is asked for, waits until it is done, and answers with what has become of the job.
pub(super) async fn order(name: &str, order: &str, request: &Request, neighbours: &ControlNeighbours) -> Reply {
    let order = match order {
        "start" => Order::Start,
        "stop" => Order::Stop,
        "restart" => Order::Restart,
        "signal" => match signal(request) {
            Ok(number) => Order::Signal(number),
            Err(reply) => return *reply,
        },
        _ => return Reply::status_only(404),
    };
    perform(name, order, neighbours).await
}

fn signal(request: &Request) -> Result<i32, Box<Reply>> {
    let refused = |why: &str| Box::new(refused(422, why));
    let name = match request.parameter("signal") {
        Some(name) => name,
        None => {
            let body: SignalBody = serde_json::from_slice(&request.body)
                .map_err(|_| refused("the body has to be JSON like {\"signal\": \"SIGHUP\"}"))?;
            body.signal
        }
    };
    sys::signal_number(&name).ok_or_else(|| refused(&format!("there is no signal `{name}`")))
}

async fn perform(name: &str, order: Order, neighbours: &ControlNeighbours) -> Reply {
    let before = match job(name, neighbours).await {
        Ok(Some(job)) => job,
        Ok(None) => return unknown(name, neighbours).await,
        Err(error) => return refused(504, &error.to_string()),
    };
    let runs = matches!(before.status.as_ref().map(|status| status.state), Some(State::Running(_)));
    let has_process = before.status.as_ref().is_some_and(|status| status.pid.is_some());
    match order {
        Order::Start if runs => return refused(409, "it runs already"),
        Order::Signal(_) if !has_process => return refused(409, "it has no process"),
        Order::Start | Order::Stop | Order::Restart | Order::Signal(_) => {}
    }
    let ordered = neighbours.orders.send(JobOrder { job: JobName::new(name), order });
    match actix::clock::timeout(STOP_PATIENCE, ordered).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => return refused(error.status(), &error.to_string()),
        Ok(Err(_)) => return refused(503, "nobody is there to do it"),
        Err(_) => return refused(504, "it takes long, and goes on"),
    }
    if matches!(order, Order::Start | Order::Restart) {
        come_up(name, neighbours).await;
    }
    job_status(name, neighbours).await
}

impl OrderError {
    fn status(self) -> u16 {
        match self {
            Self::Unknown => 404,
            Self::Stopping => 409,
            Self::Ending => 503,
        }
    }
}

async fn job(name: &str, neighbours: &ControlNeighbours) -> Result<Option<JobReport>, NoAnswer> {
    let mut report = overview::report(&neighbours.overview, |entry| entry.name.as_str() == name).await?;
    Ok(report.jobs.pop())
}

/// Waits until the process runs or cannot.
async fn come_up(name: &str, neighbours: &ControlNeighbours) {
    let looking = async {
        while let Ok(Some(JobReport { status: Some(status), .. })) = job(name, neighbours).await {
            let runs = matches!(status.state, State::Running(_));
            if status.pid.is_some() || (status.runs > 0 && !runs) || status.state == State::Idle {
                return;
            }
            actix::clock::sleep(LOOK).await;
        }
    };
    // In time or not: the answer says how it is.
    drop(actix::clock::timeout(START_PATIENCE, looking).await);
}
