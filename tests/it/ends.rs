//! When it ends, and with which status.

use crate::pilot::{Pilot, said};
use nix::sys::signal::Signal;

#[test]
fn the_status_is_0_when_every_job_has_succeeded() {
    let (status, lines) = Pilot::of_jobs("{ name: 'a', exec: 'echo done' }").end();
    assert_eq!((status, said(&lines)), (Some(0), vec!["done".to_owned()]));
}

#[test]
fn the_status_is_that_of_the_first_job_that_failed() {
    let jobs = "{ name: 'late', exec: ['sh', '-c', 'exit 4'], when: { source: 'early', once: 'stopped' } },
                { name: 'early', exec: ['sh', '-c', 'exit 5'] }";
    assert_eq!(Pilot::of_jobs(jobs).end().0, Some(5));
}

#[test]
fn the_end_of_the_main_job_ends_all_with_its_status() {
    let jobs = "{ name: 'side', exec: 'sleep 1000' },
                { name: 'app', main: true, exec: ['sh', '-c', 'kill -9 $$'] }";
    assert_eq!(Pilot::of_jobs(jobs).end().0, Some(137));
}

#[test]
fn a_signal_to_stop_is_status_0_and_every_job_hears_of_it() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        let script = "trap \"echo stopped; exit 3\" TERM; echo begun; while :; do sleep 100 & wait $!; done";
        let mut pilot = Pilot::of_jobs(&format!("{{ name: 'a', exec: ['sh', '-c', '{script}'] }}"));
        pilot.says("begun");
        pilot.send(signal);
        let (status, lines) = pilot.end();
        assert_eq!((status, said(&lines)), (Some(0), vec!["begun".to_owned(), "stopped".to_owned()]), "{signal}");
    }
}

#[test]
fn a_job_that_ignores_the_term_does_not_keep_it() {
    let mut pilot = Pilot::of_jobs("{ name: 'a', exec: ['sh', '-c', 'trap \"\" TERM; echo begun; sleep 1000'] }");
    pilot.says("begun");
    assert_eq!(pilot.stop().0, Some(0));
}

#[test]
fn what_escaped_from_its_group_does_not_outlive_it() {
    // Its end would otherwise never come: the escaped process holds our stdout.
    let script = "setsid sh -c \"trap : TERM; echo away; while :; do sleep 1; done\" & wait";
    let mut pilot =
        Pilot::of_jobs(&format!("{{ name: 'a', logging: {{ raw: true }}, exec: ['sh', '-c', '{script}'] }}"));
    pilot.says("away");
    assert_eq!(pilot.stop().0, Some(0));
}
