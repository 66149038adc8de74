//! Every exit is seen, with how it came about.

use containerpilot_actors::event::{Exit, RunEnd};

use crate::scene::Scene;

#[actix::test]
async fn statuses_and_signals_are_told_apart() {
    let mut scene = Scene::new("exits").await;
    let ends = [
        ("exit 0", Exit::Status(0)),
        ("exit 3", Exit::Status(3)),
        ("exit 255", Exit::Status(255)),
        ("kill -KILL $$", Exit::Signal(9)),
        ("kill -TERM $$", Exit::Signal(15)),
        ("kill -37 $$", Exit::Signal(37)),
    ];
    for (run, (script, exit)) in (1..).zip(ends) {
        scene.run(run, script);
        assert_eq!(scene.end_of(run).await, RunEnd::Exited(exit), "{script}");
    }
}

#[actix::test]
async fn exits_before_anyone_looks_are_all_seen() {
    let mut scene = Scene::new("many-exits").await;
    for run in 1..=200 {
        scene.run(run, if run % 2 == 0 { "exit 0" } else { "exit 1" });
    }
    for run in 1..=200 {
        let status = u8::from(run % 2 == 1);
        assert_eq!(scene.end_of(run).await, RunEnd::Exited(Exit::Status(status)));
    }
}
