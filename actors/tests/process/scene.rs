//! A reaper with a pump that writes to a file, and a probe in the place of the job.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use actix::prelude::*;
use containerpilot_actors::event::{JobName, Owner, RunEnd, RunId};
use containerpilot_actors::messages::{AllEnded, GroupSignal, Launch, ReaperCommand, RunFact, RunReport};
use containerpilot_actors::output::{Pump, Sink};
use containerpilot_actors::policy::remainder::Grace;
use containerpilot_actors::reaper::{Environment, Reaper};
use containerpilot_actors::spec::{LogOutput, LoggingSpec};
use containerpilot_actors::sys;
use containerpilot_actors::testing::{Probe, millis, one_at_a_time, probe, secs, shell};
use slog::{Discard, Logger, o};

pub struct Scene {
    pub reaper: Addr<Reaper>,
    pub pump: Pump,
    pub folder: PathBuf,
    to_job: Recipient<RunReport>,
    job: Probe<RunReport>,
    seen: Vec<RunReport>,
    _turn: tokio::sync::OwnedSemaphorePermit,
}

pub fn app() -> Owner {
    Owner::Job(JobName::new("app"))
}

impl Scene {
    pub async fn new(name: &str) -> Self {
        let turn = one_at_a_time().await;
        sys::default_dispositions();
        sys::keep_descriptors();
        sys::become_subreaper().unwrap();
        let folder = std::env::temp_dir().join(format!("containerpilot-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let sink = Sink::open(&LogOutput::File(folder.join("log"))).unwrap();
        let pump = Pump::start(&Arbiter::new().handle(), sink, &LoggingSpec::default()).unwrap();
        let environment = Environment::new(std::env::vars_os().chain([("GIVEN".into(), "a=b".into())]));
        let nothing = File::open("/dev/null").unwrap();
        let reaper = Reaper::new(environment, nothing, pump.clone(), Logger::root(Discard, o!()), None).start();
        let (to_job, job) = probe();
        Self { reaper, pump, folder, to_job, job, seen: Vec::new(), _turn: turn }
    }

    /// Starts `sh -c script`; in it, $F is the test's own folder.
    pub fn run(&self, run: u64, script: &str) {
        self.launch(
            run,
            Launch {
                pid_variables: vec!["CONTAINERPILOT_APP_PID".into()],
                env: [("F".into(), Some(self.folder.clone().into_os_string()))].into(),
                ..Launch::new(shell("app", script).exec.unwrap())
            },
        );
    }

    pub fn launch(&self, run: u64, launch: Launch) {
        let (launch, report) = (Arc::new(launch), self.to_job.clone());
        self.reaper.do_send(ReaperCommand::Spawn { owner: app(), run: RunId(run), launch, report });
    }

    pub fn signal(&self, run: u64, signal: GroupSignal) {
        self.reaper.do_send(ReaperCommand::SignalGroup { owner: app(), run: RunId(run), signal });
    }

    /// The stop's TERM to the whole group of a run, with five seconds of grace.
    pub fn stop(&self, run: u64) {
        self.reaper.do_send(ReaperCommand::Stop { owner: app(), run: RunId(run), whole_group: true });
    }

    /// Ends what a run has left behind; `gone` waits for that.
    pub fn end_rest(&self, run: u64) {
        self.reaper.do_send(ReaperCommand::EndRemainder { owner: app(), run: RunId(run), kill: false });
    }

    pub async fn gone(&mut self, run: u64) {
        self.report(run, |fact| (*fact == RunFact::Gone).then_some(())).await;
    }

    /// Whether a run that has ended left others behind, and whether they hold its pipes.
    pub fn rest(&self, run: u64) -> Option<bool> {
        let of_run = self.seen.iter().filter(|report| report.run == RunId(run));
        of_run
            .filter_map(|report| if let RunFact::Remains { writes } = report.fact { Some(writes) } else { None })
            .next()
    }

    pub fn end_all(&self, done: Recipient<AllEnded>) {
        self.reaper.do_send(ReaperCommand::Grant(Grace::Term(secs(1))));
        self.reaper.do_send(ReaperCommand::EndAll { since: actix::clock::Instant::now().into_std(), done });
    }

    /// The end of a run. A test has no SIGCHLD handler, so it keeps asking.
    pub async fn end_of(&mut self, run: u64) -> RunEnd {
        self.report(run, |fact| if let RunFact::Ended(end) = fact { Some(end.clone()) } else { None }).await
    }

    pub async fn pid_of(&mut self, run: u64) -> i32 {
        self.report(run, |fact| if let RunFact::Started(pid) = fact { Some(*pid) } else { None }).await
    }

    async fn report<T>(&mut self, run: u64, want: impl Fn(&RunFact) -> Option<T>) -> T {
        let deadline = actix::clock::Instant::now() + secs(20);
        loop {
            self.reaper.do_send(ReaperCommand::Reap);
            self.seen.extend(self.job.take());
            let mut of_run = self.seen.iter().filter(|report| report.run == RunId(run));
            if let Some(found) = of_run.find_map(|report| want(&report.fact)) {
                return found;
            }
            assert!(actix::clock::Instant::now() < deadline, "run {run}: {:?}", self.seen);
            actix::clock::sleep(millis(2)).await;
        }
    }

    /// Waits for a file of the test's folder and reads it.
    pub async fn file(&self, name: &str) -> String {
        let path = self.folder.join(name);
        let read = || std::fs::read_to_string(&path).unwrap_or_default();
        containerpilot_actors::testing::until(secs(20), read, |text| text.ends_with('\n')).await
    }

    /// The lines that the children have written, once all is out.
    pub async fn lines(&self) -> Vec<String> {
        assert!(self.pump.close(secs(10)).await);
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap();
        log.lines().map(|line| line.splitn(4, ' ').nth(3).unwrap_or_default().to_owned()).collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

/// Whether a process exists and is no zombie.
pub fn alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
}
