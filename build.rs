//! Tells `-version` which commit this is, where that is known.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=CONTAINERPILOT_GIT_HASH");
    // A path that is not there would make every build a new one.
    for path in [".git/HEAD", ".git/logs/HEAD"] {
        if Path::new(path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    println!("cargo::rerun-if-changed=build.rs");
    let hash = std::env::var_os("CONTAINERPILOT_GIT_HASH")
        .and_then(|hash| hash.into_string().ok())
        .or_else(head)
        .unwrap_or_default();
    println!("cargo::rustc-env=GIT_HASH={hash}");
}

fn head() -> Option<String> {
    let output = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output().ok()?;
    let hash = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    output.status.success().then_some(hash)
}
