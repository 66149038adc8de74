//! The JobActor's handlers ask the policy and perform its answer.

use actix::prelude::*;
use containerpilot_actors::event::{Event, EventCode, Exit, JobName, Owner, RunEnd, RunId};
use containerpilot_actors::job::{JobActor, JobNeighbours, ReplaceCatalog};
use containerpilot_actors::messages::{
    BusCommand, CatalogCommand, CheckCommand, CheckReport, GroupSignal, JobCommand, JobFact, ReaperCommand, RunFact,
    RunReport,
};
use containerpilot_actors::policy::job::{CheckControl, Checked, Completion, JobPolicy, Report, Surroundings};
use containerpilot_actors::spec::{Budget, JobSpec, StartRule};
use containerpilot_actors::testing::{Probe, job, millis, probe, secs};
use slog::{Discard, Logger, o};

struct Scene {
    job: Addr<JobActor>,
    reaper: Probe<ReaperCommand>,
    bus: Probe<BusCommand>,
    supervisor: Probe<JobFact>,
    check: Probe<CheckCommand>,
}

fn scene(spec: &JobSpec) -> Scene {
    let ((to_reaper, reaper), (to_bus, bus), (to_supervisor, supervisor), (to_check, check)) =
        (probe(), probe(), probe(), probe());
    let neighbours = JobNeighbours {
        reaper: to_reaper,
        bus: to_bus,
        supervisor: to_supervisor,
        check: Some(to_check),
        catalog: None,
        metrics: probe().0,
    };
    let around = Surroundings { window: secs(5), closing_window: Some(secs(5)), ..Surroundings::default() };
    let log = Logger::root(Discard, o!());
    Scene { job: JobActor::new(spec, around, neighbours, &log, None).start(), reaper, bus, supervisor, check }
}

impl Scene {
    /// Lets virtual time pass: the actors run meanwhile.
    async fn pass(&self, time: std::time::Duration) {
        tokio::time::sleep(time).await;
    }

    fn ended(&self, run: u64, exit: Exit) {
        self.job.do_send(RunReport { run: RunId(run), fact: RunFact::Ended(RunEnd::Exited(exit)) });
    }

    /// What the reaper was told, in short.
    fn told(&mut self) -> Vec<String> {
        let say = |command| match command {
            ReaperCommand::Spawn { run, .. } => format!("spawn {}", run.0),
            ReaperCommand::Stop { run, whole_group: true, .. } => format!("TERM {}", run.0),
            ReaperCommand::EndRemainder { run, .. } => format!("end the rest of {}", run.0),
            ReaperCommand::SignalGroup { run, signal: GroupSignal::Kill, .. } => format!("KILL {}", run.0),
            ReaperCommand::SignalProcess { run, signal, .. } => format!("signal {signal} to process {}", run.0),
            other @ (ReaperCommand::SignalGroup { .. }
            | ReaperCommand::PutEnv(_)
            | ReaperCommand::Disown { .. }
            | ReaperCommand::Forget(_)
            | ReaperCommand::Grant(_)
            | ReaperCommand::Closing
            | ReaperCommand::Stop { .. }
            | ReaperCommand::Reap
            | ReaperCommand::EndAll { .. }) => format!("{other:?}"),
        };
        self.reaper.take().into_iter().map(say).collect()
    }

    fn published(&mut self) -> Vec<String> {
        let say = |command| match command {
            BusCommand::Publish(event) => event.to_string(),
            BusCommand::Announce(announced) => announced.event.to_string(),
            BusCommand::Subscribe { .. }
            | BusCommand::Unsubscribe(_)
            | BusCommand::Tap { .. }
            | BusCommand::Oversee(_) => String::new(),
        };
        self.bus.take().into_iter().map(say).collect()
    }
}

#[actix::test]
async fn run_that_outlives_its_timeout_is_killed() {
    tokio::time::pause();
    let mut scene = scene(&JobSpec { timeout: Some(secs(5)), ..job("app") });
    scene.job.do_send(Event::STARTUP);
    scene.pass(millis(4900)).await;
    assert_eq!(scene.told(), ["spawn 1"]);
    scene.pass(millis(200)).await;
    assert_eq!(scene.told(), ["KILL 1"]);
}

#[actix::test]
async fn quick_failures_are_restarted_ever_later() {
    tokio::time::pause();
    let mut scene = scene(&JobSpec { restarts: Budget::Unlimited, ..job("app") });
    scene.job.do_send(Event::STARTUP);
    let mut waits = Vec::new();
    for run in 1..=5 {
        while scene.told() != [format!("spawn {run}")] {
            scene.pass(millis(1)).await;
        }
        scene.ended(run, Exit::Status(1));
        let before = tokio::time::Instant::now();
        while scene.reaper.is_empty() {
            scene.pass(millis(5)).await;
        }
        waits.push(before.elapsed());
    }
    assert!(waits[0] <= millis(10), "{waits:?}");
    for (wait, ideal) in waits[1..].iter().zip([100, 200, 400, 800]) {
        assert!(*wait >= millis(ideal * 9 / 10) && *wait <= millis(ideal * 11 / 10 + 20), "{waits:?}");
    }
}

#[actix::test]
async fn an_interval_job_keeps_its_beat() {
    tokio::time::pause();
    let start = StartRule::Interval(secs(10));
    let mut scene = scene(&JobSpec { start, restarts: Budget::Limited(2), ..job("app") });
    scene.job.do_send(Event::STARTUP);
    for run in 1..=3u64 {
        scene.pass(millis(100)).await;
        assert_eq!(scene.told(), [format!("spawn {run}")]);
        scene.pass(secs(5)).await;
        scene.ended(run, Exit::Status(0));
        scene.pass(millis(4900)).await;
    }
    let completion = Completion { code: Some(0), by_itself: true, ..Completion::default() };
    let facts = [JobFact::Begun(JobName::new("app")), JobFact::Completed(JobName::new("app"), completion)];
    assert_eq!(scene.supervisor.take(), facts);
    scene.pass(secs(60)).await;
    assert_eq!(scene.told(), Vec::<String>::new(), "nothing after completion");
}

#[actix::test]
async fn a_job_that_ignores_the_term_is_killed_and_then_abandoned() {
    tokio::time::pause();
    let mut scene = scene(&job("app"));
    scene.job.do_send(Event::STARTUP);
    scene.job.do_send(JobCommand::ShutDown { start_may_come: false });
    scene.pass(secs(1)).await;
    assert_eq!(scene.told(), ["spawn 1", "TERM 1"]);
    scene.pass(secs(5)).await;
    assert_eq!(scene.told(), ["KILL 1"]);
    scene.pass(secs(3)).await;
    assert_eq!(scene.published(), ["{Stopping app}", "{Stopped app}"]);
}

#[actix::test]
async fn a_failure_is_told_with_its_reason_before_the_job_is_over() {
    let mut scene = scene(&job("app"));
    scene.job.do_send(Event::STARTUP);
    scene.ended(1, Exit::Signal(9));
    assert!(matches!(scene.supervisor.next(secs(5)).await, JobFact::Begun(_)));
    assert!(matches!(scene.supervisor.next(secs(5)).await, JobFact::Completed(_, Completion { code: Some(137), .. })));
    let all = ["{ExitFailed app}", "{Error app: signal: killed}", "{Stopping app}", "{Stopped app}"];
    let mut seen = Vec::new();
    while seen.len() < all.len() {
        seen.extend(scene.published());
        scene.pass(millis(1)).await;
    }
    assert_eq!(seen, all);
}

#[actix::test]
async fn the_check_begins_with_the_first_run_and_ends_with_the_job() {
    let mut scene = scene(&job("app"));
    scene.job.do_send(Event::STARTUP);
    assert_eq!(scene.check.next(secs(5)).await, CheckCommand(CheckControl::Begin));
    scene.job.do_send(JobCommand::Stop);
    assert_eq!(scene.check.next(secs(5)).await, CheckCommand(CheckControl::End));
}

#[test]
fn a_job_is_told_of_nothing_but_its_own_events() {
    let start = Event::job(EventCode::StatusHealthy, &JobName::new("db"));
    let spec = JobSpec { start: StartRule::Once(start.clone()), ..job("app") };
    let mut interests = JobPolicy::interests_of(&spec, &[]);
    interests.retain(|event| !matches!(event.code, EventCode::EnterMaintenance | EventCode::ExitMaintenance));
    assert_eq!(interests, [start]);
    assert_eq!(Owner::Job(spec.name).to_string(), "app");
}

#[actix::test]
async fn a_restart_waits_for_what_the_run_has_left_behind() {
    tokio::time::pause();
    let mut scene = scene(&JobSpec { restarts: Budget::Unlimited, backoff: None, ..job("app") });
    scene.job.do_send(Event::STARTUP);
    scene.pass(millis(1)).await;
    let tell = |fact| scene.job.do_send(RunReport { run: RunId(1), fact });
    tell(RunFact::Remains { writes: false });
    tell(RunFact::Ended(RunEnd::Exited(Exit::Status(1))));
    scene.pass(secs(60)).await;
    assert_eq!(scene.told(), ["spawn 1", "end the rest of 1"]);
    scene.job.do_send(RunReport { run: RunId(1), fact: RunFact::Gone });
    scene.pass(millis(1)).await;
    assert_eq!(scene.told(), ["spawn 2"]);
}

#[actix::test]
async fn a_new_catalog_hears_of_a_healthy_job_before_the_next_check() {
    tokio::time::pause();
    let scene = scene(&job("app"));
    scene.job.do_send(Event::STARTUP);
    let (first, mut at_first) = probe::<CatalogCommand>();
    scene.job.do_send(ReplaceCatalog(first));
    scene.job.do_send(CheckReport(Checked::Passed));
    let (second, mut at_second) = probe::<CatalogCommand>();
    scene.job.do_send(ReplaceCatalog(second));
    scene.pass(secs(1)).await;
    // The first one was told of the check, the second one of what the check had found.
    for told in [at_first.take(), at_second.take()] {
        assert!(
            matches!(&told[..], [CatalogCommand::News(name, Report::Passed)] if name.as_str() == "app"),
            "{told:?}"
        );
    }
}
