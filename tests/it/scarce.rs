//! When the operating system gives us less than we would like to have.

use std::process::{Command, Output};

use crate::pilot::Folder;

const BINARY: &str = env!("CARGO_BIN_EXE_containerpilot");

/// The binary with a main job that ends with 3, where a process may have this many descriptors.
fn with_descriptors(most: u32, folder: &Folder) -> Output {
    let socket = folder.0.join("socket");
    let config = format!(
        "{{ control: {{ socket: '{}' }}, jobs: [ {{ name: 'app', main: true, exec: ['sh', '-c', 'exit 3'] }} ] }}",
        socket.display()
    );
    let script = format!("ulimit -n {most}; exec \"$0\" \"$@\"");
    Command::new("sh").args(["-c", &script, BINARY, "-config", &config]).output().unwrap()
}

#[test]
fn with_few_descriptors_it_runs_or_ends_with_a_sentence() {
    let folder = Folder::new();
    let mut statuses = Vec::new();
    for most in 3..=32 {
        let Output { status, stderr, .. } = with_descriptors(most, &folder);
        let stderr = String::from_utf8_lossy(&stderr);
        assert!(!stderr.contains("panicked"), "{most}: {stderr}");
        // The second is that of a job that cannot be started.
        assert!(matches!(status.code(), Some(1 | 126 | 3)), "{most}: {status}: {stderr}");
        if status.code() == Some(1) {
            assert!(stderr.lines().count() == 1 && stderr.contains("Too many open files"), "{most}: {stderr}");
        }
        statuses.push(status.code());
    }
    assert!(statuses.is_sorted_by_key(|status| status.is_some_and(|status| status != 1)), "{statuses:?}");
    assert_eq!(statuses.last(), Some(&Some(3)));
}
