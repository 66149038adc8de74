//! From being asked to end until somebody can be told our exit status.

use std::time::Duration;

use actix::prelude::*;
use slog::{error, info};

use super::Supervisor;
use crate::event::EventCode;
use crate::messages::{AllEnded, CatalogCommand, CatalogFinished, ControlClosed, ControlCommand, ReaperCommand};
use crate::spec::JobSpec;
use crate::timers;

/// How long the last requests to a catalog may keep us.
const LAST_REQUESTS: Duration = Duration::from_secs(1);
/// How long those who prepare the end wait for the catalog to have forgotten us. An outage of it must not hold up a stop.
const FAREWELL: Duration = Duration::from_millis(250);

/// What has to be over before we are.
#[derive(Debug)]
pub(super) struct Ending {
    processes: bool,
    services: bool,
}

impl Supervisor {
    /// Whether the end has been asked for, or is under way.
    pub(super) fn is_ending(&self) -> bool {
        self.taking_leave || self.policy.is_closing()
    }

    /// The end was asked for. If jobs prepare it (`terminating`), our services leave the catalog before they do.
    pub(super) fn asked(&mut self, ctx: &mut Context<Self>) {
        let prepares = |job: &JobSpec| job.start.event().is_some_and(|event| event.code == EventCode::Terminating);
        match &self.catalog {
            Some(_) if self.is_ending() => {}
            Some(catalog) if self.init.is_open() && self.spec.jobs.iter().any(prepares) => {
                self.taking_leave = true;
                catalog.agent.do_send(CatalogCommand::Finish(ctx.address().recipient()));
                ctx.notify_later(CatalogFinished, FAREWELL);
            }
            Some(_) | None => self.shut_down(ctx),
        }
    }

    fn shut_down(&mut self, ctx: &mut Context<Self>) {
        self.taking_leave = false;
        let actions = self.policy.asked();
        self.perform(actions, ctx);
    }

    /// All jobs have stopped: ends what is left, and waits a moment for the deregistrations.
    pub(super) fn end(&mut self, ctx: &mut Context<Self>) {
        let since = self.closing_since.unwrap_or_else(timers::now);
        if let Some(core) = &self.core {
            core.reaper.do_send(ReaperCommand::EndAll { since, done: ctx.address().recipient() });
        }
        if let Some(catalog) = &self.catalog {
            catalog.agent.do_send(CatalogCommand::Finish(ctx.address().recipient()));
            ctx.notify_later(CatalogFinished, LAST_REQUESTS.min(self.window()));
        }
        self.ending = Some(Ending { processes: self.core.is_some(), services: self.catalog.is_some() });
    }

    /// Says whom a stop waits for, once that takes longer than usual.
    pub(super) fn name_the_late(&self) {
        let late: Vec<String> =
            self.policy.live().filter(|name| self.jobs.contains_key(*name)).map(ToString::to_string).collect();
        if !late.is_empty() {
            info!(self.log, "the stop waits for {}", late.join(", "));
        } else if self.ending.as_ref().is_some_and(|ending| ending.processes) {
            info!(self.log, "the stop waits for processes that jobs have left behind");
        }
    }

    /// Whether the end waits for the catalog to forget us.
    pub(super) fn waits_for_catalog(&self) -> bool {
        self.taking_leave || self.ending.as_ref().is_some_and(|ending| ending.services)
    }

    /// It has, or will not any more.
    pub(super) fn catalog_is_done(&mut self, ctx: &mut Context<Self>) {
        if self.taking_leave {
            self.shut_down(ctx);
        } else {
            self.over(|ending| &mut ending.services, ctx);
        }
    }

    fn over(&mut self, what: fn(&mut Ending) -> &mut bool, ctx: &Context<Self>) {
        let Some(ending) = &mut self.ending else { return };
        *what(ending) = false;
        if ending.processes || ending.services {
            return;
        }
        self.ending = None;
        match self.control.take() {
            Some(control) if control.connected() => {
                self.control_closes = true;
                control.do_send(ControlCommand::Close(ctx.address().recipient()));
            }
            Some(_) | None => self.finish(),
        }
    }

    pub(super) fn finish(&mut self) {
        if let Some(finished) = self.finished.take()
            && finished.send(self.code).is_err()
        {
            error!(self.log, "nobody waits for the exit status"; "status" => self.code);
        }
    }
}

impl Handler<AllEnded> for Supervisor {
    type Result = ();

    fn handle(&mut self, _msg: AllEnded, ctx: &mut Self::Context) {
        self.over(|ending| &mut ending.processes, ctx);
    }
}

/// The catalog says that all is done, or a timer that it has had its time.
impl Handler<CatalogFinished> for Supervisor {
    type Result = ();

    fn handle(&mut self, _msg: CatalogFinished, ctx: &mut Self::Context) {
        self.catalog_is_done(ctx);
    }
}

impl Handler<ControlClosed> for Supervisor {
    type Result = ();

    fn handle(&mut self, _msg: ControlClosed, _ctx: &mut Self::Context) {
        self.finish();
    }
}
