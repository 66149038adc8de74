//! Descendants that left their group come to us, and none outlives us.

use containerpilot_actors::messages::{AllEnded, ReaperCommand};
use containerpilot_actors::testing::{probe, secs, until};

use crate::scene::{Scene, alive};

#[actix::test]
async fn a_daemon_in_a_session_of_its_own_is_found_and_ended() {
    let mut scene = Scene::new("daemon").await;
    scene.run(
        1,
        "setsid sh -c 'trap \"\" TERM; echo $$ > $F/daemon; while :; do sleep 1; done' >/dev/null 2>&1 &
                  until [ -s $F/daemon ]; do sleep 0.02; done",
    );
    scene.end_of(1).await;
    let daemon: i32 = scene.file("daemon").await.trim().parse().unwrap();
    assert!(alive(daemon), "its job's end is not its own");
    let (done, mut ended) = probe::<AllEnded>();
    scene.end_all(done);
    ended.next(secs(20)).await;
    assert!(!alive(daemon));
}

#[actix::test]
async fn a_daemon_has_one_term_and_time_for_a_clean_end_when_everything_ends() {
    let mut scene = Scene::new("clean-daemon").await;
    scene.run(
        1,
        "setsid sh -c 'trap \"echo TERM >> $F/seen; sleep 0.3; echo clean >> $F/seen; exit\" TERM; echo $$ > $F/daemon
                       while :; do sleep 0.05; done' >/dev/null 2>&1 &
                  until [ -s $F/daemon ]; do sleep 0.02; done",
    );
    scene.end_of(1).await;
    scene.file("daemon").await;
    let (done, mut ended) = probe::<AllEnded>();
    scene.end_all(done);
    ended.next(secs(20)).await;
    assert_eq!(scene.file("seen").await, "TERM\nclean\n");
}

#[actix::test]
async fn hundreds_of_orphans_leave_no_zombie() {
    let mut scene = Scene::new("orphans").await;
    scene.run(1, "for i in $(seq 200); do setsid sh -c 'exit 3' & done");
    scene.end_of(1).await;
    let own = std::process::id().to_string();
    let zombies = || {
        scene.reaper.do_send(ReaperCommand::Reap);
        let stats = std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("stat")).ok());
        stats
            .filter(|stat| {
                let mut after = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
                after.next() == Some("Z") && after.next() == Some(own.as_str())
            })
            .count()
    };
    until(secs(20), zombies, |count| *count == 0).await;
}

#[actix::test]
async fn with_nothing_left_the_end_is_at_once() {
    let scene = Scene::new("nothing-left").await;
    let (done, mut ended) = probe::<AllEnded>();
    scene.end_all(done);
    ended.next(secs(20)).await;
}
