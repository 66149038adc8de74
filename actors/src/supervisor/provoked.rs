//! For tests: any actor can be told to panic.

use actix::prelude::*;

use super::Supervisor;
use crate::messages::{ActorId, ReaperCommand};
use crate::testing::{LookForEnded, Panic, Provoke};

/// How to reach those of which the supervisor knows less than that.
#[derive(Debug)]
pub(super) struct CorePanics {
    pub(super) reaper: Recipient<Panic>,
}

impl Handler<Provoke> for Supervisor {
    type Result = ();

    fn handle(&mut self, Provoke(actor): Provoke, _ctx: &mut Self::Context) {
        let Some(core) = &self.core else { return };
        let whom: Option<Recipient<Panic>> = match &actor {
            ActorId::Job(name) => self.jobs.get(name).map(|job| job.clone().recipient()),
            ActorId::Check(name) => self.checks.get(name).map(|check| check.clone().recipient()),
            ActorId::Watch(id) => {
                let watch = self.watches.iter().find(|(other, _)| other == id);
                watch.map(|(_, watch)| watch.clone().recipient())
            }
            ActorId::Catalog => self.catalog.as_ref().map(|catalog| catalog.panics.clone()),
            ActorId::Control => self.control.as_ref().map(|control| control.clone().recipient()),
            ActorId::Telemetry => self.telemetry.as_ref().map(|telemetry| telemetry.clone().recipient()),
            ActorId::Addresses => self.addresses.as_ref().map(|addresses| addresses.clone().recipient()),
            ActorId::Core("event bus") => Some(core.bus.clone().recipient()),
            ActorId::Core("reaper") => Some(core.panics.reaper.clone()),
            ActorId::Core("signal handler") => Some(core.signals.clone().recipient()),
            ActorId::Core("metrics") => Some(core.metrics.clone().recipient()),
            ActorId::Core("journal") => Some(core.journal.clone().recipient()),
            ActorId::Core(_) => panic!("told to panic"),
        };
        if let Some(whom) = whom {
            whom.do_send(Panic);
        }
    }
}

/// A test has no SIGCHLD.
impl Handler<LookForEnded> for Supervisor {
    type Result = ();

    fn handle(&mut self, _msg: LookForEnded, _ctx: &mut Self::Context) {
        if let Some(core) = &self.core {
            core.reaper.do_send(ReaperCommand::Reap);
        }
    }
}
