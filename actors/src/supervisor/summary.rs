//! A config in one line of JSON for the log: what there is, not what it holds. Arguments, values of the environment, tokens
//! and passwords are left out.

use std::fmt;

use serde_json::{Value, json};

use crate::spec::{JobSpec, Spec};

/// Writes the summary when it is shown, which is at level DEBUG.
pub(super) struct Summary<'a>(pub &'a Spec);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spec = self.0;
        let watches: Vec<Value> =
            spec.watches.iter().map(|watch| json!({ "name": watch.name.as_str(), "service": watch.service })).collect();
        let config = json!({
            "jobs": spec.jobs.iter().map(job).collect::<Vec<_>>(),
            "watches": watches,
            "catalog": spec.catalog.as_ref().map(crate::spec::CatalogSpec::word),
            "telemetry": spec.telemetry.as_ref().map(|telemetry| telemetry.address.to_string()),
            "control": spec.control.as_ref().map(|control| control.socket.display().to_string()),
            "stopTimeout": crate::duration::go_format(spec.stop_timeout),
        });
        write!(f, "{config}")
    }
}

fn job(job: &JobSpec) -> Value {
    json!({
        "name": job.name.as_str(),
        "exec": job.exec.as_ref().map(|exec| exec.program.to_string_lossy()),
        "port": job.service.as_ref().map(|service| service.port),
        "health": job.health.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::JobName;
    use crate::spec::Exec;

    #[test]
    fn a_config_is_told_without_secrets() {
        let exec = Exec { program: "/bin/app".into(), args: vec!["--password=s3cret".into()] };
        let env = vec![("TOKEN".into(), Some("s3cret".into()))];
        let job = JobSpec { exec: Some(exec), env, ..JobSpec::new(JobName::new("app")) };
        let told = Summary(&Spec { jobs: vec![job], ..Spec::default() }).to_string();
        let read: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(read["jobs"][0], json!({ "name": "app", "exec": "/bin/app", "port": null, "health": false }));
        assert!(!told.contains("s3cret"), "{told}");
    }
}
