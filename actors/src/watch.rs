//! One actor per watch: asks Consul when its policy says so, and tells everybody what has changed.

use std::ffi::OsString;
use std::time::Duration;

use actix::prelude::*;
use slog::{Logger, debug, info, o, warn};

use crate::consul_agent::{ConsulClient, RequestError, percent_encode};
use crate::event::{Event, EventCode, WatchName};
use crate::guard::PanicGuard;
use crate::messages::{BusCommand, CatalogContact, ReaperCommand, StopWatching, WatchStatus, WatchStatusQuery};
use crate::policy::watch::{Action, Answer, Instance, QueryId, Timer, WatchPolicy};
use crate::random::Random;
use crate::spec::WatchSpec;
use crate::timers::{self, TimerElapsed, Timers};

/// How long Consul keeps a question if it has no news.
const WAIT: Duration = Duration::from_secs(60);
/// How long the answer may take: Consul spreads the ends of its waits by a sixteenth.
const PATIENCE: Duration = Duration::from_millis(60_000 + 60_000 / 16 + 5_000);
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
}

/// See the module.
#[derive(Debug)]
pub struct WatchActor {
    name: WatchName,
    /// Path and query of what is asked, without index.
    path: String,
    who: String,
    client: ConsulClient,
    policy: WatchPolicy,
    neighbours: WatchNeighbours,
    timers: Timers<Timer>,
    in_trouble: bool,
    random: Random,
    log: Logger,
    _guard: Option<PanicGuard>,
}

impl WatchActor {
    /// A watch that has seen nothing. It asks as soon as it is started.
    pub fn new(
        spec: &WatchSpec,
        client: ConsulClient,
        neighbours: WatchNeighbours,
        log: &Logger,
        guard: Option<PanicGuard>,
    ) -> Self {
        Self {
            name: spec.name.clone(),
            path: path(spec),
            who: format!("watch.{}", spec.name),
            client,
            policy: WatchPolicy::new(spec, timers::now()),
            neighbours,
            timers: Timers::default(),
            in_trouble: false,
            random: Random::from_entropy(),
            log: log.new(o!("watch" => spec.name.to_string())),
            _guard: guard,
        }
    }

    fn perform(&mut self, actions: Vec<Action>, ctx: &mut Context<Self>) {
        for action in actions {
            match action {
                Action::Query(id, index) => self.query(id, index, ctx),
                Action::Changed => self.export(),
                Action::Publish(code) => self.publish(code),
                Action::Arm(timer, after) => self.timers.arm(timer, after, ctx),
                Action::Disarm(timer) => self.timers.disarm(timer, ctx),
            }
        }
    }

    fn query(&self, id: QueryId, index: Option<u64>, ctx: &mut Context<Self>) {
        let path = match index {
            Some(index) => format!("{}&index={index}&wait={}s", self.path, WAIT.as_secs()),
            None => self.path.clone(),
        };
        let client = self.client.clone();
        let asking = async move { client.instances(&path, PATIENCE).await };
        ctx.spawn(asking.into_actor(self).map(move |answer, actor, ctx| actor.answered(id, answer, ctx)));
    }

    fn answered(&mut self, id: QueryId, answer: Result<Answer, RequestError>, ctx: &mut Context<Self>) {
        if answer.is_err() || self.in_trouble {
            self.in_trouble = answer.is_err();
            self.neighbours.contacts.do_send(CatalogContact::new(&self.who, answer.as_ref().err()));
        }
        let actions = match answer {
            Ok(answer) => self.policy.answered(id, answer, timers::now()),
            Err(_) => self.policy.failed(id, self.random.fraction()),
        };
        self.perform(actions, ctx);
    }

    /// Tells every process started from now on who is there.
    fn export(&self) {
        let instances = self.policy.instances().unwrap_or_default();
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

fn path(spec: &WatchSpec) -> String {
    let mut path = format!("/v1/health/service/{}?passing=1", percent_encode(spec.name.as_str()));
    for tag in &spec.tags {
        path.push_str(&format!("&tag={}", percent_encode(tag)));
    }
    if let Some(dc) = &spec.dc {
        path.push_str(&format!("&dc={}", percent_encode(dc)));
    }
    if spec.stale {
        path.push_str("&stale");
    }
    path
}

fn variable(name: &WatchName) -> OsString {
    format!("CONTAINERPILOT_WATCH_{}", name.as_str().to_uppercase().replace('-', "_")).into()
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

impl Handler<TimerElapsed<Timer>> for WatchActor {
    type Result = ();

    fn handle(&mut self, elapsed: TimerElapsed<Timer>, ctx: &mut Self::Context) {
        self.timers.elapsed(elapsed.0);
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
    fn tags_and_datacenter_are_asked_for() {
        assert_eq!(path(&spec()), "/v1/health/service/my-db?passing=1");
        let tags = vec!["pro d&1".to_owned(), "rw".to_owned()];
        let spec = WatchSpec { tags, dc: Some("dc2".to_owned()), stale: true, ..spec() };
        assert_eq!(path(&spec), "/v1/health/service/my-db?passing=1&tag=pro%20d%261&tag=rw&dc=dc2&stale");
    }

    #[test]
    fn jobs_see_whole_instances_only() {
        assert_eq!(variable(&spec().name), "CONTAINERPILOT_WATCH_MY_DB");
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
