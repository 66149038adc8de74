//! A run is a process group: signals reach all of it, and what outlives its leader gets a TERM.

use containerpilot_actors::event::{Exit, RunEnd};
use containerpilot_actors::messages::GroupSignal;
use containerpilot_actors::testing::{secs, until};

use crate::scene::{Scene, alive};

#[actix::test]
async fn a_kill_reaches_the_whole_group() {
    let mut scene = Scene::new("kill-group").await;
    scene.run(1, "trap '' TERM; sh -c 'echo $$ > $F/child; while :; do sleep 1; done' & wait");
    let child: i32 = scene.file("child").await.trim().parse().unwrap();
    scene.signal(1, GroupSignal::Terminate);
    assert!(alive(child));
    scene.signal(1, GroupSignal::Kill);
    assert_eq!(scene.end_of(1).await, RunEnd::Exited(Exit::Signal(9)));
    until(secs(10), || alive(child), |alive| !alive).await;
}

#[actix::test]
async fn what_outlives_its_leader_gets_a_term() {
    let mut scene = Scene::new("leftover").await;
    let child =
        "(trap 'echo TERM > $F/seen; exit 0' TERM; echo > $F/ready; while :; do sleep 0.05; done) >/dev/null 2>&1 &";
    scene.run(1, &format!("{child} until [ -e $F/ready ]; do sleep 0.02; done"));
    assert_eq!(scene.end_of(1).await, RunEnd::Exited(Exit::Status(0)));
    assert_eq!(scene.file("seen").await, "TERM\n");
}

#[actix::test]
async fn signals_for_a_run_that_has_ended_reach_nobody() {
    let mut scene = Scene::new("late-signal").await;
    scene.run(1, "exit 0");
    scene.end_of(1).await;
    scene.signal(1, GroupSignal::Kill);
    scene.run(2, "echo alive");
    assert_eq!(scene.end_of(2).await, RunEnd::Exited(Exit::Status(0)));
}
