//! Every config sample is valid, and the quickstart does what it says.

use std::path::Path;

use crate::pilot::{Pilot, containerpilot, said};

#[test]
fn every_sample_is_valid() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("config-samples");
    let mut count = 0;
    for entry in std::fs::read_dir(samples).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json5") {
            let output = containerpilot(&["-validate", "-config", path.to_str().unwrap()]);
            assert!(output.status.success(), "{path:?}: {}", String::from_utf8_lossy(&output.stderr));
            count += 1;
        }
    }
    assert!(count >= 6);
}

#[test]
fn the_quickstart_starts_checks_and_stops_in_order() {
    let sample = include_str!("../../config-samples/quickstart.json5");
    // Two of them at once must not share a folder.
    let mut pilot = Pilot::of(&sample.replace("/tmp/", "@/"));
    pilot.says("the app is healthy");
    let (status, lines) = pilot.stop();
    assert_eq!(status, Some(0));
    assert_eq!(said(&lines), ["preparing", "serving", "the app is healthy", "goodbye", "cleaning up"]);
}
