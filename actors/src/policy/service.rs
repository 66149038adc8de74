//! What the catalog is asked for one service, and when (discovery-semantics sections 3 and 5).
//!
//! ```text
//! what the agent has:   Absent --register--> Present --deregister, unknown--> Absent      any --no answer--> Unsure
//! what we want of it:   Clean (leftovers of an earlier life), Enter (initial status), Pass, Fail, Leave; or nothing
//! ```
//!
//! One request is under way at a time. While one is, or while a failed one waits for its next try, there is one wish at
//! most: a newer one replaces it, so that nothing piles up while the agent is slow or away.
//!
//! Not here: how requests are made and answers read; that is for each catalog.

use std::time::Duration;

use crate::policy::job::Report;
use crate::spec::{InitialStatus, ServiceSpec};

/// The first pause after a failure; the next ones are twice as long each, up to the interval of the check.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// How far a pause may differ at random, as a part of it.
const JITTER: f64 = 0.2;
/// How long a registration that is under way may delay the deregistration that has to come after it.
const HURRY: Duration = Duration::from_millis(500);
/// How often the agent's entry is compared with ours, more or less.
const COMPARE: Duration = Duration::from_secs(60);
/// How much more or less, as a part of it.
const COMPARE_JITTER: f64 = 0.25;

/// The status of a service in a catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// `passing`
    Passing,
    /// `warning`
    Warning,
    /// `critical`
    Critical,
}

impl Status {
    /// Consul's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl From<InitialStatus> for Status {
    fn from(initial: InitialStatus) -> Self {
        match initial {
            InitialStatus::Passing => Self::Passing,
            InitialStatus::Warning => Self::Warning,
            InitialStatus::Critical => Self::Critical,
        }
    }
}

/// One request to the agent: a service counts its requests from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(pub u64);

/// What the agent is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// What it has under our id.
    Look,
    /// To register the service with this status.
    Register(Status),
    /// To take this as the service's status.
    Heartbeat(Status, String),
    /// To take the service out.
    Deregister,
}

impl Request {
    /// The word for registering.
    pub const REGISTER: &str = "register";

    /// What is asked, in a word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::Register(_) => Self::REGISTER,
            Self::Heartbeat(..) => "heartbeat",
            Self::Deregister => "deregister",
        }
    }
}

/// What the agent has of a service, for those who look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// Nothing, as it should be at present: in maintenance, stopped, or before the first passing check.
    Absent,
    /// It is being told.
    Pending,
    /// The service.
    Registered,
    /// The service, which is being taken out.
    Leaving,
}

/// What the agent answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done; what a look found is what we registered.
    Done,
    /// A look found something else than we registered.
    Differs,
    /// The agent does not know the service, or no longer, because it is not well.
    Unknown,
    /// The request never left us.
    Unsent,
    /// Anything else, silence included.
    Failed,
}

/// A timer of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timer {
    /// The pause after a failed request.
    Retry(RequestId),
    /// The registration that delays a deregistration.
    Hurry(RequestId),
    /// The next comparison, after this request.
    Compare(RequestId),
}

/// What the actor has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask the agent.
    Send(RequestId, Request),
    /// Forget a request that is under way.
    Cancel(RequestId),
    /// Wake up after this time.
    Arm(Timer, Duration),
    /// Never mind.
    Disarm(Timer),
}

/// What the agent has of us, as far as we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Absent,
    Present,
    /// Perhaps nothing, perhaps not what it should be.
    Unsure,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Wish {
    Nothing,
    Clean,
    Compare,
    Enter(Status),
    Pass,
    Fail(String),
    Leave,
}

/// The newest health report.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Latest {
    None,
    Passed,
    /// With the reason, if the catalog has to know.
    Failed(Option<String>),
}

/// What an earlier life of ours has left in the catalog. A registration does not change the status of a check that Consul knows, so that
/// an initial status would count only when the `ttl` of the old one has lapsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leftovers {
    /// Not looked for yet.
    Unknown,
    /// There is something to take out.
    Found,
    /// None, or none any more.
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Serving,
    Maintenance,
    Withdrawn,
    Closing,
}

#[derive(Clone, Debug)]
struct UnderWay {
    id: RequestId,
    request: Request,
    wish: Wish,
    /// What is advertised has changed since it was sent.
    outdated: bool,
}

/// One service's side of the catalog.
#[derive(Debug)]
pub struct ServicePolicy {
    initial: Option<Status>,
    interval: Duration,
    phase: Phase,
    entry: Entry,
    latest: Latest,
    wish: Wish,
    under_way: Option<UnderWay>,
    /// The failed request whose pause lasts.
    pausing: Option<RequestId>,
    /// The registration that is not waited for much longer.
    hurried: Option<RequestId>,
    /// How long the catalog does not want to be asked after the failure that is told next.
    held_back: Duration,
    /// What an earlier life of ours may have left there.
    leftovers: Leftovers,
    /// Failures in a row; those of comparisons do not count.
    failures: u32,
    last: RequestId,
    compare: Option<Timer>,
}

impl ServicePolicy {
    /// A service of which the agent has nothing from us. `inherited`: a predecessor of ours may have registered it, and
    /// its health goes on.
    pub fn new(spec: &ServiceSpec, maintenance: bool, inherited: bool) -> Self {
        Self {
            initial: spec.initial_status.map(Status::from),
            interval: spec.interval,
            phase: if maintenance { Phase::Maintenance } else { Phase::Serving },
            entry: if inherited { Entry::Unsure } else { Entry::Absent },
            latest: Latest::None,
            wish: Wish::Nothing,
            under_way: None,
            pausing: None,
            hurried: None,
            held_back: Duration::ZERO,
            leftovers: if inherited { Leftovers::None } else { Leftovers::Unknown },
            failures: 0,
            last: RequestId(0),
            compare: None,
        }
    }

    /// The job is there, perhaps again and changed.
    pub fn advertise(&mut self, spec: &ServiceSpec, maintenance: bool) -> Vec<Action> {
        self.initial = spec.initial_status.map(Status::from);
        self.interval = spec.interval;
        self.latest = Latest::None;
        match self.phase {
            Phase::Closing => return Vec::new(),
            Phase::Serving | Phase::Maintenance | Phase::Withdrawn => {}
        }
        self.phase = if maintenance { Phase::Maintenance } else { Phase::Serving };
        match (self.initial, self.entry) {
            (Some(status), _) if !maintenance => self.wish = Wish::Enter(status),
            (_, Entry::Absent) if self.under_way.is_none() => self.wish = Wish::Clean,
            // What is there goes on, or its deregistration does.
            (_, Entry::Absent | Entry::Present | Entry::Unsure) => {}
        }
        self.outdate();
        self.pump()
    }

    /// News of the job's health.
    pub fn report(&mut self, report: Report) -> Vec<Action> {
        match (report, self.phase) {
            (Report::Withdraw, Phase::Serving | Phase::Maintenance) => {
                self.phase = Phase::Withdrawn;
                self.leave()
            }
            (Report::Passed, Phase::Serving) => {
                self.latest = Latest::Passed;
                self.wish = Wish::Pass;
                self.pump()
            }
            (Report::Failed { critical, reason }, Phase::Serving) => self.failed(critical.then_some(reason)),
            // A check that began before the maintenance, or before the stop.
            (
                Report::Withdraw | Report::Passed | Report::Failed { .. },
                Phase::Maintenance | Phase::Withdrawn | Phase::Closing,
            ) => Vec::new(),
        }
    }

    fn failed(&mut self, critical: Option<String>) -> Vec<Action> {
        let known = match &self.latest {
            Latest::Failed(known) => known.clone(),
            Latest::None | Latest::Passed => None,
        };
        if let Some(reason) = &critical
            && !matches!(self.wish, Wish::Enter(_))
            && !self.is_entering()
        {
            self.wish = Wish::Fail(reason.clone());
        } else if self.wish == Wish::Pass {
            self.wish = Wish::Nothing;
        }
        self.latest = Latest::Failed(critical.or(known));
        self.pump()
    }

    fn is_entering(&self) -> bool {
        self.under_way.as_ref().is_some_and(|under_way| matches!(under_way.wish, Wish::Enter(_)))
    }

    /// The process enters maintenance, or leaves it.
    pub fn maintenance(&mut self, on: bool) -> Vec<Action> {
        match (self.phase, on) {
            (Phase::Serving, true) => {
                self.phase = Phase::Maintenance;
                self.leave()
            }
            (Phase::Maintenance, false) => {
                self.phase = Phase::Serving;
                if let Some(status) = self.initial {
                    self.wish = Wish::Enter(status);
                }
                self.pump()
            }
            (Phase::Serving | Phase::Maintenance | Phase::Withdrawn | Phase::Closing, _) => Vec::new(),
        }
    }

    /// What is advertised has changed, the address for one: the agent has to know, unless the service is unhealthy.
    pub fn changed(&mut self) -> Vec<Action> {
        self.outdate();
        self.restore()
    }

    /// What the agent has, or is being told, is no longer what it should have.
    fn outdate(&mut self) {
        if self.entry == Entry::Present {
            self.entry = Entry::Unsure;
        }
        if let Some(under_way) = &mut self.under_way {
            under_way.outdated = true;
        }
    }

    /// Everything ends: the service is taken out, and failures are repeated without growing pauses.
    pub fn finish(&mut self) -> Vec<Action> {
        self.phase = Phase::Closing;
        self.leave()
    }

    /// Whether the agent has nothing of us, and nothing is under way.
    pub fn is_gone(&self) -> bool {
        let over = matches!(self.phase, Phase::Withdrawn | Phase::Closing);
        over && self.under_way.is_none() && self.wish == Wish::Nothing
    }

    /// How the service's registration stands, as far as we know.
    pub fn registration(&self) -> Registration {
        let nothing_to_do = self.under_way.is_none() && self.wish == Wish::Nothing;
        let entering = matches!(self.wish, Wish::Enter(_) | Wish::Pass)
            || self.is_entering()
            || matches!(&self.under_way, Some(UnderWay { request: Request::Register(_), .. }));
        match (self.phase, self.entry) {
            (Phase::Serving, Entry::Present) => Registration::Registered,
            (Phase::Serving, Entry::Absent) if !entering => Registration::Absent,
            (Phase::Serving, Entry::Absent | Entry::Unsure) => Registration::Pending,
            (Phase::Maintenance | Phase::Withdrawn | Phase::Closing, Entry::Absent) if nothing_to_do => {
                Registration::Absent
            }
            (Phase::Maintenance | Phase::Withdrawn | Phase::Closing, _) => Registration::Leaving,
        }
    }

    fn leave(&mut self) -> Vec<Action> {
        let mut actions: Vec<Action> = self.compare.take().map(Action::Disarm).into_iter().collect();
        actions.extend(self.pausing.take().map(|id| Action::Disarm(Timer::Retry(id))));
        self.latest = Latest::None;
        self.failures = 0;
        self.wish = if self.entry == Entry::Absent { Wish::Nothing } else { Wish::Leave };
        if let Some(under_way) = self.under_way.clone() {
            let id = under_way.id;
            match under_way.request {
                Request::Look | Request::Heartbeat(..) => {
                    actions.push(Action::Cancel(id));
                    self.under_way = None;
                }
                // It must not overtake what comes next, nor delay it for long.
                Request::Register(_) => {
                    self.entry = Entry::Unsure;
                    self.wish = Wish::Leave;
                    if self.hurried != Some(id) {
                        self.hurried = Some(id);
                        actions.push(Action::Arm(Timer::Hurry(id), HURRY));
                    }
                }
                Request::Deregister => {
                    self.wish = Wish::Nothing;
                    // Perhaps it was to be registered afterwards.
                    self.under_way = Some(UnderWay { wish: Wish::Leave, ..under_way });
                }
            }
        }
        actions.extend(self.pump());
        actions
    }

    /// The failure that is told next comes with the wish not to be asked again before this time has passed.
    pub fn hold_back(&mut self, pause: Duration) {
        self.held_back = pause;
    }

    /// The agent answered, or will not. `random` is in 0.0..1.0.
    pub fn answered(&mut self, id: RequestId, answer: Answer, random: f64) -> Vec<Action> {
        let hurried = self.hurried.take_if(|hurried| *hurried == id);
        let mut actions: Vec<Action> = hurried.map(|id| Action::Disarm(Timer::Hurry(id))).into_iter().collect();
        actions.extend(self.take_answer(id, answer, random));
        actions
    }

    fn take_answer(&mut self, id: RequestId, answer: Answer, random: f64) -> Vec<Action> {
        let Some(under_way) = self.under_way.take_if(|under_way| under_way.id == id) else { return Vec::new() };
        let UnderWay { request, wish, outdated, .. } = under_way;
        let as_told = if outdated { Entry::Unsure } else { Entry::Present };
        let mut actions = Vec::new();
        match (request, answer) {
            (Request::Look, answer) if matches!(wish, Wish::Clean | Wish::Enter(_)) => {
                return self.looked_for_leftovers(wish, answer, random);
            }
            (Request::Deregister, Answer::Done | Answer::Unknown | Answer::Differs)
                if matches!(wish, Wish::Enter(_)) =>
            {
                self.entry = Entry::Absent;
                self.leftovers = Leftovers::None;
                self.failures = 0;
                self.wish_again(wish);
            }
            (Request::Look, answer) => return self.compared(answer, as_told, random),
            (Request::Register(_), Answer::Done | Answer::Differs) => {
                self.entry = as_told;
                self.leftovers = Leftovers::None;
                self.registered(&wish);
                actions.extend(self.arm_compare(random));
            }
            (Request::Heartbeat(..), Answer::Done | Answer::Differs) => {
                self.entry = as_told;
                self.failures = 0;
                if self.compare.is_none() {
                    actions.extend(self.arm_compare(random));
                }
            }
            (Request::Heartbeat(..), Answer::Unknown) => {
                self.entry = Entry::Absent;
                // At once, but an agent that forgets whatever it is told is not asked ever faster.
                if wish == Wish::Pass && self.failures > 0 {
                    return self.pause(wish, random);
                }
                self.failures = 1;
                self.wish_again(wish);
            }
            (Request::Deregister, Answer::Done | Answer::Unknown | Answer::Differs) => {
                self.entry = Entry::Absent;
                self.leftovers = Leftovers::None;
                self.failures = 0;
            }
            (Request::Register(_), Answer::Unsent)
            | (Request::Heartbeat(..) | Request::Deregister, Answer::Unsent | Answer::Failed) => {
                return self.pause(wish, random);
            }
            // A catalog that holds only what is well has nothing now, as it should be.
            (Request::Register(_), Answer::Unknown) => {
                self.entry = Entry::Absent;
                self.failures = 0;
            }
            (Request::Register(_), Answer::Failed) => {
                self.entry = Entry::Unsure;
                return self.pause(wish, random);
            }
        }
        actions.extend(self.pump());
        actions
    }

    fn registered(&mut self, wish: &Wish) {
        match (wish, &self.latest) {
            (Wish::Pass, Latest::Passed) => self.wish_again(Wish::Pass),
            (Wish::Enter(_), Latest::Failed(Some(reason))) => self.wish_again(Wish::Fail(reason.clone())),
            // A registration for a passed check does not end a row of failures, the heartbeat after it does.
            (Wish::Enter(_), _) => self.failures = 0,
            (Wish::Nothing | Wish::Clean | Wish::Compare | Wish::Pass | Wish::Fail(_) | Wish::Leave, _) => {}
        }
    }

    fn looked_for_leftovers(&mut self, wish: Wish, answer: Answer, random: f64) -> Vec<Action> {
        match (answer, &wish) {
            (Answer::Unknown, _) => {
                self.leftovers = Leftovers::None;
                if wish != Wish::Clean {
                    self.wish_again(wish);
                }
            }
            (Answer::Done | Answer::Differs, _) => {
                self.entry = Entry::Unsure;
                self.leftovers = Leftovers::Found;
                self.wish_again(if wish == Wish::Clean { Wish::Leave } else { wish });
            }
            (Answer::Unsent, _) | (Answer::Failed, Wish::Clean) => return self.pause(wish, random),
            // If we are not allowed to look, we may be allowed to register.
            (Answer::Failed, _) => {
                self.leftovers = Leftovers::Found;
                return self.pause(wish, random);
            }
        }
        self.failures = 0;
        self.pump()
    }

    fn compared(&mut self, answer: Answer, as_told: Entry, random: f64) -> Vec<Action> {
        let mut actions = self.arm_compare(random);
        self.entry = match answer {
            Answer::Done => as_told,
            Answer::Differs => Entry::Unsure,
            Answer::Unknown => Entry::Absent,
            Answer::Unsent | Answer::Failed => self.entry,
        };
        actions.extend(match answer {
            Answer::Differs | Answer::Unknown => self.restore(),
            Answer::Done | Answer::Unsent | Answer::Failed => self.pump(),
        });
        actions
    }

    /// Registers anew what is well; what is not waits for its next passing check.
    fn restore(&mut self) -> Vec<Action> {
        if self.phase == Phase::Serving {
            match (&self.latest, self.initial, self.entry) {
                (_, _, Entry::Present) => {}
                (Latest::Passed, _, _) => self.wish_again(Wish::Pass),
                (Latest::None, Some(status), _) => self.wish_again(Wish::Enter(status)),
                (Latest::None | Latest::Failed(_), _, _) => {}
            }
        }
        self.pump()
    }

    /// Wishes this, unless something newer is wished already.
    fn wish_again(&mut self, wish: Wish) {
        let outdated = match (&wish, &self.latest) {
            (Wish::Pass, latest) => *latest != Latest::Passed,
            (Wish::Fail(_), latest) => !matches!(latest, Latest::Failed(_)),
            (Wish::Nothing | Wish::Clean | Wish::Compare | Wish::Enter(_) | Wish::Leave, _) => false,
        };
        if self.wish == Wish::Nothing && !outdated {
            self.wish = wish;
        }
    }

    fn pause(&mut self, wish: Wish, random: f64) -> Vec<Action> {
        self.wish_again(wish);
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let pause = match self.phase {
            Phase::Closing => FIRST_PAUSE,
            Phase::Serving | Phase::Maintenance | Phase::Withdrawn => {
                vary(doubled.min(self.interval.max(FIRST_PAUSE)), JITTER, random)
            }
        };
        let pause = pause.max(std::mem::take(&mut self.held_back));
        if self.wish == Wish::Nothing {
            return Vec::new();
        }
        self.pausing = Some(self.last);
        vec![Action::Arm(Timer::Retry(self.last), pause)]
    }

    fn arm_compare(&mut self, random: f64) -> Vec<Action> {
        let mut actions: Vec<Action> = self.compare.take().map(Action::Disarm).into_iter().collect();
        if self.phase == Phase::Serving {
            let timer = Timer::Compare(self.last);
            self.compare = Some(timer);
            actions.push(Action::Arm(timer, vary(COMPARE, COMPARE_JITTER, random)));
        }
        actions
    }

    /// A timer went off, perhaps one that no longer matters.
    pub fn elapsed(&mut self, timer: Timer) -> Vec<Action> {
        match timer {
            Timer::Retry(id) if self.pausing == Some(id) => {
                self.pausing = None;
                self.pump()
            }
            Timer::Hurry(id) if self.under_way.as_ref().is_some_and(|under_way| under_way.id == id) => {
                self.hurried = None;
                self.under_way = None;
                let mut actions = vec![Action::Cancel(id)];
                actions.extend(self.pump());
                actions
            }
            Timer::Compare(_) if self.compare == Some(timer) => {
                self.compare = None;
                self.wish_again(Wish::Compare);
                self.pump()
            }
            Timer::Retry(_) | Timer::Hurry(_) | Timer::Compare(_) => Vec::new(),
        }
    }

    /// Sends what is wished, if it is time.
    fn pump(&mut self) -> Vec<Action> {
        if self.under_way.is_some() || self.pausing.is_some() {
            return Vec::new();
        }
        let wish = std::mem::replace(&mut self.wish, Wish::Nothing);
        let request = match (&wish, self.entry) {
            (Wish::Nothing, _) | (Wish::Fail(_) | Wish::Leave, Entry::Absent) => return Vec::new(),
            (Wish::Clean | Wish::Compare, _) => Request::Look,
            (Wish::Enter(_), _) if self.leftovers == Leftovers::Unknown => Request::Look,
            (Wish::Enter(_), _) if self.leftovers == Leftovers::Found => Request::Deregister,
            (Wish::Enter(status), _) => Request::Register(*status),
            (Wish::Pass, Entry::Present) => Request::Heartbeat(Status::Passing, "ok".to_owned()),
            (Wish::Pass, Entry::Absent | Entry::Unsure) => Request::Register(Status::Passing),
            (Wish::Fail(reason), Entry::Present | Entry::Unsure) => {
                Request::Heartbeat(Status::Critical, reason.clone())
            }
            (Wish::Leave, Entry::Present | Entry::Unsure) => Request::Deregister,
        };
        let id = RequestId(self.last.0 + 1);
        self.last = id;
        self.under_way = Some(UnderWay { id, request: request.clone(), wish, outdated: false });
        vec![Action::Send(id, request)]
    }
}

/// More or less this time; `random` is in 0.0..1.0.
pub fn vary(time: Duration, jitter: f64, random: f64) -> Duration {
    time.mul_f64(1.0 + jitter * (2.0 * random - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIDDLE: f64 = 0.5;

    fn spec(initial_status: Option<InitialStatus>) -> ServiceSpec {
        ServiceSpec { initial_status, interval: Duration::from_secs(2), ..crate::testing::service("web") }
    }

    fn failed(critical: bool) -> Report {
        Report::Failed { critical, reason: "refused".to_owned() }
    }

    fn send(id: u64, request: Request) -> Action {
        Action::Send(RequestId(id), request)
    }

    fn beat(id: u64) -> Action {
        send(id, Request::Heartbeat(Status::Passing, "ok".to_owned()))
    }

    fn register(id: u64) -> Action {
        send(id, Request::Register(Status::Passing))
    }

    fn retry(id: u64, millis: u64) -> Action {
        Action::Arm(Timer::Retry(RequestId(id)), Duration::from_millis(millis))
    }

    fn compare(id: u64) -> Action {
        Action::Arm(Timer::Compare(RequestId(id)), COMPARE)
    }

    /// A service that has been looked for, registered (2) and heartbeaten (3).
    fn present() -> ServicePolicy {
        let spec = spec(None);
        let mut policy = ServicePolicy::new(&spec, false, false);
        assert_eq!(policy.advertise(&spec, false), [send(1, Request::Look)]);
        assert_eq!(policy.answered(RequestId(1), Answer::Unknown, MIDDLE), []);
        assert_eq!(policy.report(Report::Passed), [register(2)]);
        assert_eq!(policy.answered(RequestId(2), Answer::Done, MIDDLE), [compare(2), beat(3)]);
        assert_eq!(policy.answered(RequestId(3), Answer::Done, MIDDLE), []);
        policy
    }

    #[test]
    fn a_registration_stands_as_it_was_answered() {
        let spec = spec(None);
        let mut policy = ServicePolicy::new(&spec, false, false);
        policy.advertise(&spec, false);
        assert_eq!(policy.registration(), Registration::Absent);
        policy.answered(RequestId(1), Answer::Unknown, MIDDLE);
        policy.report(Report::Passed);
        assert_eq!(policy.registration(), Registration::Pending);
        policy.answered(RequestId(2), Answer::Failed, MIDDLE);
        assert_eq!(policy.registration(), Registration::Pending);
        let mut policy = present();
        assert_eq!(policy.registration(), Registration::Registered);
        policy.maintenance(true);
        assert_eq!(policy.registration(), Registration::Leaving);
        policy.answered(RequestId(4), Answer::Done, MIDDLE);
        assert_eq!(policy.registration(), Registration::Absent);
    }

    #[test]
    fn each_passing_check_is_one_heartbeat() {
        let mut policy = present();
        assert_eq!(policy.report(Report::Passed), [beat(4)]);
        assert_eq!(policy.answered(RequestId(4), Answer::Done, MIDDLE), []);
        assert_eq!(policy.report(failed(false)), []);
        assert_eq!(policy.report(Report::Passed), [beat(5)]);
    }

    #[test]
    fn what_an_earlier_life_left_behind_is_taken_out() {
        let spec = spec(None);
        let mut policy = ServicePolicy::new(&spec, false, false);
        policy.advertise(&spec, false);
        assert_eq!(policy.answered(RequestId(1), Answer::Differs, MIDDLE), [send(2, Request::Deregister)]);
        assert_eq!(policy.answered(RequestId(2), Answer::Done, MIDDLE), []);
        assert_eq!(policy.report(Report::Passed), [register(3)]);
    }

    #[test]
    fn a_check_that_passes_while_leftovers_are_looked_for_registers_over_them() {
        let spec = spec(None);
        let mut policy = ServicePolicy::new(&spec, false, false);
        policy.advertise(&spec, false);
        assert_eq!(policy.report(Report::Passed), []);
        assert_eq!(policy.answered(RequestId(1), Answer::Differs, MIDDLE), [register(2)]);
    }

    #[test]
    fn initial_status_registers_without_a_heartbeat_and_is_repeated_while_checks_fail() {
        let spec = spec(Some(InitialStatus::Warning));
        let mut policy = ServicePolicy::new(&spec, false, false);
        let warning = Request::Register(Status::Warning);
        assert_eq!(policy.advertise(&spec, false), [send(1, Request::Look)]);
        assert_eq!(policy.registration(), Registration::Pending);
        assert_eq!(policy.answered(RequestId(1), Answer::Unknown, MIDDLE), [send(2, warning.clone())]);
        assert_eq!(policy.answered(RequestId(2), Answer::Unsent, MIDDLE), [retry(2, 500)]);
        assert_eq!(policy.report(failed(false)), []);
        assert_eq!(policy.elapsed(Timer::Retry(RequestId(2))), [send(3, warning)]);
        assert_eq!(policy.answered(RequestId(3), Answer::Done, MIDDLE), [compare(3)]);
        assert_eq!(policy.report(Report::Passed), [beat(4)]);
    }

    #[test]
    fn an_initial_status_counts_at_once_whatever_an_earlier_life_left_behind() {
        let spec = spec(Some(InitialStatus::Critical));
        let mut policy = ServicePolicy::new(&spec, false, false);
        policy.advertise(&spec, false);
        assert_eq!(policy.answered(RequestId(1), Answer::Done, MIDDLE), [send(2, Request::Deregister)]);
        assert_eq!(policy.registration(), Registration::Pending);
        assert_eq!(policy.answered(RequestId(2), Answer::Failed, MIDDLE), [retry(2, 500)]);
        assert_eq!(policy.elapsed(Timer::Retry(RequestId(2))), [send(3, Request::Deregister)]);
        assert_eq!(policy.answered(RequestId(3), Answer::Done, MIDDLE), [send(4, Request::Register(Status::Critical))]);
        policy.answered(RequestId(4), Answer::Done, MIDDLE);
        assert_eq!(policy.report(Report::Withdraw)[1], send(5, Request::Deregister));
        // What we have taken out ourselves is no leftover.
        policy.answered(RequestId(5), Answer::Done, MIDDLE);
        assert_eq!(policy.advertise(&spec, false), [send(6, Request::Register(Status::Critical))]);
    }

    #[test]
    fn a_catalog_that_refuses_to_be_looked_at_may_take_a_registration() {
        let spec = spec(Some(InitialStatus::Passing));
        let mut policy = ServicePolicy::new(&spec, false, false);
        policy.advertise(&spec, false);
        assert_eq!(policy.answered(RequestId(1), Answer::Failed, MIDDLE), [retry(1, 500)]);
        assert_eq!(policy.elapsed(Timer::Retry(RequestId(1))), [send(2, Request::Deregister)]);
        assert_eq!(policy.answered(RequestId(2), Answer::Unknown, MIDDLE), [register(3)]);
    }

    #[test]
    fn a_stop_while_leftovers_are_taken_out_registers_nothing() {
        let spec = spec(Some(InitialStatus::Critical));
        let mut policy = ServicePolicy::new(&spec, false, false);
        policy.advertise(&spec, false);
        policy.answered(RequestId(1), Answer::Differs, MIDDLE);
        assert_eq!(policy.report(Report::Withdraw), []);
        assert_eq!(policy.answered(RequestId(2), Answer::Failed, MIDDLE), [retry(2, 500)]);
        assert_eq!(policy.elapsed(Timer::Retry(RequestId(2))), [send(3, Request::Deregister)]);
        assert_eq!(policy.answered(RequestId(3), Answer::Done, MIDDLE), []);
        assert!(policy.is_gone());
    }

    #[test]
    fn the_nth_failure_is_told_at_once_and_a_passing_check_heartbeats_again() {
        let mut policy = present();
        let critical = Request::Heartbeat(Status::Critical, "refused".to_owned());
        assert_eq!(policy.report(failed(true)), [send(4, critical)]);
        assert_eq!(policy.answered(RequestId(4), Answer::Done, MIDDLE), []);
        assert_eq!(policy.report(Report::Passed), [beat(5)]);
    }

    #[test]
    fn a_critical_that_fails_is_repeated_through_further_failures() {
        let mut policy = present();
        policy.report(failed(true));
        assert_eq!(policy.answered(RequestId(4), Answer::Failed, MIDDLE), [retry(4, 500)]);
        assert_eq!(policy.report(failed(false)), []);
        let critical = Request::Heartbeat(Status::Critical, "refused".to_owned());
        assert_eq!(policy.elapsed(Timer::Retry(RequestId(4))), [send(5, critical)]);
    }

    #[test]
    fn what_is_unhealthy_is_never_registered() {
        let mut policy = present();
        policy.report(failed(true));
        assert_eq!(policy.answered(RequestId(4), Answer::Unknown, MIDDLE), []);
        assert_eq!(policy.report(failed(false)), []);
        assert_eq!(policy.report(Report::Passed), [register(5)]);
    }

    #[test]
    fn an_agent_that_lost_us_is_told_again_at_once_but_not_ever_faster() {
        let mut policy = present();
        assert_eq!(policy.report(Report::Passed), [beat(4)]);
        assert_eq!(policy.answered(RequestId(4), Answer::Unknown, MIDDLE), [register(5)]);
        let again = [Action::Disarm(Timer::Compare(RequestId(2))), compare(5), beat(6)];
        assert_eq!(policy.answered(RequestId(5), Answer::Done, MIDDLE), again);
        assert_eq!(policy.answered(RequestId(6), Answer::Unknown, MIDDLE), [retry(6, 1000)]);
        assert_eq!(policy.elapsed(Timer::Retry(RequestId(6))), [register(7)]);
    }

    #[test]
    fn pauses_double_up_to_the_interval_and_the_newest_result_waits_for_their_end() {
        let mut policy = present();
        policy.report(Report::Passed);
        let mut id = 4;
        for millis in [500, 1000, 2000, 2000] {
            assert_eq!(policy.answered(RequestId(id), Answer::Failed, MIDDLE), [retry(id, millis)]);
            assert_eq!(policy.report(Report::Passed), [], "nothing piles up");
            assert_eq!(policy.elapsed(Timer::Retry(RequestId(id))), [beat(id + 1)]);
            assert_eq!(policy.elapsed(Timer::Retry(RequestId(id))), [], "a stray timer");
            id += 1;
        }
        assert_eq!(policy.answered(RequestId(id), Answer::Done, MIDDLE), []);
        policy.report(Report::Passed);
        assert_eq!(policy.answered(RequestId(id + 1), Answer::Failed, 0.0), [retry(id + 1, 400)]);
    }

    #[test]
    fn a_catalog_that_asks_for_a_pause_gets_it() {
        let mut policy = present();
        policy.report(Report::Passed);
        policy.hold_back(Duration::from_secs(7));
        assert_eq!(policy.answered(RequestId(4), Answer::Failed, MIDDLE), [retry(4, 7000)]);
        assert_eq!(policy.report(Report::Passed), []);
        policy.elapsed(Timer::Retry(RequestId(4)));
        assert_eq!(policy.answered(RequestId(5), Answer::Failed, MIDDLE), [retry(5, 1000)]);
    }

    #[test]
    fn a_failing_check_takes_back_the_heartbeat_that_waits() {
        let mut policy = present();
        policy.report(Report::Passed);
        policy.answered(RequestId(4), Answer::Failed, MIDDLE);
        assert_eq!(policy.report(failed(false)), []);
        assert_eq!(policy.elapsed(Timer::Retry(RequestId(4))), []);
    }

    #[test]
    fn a_stop_drops_the_heartbeat_under_way_and_deregisters_at_once() {
        let mut policy = present();
        policy.report(Report::Passed);
        let actions = policy.report(Report::Withdraw);
        let compare = Action::Disarm(Timer::Compare(RequestId(2)));
        assert_eq!(actions, [compare, Action::Cancel(RequestId(4)), send(5, Request::Deregister)]);
        assert_eq!(policy.report(Report::Passed), []);
        assert!(!policy.is_gone());
        assert_eq!(policy.answered(RequestId(5), Answer::Done, MIDDLE), []);
        assert!(policy.is_gone());
    }

    #[test]
    fn a_stop_waits_a_little_for_the_registration_under_way() {
        let spec = spec(Some(InitialStatus::Passing));
        let mut policy = ServicePolicy::new(&spec, false, false);
        policy.advertise(&spec, false);
        policy.answered(RequestId(1), Answer::Unknown, MIDDLE);
        assert_eq!(policy.report(Report::Withdraw), [Action::Arm(Timer::Hurry(RequestId(2)), HURRY)]);
        let hurried = [Action::Cancel(RequestId(2)), send(3, Request::Deregister)];
        assert_eq!(policy.elapsed(Timer::Hurry(RequestId(2))), hurried);
        assert_eq!(policy.answered(RequestId(2), Answer::Done, MIDDLE), [], "a stale answer");
    }

    #[test]
    fn what_was_never_registered_is_not_deregistered() {
        let spec = spec(None);
        let mut policy = ServicePolicy::new(&spec, false, false);
        policy.advertise(&spec, false);
        policy.report(Report::Passed);
        assert_eq!(policy.answered(RequestId(1), Answer::Unknown, MIDDLE), [register(2)]);
        assert_eq!(policy.answered(RequestId(2), Answer::Unsent, MIDDLE), [retry(2, 500)]);
        assert_eq!(policy.finish(), [Action::Disarm(Timer::Retry(RequestId(2)))]);
        assert!(policy.is_gone());
    }

    #[test]
    fn at_the_end_failures_are_repeated_every_half_second() {
        let mut policy = present();
        let disarm = Action::Disarm(Timer::Compare(RequestId(2)));
        assert_eq!(policy.finish(), [disarm, send(4, Request::Deregister)]);
        for id in 4..8 {
            assert_eq!(policy.answered(RequestId(id), Answer::Failed, 0.9), [retry(id, 500)]);
            assert_eq!(policy.elapsed(Timer::Retry(RequestId(id))), [send(id + 1, Request::Deregister)]);
        }
        assert!(!policy.is_gone());
    }

    #[test]
    fn maintenance_takes_out_and_the_next_passing_check_brings_back() {
        let mut policy = present();
        let disarm = Action::Disarm(Timer::Compare(RequestId(2)));
        assert_eq!(policy.maintenance(true), [disarm, send(4, Request::Deregister)]);
        assert_eq!(policy.maintenance(true), []);
        assert_eq!(policy.report(Report::Passed), []);
        assert_eq!(policy.answered(RequestId(4), Answer::Done, MIDDLE), []);
        assert_eq!(policy.maintenance(false), []);
        assert_eq!(policy.report(Report::Passed), [register(5)]);
    }

    #[test]
    fn initial_status_counts_again_after_maintenance() {
        let spec = spec(Some(InitialStatus::Critical));
        let mut policy = ServicePolicy::new(&spec, true, false);
        assert_eq!(policy.advertise(&spec, true), [send(1, Request::Look)]);
        policy.answered(RequestId(1), Answer::Unknown, MIDDLE);
        assert_eq!(policy.maintenance(false), [send(2, Request::Register(Status::Critical))]);
    }

    #[test]
    fn a_changed_job_is_registered_after_its_deregistration_is_answered() {
        let changed = spec(Some(InitialStatus::Passing));
        let mut policy = present();
        policy.report(Report::Withdraw);
        assert_eq!(policy.advertise(&changed, false), []);
        assert_eq!(policy.answered(RequestId(4), Answer::Done, MIDDLE), [register(5)]);
    }

    #[test]
    fn lost_and_edited_entries_are_mended() {
        for (answer, what) in [(Answer::Unknown, "lost"), (Answer::Differs, "edited")] {
            let mut policy = present();
            assert_eq!(policy.elapsed(Timer::Compare(RequestId(2))), [send(4, Request::Look)], "{what}");
            assert_eq!(policy.answered(RequestId(4), answer, MIDDLE), [compare(4), register(5)], "{what}");
            let disarm = Action::Disarm(Timer::Compare(RequestId(4)));
            assert_eq!(policy.answered(RequestId(5), Answer::Done, MIDDLE), [disarm, compare(5), beat(6)]);
        }
    }

    #[test]
    fn a_catalog_may_hold_only_what_is_well() {
        let spec = spec(Some(InitialStatus::Warning));
        let mut policy = ServicePolicy::new(&spec, false, false);
        policy.advertise(&spec, false);
        let warning = send(2, Request::Register(Status::Warning));
        assert_eq!(policy.answered(RequestId(1), Answer::Unknown, MIDDLE), [warning]);
        assert_eq!(policy.answered(RequestId(2), Answer::Unknown, MIDDLE), [], "nothing to repeat, nothing to compare");
        assert_eq!(policy.registration(), Registration::Absent);
        assert_eq!(policy.report(Report::Passed), [register(3)]);
        policy.answered(RequestId(3), Answer::Done, MIDDLE);
        policy.answered(RequestId(4), Answer::Done, MIDDLE);
        assert_eq!(policy.report(failed(true)), [send(5, Request::Heartbeat(Status::Critical, "refused".to_owned()))]);
        assert_eq!(policy.answered(RequestId(5), Answer::Unknown, MIDDLE), []);
        assert_eq!(policy.registration(), Registration::Absent);
        assert_eq!(policy.report(failed(true)), [], "it is gone already");
        assert_eq!(policy.report(Report::Passed), [register(6)]);
    }

    #[test]
    fn a_new_address_is_registered_with_the_status_that_we_know() {
        let mut policy = present();
        assert_eq!(policy.changed(), [register(4)]);
        let mut policy = present();
        policy.report(failed(false));
        assert_eq!(policy.changed(), [], "unhealthy: the next passing check tells it");
        assert_eq!(policy.report(Report::Passed), [register(4)]);
    }

    #[test]
    fn a_new_address_is_registered_whatever_is_under_way() {
        let mut policy = present();
        assert_eq!(policy.report(Report::Passed), [beat(4)]);
        assert_eq!(policy.changed(), []);
        assert_eq!(policy.answered(RequestId(4), Answer::Done, MIDDLE), [register(5)]);
        assert_eq!(policy.changed(), [], "the registration has the old one");
        let disarm = Action::Disarm(Timer::Compare(RequestId(2)));
        assert_eq!(policy.answered(RequestId(5), Answer::Done, MIDDLE), [disarm, compare(5), register(6)]);

        let mut policy = present();
        assert_eq!(policy.elapsed(Timer::Compare(RequestId(2))), [send(4, Request::Look)]);
        assert_eq!(policy.changed(), []);
        assert_eq!(policy.answered(RequestId(4), Answer::Done, MIDDLE), [compare(4), register(5)]);
    }

    #[test]
    fn a_predecessors_service_is_not_taken_for_a_leftover() {
        let spec = spec(None);
        let mut policy = ServicePolicy::new(&spec, false, true);
        assert_eq!(policy.advertise(&spec, false), []);
        assert_eq!(policy.report(Report::Passed), [register(1)]);
    }

    #[test]
    fn random_histories_never_have_two_requests_under_way() {
        for seed in 1..=4000 {
            let spec = spec((seed % 2 == 0).then_some(InitialStatus::Critical));
            let mut random = crate::random::Random::from_seed(seed);
            let mut policy = ServicePolicy::new(&spec, false, false);
            let mut actions = policy.advertise(&spec, false);
            let (mut under_way, mut timers): (Option<RequestId>, Vec<Timer>) = (None, Vec::new());
            for _ in 0..200 {
                for action in actions.drain(..) {
                    match action {
                        Action::Send(id, _) => {
                            assert_eq!(under_way, None, "seed {seed}: two at once");
                            under_way = Some(id);
                        }
                        Action::Cancel(id) => assert_eq!(under_way.take(), Some(id)),
                        Action::Arm(timer, pause) => {
                            assert!(pause <= COMPARE.mul_f64(1.3));
                            timers.push(timer);
                        }
                        Action::Disarm(timer) => timers.retain(|armed| *armed != timer),
                    }
                    assert!(timers.len() <= 4, "seed {seed}: timers pile up: {timers:?}");
                }
                let answers = [Answer::Done, Answer::Differs, Answer::Unknown, Answer::Unsent, Answer::Failed];
                let fraction = random.fraction();
                let mut pick = |n: usize| random.below(u32::try_from(n).unwrap()) as usize;
                actions = match pick(9) {
                    0 => policy.report(Report::Passed),
                    1 => policy.report(failed(false)),
                    2 => policy.report(failed(true)),
                    3 => policy.maintenance(fraction > 0.5),
                    4 if fraction < 0.3 => policy.report(Report::Withdraw),
                    4 => policy.advertise(&spec, false),
                    5 if !timers.is_empty() => {
                        let timer = timers.swap_remove(pick(timers.len()));
                        policy.elapsed(timer)
                    }
                    _ => match under_way.take() {
                        Some(id) => policy.answered(id, answers[pick(answers.len())], fraction),
                        None => Vec::new(),
                    },
                };
            }
        }
    }
}
