//! ContainerPilot: PID 1 for containers.

mod boot;
mod logging;
mod template;

fn main() -> std::process::ExitCode {
    use containerpilot_actors::{event::*, spec::*};
    use std::time::Duration;
    let job = |name: &str, script: &str, start| JobSpec {
        name: JobName::new(name),
        exec: Some(Exec { program: "sh".into(), args: vec!["-c".into(), script.into()] }),
        start,
        wait_timeout: None,
        restarts: Budget::Limited(0),
        timeout: None,
        stop_timeout: None,
        backoff: Some(Backoff::default()),
        main: false,
        output: OutputSpec::default(),
        env: vec![],
        health: None,
        service: None,
    };
    let spec = Spec {
        jobs: vec![
            job("a", "echo hello; sleep 1; exit 3", StartRule::Once(Event::STARTUP)),
            job("b", "echo world; env | grep PILOT; sleep 100", StartRule::Once(Event::STARTUP)),
            job("c", "echo world $(date)", StartRule::Interval(Duration::from_millis(700))),
        ],
        watches: vec![],
        stop_timeout: Duration::from_secs(5),
        catalog: None,
        telemetry: None,
        control: ControlSpec { socket: "/x".into(), is_default: true },
        logging: LoggingSpec { level: LogLevel::Debug, ..Default::default() },
        warnings: vec![],
    };
    match boot::run(move |_| Ok(spec.clone())) {
        Ok(code) => code.into(),
        Err(e) => {
            eprintln!("{e}");
            1.into()
        }
    }
}
