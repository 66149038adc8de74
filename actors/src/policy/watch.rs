//! When a watch asks the catalog, and what a change of the instances means (discovery-semantics section 4).
//!
//! ```text
//! Pausing --time, a token--> Asking --answer--> Asking at once (blocking), or Pausing for an interval (not blocking)
//!                                  --failure--> Pausing, longer each time
//! any --maintenance, if it pauses then--> Resting --its end--> Asking
//! ```
//!
//! Not here: requests and their answers; that is `watch` and each catalog.

use std::fmt;
use std::time::{Duration, Instant};

use crate::event::EventCode;
use crate::policy::service::vary;
use crate::spec::WatchSpec;

/// So many queries may follow each other at once.
const BURST: f64 = 10.0;
/// So many more each second.
const RATE: f64 = 1.0;
/// An answer without news that comes sooner did not block.
pub const BLOCKS: Duration = Duration::from_secs(1);
/// The first pause after a failure; the next ones are twice as long each.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// How far a pause may differ at random, as a part of it.
const JITTER: f64 = 0.25;
/// A change that never rests is acted upon after so many `debounce`s.
const PATIENCE: u32 = 10;

/// Where an instance is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instance {
    /// An address, or a name.
    pub address: Box<str>,
    /// Its port.
    pub port: u16,
}

impl Instance {
    /// None if the address is nothing that a list in a variable could tell: the other instances have to be found there, and a
    /// NUL would keep the whole variable from every process.
    pub fn of(address: &str, port: u16) -> Option<Self> {
        let is_strange = |c: char| c == ',' || c.is_whitespace() || c.is_control();
        (!address.is_empty() && !address.contains(is_strange)).then(|| Self { address: address.into(), port })
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.address.contains(':') {
            write!(f, "[{}]:{}", self.address, self.port)
        } else {
            write!(f, "{}:{}", self.address, self.port)
        }
    }
}

/// One query: a watch counts its queries from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QueryId(pub u64);

/// What the catalog answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The index to wait for the end of; absent if the catalog has none that makes sense.
    pub index: Option<u64>,
    /// In any order.
    pub instances: Vec<Instance>,
}

/// A timer of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timer {
    /// The pause after this query.
    Next(QueryId),
    /// The rest that the answer to this query needs before it counts.
    Settle(QueryId),
}

/// What the actor has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask, and wait while the index is this one.
    Query(QueryId, Option<u64>),
    /// Nobody wants to know the answer any more.
    Forget(QueryId),
    /// The instances are others now: `instances` of the policy.
    Changed,
    /// Emit an event of this watch.
    Publish(EventCode),
    /// Wake up after this time.
    Arm(Timer, Duration),
    /// Never mind.
    Disarm(Timer),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Asking {
        id: QueryId,
        index: Option<u64>,
        since: Instant,
    },
    Pausing(QueryId),
    /// In maintenance; nothing is under way.
    Resting(QueryId),
}

#[derive(Debug)]
struct Unsettled {
    instances: Vec<Instance>,
    timer: Timer,
    since: Instant,
}

/// One watch.
#[derive(Debug)]
pub struct WatchPolicy {
    delay: Duration,
    interval: Duration,
    min_instances: usize,
    debounce: Duration,
    pauses: bool,
    phase: Phase,
    index: Option<u64>,
    /// How long the catalog does not want to be asked after the failure that is told next.
    held_back: Duration,
    /// The index of a query that did not block. It may mean nothing where that was answered, so the next query is one without an index.
    doubted: Option<u64>,
    failures: u32,
    tokens: f64,
    refilled: Instant,
    instances: Vec<Instance>,
    /// Whether there ever was a good answer.
    known: bool,
    /// Whether an answer ever held an instance.
    has_seen: bool,
    unsettled: Option<Unsettled>,
}

impl WatchPolicy {
    /// A watch that has seen nothing, and has not asked.
    pub fn new(spec: &WatchSpec, now: Instant) -> Self {
        Self {
            delay: spec.delay,
            interval: spec.interval,
            min_instances: spec.min_instances.max(1),
            debounce: spec.debounce,
            pauses: spec.pauses,
            phase: Phase::Pausing(QueryId(0)),
            index: None,
            held_back: Duration::ZERO,
            doubted: None,
            failures: 0,
            tokens: BURST,
            refilled: now,
            instances: Vec::new(),
            known: false,
            has_seen: false,
            unsettled: None,
        }
    }

    /// The instances last seen, in order; `None` before the first answer.
    pub fn instances(&self) -> Option<&[Instance]> {
        self.known.then_some(&*self.instances)
    }

    /// Whether an event of this watch is a fact that stands. One that has never seen an instance has none.
    pub fn is_fact(&self, code: EventCode) -> bool {
        let healthy = self.instances.len() >= self.min_instances;
        self.has_seen
            && ((code == EventCode::StatusHealthy && healthy) || (code == EventCode::StatusUnhealthy && !healthy))
    }

    /// Asks for the first time, or as soon as it is time for that.
    pub fn start(&mut self, now: Instant) -> Vec<Action> {
        if self.delay.is_zero() { self.ask(now) } else { self.pause(QueryId(0), self.delay) }
    }

    /// The process enters maintenance, or leaves it. What changed in between is what the first look afterwards finds.
    pub fn maintenance(&mut self, on: bool, now: Instant) -> Vec<Action> {
        match self.phase {
            Phase::Asking { .. } | Phase::Pausing(_) if on && self.pauses => {
                let actions = self.let_go();
                self.phase = Phase::Resting(self.last());
                actions
            }
            Phase::Resting(_) if !on => self.ask(now),
            Phase::Asking { .. } | Phase::Pausing(_) | Phase::Resting(_) => Vec::new(),
        }
    }

    /// What another watch has seen at the same place: the first answer is compared with that.
    pub fn inherit(&mut self, instances: Vec<Instance>) {
        if !self.known {
            self.known = true;
            self.has_seen |= !instances.is_empty();
            self.instances = instances;
        }
    }

    fn last(&self) -> QueryId {
        match self.phase {
            Phase::Asking { id, .. } | Phase::Pausing(id) | Phase::Resting(id) => id,
        }
    }

    /// Forgets what is under way, but not what was seen.
    fn let_go(&mut self) -> Vec<Action> {
        self.index = None;
        self.failures = 0;
        let mut actions = match self.phase {
            Phase::Asking { id, .. } => vec![Action::Forget(id)],
            Phase::Pausing(id) => vec![Action::Disarm(Timer::Next(id))],
            Phase::Resting(_) => Vec::new(),
        };
        actions.extend(self.unsettled.take().map(|unsettled| Action::Disarm(unsettled.timer)));
        actions
    }

    /// An answer. `random` is in 0.0..1.0.
    pub fn answered(&mut self, id: QueryId, answer: Answer, now: Instant) -> Vec<Action> {
        let Phase::Asking { id: current, index: asked, since } = self.phase else { return Vec::new() };
        if current != id {
            return Vec::new();
        }
        self.failures = 0;
        self.known = true;
        let mut actions = self.saw(id, answer.instances, now);
        self.phase = Phase::Pausing(id);
        let before = std::mem::replace(&mut self.index, answer.index.filter(|index| *index > 0));
        let took = now.saturating_duration_since(since);
        let doubted = self.doubted.take();
        actions.extend(match (self.index, before) {
            (None, _) => self.pause(id, self.interval),
            // Servers that were restored or restarted: their indexes are not those of before.
            (Some(index), Some(before)) if index < before => {
                self.index = None;
                self.ask(now)
            }
            (Some(index), _) if asked == Some(index) && took < BLOCKS => {
                self.doubted = self.index.take();
                self.pause(id, self.interval.saturating_sub(took))
            }
            // Whatever answers here does not block, and nothing is new: it is still asked once an interval.
            (Some(index), _) if asked.is_none() && doubted == Some(index) => {
                self.pause(id, self.interval.saturating_sub(took))
            }
            (Some(_), _) => self.ask(now),
        });
        actions
    }

    /// The failure that is told next comes with the wish not to be asked again before this time has passed.
    pub fn hold_back(&mut self, pause: Duration) {
        self.held_back = pause;
    }

    /// No answer, or one that makes no sense. `random` is in 0.0..1.0.
    pub fn failed(&mut self, id: QueryId, random: f64) -> Vec<Action> {
        match self.phase {
            Phase::Asking { id: current, .. } if current == id => {}
            Phase::Asking { .. } | Phase::Pausing(_) | Phase::Resting(_) => return Vec::new(),
        }
        self.phase = Phase::Pausing(id);
        self.index = None;
        self.doubted = None;
        let longest = self.interval.clamp(Duration::from_secs(1), Duration::from_secs(10));
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(16)).min(longest);
        self.failures = self.failures.saturating_add(1);
        let held_back = std::mem::take(&mut self.held_back);
        self.pause(id, vary(pause, JITTER, random).max(held_back))
    }

    /// A timer went off, perhaps one that no longer matters.
    pub fn elapsed(&mut self, timer: Timer, now: Instant) -> Vec<Action> {
        match (timer, self.phase) {
            (Timer::Next(id), Phase::Pausing(current)) if id == current => self.ask(now),
            (Timer::Next(_), Phase::Asking { .. } | Phase::Pausing(_) | Phase::Resting(_)) => Vec::new(),
            (Timer::Settle(_), _) => {
                let settled = self.unsettled.take_if(|unsettled| unsettled.timer == timer);
                settled.map(|settled| self.change(settled.instances)).unwrap_or_default()
            }
        }
    }

    fn pause(&self, id: QueryId, pause: Duration) -> Vec<Action> {
        vec![Action::Arm(Timer::Next(id), pause)]
    }

    /// Asks if the bucket has a token, or as soon as it has one.
    fn ask(&mut self, now: Instant) -> Vec<Action> {
        let passed = now.saturating_duration_since(self.refilled).as_secs_f64();
        self.tokens = (self.tokens + passed * RATE).min(BURST);
        self.refilled = now;
        let last = self.last();
        if self.tokens < 1.0 {
            let wait = Duration::from_secs_f64((1.0 - self.tokens) / RATE) + Duration::from_millis(1);
            self.phase = Phase::Pausing(last);
            return self.pause(last, wait);
        }
        self.tokens -= 1.0;
        let id = QueryId(last.0 + 1);
        self.phase = Phase::Asking { id, index: self.index, since: now };
        vec![Action::Query(id, self.index)]
    }

    fn saw(&mut self, id: QueryId, mut instances: Vec<Instance>, now: Instant) -> Vec<Action> {
        instances.sort_unstable();
        let before = self.unsettled.take();
        let mut actions: Vec<Action> = before.iter().map(|unsettled| Action::Disarm(unsettled.timer)).collect();
        if instances == self.instances {
            return actions;
        }
        if self.debounce.is_zero() {
            actions.extend(self.change(instances));
            return actions;
        }
        let since = before.map_or(now, |unsettled| unsettled.since);
        let left = (self.debounce * PATIENCE).saturating_sub(now.saturating_duration_since(since));
        let timer = Timer::Settle(id);
        self.unsettled = Some(Unsettled { instances, timer, since });
        actions.push(Action::Arm(timer, self.debounce.min(left)));
        actions
    }

    fn change(&mut self, instances: Vec<Instance>) -> Vec<Action> {
        self.has_seen |= !instances.is_empty();
        self.instances = instances;
        let healthy = self.instances.len() >= self.min_instances;
        let status = if healthy { EventCode::StatusHealthy } else { EventCode::StatusUnhealthy };
        vec![Action::Changed, Action::Publish(EventCode::StatusChanged), Action::Publish(status)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix::clock::Instant as Clock;

    fn spec(interval: u64) -> WatchSpec {
        WatchSpec { interval: Duration::from_secs(interval), ..crate::testing::watch("db") }
    }

    fn now() -> Instant {
        Clock::now().into_std()
    }

    fn instances(ports: &[u16]) -> Vec<Instance> {
        ports.iter().map(|port| Instance { address: "10.0.0.1".into(), port: *port }).collect()
    }

    fn answer(index: u64, ports: &[u16]) -> Answer {
        Answer { index: Some(index), instances: instances(ports) }
    }

    fn query(id: u64, index: u64) -> Action {
        Action::Query(QueryId(id), Some(index))
    }

    fn next(id: u64, millis: u64) -> Action {
        Action::Arm(Timer::Next(QueryId(id)), Duration::from_millis(millis))
    }

    fn change(code: EventCode) -> [Action; 3] {
        [Action::Changed, Action::Publish(EventCode::StatusChanged), Action::Publish(code)]
    }

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// Has asked once and been told of nobody at index 5; query 2 blocks.
    fn idle(spec: &WatchSpec, at: Instant) -> WatchPolicy {
        let mut policy = WatchPolicy::new(spec, at);
        assert_eq!(policy.start(at), [Action::Query(QueryId(1), None)]);
        assert_eq!(policy.answered(QueryId(1), answer(5, &[]), at), [query(2, 5)]);
        policy
    }

    #[test]
    fn each_change_makes_its_events_once() {
        let at = now();
        let mut policy = idle(&spec(1), at);
        let cases: [(&[u16], Option<EventCode>); 6] = [
            (&[], None),
            (&[1, 2], Some(EventCode::StatusHealthy)),
            (&[2, 1], None),
            (&[2], Some(EventCode::StatusHealthy)),
            (&[], Some(EventCode::StatusUnhealthy)),
            (&[], None),
        ];
        for (id, (ports, code)) in (2..).zip(cases) {
            let mut want: Vec<Action> = code.map(change).into_iter().flatten().collect();
            want.push(query(id + 1, id + 100));
            assert_eq!(policy.answered(QueryId(id), answer(id + 100, ports), at), want, "{ports:?}");
        }
    }

    #[test]
    fn an_answer_after_the_wait_period_is_followed_by_the_next_query() {
        let at = now();
        let mut policy = idle(&spec(1), at);
        assert_eq!(policy.answered(QueryId(2), answer(5, &[]), at + secs(60)), [query(3, 5)]);
    }

    #[test]
    fn an_agent_that_does_not_block_is_asked_once_an_interval_and_every_other_time_without_an_index() {
        let at = now();
        let mut policy = idle(&spec(7), at);
        assert_eq!(policy.answered(QueryId(2), answer(5, &[]), at + Duration::from_millis(400)), [next(2, 6600)]);
        assert_eq!(policy.elapsed(Timer::Next(QueryId(2)), at + secs(7)), [Action::Query(QueryId(3), None)]);
        assert_eq!(policy.elapsed(Timer::Next(QueryId(2)), at + secs(7)), [], "a stray timer");
        assert_eq!(policy.answered(QueryId(3), answer(5, &[]), at + secs(7)), [next(3, 7000)]);
        assert_eq!(policy.elapsed(Timer::Next(QueryId(3)), at + secs(14)), [query(4, 5)]);
        assert_eq!(policy.answered(QueryId(4), answer(5, &[]), at + secs(14)), [next(4, 7000)]);
    }

    #[test]
    fn after_an_early_answer_the_state_of_another_cluster_is_seen_within_an_interval() {
        let at = now();
        let mut policy = idle(&spec(7), at);
        assert_eq!(policy.answered(QueryId(2), answer(5, &[]), at), [next(2, 7000)]);
        policy.elapsed(Timer::Next(QueryId(2)), at + secs(7));
        let seen = policy.answered(QueryId(3), answer(2, &[1]), at + secs(7));
        assert_eq!(seen[..3], change(EventCode::StatusHealthy));
        assert_eq!(seen[3..], [query(4, 2)], "an index that has moved is waited for again");
    }

    #[test]
    fn without_an_index_there_is_nothing_to_wait_for() {
        let at = now();
        for index in [None, Some(0)] {
            let mut policy = idle(&spec(3), at);
            let gone = Answer { index, instances: Vec::new() };
            assert_eq!(policy.answered(QueryId(2), gone, at), [next(2, 3000)]);
            assert_eq!(policy.elapsed(Timer::Next(QueryId(2)), at), [Action::Query(QueryId(3), None)]);
        }
    }

    #[test]
    fn an_index_that_moves_backwards_is_dropped() {
        let at = now();
        let mut policy = idle(&spec(1), at);
        assert_eq!(policy.answered(QueryId(2), answer(3, &[]), at), [Action::Query(QueryId(3), None)]);
        assert_eq!(policy.answered(QueryId(3), answer(3, &[]), at), [query(4, 3)]);
    }

    #[test]
    fn failures_pause_longer_each_time_and_keep_the_state() {
        let at = now();
        let mut policy = idle(&spec(3), at);
        assert_eq!(policy.answered(QueryId(2), answer(6, &[1]), at)[3], query(3, 6));
        for (id, millis) in [(3, 500), (4, 1000), (5, 2000), (6, 3000), (7, 3000)] {
            assert_eq!(policy.failed(QueryId(id), 0.5), [next(id, millis)]);
            assert_eq!(policy.failed(QueryId(id), 0.5), [], "a stale failure");
            let asked = policy.elapsed(Timer::Next(QueryId(id)), at + secs(id));
            assert_eq!(asked, [Action::Query(QueryId(id + 1), None)]);
        }
        assert_eq!(policy.answered(QueryId(8), answer(7, &[1]), at + secs(9)), [query(9, 7)]);
        assert_eq!(policy.failed(QueryId(9), 0.0), [next(9, 375)]);
        assert_eq!(policy.instances(), Some(&*instances(&[1])));
    }

    #[test]
    fn a_catalog_that_asks_for_a_pause_gets_it() {
        let at = now();
        let mut policy = idle(&spec(3), at);
        policy.hold_back(secs(20));
        assert_eq!(policy.failed(QueryId(2), 0.5), [next(2, 20_000)]);
        policy.elapsed(Timer::Next(QueryId(2)), at + secs(20));
        assert_eq!(policy.failed(QueryId(3), 0.5), [next(3, 1000)]);
    }

    #[test]
    fn an_index_that_never_rests_costs_one_query_a_second() {
        let at = now();
        let mut policy = WatchPolicy::new(&spec(1), at);
        let (mut actions, mut time, mut queries) = (policy.start(at), at, 0);
        while time < at + secs(100) {
            let [action] = &*actions else { panic!("{actions:?}") };
            actions = match action {
                Action::Query(id, _) => {
                    queries += 1;
                    time += Duration::from_millis(5);
                    policy.answered(*id, answer(queries + 10, &[]), time)
                }
                Action::Arm(timer, pause) => {
                    time += *pause;
                    policy.elapsed(*timer, time)
                }
                Action::Forget(_) | Action::Changed | Action::Publish(_) | Action::Disarm(_) => panic!("{action:?}"),
            };
        }
        assert!((105..=111).contains(&queries), "{queries}");
    }

    #[test]
    fn fewer_than_enough_instances_are_unhealthy() {
        let at = now();
        let mut policy = idle(&WatchSpec { min_instances: 2, ..spec(1) }, at);
        assert_eq!(policy.answered(QueryId(2), answer(6, &[1]), at)[..3], change(EventCode::StatusUnhealthy));
        assert_eq!(policy.answered(QueryId(3), answer(7, &[1, 2]), at)[..3], change(EventCode::StatusHealthy));
    }

    #[test]
    fn changes_that_follow_each_other_quickly_are_one() {
        let at = now();
        let mut policy = idle(&WatchSpec { debounce: Duration::from_millis(500), ..spec(1) }, at);
        let settle = |id| Timer::Settle(QueryId(id));
        let half = Duration::from_millis(500);
        assert_eq!(policy.answered(QueryId(2), answer(6, &[1]), at), [Action::Arm(settle(2), half), query(3, 6)]);
        let again = [Action::Disarm(settle(2)), Action::Arm(settle(3), half), query(4, 7)];
        assert_eq!(policy.answered(QueryId(3), answer(7, &[1, 2]), at), again);
        assert_eq!(policy.elapsed(settle(2), at), [], "a stray timer");
        assert_eq!(policy.elapsed(settle(3), at + half), change(EventCode::StatusHealthy));
        policy.answered(QueryId(4), answer(8, &[1]), at + secs(1));
        let back = [Action::Disarm(settle(4)), query(6, 9)];
        assert_eq!(policy.answered(QueryId(5), answer(9, &[2, 1]), at + secs(1)), back, "back as it was: no change");
    }

    #[test]
    fn a_change_that_never_rests_is_acted_upon_in_the_end() {
        let at = now();
        let mut policy = idle(&WatchSpec { debounce: secs(1), ..spec(1) }, at);
        policy.answered(QueryId(2), answer(6, &[1]), at);
        let late = policy.answered(QueryId(3), answer(7, &[2]), at + secs(12));
        assert!(late.contains(&Action::Arm(Timer::Settle(QueryId(3)), Duration::ZERO)), "{late:?}");
    }

    /// Has seen port 1, and waits for the answer to query 3.
    fn pausing(at: Instant) -> WatchPolicy {
        let mut policy = idle(&WatchSpec { pauses: true, ..spec(1) }, at);
        let seen = policy.answered(QueryId(2), answer(6, &[1]), at);
        assert_eq!(seen[..3], change(EventCode::StatusHealthy));
        policy
    }

    #[test]
    fn in_maintenance_nothing_is_asked_and_what_was_missed_is_one_change() {
        let at = now();
        let mut policy = pausing(at);
        assert_eq!(policy.maintenance(true, at), [Action::Forget(QueryId(3))]);
        assert_eq!(policy.maintenance(true, at), []);
        assert_eq!(policy.answered(QueryId(3), answer(7, &[2]), at), [], "nobody wants to know");
        assert_eq!(policy.failed(QueryId(3), 0.5), []);
        assert_eq!(policy.maintenance(false, at), [Action::Query(QueryId(4), None)]);
        assert_eq!(policy.answered(QueryId(4), answer(9, &[2]), at)[..3], change(EventCode::StatusHealthy));
        assert_eq!(policy.maintenance(false, at), []);
    }

    #[test]
    fn what_is_as_before_the_maintenance_is_no_change() {
        let at = now();
        let mut policy = pausing(at);
        policy.maintenance(true, at);
        policy.maintenance(false, at);
        assert_eq!(policy.answered(QueryId(4), answer(9, &[1]), at), [query(5, 9)]);
    }

    #[test]
    fn a_watch_that_does_not_pause_goes_on_in_maintenance() {
        let at = now();
        let mut policy = idle(&spec(1), at);
        assert_eq!(policy.maintenance(true, at), []);
        assert_eq!(policy.answered(QueryId(2), answer(6, &[1]), at)[..3], change(EventCode::StatusHealthy));
    }

    #[test]
    fn what_another_watch_saw_is_no_change() {
        let at = now();
        let mut policy = WatchPolicy::new(&WatchSpec { delay: secs(4), ..spec(4) }, at);
        assert_eq!(policy.start(at), [next(0, 4000)]);
        policy.inherit(instances(&[1]));
        assert_eq!(policy.elapsed(Timer::Next(QueryId(0)), at + secs(4)), [Action::Query(QueryId(1), None)]);
        assert_eq!(policy.answered(QueryId(1), answer(9, &[1]), at + secs(4)), [query(2, 9)]);
        policy.inherit(instances(&[2]));
        assert_eq!(policy.instances(), Some(&*instances(&[1])), "it knows better by now");
    }

    #[test]
    fn instances_read_as_addresses() {
        let six = Instance { address: "2001:db8::7".into(), port: 80 };
        assert_eq!(format!("{six} {}", instances(&[9])[0]), "[2001:db8::7]:80 10.0.0.1:9");
    }
}
