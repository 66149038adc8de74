//! What a child inherits: our environment with its job's changes, an empty stdin, three descriptors, default signals.

use containerpilot_actors::messages::ReaperCommand;

use crate::scene::Scene;

#[actix::test]
async fn variables_come_from_us_from_put_env_and_from_running_jobs() {
    let mut scene = Scene::new("variables").await;
    scene.reaper.do_send(ReaperCommand::PutEnv(vec![("PUT".into(), Some("x y".into())), ("HOME".into(), None)]));
    scene.run(1, "echo > $F/go; sleep 100");
    let pid = scene.pid_of(1).await;
    scene.run(2, "echo \"$GIVEN|$PUT|${HOME-unset}|$CONTAINERPILOT_APP_PID\" > $F/seen");
    assert_eq!(scene.file("seen").await, format!("a=b|x y|unset|{pid}\n"));
    scene.signal(1, containerpilot_actors::messages::GroupSignal::Kill);
    scene.end_of(1).await;
    scene.run(3, "echo ${CONTAINERPILOT_APP_PID-unset} > $F/later");
    assert_eq!(scene.file("later").await, "unset\n");
}

#[actix::test]
async fn a_child_has_three_descriptors_and_leads_its_group() {
    let mut scene = Scene::new("descriptors").await;
    // 3 is that of ls itself
    scene.run(1, "ls /proc/self/fd | tr '\\n' ' ' > $F/fds; readlink /proc/$$/fd/0 > $F/stdin; cut -d' ' -f5 /proc/$$/stat > $F/group");
    let pid = scene.pid_of(1).await;
    scene.end_of(1).await;
    assert_eq!(std::fs::read_to_string(scene.folder.join("fds")).unwrap(), "0 1 2 3 ");
    assert_eq!(scene.file("stdin").await, "/dev/null\n");
    assert_eq!(scene.file("group").await, format!("{pid}\n"));
}

#[actix::test]
async fn a_child_blocks_and_ignores_no_signal() {
    let mut scene = Scene::new("signals").await;
    scene.run(1, "exec grep -E 'Sig(Blk|Ign)' /proc/self/status > $F/status.new; mv $F/status.new $F/status");
    scene.end_of(1).await;
    for line in std::fs::read_to_string(scene.folder.join("status.new")).unwrap().lines() {
        assert!(line.ends_with("0000000000000000"), "{line}");
    }
}
