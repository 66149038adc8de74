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

/// A member of the group that counts its TERMs, and takes a moment to end.
const CHILD: &str = "(trap 'echo TERM >> $F/seen; sleep 0.3; echo end >> $F/seen; exit 0' TERM
                      echo up > $F/ready; while :; do sleep 0.05; done)";

#[actix::test]
async fn what_outlives_a_leader_that_ended_by_itself_gets_a_term() {
    let mut scene = Scene::new("leftover").await;
    scene.run(1, &format!("{CHILD} >/dev/null 2>&1 & until [ -s $F/ready ]; do sleep 0.02; done"));
    assert_eq!(scene.end_of(1).await, RunEnd::Exited(Exit::Status(0)));
    assert_eq!(scene.rest(1), Some(false));
    scene.end_rest(1);
    scene.gone(1).await;
    assert_eq!(scene.file("seen").await, "TERM\nend\n");
}

#[actix::test]
async fn a_wrapper_that_dies_at_once_leaves_its_application_one_term_and_its_clean_end() {
    let mut scene = Scene::new("wrapper").await;
    scene.run(1, &format!("{CHILD} & wait"));
    scene.file("ready").await;
    scene.stop(1);
    scene.end_of(1).await;
    assert_eq!(scene.rest(1), Some(true));
    scene.end_rest(1);
    scene.gone(1).await;
    assert_eq!(scene.file("seen").await, "TERM\nend\n");
}

#[actix::test]
async fn one_that_is_forked_after_the_term_gets_its_own() {
    let mut scene = Scene::new("forked-late").await;
    let late =
        format!("trap '{} & until [ -s $F/ready ]; do sleep 0.02; done; exit 0' TERM", CHILD.replace('\'', "\""));
    scene.run(1, &format!("{late}; echo up > $F/leader; while :; do sleep 0.05; done"));
    scene.file("leader").await;
    scene.stop(1);
    scene.end_of(1).await;
    scene.end_rest(1);
    scene.gone(1).await;
    assert_eq!(scene.file("seen").await, "TERM\nend\n");
}

#[actix::test]
async fn a_stopped_process_acts_on_its_term() {
    let mut scene = Scene::new("stopped").await;
    scene.run(1, "trap 'echo clean; exit 7' TERM; echo $$ > $F/pid; kill -STOP $$; while :; do sleep 0.05; done");
    let pid: i32 = scene.file("pid").await.trim().parse().unwrap();
    let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    until(secs(10), state, |stat| stat.contains(") T ")).await;
    scene.stop(1);
    assert_eq!(scene.end_of(1).await, RunEnd::Exited(Exit::Status(7)));
}

#[actix::test]
async fn a_descendant_in_a_group_of_its_own_is_asked_when_leader_and_group_have_ended() {
    let mut scene = Scene::new("escapee").await;
    let escapee = CHILD.trim_matches(['(', ')']).replace('\'', "\"");
    scene.run(1, &format!("setsid sh -c '{escapee}' >/dev/null 2>&1 & wait"));
    scene.file("ready").await;
    scene.stop(1);
    scene.end_of(1).await;
    assert_eq!(scene.rest(1), Some(false));
    scene.end_rest(1);
    scene.gone(1).await;
    assert_eq!(scene.file("seen").await, "TERM\nend\n");
}

#[actix::test]
async fn a_leader_that_has_left_its_group_is_still_the_job() {
    let mut scene = Scene::new("moved").await;
    let move_away = "import os, time; os.setpgid(0, os.getpgid(os.getppid())); print('moved', file=open(os.environ['F'] + '/moved', 'w'), flush=True); time.sleep(60)";
    scene.run(1, &format!("exec python3 -c \"{move_away}\""));
    scene.file("moved").await;
    scene.stop(1);
    assert_eq!(scene.end_of(1).await, RunEnd::Exited(Exit::Signal(15)));
}

#[actix::test]
async fn a_pipeline_that_ends_as_one_leaves_nothing() {
    let mut scene = Scene::new("pipeline").await;
    for run in 1..20 {
        scene.run(run, "seq 100 | cat | wc -l");
        scene.end_of(run).await;
        assert_eq!(scene.rest(run), None);
    }
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

#[actix::test]
async fn what_an_application_starts_for_its_clean_end_is_let_be() {
    let mut scene = Scene::new("helper").await;
    let script = |name: &str, text: &str| std::fs::write(scene.folder.join(name), text).unwrap();
    script("helper.sh", "trap 'echo TERM >> $F/seen' TERM; echo up > $F/helper; sleep 0.5; echo saved >> $F/seen\n");
    script("app.sh", "trap 'sh $F/helper.sh; exit 0' TERM; echo up > $F/ready; while :; do sleep 0.05; done\n");
    // The leader waits until the helper runs, so that it is there when the leader ends.
    let leader = "trap 'until [ -s $F/helper ]; do sleep 0.02; done; exit 0' TERM; sh $F/app.sh &
                  while :; do sleep 0.05; done";
    scene.run(1, leader);
    scene.file("ready").await;
    scene.stop(1);
    scene.end_of(1).await;
    scene.end_rest(1);
    scene.gone(1).await;
    assert_eq!(scene.file("seen").await, "saved\n");
}
