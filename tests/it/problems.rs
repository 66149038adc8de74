//! What is wrong with a config is told all at once, and nothing is started.

use crate::pilot::{containerpilot, folder};

fn refused(config: &str) -> String {
    let folder = folder();
    let path = folder.join("app.json5");
    std::fs::write(&path, config).unwrap();
    let output = containerpilot(&["-config", path.to_str().unwrap()]);
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty(), "something was started");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn every_problem_has_its_place_its_field_and_its_value() {
    let text = refused(
        "{\n  jobs: [\n    { name: 'a', exec: 'echo started' },\n    { name: 'b', exec: 'true', timeout: '10x',\n      restarts: 'often' },\n  ],\n}",
    );
    assert!(text.contains("app.json5:4:") && text.contains("timeout") && text.contains("10x"), "{text}");
    assert!(text.contains("app.json5:5:") && text.contains("restarts") && text.contains("often"), "{text}");
}

#[test]
fn a_misspelled_field_comes_with_the_nearest_valid_one() {
    let text = refused("{ jobs: [ { name: 'a', exec: 'true', wehn: {} } ] }");
    assert!(text.contains("wehn") && text.contains("`when`"), "{text}");
}

#[test]
fn a_file_that_is_missing_is_named() {
    let output = containerpilot(&["-config", "/no/such/file.json5"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/no/such/file.json5"));
}
