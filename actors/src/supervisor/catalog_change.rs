//! What a reload means to the catalog and to watches.

use std::collections::HashSet;
use std::time::Duration;

use actix::prelude::*;

use super::Supervisor;
use crate::event::JobName;
use crate::job::ReplaceCatalog;
use crate::messages::{CatalogCommand, CatalogFinished, StopWatching};
use crate::policy::job::Report;
use crate::spec::{JobSpec, Spec, WatchSpec};
use crate::watch::HandOver;

/// How long a catalog that is no longer ours is asked to forget our services.
const LAST_WORDS: Duration = Duration::from_secs(30);

/// Keeps a catalog that is no longer ours until it has forgotten our services, or has had the time to.
struct Farewell(Recipient<CatalogCommand>);

impl Actor for Farewell {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.0.do_send(CatalogCommand::Finish(ctx.address().recipient()));
        ctx.notify_later(CatalogFinished, LAST_WORDS);
    }
}

impl Handler<CatalogFinished> for Farewell {
    type Result = ();

    fn handle(&mut self, _msg: CatalogFinished, ctx: &mut Self::Context) {
        self.0.do_send(CatalogCommand::Abandon);
        ctx.stop();
    }
}

impl Supervisor {
    /// Another catalog: services are taken out there and registered here. Watches that are as before go on.
    pub(super) fn change_catalog(&mut self, old: &Spec, ctx: &mut Context<Self>) {
        let same_catalog = old.catalog == self.spec.catalog;
        if same_catalog {
            if let Some(catalog) = self.catalog.as_ref().filter(|catalog| catalog.agent.connected()) {
                catalog.agent.do_send(CatalogCommand::LookAtTls);
                let services: HashSet<&str> =
                    old.jobs.iter().filter_map(|job| job.service.as_ref()).map(|service| &*service.name).collect();
                self.advertised.retain(|name, _| services.contains(&**name));
            }
            self.change_telemetry_service(old);
        } else {
            if let Some(catalog) = self.catalog.take() {
                Farewell(catalog.agent).start();
            }
            self.advertised.clear();
            self.start_catalog(false, ctx);
            self.advertise_all();
        }
        let mut before: Vec<_> = std::mem::take(&mut self.watches).into_iter().zip(&old.watches).collect();
        let watches = if self.init.is_open() { self.spec.watches.clone() } else { Vec::new() };
        for spec in watches {
            let same = before.iter().position(|(_, was)| same_catalog && **was == spec);
            let watch = same.map(|at| before.swap_remove(at).0).or_else(|| self.start_watch(&spec, ctx));
            self.watches.extend(watch);
        }
        for ((id, gone), was) in before {
            self.seen.remove(&id);
            // Asked elsewhere, or in another way, it sees a change only if what is there has changed.
            let alike = |spec: &WatchSpec| spec == was || (spec.pauses && spec.sees_what(was));
            let heir = self.spec.watches.iter().position(alike).and_then(|at| self.watches.get(at));
            match heir {
                Some((_, heir)) => gone.do_send(HandOver(heir.clone())),
                None => gone.do_send(StopWatching),
            }
        }
    }

    fn change_telemetry_service(&self, old: &Spec) {
        let Some(catalog) = self.catalog.as_ref().filter(|_| self.init.is_open()) else { return };
        let (before, after) = (super::telemetry_service(old), super::telemetry_service(&self.spec));
        if before == after {
            return;
        }
        match (before, after) {
            (_, Some(after)) => catalog.agent.do_send(CatalogCommand::AdvertiseAlways(after)),
            (Some(before), None) => {
                let name = JobName::new(before.name);
                catalog.agent.do_send(CatalogCommand::News(name, Report::Withdraw));
            }
            (None, None) => {}
        }
    }

    /// Whether a job lives, and has not been told to stop.
    pub(super) fn goes_on(&self, name: &JobName) -> bool {
        self.policy.is_live(name) && !self.reloads.policy.is_leaving(name)
    }

    /// Introduces the jobs that go on, and are services, to a new catalog.
    pub(super) fn advertise_all(&mut self) {
        self.advertise_telemetry();
        let Some(agent) = self.catalog.as_ref().map(|catalog| catalog.agent.clone()) else { return };
        let services: Vec<JobSpec> = self.spec.jobs.iter().filter(|job| job.service.is_some()).cloned().collect();
        for job in services {
            if let (Some(address), true) = (self.jobs.get(&job.name).cloned(), self.goes_on(&job.name)) {
                self.advertise(&job);
                address.do_send(ReplaceCatalog(agent.clone()));
            }
        }
    }
}
