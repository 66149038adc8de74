//! Every byte that a child writes is in the log, in order, whatever happens to the child.

use containerpilot_actors::messages::GroupSignal;
use containerpilot_actors::output::{Followed, Stream};

use crate::scene::{Scene, app};

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

#[actix::test]
async fn the_last_lines_stay_in_memory_over_restarts() {
    let mut scene = Scene::new("tail").await;
    assert!(scene.pump.tail(app(), 10).await.is_empty());
    scene.run(1, "seq 1000");
    scene.end_of(1).await;
    scene.run(2, "echo oops >&2; printf end");
    let pid = scene.pid_of(2).await;
    scene.end_of(2).await;
    let mut last = scene.pump.tail(app(), 4).await;
    // Two streams have no order between them.
    last[2..].sort_by_key(|line| line.stream != Stream::Stderr);
    let texts: Vec<String> = last.iter().map(|line| String::from_utf8(line.text.clone()).unwrap()).collect();
    assert_eq!(texts, ["999", "1000", "oops", "end"]);
    assert_eq!((last[2].pid, last[2].stream, last[3].stream), (pid, Stream::Stderr, Stream::Stdout));
    assert_eq!(scene.pump.tail(app(), 1000).await.len(), 100);
    let counts = scene.pump.counts().await.unwrap();
    assert_eq!((counts.of_owners[0].1.lines, counts.of_owners[0].1.dropped, counts.lost), (1002, 0, 0));
}

#[actix::test]
async fn whoever_is_forgotten_is_kept_until_its_last_pipe_is_closed() {
    let mut scene = Scene::new("forgotten").await;
    scene.run(1, "echo begun; until [ -e $F/go ]; do sleep 0.02; done; echo end");
    let mut lines = scene.pump.follow(app(), 1);
    let mut next = async || match lines.next().await {
        Some(Followed::Line(line)) => String::from_utf8(line.text).unwrap(),
        Some(Followed::Lost(count)) => format!("lost {count}"),
        None => "over".to_owned(),
    };
    assert_eq!(next().await, "begun");
    scene.pump.forget(app());
    assert_eq!(scene.pump.counts().await.unwrap().of_owners.len(), 1);
    std::fs::write(scene.folder.join("go"), "").unwrap();
    scene.end_of(1).await;
    assert_eq!([next().await, next().await], ["end", "over"]);
    assert_eq!(scene.pump.counts().await.unwrap().of_owners, []);
    scene.run(2, "echo anew");
    scene.end_of(2).await;
    assert_eq!(scene.pump.tail(app(), 10).await.len(), 1);
}

#[actix::test]
async fn a_follower_gets_the_last_lines_and_those_that_come() {
    let mut scene = Scene::new("follow").await;
    scene.run(1, "seq 3; until [ -e $F/go ]; do sleep 0.02; done; echo later");
    containerpilot_actors::testing::until(
        containerpilot_actors::testing::secs(20),
        || std::fs::read_to_string(scene.folder.join("log")).unwrap_or_default(),
        |text| text.ends_with(" 3\n"),
    )
    .await;
    let mut lines = scene.pump.follow(app(), 2);
    std::fs::write(scene.folder.join("go"), "").unwrap();
    let mut got = Vec::new();
    while got.len() < 3 {
        match lines.next().await {
            Some(Followed::Line(line)) => got.push(String::from_utf8(line.text).unwrap()),
            Some(Followed::Lost(count)) => panic!("lost {count}"),
            None => panic!("the pump has ended"),
        }
    }
    assert_eq!(got, ["2", "3", "later"]);
    scene.end_of(1).await;
}
