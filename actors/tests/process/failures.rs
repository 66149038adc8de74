//! What cannot be started is an ended run with a reason, and nothing else.

use containerpilot_actors::event::RunEnd;
use containerpilot_actors::messages::{LastWords, Launch};
use containerpilot_actors::spec::{Exec, OutputSpec};

use crate::scene::Scene;

#[actix::test]
async fn each_failure_says_why() {
    let mut scene = Scene::new("failures").await;
    std::fs::write(scene.folder.join("noformat"), "not a program").unwrap();
    let path = |name: &str| scene.folder.join(name).into_os_string();
    std::process::Command::new("chmod").arg("755").arg(path("noformat")).status().unwrap();
    let cases = [
        ("/no/such/program".into(), 127, "no such file or directory"),
        ("no-such-command".into(), 127, "executable file not found in $PATH"),
        (path(""), 126, "permission denied"),
        (path("noformat"), 126, "exec format error"),
        ("nul\0".into(), 126, "NUL"),
    ];
    for (run, (program, status, words)) in (1..).zip(cases) {
        let exec = Exec { program, args: vec!["arg".into()] };
        scene.launch(
            run,
            Launch { exec, env: [].into(), output: OutputSpec::default(), last_words: LastWords::OfFailure },
        );
        let RunEnd::NotStarted { code, reason } = scene.end_of(run).await else { panic!("it started") };
        assert_eq!(code, status, "{reason}");
        assert!(reason.contains(words), "{reason}");
    }
    scene.run(99, "exit 0");
    assert!(scene.end_of(99).await.is_success(), "a failed start does not spoil the next one");
}
