//! No runtime and no clock: things happen by name, and time is a number.

use super::*;
use crate::event::Exit;
use crate::spec::Budget;
use crate::testing::{job, millis, secs};

/// A policy with the time that it is told.
struct Life {
    policy: JobPolicy,
    now: Instant,
}

impl Life {
    fn new(spec: &JobSpec) -> Self {
        Self::among(spec, Surroundings { window: secs(5), closing_window: Some(secs(5)), ..Surroundings::default() })
    }

    #[expect(clippy::disallowed_methods, reason = "any instant does; it is only added to")]
    fn among(spec: &JobSpec, around: Surroundings) -> Self {
        Self { policy: JobPolicy::new(spec, around), now: Instant::now() }
    }

    fn watched_by(spec: &JobSpec, name: &str, each: bool) -> Self {
        let watchers = vec![Watcher { name: JobName::new(name), terminating: false, each }];
        Self::among(
            spec,
            Surroundings { watchers, window: secs(5), closing_window: Some(secs(5)), ..Surroundings::default() },
        )
    }

    fn after(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self
    }

    fn event(&mut self, event: &Event) -> Vec<Action> {
        self.policy.event(event, self.now)
    }

    fn of(&mut self, code: EventCode, name: &str) -> Vec<Action> {
        self.event(&Event::job(code, &JobName::new(name)))
    }

    fn exit(&mut self, run: u64, status: u8) -> Vec<Action> {
        self.policy.ended(RunId(run), RunEnd::Exited(Exit::Status(status)), self.now, 0.5)
    }

    fn elapsed(&mut self, timer: Timer) -> Vec<Action> {
        self.policy.elapsed(timer, self.now)
    }

    fn shutdown(&mut self, start_may_come: bool) -> Vec<Action> {
        self.policy.shutdown(start_may_come, self.now)
    }
}

fn run(number: u64) -> RunId {
    RunId(number)
}

fn published(actions: &[Action]) -> Vec<EventCode> {
    actions.iter().filter_map(|action| if let Action::Publish(code) = action { Some(*code) } else { None }).collect()
}

fn spawned(actions: &[Action]) -> Vec<RunId> {
    actions.iter().filter_map(|action| if let Action::Spawn(run) = action { Some(*run) } else { None }).collect()
}

fn once(code: EventCode, source: &str) -> StartRule {
    StartRule::Once(Event::job(code, &JobName::new(source)))
}

fn each(code: EventCode, source: &str) -> StartRule {
    StartRule::Each(Event::job(code, &JobName::new(source)))
}

const END: [EventCode; 3] = [EventCode::ExitSuccess, EventCode::Stopping, EventCode::Stopped];

#[test]
fn a_job_runs_once_and_completes() {
    let mut life = Life::new(&job("app"));
    assert_eq!(life.event(&Event::STARTUP), [Action::Spawn(run(1)), Action::Check(CheckControl::Begin)]);
    let actions = life.exit(1, 0);
    assert_eq!(published(&actions), END);
    assert!(actions.contains(&Action::Complete(Completion {
        code: Some(0),
        by_itself: true,
        ..Completion::default()
    })));
    assert_eq!(life.policy.state(), State::Stopped);
}

#[test]
fn a_failed_run_says_why_before_the_job_completes() {
    let mut life = Life::new(&job("app"));
    life.event(&Event::STARTUP);
    let actions = life.exit(1, 3);
    assert_eq!(published(&actions), [EventCode::ExitFailed, EventCode::Stopping, EventCode::Stopped]);
    assert!(actions.contains(&Action::Fail(RunEnd::Exited(Exit::Status(3)))));
    assert!(actions.contains(&Action::Complete(Completion {
        code: Some(3),
        by_itself: true,
        ..Completion::default()
    })));
}

#[test]
fn restarts_are_spent_and_then_the_job_completes() {
    let mut life = Life::new(&JobSpec { restarts: Budget::Limited(2), backoff: None, ..job("app") });
    life.event(&Event::STARTUP);
    assert_eq!(spawned(&life.exit(1, 0)), [run(2)]);
    assert_eq!(spawned(&life.exit(2, 1)), [run(3)]);
    assert_eq!(published(&life.exit(3, 0)), END);
}

#[test]
fn a_quick_failure_pauses_before_the_second_restart() {
    let mut life = Life::new(&JobSpec { restarts: Budget::Unlimited, ..job("app") });
    life.event(&Event::STARTUP);
    assert_eq!(spawned(&life.exit(1, 1)), [run(2)]);
    assert!(life.exit(2, 1).contains(&Action::Arm(Timer::Restart(run(2)), millis(100))));
    assert_eq!(life.policy.state(), State::Pausing);
    assert_eq!(spawned(&life.elapsed(Timer::Restart(run(1)))), [], "a stale timer starts nothing");
    assert_eq!(spawned(&life.elapsed(Timer::Restart(run(2)))), [run(3)]);
}

#[test]
fn a_pause_never_delays_a_stop() {
    let mut life = Life::new(&JobSpec { restarts: Budget::Unlimited, ..job("app") });
    life.event(&Event::STARTUP);
    life.exit(1, 1);
    life.exit(2, 1);
    assert_eq!(published(&life.shutdown(false)), [EventCode::Stopping, EventCode::Stopped]);
    assert_eq!(life.elapsed(Timer::Restart(run(2))), []);
}

#[test]
fn events_during_a_run_wait_in_line_and_are_not_merged() {
    let mut life = Life::new(&JobSpec { start: each(EventCode::ExitSuccess, "tick"), ..job("app") });
    assert_eq!(spawned(&life.of(EventCode::ExitSuccess, "tick")), [run(1)]);
    for _ in 0..2 {
        assert_eq!(life.of(EventCode::ExitSuccess, "tick"), []);
    }
    assert_eq!(spawned(&life.exit(1, 0)), [run(2)]);
    assert_eq!(spawned(&life.exit(2, 0)), [run(3)]);
    assert_eq!(spawned(&life.exit(3, 0)), []);
    assert_eq!(life.policy.state(), State::Idle);
    assert_eq!(spawned(&life.of(EventCode::ExitSuccess, "tick")), [run(4)]);
}

#[test]
fn a_once_job_takes_its_event_once() {
    let mut life = Life::new(&JobSpec { start: once(EventCode::StatusHealthy, "db"), ..job("app") });
    assert_eq!(life.of(EventCode::StatusUnhealthy, "db"), []);
    assert_eq!(spawned(&life.of(EventCode::StatusHealthy, "db")), [run(1)]);
    assert_eq!(life.of(EventCode::StatusHealthy, "db"), []);
    assert_eq!(published(&life.exit(1, 0)), END);
}

#[test]
fn events_that_are_merged_make_one_more_run() {
    let start = each(EventCode::StatusChanged, "tick");
    let mut life = Life::new(&JobSpec { start, merges: true, ..job("app") });
    assert_eq!(spawned(&life.of(EventCode::StatusChanged, "tick")), [run(1)]);
    for _ in 0..3 {
        assert_eq!(life.of(EventCode::StatusChanged, "tick"), []);
    }
    assert_eq!(spawned(&life.exit(1, 0)), [run(2)]);
    assert_eq!(spawned(&life.exit(2, 0)), []);
    assert_eq!(spawned(&life.of(EventCode::StatusChanged, "tick")), [run(3)]);
}

#[test]
fn a_job_that_cannot_be_started_pauses_whatever_its_back_off_says() {
    let mut life = Life::new(&JobSpec { restarts: Budget::Unlimited, backoff: None, ..job("app") });
    life.event(&Event::STARTUP);
    assert_eq!(spawned(&life.exit(1, 1)), [run(2)]);
    let end = || RunEnd::NotStarted { code: 127, reason: "no such file".into() };
    assert_eq!(spawned(&life.policy.ended(run(2), end(), life.now, 0.5)), [run(3)]);
    let actions = life.policy.ended(run(3), end(), life.now, 0.5);
    assert_eq!((spawned(&actions), actions.last()), (vec![], Some(&Action::Arm(Timer::Restart(run(3)), millis(100)))));
}

#[test]
fn a_job_that_is_killed_gets_no_term() {
    let mut life = Life::new(&job("app"));
    life.event(&Event::STARTUP);
    let actions = life.policy.kill();
    assert!(actions.contains(&Action::Kill(run(1))) && !actions.contains(&Action::Terminate(run(1))), "{actions:?}");
}

#[test]
fn an_interval_job_runs_at_each_beat_as_often_as_its_restarts_say() {
    let spec = JobSpec { start: StartRule::Interval(secs(10)), restarts: Budget::Limited(1), ..job("app") };
    let mut life = Life::new(&spec);
    let actions = life.event(&Event::STARTUP);
    assert_eq!(spawned(&actions), [run(1)]);
    assert!(actions.contains(&Action::Arm(Timer::Beat, secs(10))));
    assert_eq!(spawned(&life.after(secs(1)).exit(1, 1)), []);
    let actions = life.after(secs(9)).elapsed(Timer::Beat);
    assert_eq!(spawned(&actions), [run(2)]);
    assert!(actions.contains(&Action::Arm(Timer::Beat, secs(10))));
    assert_eq!(published(&life.exit(2, 0)), END);
    assert_eq!(life.elapsed(Timer::Beat), []);
}

#[test]
fn beats_are_counted_from_start_to_start_however_late_one_is_served() {
    let spec = JobSpec { start: StartRule::Interval(secs(10)), restarts: Budget::Unlimited, ..job("app") };
    let mut life = Life::new(&spec);
    life.event(&Event::STARTUP);
    life.exit(1, 0);
    assert!(life.after(secs(13)).elapsed(Timer::Beat).contains(&Action::Arm(Timer::Beat, secs(7))));
    assert!(life.after(secs(60)).elapsed(Timer::Beat).contains(&Action::Arm(Timer::Beat, secs(10))));
}

#[test]
fn a_beat_during_a_run_is_remembered_once() {
    let spec = JobSpec { start: StartRule::Interval(secs(1)), restarts: Budget::Unlimited, ..job("app") };
    let mut life = Life::new(&spec);
    life.event(&Event::STARTUP);
    for _ in 0..3 {
        assert_eq!(spawned(&life.after(secs(1)).elapsed(Timer::Beat)), []);
    }
    assert_eq!(spawned(&life.exit(1, 0)), [run(2)]);
    assert_eq!(spawned(&life.exit(2, 0)), []);
}

#[test]
fn a_run_that_takes_too_long_is_killed_and_a_stale_timeout_is_not() {
    let mut life = Life::new(&JobSpec { timeout: Some(secs(3)), restarts: Budget::Limited(1), ..job("app") });
    assert!(life.event(&Event::STARTUP).contains(&Action::Arm(Timer::Run(run(1)), secs(3))));
    assert_eq!(life.elapsed(Timer::Run(run(1))), [Action::TimedOut(run(1))]);
    life.exit(1, 137);
    assert_eq!(life.elapsed(Timer::Run(run(1))), []);
    assert_eq!(life.elapsed(Timer::Run(run(2))), [Action::TimedOut(run(2))]);
}

#[test]
fn a_job_gives_up_its_wait_without_an_exit() {
    let spec = JobSpec { start: once(EventCode::StatusHealthy, "db"), wait_timeout: Some(secs(3)), ..job("app") };
    let mut life = Life::new(&spec);
    assert_eq!(life.event(&Event::STARTUP), [Action::Arm(Timer::Wait, secs(3))]);
    let actions = life.elapsed(Timer::Wait);
    assert_eq!(published(&actions), [EventCode::TimerExpired, EventCode::Stopping, EventCode::Stopped]);
    let completion = Completion { code: None, by_itself: true, gave_up: true, ..Completion::default() };
    assert!(actions.contains(&Action::GiveUp) && actions.contains(&Action::Complete(completion)));
    assert_eq!(life.policy.state(), State::GaveUp);
    assert_eq!(life.of(EventCode::StatusHealthy, "db"), []);
}

#[test]
fn the_wait_is_over_when_the_job_has_started() {
    let spec = JobSpec { start: once(EventCode::StatusHealthy, "db"), wait_timeout: Some(secs(3)), ..job("app") };
    let mut life = Life::new(&spec);
    life.event(&Event::STARTUP);
    assert!(life.of(EventCode::StatusHealthy, "db").contains(&Action::Disarm(Timer::Wait)));
    assert_eq!(life.elapsed(Timer::Wait), []);
}

#[test]
fn a_job_without_exec_starts_and_stays_until_the_shutdown() {
    let mut life = Life::new(&JobSpec { exec: None, ..job("app") });
    assert_eq!(life.event(&Event::STARTUP), [Action::Check(CheckControl::Begin)]);
    assert_eq!(life.policy.state(), State::Idle);
    assert_eq!(published(&life.shutdown(false)), [EventCode::Stopping, EventCode::Stopped]);
}

#[test]
fn a_running_job_gets_a_term_then_a_kill_and_is_then_abandoned() {
    let mut life = Life::new(&job("app"));
    life.event(&Event::STARTUP);
    let actions = life.shutdown(false);
    assert_eq!(published(&actions), [EventCode::Stopping]);
    assert!(actions.contains(&Action::Terminate(run(1))));
    assert!(actions.contains(&Action::Arm(Timer::Kill(run(1)), secs(5))));
    let overdue = [Action::Overdue, Action::Kill(run(1)), Action::Arm(Timer::Abandon(run(1)), ABANDON)];
    assert_eq!(life.elapsed(Timer::Kill(run(1))), overdue);
    assert_eq!(published(&life.elapsed(Timer::Abandon(run(1)))), [EventCode::Stopped]);
    assert_eq!(life.exit(1, 0), [], "what was abandoned may end at last");
}

#[test]
fn the_exit_comes_before_the_stopped_and_restarts_nothing() {
    let mut life = Life::new(&JobSpec { restarts: Budget::Unlimited, ..job("app") });
    life.event(&Event::STARTUP);
    life.shutdown(false);
    let actions = life.exit(1, 9);
    assert_eq!(published(&actions), [EventCode::ExitFailed, EventCode::Stopped]);
    assert!(actions.contains(&Action::Complete(Completion {
        code: Some(9),
        by_itself: false,
        ..Completion::default()
    })));
}

#[test]
fn a_stop_waits_for_the_watchers_of_stopping() {
    let mut life = Life::watched_by(&JobSpec { stop_timeout: Some(secs(2)), ..job("app") }, "pre", false);
    life.event(&Event::STARTUP);
    let actions = life.shutdown(false);
    assert_eq!(published(&actions), [EventCode::Stopping]);
    assert!(actions.contains(&Action::Arm(Timer::StopWait, secs(2))));
    assert!(!actions.contains(&Action::Terminate(run(1))));
    assert_eq!(life.of(EventCode::ExitSuccess, "pre"), []);
    assert!(life.of(EventCode::Stopped, "pre").contains(&Action::Terminate(run(1))));
}

#[test]
fn the_wait_for_watchers_ends_at_stop_timeout() {
    let mut life = Life::watched_by(&JobSpec { stop_timeout: Some(secs(2)), ..job("app") }, "pre", false);
    life.event(&Event::STARTUP);
    life.shutdown(false);
    assert!(life.elapsed(Timer::StopWait).contains(&Action::Terminate(run(1))));
    assert_eq!(life.of(EventCode::Stopped, "pre"), []);
}

#[test]
fn outside_a_shutdown_the_run_of_an_each_watcher_is_enough() {
    let mut life = Life::watched_by(&job("app"), "pre", true);
    life.event(&Event::STARTUP);
    assert_eq!(published(&life.exit(1, 0)), [EventCode::ExitSuccess, EventCode::Stopping]);
    assert_eq!(published(&life.of(EventCode::ExitFailed, "pre")), [EventCode::Stopped]);
}

fn with_hooks(spec: &JobSpec) -> Life {
    let watchers = vec![Watcher { name: JobName::new("pre"), terminating: true, each: false }];
    let around = Surroundings { watchers, has_successors: true, window: secs(5), ..Surroundings::default() };
    Life::among(spec, around)
}

#[test]
fn a_job_that_is_asked_to_stop_is_out_of_the_catalog_before_it_says_so_and_waits_without_limit() {
    let mut life = with_hooks(&job("app"));
    life.event(&Event::STARTUP);
    let actions = life.shutdown(false);
    assert_eq!(published(&actions), [EventCode::Terminating, EventCode::Stopping]);
    let withdrawn = actions.iter().position(|action| *action == Action::Tell(Report::Withdraw));
    let told = actions.iter().position(|action| *action == Action::Publish(EventCode::Terminating));
    assert!(withdrawn < told, "{actions:?}");
    assert!(!actions.iter().any(|action| matches!(action, Action::Arm(..) | Action::Terminate(_))), "{actions:?}");
    assert!(life.of(EventCode::Stopped, "pre").contains(&Action::Terminate(run(1))));
    assert_eq!(published(&life.exit(1, 0)), [EventCode::ExitSuccess, EventCode::Ended, EventCode::Stopped]);
}

#[test]
fn a_job_that_ends_by_itself_is_not_terminating() {
    let mut life = with_hooks(&job("app"));
    life.event(&Event::STARTUP);
    let codes = published(&life.exit(1, 7));
    assert_eq!(codes, [EventCode::ExitFailed, EventCode::Stopping, EventCode::Ended, EventCode::Stopped]);
}

#[test]
fn a_job_that_never_ran_neither_terminates_nor_ends() {
    let mut life = with_hooks(&job("app"));
    assert_eq!(published(&life.shutdown(false)), [EventCode::Stopping, EventCode::Stopped]);
}

#[test]
fn without_a_window_there_is_no_term() {
    let around = Surroundings { kills_at_once: true, window: secs(5), ..Surroundings::default() };
    let mut life = Life::among(&job("app"), around);
    life.event(&Event::STARTUP);
    let actions = life.shutdown(false);
    assert!(actions.contains(&Action::Kill(run(1))) && !actions.contains(&Action::Terminate(run(1))), "{actions:?}");
}

#[test]
fn a_delayed_interval_begins_with_its_first_beat() {
    let spec = JobSpec {
        start: StartRule::Interval(secs(10)),
        delay: Some(secs(3)),
        restarts: Budget::Limited(1),
        ..job("task")
    };
    let mut life = Life::new(&spec);
    assert_eq!(life.event(&Event::STARTUP), [Action::Arm(Timer::Beat, secs(3))]);
    let actions = life.after(secs(3)).elapsed(Timer::Beat);
    assert_eq!(spawned(&actions), [run(1)]);
    assert!(actions.contains(&Action::Arm(Timer::Beat, secs(10))));
    life.exit(1, 0);
    assert_eq!(spawned(&life.after(secs(10)).elapsed(Timer::Beat)), [run(2)]);
}

#[test]
fn a_job_that_pauses_in_maintenance_runs_once_afterwards_for_what_it_missed() {
    let start = each(EventCode::StatusChanged, "db");
    let mut life = Life::new(&JobSpec { start, pauses: true, ..job("handler") });
    life.event(&Event::ENTER_MAINTENANCE);
    assert_eq!(life.of(EventCode::StatusChanged, "db"), []);
    assert_eq!(life.of(EventCode::StatusChanged, "db"), []);
    assert_eq!(spawned(&life.event(&Event::EXIT_MAINTENANCE)), [run(1)]);
    assert_eq!(spawned(&life.exit(1, 0)), []);
    let task =
        JobSpec { start: StartRule::Interval(secs(1)), pauses: true, restarts: Budget::Unlimited, ..job("task") };
    let mut life = Life::new(&task);
    life.event(&Event::STARTUP);
    life.exit(1, 0);
    life.event(&Event::ENTER_MAINTENANCE);
    assert_eq!(spawned(&life.after(secs(1)).elapsed(Timer::Beat)), []);
    assert_eq!(spawned(&life.event(&Event::EXIT_MAINTENANCE)), []);
    assert_eq!(spawned(&life.after(secs(1)).elapsed(Timer::Beat)), [run(2)]);
}

#[test]
fn a_lingering_job_goes_on_but_begins_nothing() {
    let task = JobSpec { start: StartRule::Interval(secs(1)), restarts: Budget::Unlimited, ..job("task") };
    let mut life = Life::new(&task);
    life.event(&Event::STARTUP);
    life.elapsed(Timer::Beat);
    assert_eq!(life.policy.linger(), [Action::Disarm(Timer::Beat)]);
    assert_eq!(spawned(&life.exit(1, 0)), [], "the beat that it missed is forgotten");
    let mut life = Life::new(&JobSpec { restarts: Budget::Limited(1), backoff: None, ..job("co") });
    life.event(&Event::STARTUP);
    life.policy.linger();
    assert_eq!(spawned(&life.exit(1, 1)), [run(2)], "others may need it");
    assert!(life.shutdown(false).contains(&Action::Terminate(run(2))));
}

#[test]
fn a_completing_job_waits_for_its_watchers_without_limit_until_a_shutdown_sets_one() {
    let mut life = Life::watched_by(&job("app"), "pre", false);
    life.event(&Event::STARTUP);
    assert!(!life.exit(1, 0).iter().any(|action| matches!(action, Action::Arm(Timer::StopWait, _))));
    assert_eq!(life.shutdown(false), [Action::Arm(Timer::StopWait, secs(5))]);
    assert_eq!(published(&life.elapsed(Timer::StopWait)), [EventCode::Stopped]);
}

#[test]
fn a_watcher_that_stopped_long_ago_is_not_waited_for() {
    let mut life = Life::watched_by(&job("app"), "pre", false);
    life.event(&Event::STARTUP);
    life.of(EventCode::Stopped, "pre");
    assert!(life.shutdown(false).contains(&Action::Terminate(run(1))));
}

#[test]
fn a_job_at_the_stop_of_another_stands_by_and_runs_within_its_window() {
    let mut life = Life::new(&JobSpec { start: once(EventCode::Stopped, "db"), ..job("post") });
    assert_eq!(life.shutdown(true), [Action::StandBy]);
    let actions = life.of(EventCode::Stopped, "db");
    assert_eq!(spawned(&actions), [run(1)]);
    assert!(actions.contains(&Action::Arm(Timer::Window(run(1)), secs(5))));
    assert_eq!(life.elapsed(Timer::Window(run(1))), [Action::Overdue, Action::Kill(run(1))]);
    assert_eq!(published(&life.exit(1, 0)), END);
}

#[test]
fn a_job_at_a_stop_that_never_comes_stops_without_running() {
    let spec = JobSpec { start: once(EventCode::Stopped, "db"), ..job("post") };
    assert_eq!(published(&Life::new(&spec).shutdown(false)), [EventCode::Stopping, EventCode::Stopped]);
    let mut life = Life::watched_by(&spec, "other", false);
    life.shutdown(true);
    assert_eq!(published(&life.policy.stand_down()), [EventCode::Stopping, EventCode::Stopped]);
}

#[test]
fn a_shutdown_lets_a_job_at_a_stop_finish_its_run_but_not_restart() {
    let spec = JobSpec { start: each(EventCode::Stopped, "db"), restarts: Budget::Limited(9), ..job("post") };
    let mut life = Life::new(&spec);
    life.of(EventCode::Stopped, "db");
    life.of(EventCode::Stopped, "db");
    assert_eq!(life.shutdown(true), [Action::Arm(Timer::Window(run(1)), secs(5))]);
    assert_eq!(published(&life.exit(1, 0)), END);
}

#[test]
fn a_job_that_waits_for_the_shutdown_runs_in_it() {
    let mut life = Life::new(&JobSpec { start: StartRule::Once(Event::SHUTDOWN), ..job("last") });
    assert_eq!(spawned(&life.shutdown(false)), [run(1)]);
    assert_eq!(life.event(&Event::SHUTDOWN), []);
    assert_eq!(published(&life.exit(1, 0)), END);
}

#[test]
fn health_counts_from_the_first_start_to_the_stop_but_not_in_maintenance() {
    let mut life = Life::new(&JobSpec { restarts: Budget::Limited(1), ..job("app") });
    assert_eq!(life.policy.checked(Checked::Passed), []);
    life.event(&Event::STARTUP);
    let healthy = [Action::Publish(EventCode::StatusHealthy), Action::Tell(Report::Passed)];
    assert_eq!(life.policy.last_report(), None);
    assert_eq!(life.policy.checked(Checked::Passed), healthy);
    assert_eq!(life.policy.health(), Health::Healthy);
    assert_eq!(life.policy.last_report(), Some(Report::Passed));
    life.exit(1, 0);
    assert_eq!(life.event(&Event::ENTER_MAINTENANCE), [Action::Check(CheckControl::Pause)]);
    assert_eq!(life.policy.last_report(), None);
    assert_eq!(life.policy.checked(Checked::Passed), []);
    assert_eq!(life.event(&Event::EXIT_MAINTENANCE), [Action::Check(CheckControl::Resume)]);
    assert_eq!(life.policy.health(), Health::Unknown);
    life.shutdown(false);
    assert_eq!(life.policy.checked(Checked::Passed), []);
}

#[test]
fn the_nth_failure_in_a_row_is_critical() {
    let mut health = crate::testing::check("false");
    health.failures = Some(2);
    let mut life = Life::new(&JobSpec { health: Some(health), ..job("app") });
    life.event(&Event::STARTUP);
    let mut critical = |checked: Checked| {
        let actions = life.policy.checked(checked);
        actions.iter().any(|action| matches!(action, Action::Tell(Report::Failed { critical: true, .. })))
    };
    let failed = || Checked::Failed("x".to_owned());
    assert_eq!([critical(failed()), critical(failed()), critical(failed())], [false, true, false]);
    critical(Checked::Passed);
    assert_eq!([critical(failed()), critical(failed())], [false, true]);
}

fn remainder(actions: &[Action]) -> Vec<RunId> {
    actions
        .iter()
        .filter_map(|action| if let Action::EndRemainder(run, _) = action { Some(*run) } else { None })
        .collect()
}

#[test]
fn a_restart_waits_until_nothing_is_left_of_the_run_before() {
    let mut life = Life::new(&JobSpec { restarts: Budget::Unlimited, backoff: None, ..job("app") });
    life.event(&Event::STARTUP);
    life.policy.remains(run(1), true);
    let actions = life.exit(1, 1);
    assert_eq!((published(&actions), spawned(&actions)), (vec![EventCode::ExitFailed], vec![]));
    assert_eq!(remainder(&actions), [run(1)]);
    assert_eq!(life.policy.state(), State::Pausing);
    assert_eq!(spawned(&life.policy.gone(run(1), life.now)), [run(2)]);
}

#[test]
fn the_pause_of_a_back_off_runs_while_something_is_left() {
    let mut life = Life::new(&JobSpec { restarts: Budget::Unlimited, ..job("app") });
    life.event(&Event::STARTUP);
    life.exit(1, 1);
    life.policy.remains(run(2), false);
    assert!(life.exit(2, 1).contains(&Action::Arm(Timer::Restart(run(2)), millis(100))));
    assert_eq!(life.elapsed(Timer::Restart(run(2))), []);
    assert_eq!(spawned(&life.policy.gone(run(2), life.now)), [run(3)]);
    life.policy.remains(run(3), false);
    life.exit(3, 1);
    assert_eq!(life.policy.gone(run(3), life.now), [], "the pause is not over");
    assert_eq!(spawned(&life.elapsed(Timer::Restart(run(3)))), [run(4)]);
}

#[test]
fn a_job_that_is_stopped_has_stopped_when_nothing_is_left_of_it() {
    let mut life = Life::new(&job("app"));
    life.event(&Event::STARTUP);
    life.shutdown(false);
    life.policy.remains(run(1), true);
    let actions = life.exit(1, 143);
    assert_eq!((published(&actions), remainder(&actions)), (vec![EventCode::ExitFailed], vec![run(1)]));
    assert_eq!((life.policy.state(), life.policy.current_run()), (State::Ending, Some(run(1))));
    assert_eq!(life.elapsed(Timer::Kill(run(1))), [], "the deadline of the rest is kept with it");
    assert_eq!(published(&life.policy.gone(run(1), life.now)), [EventCode::Stopped]);
}

#[test]
fn a_complete_job_whose_processes_still_write_lets_them_until_it_is_stopped() {
    let mut life = Life::new(&job("app"));
    life.event(&Event::STARTUP);
    life.policy.remains(run(1), true);
    let actions = life.exit(1, 0);
    assert_eq!((published(&actions), remainder(&actions)), (END.to_vec(), vec![]));
    let leaves = Leaves::Writers;
    let completion = Completion { code: Some(0), by_itself: true, leaves, ..Completion::default() };
    assert!(actions.contains(&Action::KeepWriters) && actions.contains(&Action::Complete(completion)), "{actions:?}");
    assert_eq!(life.policy.stop(), [Action::EndRemainder(run(1), false)]);
    assert_eq!(life.policy.gone(run(1), life.now), [Action::Released]);
}

#[test]
fn what_neither_writes_nor_may_stay_ends_with_the_run() {
    for (writes, status) in [(false, 0), (true, 1)] {
        let mut life = Life::new(&job("app"));
        life.event(&Event::STARTUP);
        life.policy.remains(run(1), writes);
        assert_eq!(remainder(&life.exit(1, status)), [run(1)]);
        assert_eq!(published(&life.policy.gone(run(1), life.now)), [EventCode::Stopped]);
    }
}

#[test]
fn a_daemon_of_a_job_that_may_leave_one_goes_on_until_the_next_run() {
    let spec = JobSpec { keeps_daemons: true, start: each(EventCode::StatusChanged, "db"), ..job("task") };
    let mut life = Life::new(&spec);
    life.of(EventCode::StatusChanged, "db");
    life.policy.remains(run(1), true);
    assert_eq!(remainder(&life.exit(1, 1)), []);
    let actions = life.of(EventCode::StatusChanged, "db");
    assert_eq!((spawned(&actions), remainder(&actions)), (vec![], vec![run(1)]));
    assert_eq!(spawned(&life.policy.gone(run(1), life.now)), [run(2)]);
    life.policy.remains(run(2), true);
    assert_eq!(remainder(&life.exit(2, 137)), [run(2)], "what a KILL has ended leaves nothing on purpose");
}

#[test]
fn a_daemon_stays_in_a_shutdown_and_ends_with_a_stop_by_hand() {
    let with_daemon = || {
        let mut life = Life::new(&JobSpec { init: true, exec: job("x").exec, ..job("setup") });
        life.event(&Event::STARTUP);
        life.policy.remains(run(1), true);
        assert_eq!(published(&life.exit(1, 0)), END);
        life
    };
    assert_eq!(with_daemon().shutdown(false), []);
    assert_eq!(with_daemon().policy.stop(), [Action::EndRemainder(run(1), false)]);
}

#[test]
fn a_wait_that_cannot_end_blocks_the_job_until_its_source_is_back() {
    let mut life = Life::new(&JobSpec { start: once(EventCode::ExitSuccess, "setup"), ..job("app") });
    assert_eq!(life.policy.source_lost("setup has failed".into(), true), [Action::Block("setup has failed".into())]);
    assert_eq!(life.policy.source_lost("setup has failed".into(), true), [], "once is enough");
    assert_eq!(life.policy.state(), State::Blocked);
    life.policy.source_back();
    assert_eq!(life.policy.state(), State::Waiting);
    life.of(EventCode::ExitSuccess, "setup");
    assert_eq!(life.policy.source_lost("setup has ended".into(), true), [], "it has started");
}

#[test]
fn a_handler_is_not_needed_and_a_wait_with_a_deadline_is_never_blocked() {
    let mut life = Life::new(&JobSpec { start: once(EventCode::ExitFailed, "setup"), ..job("alarm") });
    assert_eq!(life.policy.source_lost("setup has ended".into(), false), []);
    assert_eq!(life.policy.state(), State::NotNeeded);
    let spec = JobSpec { start: once(EventCode::ExitSuccess, "setup"), wait_timeout: Some(secs(3)), ..job("app") };
    let mut life = Life::new(&spec);
    assert_eq!((life.policy.source_lost("x".into(), true), life.policy.state()), (vec![], State::Waiting));
    let mut life = Life::new(&JobSpec { start: once(EventCode::ExitSuccess, "setup"), ..job("app") });
    life.shutdown(false);
    assert_eq!(life.policy.source_lost("x".into(), true), [], "nothing is blocked in a shutdown");
}

#[test]
fn facts_stand_as_long_as_nothing_is_at_work() {
    let mut life = Life::new(&JobSpec { start: each(EventCode::StatusChanged, "db"), ..job("app") });
    let facts = |life: &Life| {
        let codes = [EventCode::ExitSuccess, EventCode::ExitFailed, EventCode::Stopped, EventCode::StatusHealthy];
        codes.map(|code| life.policy.is_fact(code))
    };
    assert_eq!(facts(&life), [false; 4]);
    life.of(EventCode::StatusChanged, "db");
    assert_eq!(facts(&life), [false; 4]);
    life.exit(1, 0);
    life.policy.checked(Checked::Passed);
    assert_eq!(facts(&life), [true, false, false, true]);
    life.of(EventCode::StatusChanged, "db");
    life.exit(2, 3);
    assert_eq!(facts(&life), [false, true, false, false]);
    life.policy.stop();
    assert_eq!(facts(&life), [false, true, true, false]);
}

#[test]
fn only_runs_after_an_end_of_its_own_are_restarts() {
    let start = each(EventCode::StatusChanged, "db");
    let mut life = Life::new(&JobSpec { restarts: Budget::Limited(1), backoff: None, start, ..job("app") });
    life.of(EventCode::StatusChanged, "db");
    life.exit(1, 0);
    assert_eq!(life.policy.restarted(), 1);
    life.exit(2, 0);
    life.of(EventCode::StatusChanged, "db");
    assert_eq!(life.policy.restarted(), 1);
}

/// Random histories: whatever happens in whatever order, a job's runs never overlap, restarts stay within their budget,
/// its stop is announced once, and nothing follows its completion. A failure prints the seed.
#[test]
fn invariants_hold_in_random_histories() {
    for seed in 1..=3000 {
        let result = std::panic::catch_unwind(|| random_history(seed));
        assert!(result.is_ok(), "seed {seed}");
    }
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn random_spec(dice: &mut Dice) -> JobSpec {
    let start = match dice.below(6) {
        0 => StartRule::Once(Event::STARTUP),
        1 => once(EventCode::StatusHealthy, "db"),
        2 => each(EventCode::StatusHealthy, "db"),
        3 => StartRule::Interval(secs(1)),
        4 => once(EventCode::Stopped, "db"),
        _ => StartRule::Once(Event::SHUTDOWN),
    };
    let restarts = if dice.below(3) == 0 { Budget::Unlimited } else { Budget::Limited(dice.below(4)) };
    JobSpec {
        start,
        restarts,
        timeout: (dice.below(2) == 0).then(|| secs(2)),
        wait_timeout: (dice.below(3) == 0).then(|| secs(3)),
        stop_timeout: (dice.below(2) == 0).then(|| secs(1)),
        exec: if dice.below(10) == 0 { None } else { job("app").exec },
        ..job("app")
    }
}

fn random_history(seed: u64) {
    let mut dice = Dice(seed);
    let spec = random_spec(&mut dice);
    let limit = match (&spec.restarts, &spec.start) {
        (Budget::Limited(_), StartRule::Each(_)) | (Budget::Unlimited, _) => None,
        (Budget::Limited(restarts), _) => Some(restarts + 1),
    };
    let mut life =
        if dice.below(3) == 0 { Life::watched_by(&spec, "pre", dice.below(2) == 0) } else { Life::new(&spec) };
    let (mut runs, mut alive, mut killed, mut stopping, mut complete) = (0u64, None, false, 0, 0);
    let mut armed: Vec<Timer> = Vec::new();
    let (mut shut, mut ordered) = (false, 0);
    // What is left of the last run, and whether it is to end.
    let mut rest: Option<(RunId, bool)> = None;
    for step in 0..80 {
        life.after(millis(dice.below(1500)));
        let actions = match dice.below(14) {
            0 => life.event(&Event::STARTUP),
            1 => life.of(EventCode::StatusHealthy, "db"),
            2 => life.of(EventCode::Stopped, "db"),
            3 => life.of(EventCode::Stopped, "pre"),
            4 if step > 40 => {
                shut = true;
                life.shutdown(dice.below(2) == 0)
            }
            5 if !armed.is_empty() => {
                let at = usize::try_from(dice.below(armed.len() as u64)).unwrap();
                life.elapsed(armed[at])
            }
            6 => life.event(&Event::ENTER_MAINTENANCE),
            7 => life.policy.checked(Checked::Passed),
            8 if step > 30 && dice.below(3) == 0 => life.policy.stop(),
            9 if dice.below(3) == 0 => {
                // A run by order is beside the budget.
                ordered += 1;
                life.policy.start_now(life.now)
            }
            10 => life.policy.source_lost(String::new(), dice.below(2) == 0),
            11 => match rest.take() {
                Some((run, _)) => life.policy.gone(run, life.now),
                None => Vec::new(),
            },
            _ => match alive.take() {
                Some(RunId(number)) => {
                    if dice.below(2) == 0 {
                        life.policy.remains(RunId(number), dice.below(2) == 0);
                        rest = Some((RunId(number), false));
                    }
                    let status = u8::try_from(dice.below(2)).unwrap();
                    life.exit(number, if killed { 137 } else { status })
                }
                None => Vec::new(),
            },
        };
        for action in actions {
            assert_eq!(
                complete,
                u64::from(matches!(action, Action::Publish(EventCode::Stopped))),
                "after completion: {action:?}"
            );
            match action {
                Action::Spawn(next) => {
                    assert_eq!((alive, rest), (None, None), "two runs at once");
                    assert_eq!(next, RunId(runs + 1));
                    (runs, alive, killed) = (runs + 1, Some(next), false);
                    assert!(limit.is_none_or(|limit| runs <= limit + ordered), "more runs than restarts allow");
                }
                Action::Kill(run) | Action::TimedOut(run) | Action::Terminate(run) => {
                    // One that was given up may have ended since.
                    killed = killed || alive == Some(run);
                }
                Action::Publish(EventCode::Stopping) => stopping += 1,
                Action::Publish(EventCode::Stopped) => {
                    assert!(rest.is_none_or(|(_, ending)| !ending), "stopped before all is gone");
                    complete = 2;
                }
                Action::EndRemainder(run, _) => {
                    assert_eq!(rest.map(|(of, _)| of), Some(run));
                    rest = Some((run, true));
                }
                Action::Complete(_) => complete += 1,
                Action::Arm(timer, _) => armed.push(timer),
                Action::Publish(_)
                | Action::Fail(_)
                | Action::Disarm(_)
                | Action::Check(_)
                | Action::Tell(_)
                | Action::Overdue
                | Action::Abandon(_)
                | Action::KeepWriters
                | Action::Released
                | Action::Block(_)
                | Action::GiveUp
                | Action::StandBy => {}
            }
            assert!(stopping <= 1, "stopping was announced twice");
        }
        if complete == 2 {
            return;
        }
    }
    // Nothing in a shutdown waits without a limit: once all timers have gone off it is over.
    if shut {
        for _ in 0..10 {
            for timer in armed.clone() {
                for action in life.after(secs(10)).elapsed(timer) {
                    if let Action::Arm(timer, _) = action {
                        armed.push(timer);
                    }
                }
            }
            if let State::Running(RunId(number)) = life.policy.state() {
                life.exit(number, 137);
            }
            life.policy.stand_down();
            if let Some((run, _)) = rest.take() {
                life.policy.gone(run, life.now);
            }
        }
        assert!(matches!(life.policy.state(), State::Stopped | State::GaveUp), "a shutdown without end");
    }
}
