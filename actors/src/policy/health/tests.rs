//! Beats, overlaps, timeouts and maintenance.

use super::*;
use crate::event::Exit;
use crate::testing::{check, secs};

#[expect(clippy::disallowed_methods, reason = "any instant does; it is only added to")]
fn begun() -> (CheckPolicy, Instant) {
    let mut policy = CheckPolicy::new(&check("true"), false);
    let now = Instant::now();
    assert_eq!(policy.startup(now), [Action::Arm(Timer::Beat, secs(1))]);
    policy.control(CheckControl::Begin);
    (policy, now + secs(1))
}

fn spawned(actions: &[Action]) -> Vec<RunId> {
    actions.iter().filter_map(|action| if let Action::Spawn(run) = action { Some(*run) } else { None }).collect()
}

fn status(status: u8) -> RunEnd {
    RunEnd::Exited(Exit::Status(status))
}

#[test]
fn a_job_that_has_not_started_is_not_checked() {
    let (_, now) = begun();
    let mut policy = CheckPolicy::new(&check("true"), false);
    policy.startup(now);
    assert_eq!(policy.elapsed(Timer::Beat, now + secs(1)), [Action::Arm(Timer::Beat, secs(1))]);
}

#[test]
fn a_check_runs_at_each_beat_and_tells_what_it_found() {
    let (mut policy, now) = begun();
    assert_eq!(spawned(&policy.elapsed(Timer::Beat, now)), [RunId(1)]);
    assert!(policy.ended(RunId(1), status(0)).contains(&Action::Tell(Checked::Passed)));
    assert_eq!(spawned(&policy.elapsed(Timer::Beat, now + secs(1))), [RunId(2)]);
    let actions = policy.ended(RunId(2), status(2));
    assert_eq!(actions[0], Action::Publish(status(2)), "the check's own exit comes first");
    assert!(actions.contains(&Action::Tell(Checked::Failed("exit status 2".to_owned()))));
}

#[test]
fn checks_never_pile_up() {
    let (mut policy, now) = begun();
    policy.elapsed(Timer::Beat, now);
    for beat in 1..5 {
        assert_eq!(spawned(&policy.elapsed(Timer::Beat, now + secs(beat))), []);
    }
    policy.ended(RunId(1), status(0));
    assert_eq!(spawned(&policy.elapsed(Timer::Beat, now + secs(5))), [RunId(2)]);
}

#[test]
fn a_check_that_takes_too_long_is_killed_and_has_failed() {
    let (mut policy, now) = begun();
    policy.elapsed(Timer::Beat, now);
    assert_eq!(policy.elapsed(Timer::Run(RunId(1)), now), [Action::TimedOut(RunId(1))]);
    let actions = policy.ended(RunId(1), RunEnd::Exited(Exit::Signal(9)));
    assert!(actions.contains(&Action::Tell(Checked::Failed("no answer in time: signal: killed".to_owned()))));
    assert_eq!(policy.elapsed(Timer::Run(RunId(1)), now), []);
}

#[test]
fn maintenance_pauses_checks_and_ignores_the_one_that_runs() {
    let (mut policy, now) = begun();
    policy.elapsed(Timer::Beat, now);
    policy.control(CheckControl::Pause);
    assert!(!policy.ended(RunId(1), status(0)).iter().any(|action| matches!(action, Action::Tell(_))));
    assert_eq!(spawned(&policy.elapsed(Timer::Beat, now + secs(1))), []);
    policy.control(CheckControl::Resume);
    assert_eq!(spawned(&policy.elapsed(Timer::Beat, now + secs(2))), [RunId(2)]);
}

#[test]
fn leaving_maintenance_does_not_check_a_job_that_never_started() {
    let (_, now) = begun();
    let mut policy = CheckPolicy::new(&check("true"), true);
    policy.startup(now);
    policy.control(CheckControl::Resume);
    assert_eq!(spawned(&policy.elapsed(Timer::Beat, now + secs(1))), []);
}

#[test]
fn the_end_terminates_a_running_check_and_ignores_its_result() {
    let (mut policy, now) = begun();
    policy.elapsed(Timer::Beat, now);
    assert_eq!(policy.control(CheckControl::End), [Action::Disarm(Timer::Beat), Action::Terminate(RunId(1))]);
    assert!(!policy.ended(RunId(1), status(0)).iter().any(|action| matches!(action, Action::Tell(_))));
    assert_eq!(policy.elapsed(Timer::Beat, now + secs(1)), []);
    policy.control(CheckControl::Begin);
    assert_eq!(policy.elapsed(Timer::Beat, now + secs(2)), [], "what is over stays over");
}

#[test]
fn without_a_command_each_beat_is_well() {
    let mut spec = check("");
    spec.exec = None;
    let (_, now) = begun();
    let mut policy = CheckPolicy::new(&spec, false);
    policy.startup(now);
    policy.control(CheckControl::Begin);
    assert!(policy.elapsed(Timer::Beat, now + secs(1)).contains(&Action::Tell(Checked::Assumed)));
}

fn choosy() -> (CheckPolicy, Instant) {
    let (spec, start) = (HealthSpec { failures: Some(2), ..check("false") }, begun().1);
    let mut policy = CheckPolicy::new(&spec, false);
    policy.startup(start);
    policy.control(CheckControl::Begin);
    policy.elapsed(Timer::Beat, start + Duration::from_secs(1));
    (policy, start)
}

fn told(actions: &[Action]) -> Option<&str> {
    actions.iter().find_map(|action| {
        if let Action::Tell(Checked::Failed(reason)) = action { Some(reason.as_str()) } else { None }
    })
}

#[test]
fn a_failure_is_told_with_the_last_words_of_its_run() {
    let (mut policy, start) = choosy();
    let waiting = policy.ended(RunId(1), status(1));
    assert_eq!(told(&waiting), None);
    assert!(waiting.contains(&Action::Arm(Timer::LastWords(RunId(1)), LAST_WORDS)));
    assert_eq!(told(&policy.said(RunId(1), "the disk is full".to_owned())), Some("the disk is full"));
    assert_eq!(policy.elapsed(Timer::LastWords(RunId(1)), start), [], "a stray timer");
}

#[test]
fn last_words_may_come_first_or_never_or_be_none() {
    let (mut policy, _) = choosy();
    assert_eq!(policy.said(RunId(1), "the disk is full".to_owned()), []);
    assert_eq!(told(&policy.ended(RunId(1), status(1))), Some("the disk is full"));
    let (mut policy, start) = choosy();
    policy.ended(RunId(1), status(1));
    assert_eq!(told(&policy.elapsed(Timer::LastWords(RunId(1)), start)), Some("exit status 1"));
    assert_eq!(policy.said(RunId(1), "too late".to_owned()), []);
    let (mut policy, _) = choosy();
    policy.ended(RunId(1), status(1));
    assert_eq!(told(&policy.said(RunId(1), String::new())), Some("exit status 1"));
}
