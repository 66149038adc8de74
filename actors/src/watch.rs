//! One actor per watch: asks the catalog when its policy says so, and tells everybody what has changed.

use std::ffi::OsString;
use std::time::Duration;

use actix::prelude::*;
use slog::{Logger, debug, info, o, warn};

use crate::catalog::{InstanceSource, RequestError};
use crate::event::{Event, EventCode, WatchName};
use crate::guard::PanicGuard;
use crate::messages::{
    BusCommand, CatalogContact, FactQuery, Maintain, ReaperCommand, StopWatching, TellFact, WatchSaw, WatchStatus,
    WatchStatusQuery,
};
use crate::policy::watch::{Action, Answer, Instance, QueryId, Timer, WatchPolicy};
use crate::random::Random;
use crate::spec::WatchSpec;
use crate::timers::{self, TimerElapsed, Timers};

/// A longer variable could keep the kernel from starting any process.
const LONGEST_VARIABLE: usize = 64 * 1024;

/// Whom a watch talks to.
#[derive(Clone, Debug)]
pub struct WatchNeighbours {
    /// Knows the environment of children.
    pub reaper: Recipient<ReaperCommand>,
    /// Takes its events.
    pub bus: Recipient<BusCommand>,
    /// Keeps the log of outages.
    pub contacts: Recipient<CatalogContact>,
    /// Remembers what was seen, by this number of the watch.
    pub memory: (u64, Recipient<WatchSaw>),
}

/// See the module.
pub struct WatchActor {
    name: WatchName,
    who: String,
    source: Box<dyn InstanceSource>,
    policy: WatchPolicy,
    neighbours: WatchNeighbours,
    timers: Timers<Timer>,
    under_way: Option<(QueryId, SpawnHandle)>,
    random: Random,
    log: Logger,
    _guard: Option<PanicGuard>,
}

impl std::fmt::Debug for WatchActor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WatchActor").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl WatchActor {
    /// A watch that has seen nothing. It asks as soon as it is started.
    pub fn new(
        spec: &WatchSpec,
        source: Box<dyn InstanceSource>,
        neighbours: WatchNeighbours,
        log: &Logger,
        guard: Option<PanicGuard>,
    ) -> Self {
        Self {
            name: spec.name.clone(),
            who: format!("watch.{}", spec.name),
            source,
            policy: WatchPolicy::new(spec, timers::now()),
            neighbours,
            timers: Timers::default(),
            under_way: None,
            random: Random::from_entropy(),
            log: log.new(o!("watch" => spec.name.to_string())),
            _guard: guard,
        }
    }

    fn perform(&mut self, actions: Vec<Action>, ctx: &mut Context<Self>) {
        for action in actions {
            match action {
                Action::Query(id, index) => self.query(id, index, ctx),
                Action::Forget(id) => {
                    if let Some((_, query)) = self.under_way.take_if(|(under_way, _)| *under_way == id) {
                        ctx.cancel_future(query);
                    }
                }
                Action::Changed => self.export(),
                Action::Publish(code) => self.publish(code),
                Action::Arm(timer, after) => self.timers.arm(timer, after, ctx),
                Action::Disarm(timer) => self.timers.disarm(timer, ctx),
            }
        }
    }

    fn query(&mut self, id: QueryId, index: Option<u64>, ctx: &mut Context<Self>) {
        let asking = self.source.ask(index).into_actor(self);
        // With an index it waits for news, and takes as long as they do.
        let asked = index.is_none().then(timers::now);
        let query = ctx.spawn(asking.map(move |answer, actor, ctx| {
            let took = asked.map(|at| timers::now().duration_since(at));
            actor.answered(id, took, answer, ctx);
        }));
        self.under_way = Some((id, query));
    }

    fn answered(
        &mut self,
        id: QueryId,
        took: Option<Duration>,
        answer: Result<Answer, RequestError>,
        ctx: &mut Context<Self>,
    ) {
        let contact = CatalogContact::new(&self.who, "watch", took, answer.as_ref().err());
        self.neighbours.contacts.do_send(contact);
        let actions = match answer {
            Ok(answer) => self.policy.answered(id, answer, timers::now()),
            Err(error) => {
                self.policy.hold_back(error.retry_after().unwrap_or_default());
                self.policy.failed(id, self.random.fraction())
            }
        };
        self.perform(actions, ctx);
    }

    /// Tells every process started from now on who is there.
    fn export(&self) {
        let instances = self.policy.instances().unwrap_or_default();
        let (id, memory) = &self.neighbours.memory;
        memory.do_send(WatchSaw(*id, instances.to_vec()));
        info!(self.log, "instances changed"; "instances" => instances.len());
        let value = list(instances);
        if value.len() > LONGEST_VARIABLE {
            warn!(self.log, "too many instances for a variable, jobs see the first ones only");
        }
        let value = cut(&value).into();
        self.neighbours.reaper.do_send(ReaperCommand::PutEnv(vec![(variable(&self.name), Some(value))]));
    }

    fn publish(&self, code: EventCode) {
        self.neighbours.bus.do_send(BusCommand::Publish(Event::watch(code, &self.name)));
    }
}

/// The variable that holds the instances of a watch.
pub(crate) fn variable(name: &WatchName) -> OsString {
    // Version 2's backends with a tag are `NAME.TAG`, which no shell could read.
    format!("CONTAINERPILOT_WATCH_{}", name.as_str().to_uppercase().replace(['-', '.', '#'], "_")).into()
}

fn list(instances: &[Instance]) -> String {
    let words: Vec<String> = instances.iter().map(Instance::to_string).collect();
    words.join(",")
}

/// As many whole instances as a variable may hold.
fn cut(list: &str) -> &str {
    if list.len() <= LONGEST_VARIABLE {
        return list;
    }
    let end = list.as_bytes()[..LONGEST_VARIABLE].iter().rposition(|byte| *byte == b',').unwrap_or(0);
    list.get(..end).unwrap_or_default()
}

impl Actor for WatchActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let actions = self.policy.start(timers::now());
        self.perform(actions, ctx);
    }
}

impl Handler<StopWatching> for WatchActor {
    type Result = ();

    fn handle(&mut self, _msg: StopWatching, ctx: &mut Self::Context) {
        debug!(self.log, "no longer watching");
        ctx.stop();
    }
}

impl Handler<Maintain> for WatchActor {
    type Result = ();

    fn handle(&mut self, msg: Maintain, ctx: &mut Self::Context) {
        let actions = self.policy.maintenance(msg.0, timers::now());
        self.perform(actions, ctx);
    }
}

/// Another watch takes this one's place.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct HandOver(pub Addr<WatchActor>);

impl Handler<HandOver> for WatchActor {
    type Result = ();

    fn handle(&mut self, HandOver(heir): HandOver, ctx: &mut Self::Context) {
        if let Some(instances) = self.policy.instances() {
            heir.do_send(Inherit(instances.to_vec()));
        }
        ctx.stop();
    }
}

/// What the watch has seen whose place this one takes.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Inherit(pub Vec<Instance>);

impl Handler<Inherit> for WatchActor {
    type Result = ();

    fn handle(&mut self, msg: Inherit, _ctx: &mut Self::Context) {
        self.policy.inherit(msg.0);
    }
}

/// Who kept the log of outages died, and this is the new one.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ReplaceContacts(pub Recipient<CatalogContact>);

impl Handler<ReplaceContacts> for WatchActor {
    type Result = ();

    fn handle(&mut self, msg: ReplaceContacts, _ctx: &mut Self::Context) {
        self.neighbours.contacts = msg.0;
    }
}

impl Handler<WatchStatusQuery> for WatchActor {
    type Result = WatchStatus;

    fn handle(&mut self, _query: WatchStatusQuery, _ctx: &mut Self::Context) -> WatchStatus {
        WatchStatus { name: self.name.clone(), instances: self.policy.instances().map(<[Instance]>::to_vec) }
    }
}

/// What has been seen already counts for a job that a reload has just started.
impl Handler<TellFact> for WatchActor {
    type Result = ();

    fn handle(&mut self, ask: TellFact, _ctx: &mut Self::Context) {
        if self.policy.is_fact(ask.event.code) {
            ask.to.do_send(ask.event);
        }
    }
}

impl Handler<FactQuery> for WatchActor {
    type Result = bool;

    fn handle(&mut self, query: FactQuery, _ctx: &mut Self::Context) -> bool {
        self.policy.is_fact(query.0)
    }
}

impl Handler<TimerElapsed<Timer>> for WatchActor {
    type Result = ();

    fn handle(&mut self, elapsed: TimerElapsed<Timer>, ctx: &mut Self::Context) {
        self.timers.elapsed(elapsed.0, ctx);
        let actions = self.policy.elapsed(elapsed.0, timers::now());
        self.perform(actions, ctx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> WatchSpec {
        crate::testing::watch("my-db")
    }

    #[test]
    fn jobs_see_whole_instances_only() {
        assert_eq!(variable(&spec().name), "CONTAINERPILOT_WATCH_MY_DB");
        assert_eq!(variable(&WatchName::new("db.blue#2")), "CONTAINERPILOT_WATCH_DB_BLUE_2");
        let instance = |n: u16| Instance { address: "10.0.0.1".into(), port: n };
        assert_eq!(list(&[instance(1), instance(2)]), "10.0.0.1:1,10.0.0.1:2");
        let many: Vec<Instance> = (10_000..20_000).map(instance).collect();
        let text = list(&many);
        let cut = cut(&text);
        assert!(
            cut.len() <= LONGEST_VARIABLE
                && cut.len() > LONGEST_VARIABLE - 20
                && cut.ends_with(|c: char| c.is_ascii_digit())
        );
        assert_eq!(cut.rsplit(',').next().map(str::len), Some("10.0.0.1:10000".len()));
    }
}
