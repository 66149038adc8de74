//! What is wrong with a config is told all at once, and nothing is started.

use crate::pilot::{Pilot, containerpilot, folder};

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

#[test]
fn an_address_that_cannot_be_keeps_no_job_from_running_and_changes_nothing_later() {
    let config = |consul: &str, job: &str| {
        format!(
            "{{ {consul} control: {{ socket: '@/socket' }}, logging: {{ format: 'text' }}, jobs: [ {{ name: '{job}', exec: ['sh', '-c', 'echo {job} up; exec sleep 60'] }} ] }}"
        )
    };
    let mut pilot = Pilot::of(&config("consul: 'h:70000',", "app"));
    let error = pilot.says("level=error").replace(&pilot.at_home("@"), "@");
    assert!(error.contains("app.json5:1:11: consul: `h:70000` is not an address"), "{error}");
    pilot.says("app up");
    std::fs::write(pilot.at_home("@/app.json5"), pilot.at_home(&config("consul: 'h h',", "other"))).unwrap();
    let file = pilot.at_home("@/app.json5");
    let reload = containerpilot(&["-config", &file, "-reload"]);
    let says = String::from_utf8_lossy(&reload.stderr);
    assert!(
        !reload.status.success() && says.contains("422") && says.contains("app.json5:1:11: consul: `h h`"),
        "{says}"
    );
    let validated = containerpilot(&["-config", &file, "-validate"]);
    assert_eq!(validated.status.code(), Some(1));
    let (status, lines) = pilot.stop();
    assert_eq!((status, lines.iter().any(|line| line.contains("other up"))), (Some(0), false), "{lines:?}");
}

#[test]
fn a_warning_is_logged_and_refuses_nothing_but_strictly() {
    let config = |exec: &str| {
        format!(
            "{{ control: {{ socket: '@/socket' }},\n jobs: [ {{ name: 'app', exec: {exec} }},\n {{ name: 'idle', exec: 'true', when: {{ source: 'SIGUSR2' }} }} ] }}"
        )
    };
    let mut pilot = Pilot::of(&config("'echo up && exit'"));
    let warning = "app.json5:2:31: job[app].exec: there is no shell for `&&`";
    pilot.says(warning);
    pilot.says("up && exit");
    let file = pilot.at_home("@/app.json5");
    let validate = |more: &[&str]| {
        let output = containerpilot(&[&["-config", &file, "-validate"], more].concat());
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (status, says) = validate(&[]);
    assert_eq!(status, Some(0));
    assert!(says.contains("app.json5:2:31: warning: job[app].exec: there is no shell for `&&`"), "{says}");
    assert_eq!(validate(&["-strict"]), (Some(1), says));
    let is_fine = pilot.at_home(&config("'true'"));
    std::fs::write(&file, is_fine).unwrap();
    assert_eq!(validate(&["-strict"]), (Some(0), String::new()));
    std::fs::write(&file, pilot.at_home(&config("'echo again; exit'"))).unwrap();
    assert!(containerpilot(&["-config", &file, "-reload"]).status.success());
    pilot.says("app.json5:2:31: job[app].exec: there is no shell for `;`");
    assert_eq!(pilot.stop().0, Some(0));
}
