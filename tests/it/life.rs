//! Jobs that start, restart and stop because of each other.

use crate::consul::Consul;
use crate::http::local;
use crate::pilot::{Pilot, said, until};
use nix::sys::signal::Signal;

#[test]
fn the_order_falls_out_of_the_events() {
    let jobs = "{ name: 'c', exec: 'echo third', when: { source: 'b', once: 'exitSuccess' } },
                { name: 'b', exec: 'echo second', when: { source: 'a', once: 'exitSuccess' } },
                { name: 'a', exec: 'echo first' }";
    assert_eq!(said(&Pilot::of_jobs(jobs).end().1), ["first", "second", "third"]);
}

#[test]
fn hooks_run_before_and_after_the_stop_of_a_job() {
    let app = "trap \"echo closing; exit 0\" TERM; echo serves; while :; do sleep 100 & wait $!; done";
    let mut pilot = Pilot::of_jobs(&format!(
        "{{ name: 'app', exec: ['sh', '-c', '{app}'] }},
         {{ name: 'pre', exec: 'echo draining', when: {{ source: 'app', once: 'stopping' }} }},
         {{ name: 'post', exec: 'echo archiving', when: {{ source: 'app', once: 'stopped' }} }}"
    ));
    pilot.says("serves");
    assert_eq!(said(&pilot.stop().1), ["serves", "draining", "closing", "archiving"]);
}

#[test]
fn a_signal_is_an_event() {
    let mut pilot = Pilot::of_jobs(
        "{ name: 'a', exec: 'echo hup', when: { source: 'SIGHUP' } }, { name: 'up', exec: 'echo ready' }",
    );
    pilot.says("ready");
    pilot.send(Signal::SIGHUP);
    pilot.says(" hup");
    assert_eq!(pilot.stop().0, Some(0));
}

#[test]
fn a_job_restarts_as_often_as_it_may() {
    let (status, lines) = Pilot::of_jobs("{ name: 'a', exec: ['sh', '-c', 'echo run; exit 3'], restarts: 2 }").end();
    assert_eq!((status, said(&lines).len()), (Some(3), 3));
}

#[test]
fn a_jobs_environment_is_ours_with_its_own_changes() {
    let jobs = "{ name: 'a', exec: ['sh', '-c', 'echo ${ADDED}/${PATH-unset}/$CONTAINERPILOT_PID'],
                  env: { ADDED: 'x=y', PATH: null } }";
    let mut pilot = Pilot::of_jobs(&jobs.replace("'sh'", "'/bin/sh'"));
    let line = pilot.says("x=y/");
    // A shell without PATH makes up its own.
    assert!(!line.contains(&format!("/{}/", std::env::vars().find(|(name, _)| name == "PATH").unwrap().1)), "{line}");
}

#[test]
fn a_healthy_job_starts_those_that_wait_for_it() {
    let mut pilot = Pilot::of_jobs(
        "{ name: 'db', exec: 'sleep 1000', health: { exec: 'true', interval: 1, ttl: 5 } },
         { name: 'app', exec: 'echo serves', when: { source: 'db', once: 'healthy' } }",
    );
    pilot.says("serves");
    assert_eq!(pilot.stop().0, Some(0));
}

#[test]
fn a_program_that_cannot_be_run_is_a_failed_job_and_nothing_else() {
    let mut pilot = Pilot::of_jobs(
        "{ name: 'bad', exec: '/no/such/program' }, { name: 'good', exec: 'sleep 1000' },
         { name: 'next', exec: 'echo noticed', when: { source: 'bad', once: 'exitFailed' } }",
    );
    pilot.says("unable to start bad: cannot run `/no/such/program`: no such file or directory");
    pilot.says("noticed");
    assert_eq!(pilot.stop().0, Some(0));
}

#[test]
fn a_catalog_that_is_asked_in_another_way_is_no_change() {
    let consul = Consul::start();
    consul.register("db-1", 5000);
    let config = |address: &str, side: &str| {
        format!(
            "{{ consul: '{address}', watches: [ {{ name: 'db', interval: 1 }} ], control: {{ socket: '@/socket' }},
                signals: {{ SIGHUP: 'reload' }},
                jobs: [ {{ name: 'app', exec: 'sleep 1000' }}, {{ name: 'side', exec: 'echo {side}' }},
                        {{ name: 'hook', exec: ['sh', '-c', 'echo sees $CONTAINERPILOT_WATCH_DB'],
                           when: {{ source: 'watch.db', each: 'changed' }} }} ] }}"
        )
    };
    let here = consul.address();
    let mut pilot = Pilot::of(&config(&here, "first"));
    pilot.says("sees 10.0.0.1:5000");
    pilot.reload(&config(&here.replace("127.0.0.1", "localhost"), "second"));
    pilot.says(" second");
    // Not before the new watch knows what is there.
    until(|| local(&pilot.folder.join("socket"), "GET", "/v3/status", "").1.contains("\"instances\":1"));
    consul.register("db-2", 5001);
    pilot.says("sees 10.0.0.1:5000,10.0.0.1:5001");
    let (_, lines) = pilot.stop();
    assert_eq!(said(&lines).iter().filter(|line| line.starts_with("sees")).count(), 2, "{lines:#?}");
}
