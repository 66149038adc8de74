//! Every byte that a child writes is in the log, in order, whatever happens to the child.

use containerpilot_actors::messages::GroupSignal;

use crate::scene::Scene;

#[actix::test]
async fn a_burst_right_before_the_end_is_whole_and_in_order() {
    let mut scene = Scene::new("burst").await;
    scene.run(1, "seq 100000");
    scene.end_of(1).await;
    let want: Vec<String> = (1..=100_000).map(|number| number.to_string()).collect();
    assert_eq!(scene.lines().await, want);
}

#[actix::test]
async fn the_last_line_needs_no_newline() {
    let mut scene = Scene::new("last-line").await;
    scene.run(1, "printf 'one\\r\\n\\ntwo'");
    scene.end_of(1).await;
    assert_eq!(scene.lines().await, ["one", "", "two"]);
}

#[actix::test]
async fn a_grandchild_that_holds_the_pipe_delays_no_exit_and_is_still_heard() {
    let mut scene = Scene::new("held").await;
    scene.run(
        1,
        "(trap '' TERM; echo > $F/ready; until [ -e $F/go ]; do sleep 0.02; done; echo from below; echo > $F/said) &
         until [ -e $F/ready ]; do sleep 0.02; done; echo begun",
    );
    scene.end_of(1).await;
    std::fs::write(scene.folder.join("go"), "").unwrap();
    scene.file("said").await;
    assert_eq!(scene.lines().await, ["begun", "from below"]);
}

#[actix::test]
async fn what_was_written_before_a_kill_is_kept() {
    let mut scene = Scene::new("killed").await;
    scene.run(1, "seq 20000; echo > $F/said; sleep 100");
    scene.file("said").await;
    scene.signal(1, GroupSignal::Kill);
    scene.end_of(1).await;
    assert_eq!(scene.lines().await.len(), 20_000);
}
