//! The HealthCheckActor runs its command at its pace and tells the job.

use actix::prelude::*;
use containerpilot_actors::event::{Event, Exit, RunEnd, RunId};
use containerpilot_actors::health_check::{HealthCheckActor, ReportTo};
use containerpilot_actors::messages::{
    BusCommand, CheckCommand, CheckReport, GroupSignal, ReaperCommand, RunFact, RunReport,
};
use containerpilot_actors::policy::job::{CheckControl, Checked};
use containerpilot_actors::testing::{Probe, check, job, millis, probe, secs};
use slog::{Discard, Logger, o};

struct Scene {
    check: Addr<HealthCheckActor>,
    reaper: Probe<ReaperCommand>,
    bus: Probe<BusCommand>,
    job: Probe<CheckReport>,
}

fn scene() -> Scene {
    let ((to_reaper, reaper), (to_bus, bus), (to_job, of_job)) = (probe(), probe(), probe());
    let log = Logger::root(Discard, o!());
    let check = HealthCheckActor::new(&job("app"), &check("true"), false, to_reaper, to_bus, &log, None).start();
    check.do_send(ReportTo(to_job));
    check.do_send(Event::STARTUP);
    check.do_send(CheckCommand(CheckControl::Begin));
    Scene { check, reaper, bus, job: of_job }
}

impl Scene {
    fn ended(&self, run: u64, exit: Exit) {
        self.check.do_send(RunReport { run: RunId(run), fact: RunFact::Ended(RunEnd::Exited(exit)) });
    }

    fn spawned(&mut self) -> Vec<u64> {
        let run = |command| if let ReaperCommand::Spawn { run, .. } = command { Some(run.0) } else { None };
        self.reaper.take().into_iter().filter_map(run).collect()
    }
}

#[actix::test]
async fn checks_come_at_the_interval_and_never_pile_up() {
    tokio::time::pause();
    let mut scene = scene();
    tokio::time::sleep(millis(900)).await;
    assert!(scene.spawned().is_empty());
    tokio::time::sleep(millis(200)).await;
    assert_eq!(scene.spawned(), [1]);
    scene.ended(1, Exit::Status(0));
    tokio::time::sleep(secs(1)).await;
    assert_eq!(scene.job.take(), [CheckReport(Checked::Passed)]);
    assert_eq!(scene.spawned(), [2]);
}

#[actix::test]
async fn a_check_that_hangs_is_killed_at_its_timeout_and_no_second_one_starts() {
    tokio::time::pause();
    let mut scene = scene();
    tokio::time::sleep(millis(3500)).await;
    let commands = scene.reaper.take();
    assert!(matches!(commands[0], ReaperCommand::Spawn { run: RunId(1), .. }));
    assert!(matches!(commands[1], ReaperCommand::SignalGroup { run: RunId(1), signal: GroupSignal::Kill, .. }));
    assert_eq!(commands.len(), 2);
}

#[actix::test]
async fn the_exit_of_a_check_is_an_event_before_the_job_hears_of_it() {
    tokio::time::pause();
    let mut scene = scene();
    tokio::time::sleep(millis(1100)).await;
    scene.ended(1, Exit::Status(4));
    assert!(matches!(scene.job.next(secs(5)).await.0, Checked::Failed(_)));
    let events: Vec<String> = scene.bus.take().iter().map(|command| format!("{command:?}")).collect();
    assert!(events[0].contains("ExitFailed") && events[0].contains("Check"), "{events:?}");
    assert!(events[1].contains("check.app: exit status 4"), "{events:?}");
}
