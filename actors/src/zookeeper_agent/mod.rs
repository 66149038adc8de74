//! How ZooKeeper is asked: an ephemeral znode for each service that is well, and watches on those of others.
//!
//! ZooKeeper knows no status: what is registered is healthy. A node lives as long as our session, so a service whose check
//! no longer passes is taken out by ourselves when its `ttl` is over, as other catalogs do it on their side.
//!
//! Not here: when to ask (`catalog::agent`, `policy`).

mod client;
mod watching;

use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinHandle;
use zookeeper_client::{Acls, Client as Session, CreateMode, Error, Stat};

pub use client::ZooKeeperClient;
pub use watching::Watching;

use crate::catalog::{CatalogAgent, Outcome, Registry, RequestError, value};
use crate::policy::service::{Answer, Request, Status};
use crate::spec::ServiceSpec;

/// So often others may get in the way while a node is made.
const TRIES: u32 = 5;
/// The pause before a lapsed node is taken out once more.
const AGAIN: Duration = Duration::from_secs(1);

/// The services of this process in ZooKeeper.
pub type ZooKeeperAgent = CatalogAgent<ZooKeeperClient>;

impl Registry for ZooKeeperClient {
    const NAME: &'static str = "zookeeper";
    type Memory = Entry;

    fn make(
        &self,
        spec: ServiceSpec,
        entry: Option<Entry>,
        request: Request,
    ) -> impl Future<Output = Outcome<Entry>> + 'static {
        make(self.clone(), spec, entry, request)
    }

    fn close(&self) -> impl Future<Output = ()> + 'static {
        self.clone().close()
    }
}

/// The node that was last seen under our id.
#[derive(Clone, Debug)]
pub struct Entry {
    made: Made,
    /// While checks pass.
    _lapse: Option<Rc<Lapse>>,
}

/// Which transaction made a node: another node at the same path has another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Made(i64);

impl From<&Stat> for Made {
    fn from(stat: &Stat) -> Self {
        Self(stat.czxid)
    }
}

/// The end of a node whose service has not been well for its `ttl`. Dropped, it does not come.
#[derive(Debug)]
struct Lapse(JoinHandle<()>);

impl Drop for Lapse {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How long an answer may take: half the time that a passing check is believed.
fn patience(spec: &ServiceSpec) -> Duration {
    (spec.ttl / 2).clamp(Duration::from_secs(1), Duration::from_secs(10))
}

async fn make(client: ZooKeeperClient, spec: ServiceSpec, entry: Option<Entry>, request: Request) -> Outcome<Entry> {
    let parent = client.path_of(&spec.name);
    let path = format!("{parent}/{}", spec.id);
    let within = patience(&spec);
    match request {
        Request::Register(Status::Passing) => {
            let (line, acls) = (value::value(&spec), client.acls());
            let put = client.ask(within, |session| async move { put(&session, &parent, &path, &line, acls).await });
            match put.await {
                Ok(made) => Outcome::of(Answer::Done, Some(beaten(&client, &spec, made))),
                // Perhaps it is there, perhaps not: whatever is found later has to go.
                Err(error) => Outcome::failed(error, None),
            }
        }
        Request::Heartbeat(Status::Passing, _) => match look(&client, within, path).await {
            Ok(Some(Seen { made, ours: true })) => Outcome::of(Answer::Done, Some(beaten(&client, &spec, made))),
            Ok(Some(Seen { ours: false, .. }) | None) => Outcome::of(Answer::Unknown, None),
            Err(error) => Outcome::failed(error, entry),
        },
        Request::Look => {
            let line = value::value(&spec);
            let answer = client.ask(within, |session| async move {
                let seen = see(&session, &path).await?;
                let is_as_made = match &seen {
                    Some(Seen { ours: true, .. }) => {
                        ignoring(Error::NoNode, session.get_data(&path).await)?.is_some_and(|(found, _)| found == line)
                    }
                    Some(Seen { ours: false, .. }) | None => false,
                };
                Ok((seen, is_as_made))
            });
            match answer.await {
                Ok((None, _)) => Outcome::of(Answer::Unknown, None),
                Ok((Some(seen), is_as_made)) => {
                    let entry = entry.unwrap_or(Entry { made: seen.made, _lapse: None });
                    Outcome::of(if is_as_made { Answer::Done } else { Answer::Differs }, Some(entry))
                }
                Err(error) => Outcome::failed(error, entry),
            }
        }
        // What is not well has no node.
        Request::Register(Status::Warning | Status::Critical)
        | Request::Heartbeat(Status::Warning | Status::Critical, _) => {
            gone(take_out(&client, within, path, None).await, entry)
        }
        Request::Deregister => {
            let made = entry.as_ref().map(|entry| entry.made);
            gone(take_out(&client, within, path, made).await, entry)
        }
    }
}

fn gone(done: Result<(), RequestError>, entry: Option<Entry>) -> Outcome<Entry> {
    match done {
        Ok(()) => Outcome::of(Answer::Done, None),
        Err(error) => Outcome::failed(error, entry),
    }
}

/// What is under our id.
struct Seen {
    made: Made,
    /// Whether it is of this session.
    ours: bool,
}

async fn see(session: &Session, path: &str) -> Result<Option<Seen>, Error> {
    let stat = session.check_stat(path).await?;
    Ok(stat.map(|stat| Seen { made: Made::from(&stat), ours: stat.ephemeral_owner == session.session_id().0 }))
}

async fn look(client: &ZooKeeperClient, within: Duration, path: String) -> Result<Option<Seen>, RequestError> {
    client.ask(within, |session| async move { see(&session, &path).await }).await
}

/// Makes the node, or makes it right. One of an earlier session would vanish with it, so it is made anew.
async fn put(session: &Session, parent: &str, path: &str, value: &[u8], acls: Acls<'_>) -> Result<Made, Error> {
    for round in 0..TRIES {
        match see(session, path).await? {
            Some(Seen { made, ours: true }) => {
                let Some((found, _)) = ignoring(Error::NoNode, session.get_data(path).await)? else { continue };
                if found != value {
                    session.set_data(path, value, None).await?;
                }
                return Ok(made);
            }
            Some(Seen { ours: false, .. }) if round == 0 => {
                if replace(session, path, value, acls).await.is_err() {
                    // Somebody was faster, or the server is one of 3.4: bit by bit, then.
                }
            }
            Some(Seen { ours: false, .. }) => {
                ignoring(Error::NoNode, session.delete(path, None).await)?;
            }
            None => match session.create(path, value, &CreateMode::Ephemeral.with_acls(acls)).await {
                Ok(_) | Err(Error::NodeExists) => {}
                Err(Error::NoNode) => session.mkdir(parent, &CreateMode::Persistent.with_acls(acls)).await?,
                Err(cause) => return Err(cause),
            },
        }
    }
    Err(Error::NodeExists)
}

/// Puts our node in the place of another session's, so that nobody sees it missing.
async fn replace(session: &Session, path: &str, value: &[u8], acls: Acls<'_>) -> Result<(), Error> {
    let mut writer = session.new_multi_writer();
    writer.add_delete(path, None)?;
    writer.add_create(path, value, &CreateMode::Ephemeral.with_acls(acls))?;
    writer.commit().await?;
    Ok(())
}

/// Sees to it that there is no node at this path, or not the one that was made then.
async fn take_out(
    client: &ZooKeeperClient,
    within: Duration,
    path: String,
    made: Option<Made>,
) -> Result<(), RequestError> {
    let taken = client.ask(within, |session| async move {
        match see(&session, &path).await? {
            Some(seen) if made.is_none_or(|made| made == seen.made) => {
                ignoring(Error::NoNode, session.delete(&path, None).await).map(|_| ())
            }
            Some(_) | None => Ok(()),
        }
    });
    taken.await
}

fn ignoring<T>(what: Error, answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(cause) if cause == what => Ok(None),
        Err(cause) => Err(cause),
    }
}

/// The entry of a service that has just been found to be well: without another such word it is taken out.
fn beaten(client: &ZooKeeperClient, spec: &ServiceSpec, made: Made) -> Entry {
    let (client, spec) = (client.clone(), spec.clone());
    let session = client.current();
    let path = format!("{}/{}", client.path_of(&spec.name), spec.id);
    let lapse = actix_rt::spawn(async move {
        tokio::time::sleep(spec.ttl).await;
        // A session that is over takes its nodes with it.
        while session.is_some() && client.current() == session {
            if take_out(&client, patience(&spec), path.clone(), Some(made)).await.is_ok() {
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
    });
    Entry { made, _lapse: Some(Rc::new(Lapse(lapse))) }
}
