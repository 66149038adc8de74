//! What people ask of single jobs: start, stop, restart, signal.

use actix::prelude::*;
use slog::{debug, info};
use tokio::sync::oneshot;

use super::Supervisor;
use crate::event::JobName;
use crate::messages::{JobCommand, JobOrder, Order, OrderError};

/// Orders whose job has not stopped yet.
#[derive(Debug, Default)]
pub(super) struct Orders {
    waiting: Vec<Waiting>,
}

type Waiting = (JobName, Order, oneshot::Sender<Result<(), OrderError>>);

impl Supervisor {
    fn order(&mut self, name: JobName, order: Order, ctx: &mut Context<Self>) -> Result<Option<Answer>, OrderError> {
        if self.is_ending() {
            return Err(OrderError::Ending);
        }
        let Some(job) = self.spec.jobs.iter().find(|job| job.name == name).cloned() else {
            return Err(OrderError::Unknown);
        };
        let policy = &mut self.reloads.policy;
        if policy.is_leaving(&name) {
            return Err(OrderError::Stopping);
        }
        // One that is complete may have left processes behind, which end first.
        let live = self.policy.is_live(&name) || self.policy.leaves_something(&name);
        info!(self.log, "ordered"; "job" => name.to_string(), "order" => ?order);
        let step = match order {
            Order::Signal(number) => {
                self.tell(&name, JobCommand::Signal(number));
                return Ok(None);
            }
            Order::Stop if policy.hold(&name) => {
                self.policy.add(&job);
                self.policy.stay_away(&name);
                return Ok(None);
            }
            Order::Stop if !live => return Ok(None),
            Order::Start if self.policy.is_live(&name) => {
                self.tell_to_start(&name);
                self.source_is_back(&name);
                return Ok(None);
            }
            Order::Start | Order::Restart if !live => {
                let step = policy.start_now(&job);
                self.perform_step(step, ctx);
                self.tell(&name, JobCommand::Start);
                return Ok(None);
            }
            Order::Start | Order::Restart => policy.replace(&job, true),
            Order::Stop => policy.replace(&job, false),
        };
        let step = step.ok_or(OrderError::Stopping)?;
        let (answer, answered) = oneshot::channel();
        self.orders.waiting.push((name, order, answer));
        self.perform_step(step, ctx);
        Ok(Some(answered))
    }

    /// A job has stopped, and what was to follow has: whoever waited for that is told.
    pub(super) fn ordered_job_stopped(&mut self, name: &JobName) {
        let (done, waiting) =
            std::mem::take(&mut self.orders.waiting).into_iter().partition(|(whose, _, _)| whose == name);
        self.orders.waiting = waiting;
        let done: Vec<_> = done;
        for (name, order, answer) in done {
            if order != Order::Stop {
                self.tell(&name, JobCommand::Start);
            }
            if answer.send(Ok(())).is_err() {
                debug!(self.log, "nobody waits for an order any more"; "job" => name.to_string());
            }
        }
    }
}

type Answer = oneshot::Receiver<Result<(), OrderError>>;

impl Handler<JobOrder> for Supervisor {
    type Result = ResponseFuture<Result<(), OrderError>>;

    fn handle(&mut self, msg: JobOrder, ctx: &mut Self::Context) -> Self::Result {
        let result = self.order(msg.job, msg.order, ctx);
        Box::pin(async move {
            match result? {
                None => Ok(()),
                Some(answered) => answered.await.unwrap_or(Err(OrderError::Ending)),
            }
        })
    }
}
