//! The real supervisor with children whose scripts write to the test's own folder, $F.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use actix::prelude::*;
use containerpilot_actors::event::{Event, JobName};
use containerpilot_actors::messages::{
    ActorId, JobOrder, JobStatus, JobStatusQuery, Order, OrderError, Overview, OverviewQuery, Reload, SupervisorCommand,
};
use containerpilot_actors::output::{Pump, Sink};
use containerpilot_actors::policy::job::State;
use containerpilot_actors::policy::remainder::Grace;
use containerpilot_actors::spec::{JobSpec, LogOutput, LoggingSpec, Spec, StartRule};
use containerpilot_actors::supervisor::{Resources, Supervisor, outcome};
use containerpilot_actors::sys;
use containerpilot_actors::testing::{LookForEnded, Provoke, config, millis, one_at_a_time, secs, shell, until};
use slog::{Discard, Logger, o};
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};

pub struct Scene {
    pub supervisor: Addr<Supervisor>,
    pub folder: PathBuf,
    config: watch::Sender<Spec>,
    finished: Option<oneshot::Receiver<u8>>,
    looking: actix::clock::Interval,
    _turn: OwnedSemaphorePermit,
}

/// Complains of any earlier process of the job that lives, notes its own pid and a child's in a group with it, and goes on.
const APP: &str =
    "for p in $(cat $F/$J.pids); do grep -q '^State:[[:space:]][A-WY]' /proc/$p/status && echo $p >> $F/overlap; done
    echo $$ >> $F/$J.pids
    (trap '' TERM; echo run >> $F/$J; while :; do sleep 0.05; done) & echo $! >> $F/$J.pids
    trap 'exit 0' TERM; wait";

/// A job that runs until it is stopped. Its child ignores TERM, so that its group outlives its leader.
pub fn app(name: &str) -> JobSpec {
    shell(name, &format!("J={name}; touch $F/$J.pids 2>/dev/null; {APP}"))
}

pub fn at(job: JobSpec, event: Event) -> JobSpec {
    JobSpec { start: StartRule::Once(event), ..job }
}

pub fn job_id(name: &str) -> ActorId {
    ActorId::Job(JobName::new(name))
}

impl Scene {
    pub async fn new(name: &str, jobs: Vec<JobSpec>) -> Self {
        Self::with(name, |_| config(jobs)).await
    }

    pub async fn with(name: &str, spec: impl FnOnce(&PathBuf) -> Spec) -> Self {
        Self::in_turn(one_at_a_time().await, name, spec)
    }

    /// The same for a test that has needed its turn before.
    pub fn in_turn(turn: OwnedSemaphorePermit, name: &str, spec: impl FnOnce(&PathBuf) -> Spec) -> Self {
        sys::default_dispositions();
        sys::keep_descriptors();
        if crate::ADOPTS {
            sys::become_subreaper().unwrap();
        }
        let folder = std::env::temp_dir().join(format!("containerpilot-panic-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let sink = Sink::open(&LogOutput::File(folder.join("log"))).unwrap();
        let pump = Pump::start(&Arbiter::new().handle(), sink, &LoggingSpec::default()).unwrap();
        let (config, configured) = watch::channel(spec(&folder));
        let (finished, finishes) = oneshot::channel();
        let given = ("F".into(), folder.clone().into_os_string());
        let initial = configured.borrow().clone();
        let resources = Resources {
            load: Arc::new(move |_| Ok(configured.borrow().clone())),
            environment: std::env::vars_os().chain([given]).collect(),
            nothing: File::open("/dev/null").unwrap(),
            pump,
            signals: sys::signal_fd(false).unwrap(),
            log: Logger::root(Discard, o!()),
            finished,
            pick_address: |_, _| None,
        };
        let supervisor = Supervisor::new(initial, resources).start();
        let looking = actix::clock::interval(millis(5));
        Self { supervisor, folder, config, finished: Some(finishes), looking, _turn: turn }
    }

    pub fn panic(&self, actor: ActorId) {
        self.supervisor.do_send(Provoke(actor));
    }

    /// Lets a moment pass in which ended children are noticed.
    pub async fn tick(&mut self) {
        self.looking.tick().await;
        self.supervisor.do_send(LookForEnded);
    }

    pub async fn work<T>(&mut self, work: impl Future<Output = T>) -> T {
        let deadline = actix::clock::Instant::now() + secs(20);
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = self.tick() => assert!(actix::clock::Instant::now() < deadline, "not within 20 s"),
            }
        }
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.join(name)).unwrap_or_default()
    }

    /// Waits until a file has this many lines.
    pub async fn lines(&mut self, name: &str, count: usize) {
        let path = self.folder.join(name);
        let read = move || std::fs::read_to_string(&path).unwrap_or_default();
        self.work(until(secs(15), read, |text| text.lines().count() >= count)).await;
        assert_eq!(self.read(name).lines().count(), count, "{name}");
    }

    pub async fn overview(&self) -> Overview {
        self.supervisor.send(OverviewQuery).await.unwrap()
    }

    pub async fn status(&self, name: &str) -> Option<JobStatus> {
        let overview = self.overview().await;
        let entry = overview.jobs.into_iter().find(|job| job.name.as_str() == name)?;
        entry.job?.send(JobStatusQuery).await.ok()
    }

    pub async fn until_status(&mut self, name: &str, holds: impl Fn(&Option<JobStatus>) -> bool) -> Option<JobStatus> {
        let deadline = actix::clock::Instant::now() + secs(15);
        loop {
            self.tick().await;
            let status = self.status(name).await;
            if holds(&status) {
                return status;
            }
            assert!(actix::clock::Instant::now() < deadline, "{name}: {status:#?}");
        }
    }

    pub async fn until_state(&mut self, name: &str, state: State) -> JobStatus {
        let is_it = |status: &Option<JobStatus>| status.as_ref().is_some_and(|status| status.state == state);
        self.until_status(name, is_it).await.unwrap()
    }

    /// A turn of every actor that may still have something to do.
    pub async fn settle(&mut self) {
        for _ in 0..20 {
            self.tick().await;
            self.overview().await;
        }
    }

    pub fn order(&self, name: &str, order: Order) -> impl Future<Output = Result<(), OrderError>> + use<> {
        let asked = self.supervisor.send(JobOrder { job: JobName::new(name), order });
        async move { asked.await.unwrap() }
    }

    pub async fn reload(&mut self, change: impl FnOnce(&mut Spec)) {
        self.config.send_modify(change);
        let asked = self.supervisor.send(Reload { dry_run: false });
        self.work(asked).await.unwrap().unwrap();
    }

    pub fn shut_down(&self) {
        self.supervisor.do_send(SupervisorCommand::ShutDown { signal: "SIGTERM" });
    }

    /// The exit status, once all is over.
    pub async fn outcome(&mut self) -> u8 {
        let finished = self.finished.take().unwrap();
        self.work(outcome(finished, Grace::Term(secs(1)))).await
    }

    pub fn alive(&self) -> Vec<i32> {
        let files = std::fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().path());
        let texts = files.filter(|path| path.extension().is_some_and(|ending| ending == "pids"));
        let pids: Vec<i32> = texts
            .flat_map(|path| {
                let text = std::fs::read_to_string(path).unwrap();
                text.lines().map(|pid| pid.parse().unwrap()).collect::<Vec<i32>>()
            })
            .collect();
        pids.into_iter().filter(|pid| is_alive(*pid)).collect()
    }

    /// All is over, and no run ever began beside an earlier one.
    pub async fn ends_well(&mut self) {
        self.shut_down();
        assert_eq!(self.outcome().await, 0);
        assert_eq!(self.read("overlap"), "");
        assert_eq!(self.alive(), Vec::<i32>::new());
    }
}

fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
}

impl Drop for Scene {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}
