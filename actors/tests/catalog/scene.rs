//! A catalog's actors under test with probes around them, and what their servers need: ports, a folder, certificates.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use actix::prelude::*;
use containerpilot_actors::catalog::{Beginning, Catalog, InstanceSource};
use containerpilot_actors::event::{Event, JobName};
use containerpilot_actors::messages::{BusCommand, CatalogCommand, CatalogStatus, CatalogStatusQuery, ReaperCommand};
use containerpilot_actors::policy::job::Report;
use containerpilot_actors::spec::{CatalogSpec, WatchSpec};
use containerpilot_actors::testing::{Probe, probe};
use containerpilot_actors::watch::{WatchActor, WatchNeighbours};
use slog::Logger;

/// Ports that nobody uses at the moment.
pub fn free_ports<const N: usize>() -> [u16; N] {
    let listeners: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("it is bound").port())
}

/// A folder of one test's own, gone with it.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("catalog-test-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder to work in");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::fs::remove_dir_all(&self.0).is_err() {
            // Whatever still writes there is being killed.
        }
    }
}

/// Runs openssl; its arguments have no spaces in them.
pub fn openssl(folder: &Path, args: &str) {
    let ran =
        Command::new("openssl").args(args.split(' ')).current_dir(folder).output().expect("`openssl` on the PATH");
    assert!(ran.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&ran.stderr));
}

/// An authority, and what it has signed: a server's certificate for these names, and a client's. And another authority.
pub fn certificates(folder: &Path, server: &str) {
    for ca in ["ca", "other"] {
        openssl(folder, &format!("ecparam -name prime256v1 -genkey -noout -out {ca}.key"));
        openssl(folder, &format!("req -x509 -new -key {ca}.key -days 30 -subj /CN={ca} -out {ca}.crt"));
    }
    for (stem, names) in [("server", server), ("client", "DNS:client.test")] {
        std::fs::write(folder.join("ext"), format!("subjectAltName={names}\n")).expect("the folder is ours");
        openssl(folder, &format!("ecparam -name prime256v1 -genkey -noout -out {stem}.key"));
        openssl(folder, &format!("req -new -key {stem}.key -subj /CN={stem} -out {stem}.csr"));
        let sign = format!("x509 -req -in {stem}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile ext");
        openssl(folder, &format!("{sign} -out {stem}.crt"));
    }
}

/// The catalog's actor, as the supervisor starts it.
pub struct Scene {
    catalog: Catalog,
    pub agent: Recipient<CatalogCommand>,
    log: Logger,
}

impl Scene {
    pub fn new(spec: &CatalogSpec, log: &Logger) -> Self {
        let beginning = Beginning { maintenance: false, inherited: false, log, guard: None };
        let catalog = Catalog::start(spec, beginning).expect("a spec that can be used");
        Self { agent: catalog.agent.clone(), catalog, log: log.clone() }
    }

    pub fn passed(&self, name: &str) {
        self.agent.do_send(CatalogCommand::News(JobName::new(name), Report::Passed));
    }

    /// What the actor knows of its services and requests.
    pub async fn status(&self) -> CatalogStatus {
        self.catalog.status.send(CatalogStatusQuery).await.expect("it lives")
    }

    pub fn source(&self, spec: &WatchSpec) -> Box<dyn InstanceSource> {
        self.catalog.source(spec)
    }

    pub fn watch(&self, spec: &WatchSpec) -> Watching {
        let ((bus, events), (reaper, environment)) = (probe(), probe());
        let neighbours =
            WatchNeighbours { reaper, bus, contacts: self.catalog.contacts.clone(), memory: (1, probe().0) };
        WatchActor::new(spec, self.source(spec), neighbours, &self.log, None).start();
        Watching { events, environment }
    }
}

/// What a watch says.
pub struct Watching {
    events: Probe<BusCommand>,
    environment: Probe<ReaperCommand>,
}

impl Watching {
    pub async fn event(&mut self, limit: Duration) -> Event {
        let command = self.events.next(limit).await;
        let BusCommand::Publish(event) = command else { panic!("{command:?}") };
        event
    }

    pub fn is_quiet(&self) -> bool {
        self.events.is_empty()
    }

    /// The variable as it was set last.
    pub fn variable(&mut self) -> Option<(String, String)> {
        let command = self.environment.take().pop()?;
        let ReaperCommand::PutEnv(mut changes) = command else { panic!("{command:?}") };
        let (name, value) = changes.pop()?;
        Some((name.into_string().ok()?, value?.into_string().ok()?))
    }
}
