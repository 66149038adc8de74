//! Who is told what, in which order, and the exit status.

use super::*;
use crate::spec::StartRule;
use crate::testing::job;

fn name(text: &str) -> JobName {
    JobName::new(text)
}

fn at(code: EventCode, source: &str) -> StartRule {
    StartRule::Once(Event::job(code, &name(source)))
}

fn shut(job: &str, start_may_come: bool) -> Action {
    Action::ShutDown { job: name(job), start_may_come }
}

fn ended(policy: &mut ShutdownPolicy, job: &str, code: u8, by_itself: bool) -> Vec<Action> {
    policy.completed(&name(job), Completion { code: Some(code), by_itself, ..Completion::default() });
    let mut actions = policy.event(&name(job), &Event::job(EventCode::Stopping, &name(job)));
    actions.extend(policy.event(&name(job), &Event::job(EventCode::Stopped, &name(job))));
    actions
}

#[test]
fn everything_is_over_when_every_job_has_completed() {
    let mut policy = ShutdownPolicy::new(&[job("a"), job("b")]);
    assert_eq!(ended(&mut policy, "a", 0, true), []);
    assert_eq!(ended(&mut policy, "b", 0, true), [Action::PublishShutdown, Action::Finish(0)]);
}

#[test]
fn the_first_failure_in_time_is_the_status() {
    let mut policy = ShutdownPolicy::new(&[job("a"), job("b"), job("c")]);
    ended(&mut policy, "b", 5, true);
    ended(&mut policy, "a", 4, true);
    assert_eq!(ended(&mut policy, "c", 0, true).last(), Some(&Action::Finish(5)));
}

#[test]
fn who_is_asked_to_stop_has_not_failed() {
    let mut policy = ShutdownPolicy::new(&[job("a"), job("b")]);
    ended(&mut policy, "b", 5, true);
    assert_eq!(policy.asked(), [Action::PublishShutdown, shut("a", false)]);
    assert_eq!(policy.asked(), [], "a second signal changes nothing");
    assert_eq!(ended(&mut policy, "a", 9, false), [Action::Finish(0)]);
}

#[test]
fn the_main_jobs_completion_stops_the_others_and_decides_the_status() {
    let main = JobSpec { main: true, ..job("main") };
    let mut policy = ShutdownPolicy::new(&[main.clone(), job("side")]);
    assert_eq!(ended(&mut policy, "main", 6, true), [Action::PublishShutdown, shut("side", false)]);
    assert_eq!(ended(&mut policy, "side", 1, false), [Action::Finish(6)]);
    let mut policy = ShutdownPolicy::new(&[main]);
    policy.asked();
    assert_eq!(ended(&mut policy, "main", 143, false), [Action::Finish(143)], "also after a signal");
}

#[test]
fn the_failure_of_a_required_job_ends_everything_and_decides_the_status() {
    let required = |name| JobSpec { required: true, ..job(name) };
    let main = JobSpec { main: true, ..job("main") };
    let mut policy = ShutdownPolicy::new(&[required("pre"), main, required("post")]);
    assert_eq!(ended(&mut policy, "pre", 0, true), []);
    ended(&mut policy, "main", 7, true);
    assert_eq!(ended(&mut policy, "post", 9, true), [Action::Finish(9)]);
    let mut policy = ShutdownPolicy::new(&[required("pre"), job("a")]);
    assert_eq!(ended(&mut policy, "pre", 3, true), [Action::PublishShutdown, shut("a", false)]);
    assert_eq!(ended(&mut policy, "a", 1, false), [Action::Finish(3)]);
    let mut policy = ShutdownPolicy::new(&[required("pre")]);
    policy.asked();
    assert_eq!(ended(&mut policy, "pre", 143, false), [Action::Finish(0)], "it was asked to");
}

#[test]
fn jobs_that_are_last_linger_until_the_others_have_stopped() {
    let last = |name| JobSpec { last: Last::Yes, ..job(name) };
    let post = JobSpec { start: at(EventCode::Ended, "main"), ..job("post") };
    let mut policy = ShutdownPolicy::new(&[last("co"), JobSpec { main: true, ..job("main") }, post]);
    assert_eq!(
        policy.asked(),
        [Action::PublishShutdown, Action::Linger(name("co")), shut("main", false), shut("post", true)]
    );
    policy.standing_by(&name("post"));
    policy.event(&name("main"), &Event::job(EventCode::Ended, &name("main")));
    assert_eq!(ended(&mut policy, "main", 0, false), []);
    assert_eq!(ended(&mut policy, "post", 0, true), [shut("co", false)]);
    assert_eq!(ended(&mut policy, "co", 143, false), [Action::Finish(0)]);
}

#[test]
fn a_job_may_be_last_only_of_an_end_that_nobody_asked_for() {
    let service = || JobSpec { last: Last::UnlessAsked, ..job("service") };
    let main = || JobSpec { main: true, ..job("main") };
    let mut policy = ShutdownPolicy::new(&[main(), service()]);
    assert_eq!(policy.asked(), [Action::PublishShutdown, shut("main", false), shut("service", false)]);
    let mut policy = ShutdownPolicy::new(&[main(), service(), job("post")]);
    assert_eq!(
        ended(&mut policy, "main", 0, true),
        [Action::PublishShutdown, Action::Linger(name("service")), shut("post", false)]
    );
    assert_eq!(ended(&mut policy, "post", 0, true), [shut("service", false)]);
}

#[test]
fn a_hook_of_a_job_that_never_ran_is_sent_home_although_others_linger() {
    let post = JobSpec { start: at(EventCode::Ended, "main"), ..job("post") };
    let mut policy = ShutdownPolicy::new(&[JobSpec { last: Last::Yes, ..job("co") }, job("main"), post]);
    policy.asked();
    policy.standing_by(&name("post"));
    assert_eq!(ended(&mut policy, "main", 0, false), [Action::StandDown(name("post"))]);
}

#[test]
fn the_end_of_all_jobs_is_not_the_end_if_it_stays_up() {
    let mut policy = ShutdownPolicy::new(&[job("a")]);
    policy.stay_up(true);
    assert_eq!(ended(&mut policy, "a", 1, true), []);
    assert_eq!(policy.asked(), [Action::PublishShutdown, Action::Finish(0)]);
}

#[test]
fn jobs_that_wait_for_the_shutdown_do_not_keep_it_from_coming() {
    let last = JobSpec { start: StartRule::Once(Event::SHUTDOWN), ..job("last") };
    let mut policy = ShutdownPolicy::new(&[job("a"), last]);
    assert_eq!(ended(&mut policy, "a", 0, true), [Action::PublishShutdown, shut("last", false)]);
    assert_eq!(ended(&mut policy, "last", 0, true), [Action::Finish(0)]);
}

#[test]
fn without_jobs_it_stays_until_it_is_asked() {
    let mut policy = ShutdownPolicy::new(&[]);
    assert_eq!(policy.event(&name("a"), &Event::STARTUP), []);
    assert_eq!(policy.asked(), [Action::PublishShutdown, Action::Finish(0)]);
}

#[test]
fn a_job_at_a_stop_waits_only_for_what_may_still_come() {
    let jobs = [
        job("a"),
        job("gone"),
        JobSpec { start: at(EventCode::Stopped, "a"), ..job("post") },
        JobSpec { start: at(EventCode::Stopped, "gone"), ..job("late") },
        JobSpec { start: at(EventCode::Stopping, "nobody"), ..job("lost") },
        JobSpec { start: at(EventCode::Stopping, "self"), ..job("self") },
    ];
    let mut policy = ShutdownPolicy::new(&jobs);
    ended(&mut policy, "gone", 0, true);
    assert_eq!(
        policy.asked(),
        [
            Action::PublishShutdown,
            shut("a", false),
            shut("late", false),
            shut("lost", false),
            shut("post", true),
            shut("self", false)
        ]
    );
}

#[test]
fn jobs_that_wait_for_each_other_are_sent_home_when_nothing_else_is_left() {
    let jobs = [
        job("a"),
        JobSpec { start: at(EventCode::Stopping, "z"), ..job("y") },
        JobSpec { start: at(EventCode::Stopping, "y"), ..job("z") },
    ];
    let mut policy = ShutdownPolicy::new(&jobs);
    policy.asked();
    assert_eq!(policy.standing_by(&name("y")), []);
    assert_eq!(policy.standing_by(&name("z")), []);
    let home = [Action::StandDown(name("y")), Action::StandDown(name("z"))];
    assert_eq!(ended(&mut policy, "a", 0, false), home);
    ended(&mut policy, "y", 0, false);
    assert_eq!(ended(&mut policy, "z", 0, false), [Action::Finish(0)]);
}

#[test]
fn a_chain_of_jobs_at_stops_is_waited_for_link_by_link() {
    let jobs = [
        job("a"),
        JobSpec { start: at(EventCode::Stopped, "a"), ..job("b") },
        JobSpec { start: at(EventCode::Stopped, "b"), ..job("c") },
    ];
    let mut policy = ShutdownPolicy::new(&jobs);
    policy.asked();
    policy.standing_by(&name("b"));
    policy.standing_by(&name("c"));
    assert_eq!(ended(&mut policy, "a", 0, false), [], "b runs now, so c waits on");
    assert_eq!(ended(&mut policy, "b", 0, false), []);
    assert_eq!(ended(&mut policy, "c", 0, false), [Action::Finish(0)]);
}

#[test]
fn a_start_event_that_overtakes_the_word_of_standing_by_wins() {
    let jobs = [job("a"), JobSpec { start: at(EventCode::Stopping, "a"), ..job("pre") }];
    let mut policy = ShutdownPolicy::new(&jobs);
    policy.asked();
    policy.event(&name("a"), &Event::job(EventCode::Stopping, &name("a")));
    assert_eq!(policy.standing_by(&name("pre")), []);
    assert_eq!(
        policy.event(&name("a"), &Event::job(EventCode::Stopped, &name("a"))),
        [],
        "it runs, and is not sent home"
    );
}
