//! Where a watch looks: all instances of a service are read once, and then what ZooKeeper says has changed.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use futures_core::future::LocalBoxFuture;
use futures_util::future::{FutureExt as _, join_all};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use slog::{Logger, o, warn};
use zookeeper_client::{Client as Session, Error, EventType, OneshotWatcher, WatchedEvent};

use super::client::ZooKeeperClient;
use crate::catalog::{InstanceSource, RequestError, value};
use crate::policy::watch::{Answer, Instance};
use crate::spec::WatchSpec;

/// How long a reading may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// All is read again after this time, should a change have escaped us.
const SAFETY: Duration = Duration::from_secs(60);

/// See the module.
pub struct Watching {
    service: Service,
    /// What was seen last, and what waits for a change of it. Empty while it is asked, and when that was given up.
    view: Rc<Cell<Option<View>>>,
}

impl std::fmt::Debug for Watching {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watching").field("path", &self.service.path).finish_non_exhaustive()
    }
}

impl Watching {
    /// Nothing is asked yet.
    pub fn new(client: ZooKeeperClient, spec: &WatchSpec, log: &Logger) -> Self {
        let service = Service {
            path: client.path_of(&spec.service),
            client,
            tags: spec.tags.clone(),
            safety: SAFETY.max(spec.interval),
            log: log.new(o!("watch" => spec.name.to_string())),
        };
        Self { service, view: Rc::default() }
    }
}

impl InstanceSource for Watching {
    fn ask(&mut self, index: Option<u64>) -> LocalBoxFuture<'static, Result<Answer, RequestError>> {
        let (service, slot) = (self.service.clone(), self.view.clone());
        Box::pin(async move {
            let view = match (index, slot.take()) {
                (Some(_), Some(view)) => service.next(view).await,
                (_, before) => service.read(before.unwrap_or_default()).await,
            };
            if view.is_err() && service.client.is_closed() {
                // That we have taken leave is neither news nor trouble.
                return std::future::pending().await;
            }
            let view = view?;
            let instances = view.nodes.values().flatten().cloned().collect();
            slot.set(Some(view));
            // Answers are numbered: the next one comes when something may have changed.
            Ok(Answer { index: Some(index.map_or(1, |index| index + 1)), instances })
        })
    }
}

/// What is watched, and how.
#[derive(Clone)]
struct Service {
    client: ZooKeeperClient,
    path: String,
    tags: Vec<String>,
    safety: Duration,
    log: Logger,
}

/// Where something has changed.
#[derive(Clone)]
enum Place {
    /// Among the instances.
    List,
    /// At this one.
    Node(String),
}

/// What there is, and what waits for a change of it.
#[derive(Default)]
struct View {
    /// By the name of the node; none for what is not asked for, or cannot be read.
    nodes: BTreeMap<String, Option<Instance>>,
    changes: FuturesUnordered<LocalBoxFuture<'static, (Place, WatchedEvent)>>,
    /// What could not be read, and has been complained of.
    junk: BTreeSet<String>,
}

impl View {
    fn wait(&mut self, place: Place, watcher: OneshotWatcher) {
        self.changes.push(Box::pin(watcher.changed().map(|event| (place, event))));
    }
}

impl Service {
    /// Waits until something may have changed, and reads that.
    async fn next(&self, mut view: View) -> Result<View, RequestError> {
        let Ok(Some(first)) = tokio::time::timeout(self.safety, view.changes.next()).await else {
            return self.read(view).await;
        };
        let mut changes = vec![first];
        while let Some(Some(another)) = view.changes.next().now_or_never() {
            changes.push(another);
        }
        let mut list = false;
        let mut nodes = Vec::new();
        for (place, event) in changes {
            match (place, event.event_type) {
                (_, EventType::Session) => {
                    return Err(RequestError::Broken(format!("the session is over: {}", event.session_state)));
                }
                (Place::List, _) => list = true,
                // One that is gone may be back already.
                (Place::Node(name), _) => nodes.push(name),
            }
        }
        self.client.ask(PATIENCE, |session| self.look(session, view, list, nodes)).await
    }

    /// Reads all there is.
    async fn read(&self, before: View) -> Result<View, RequestError> {
        // What waits in the old view is let go of when the new one waits for the same.
        let view = View { junk: before.junk.clone(), ..View::default() };
        self.client.ask(PATIENCE, |session| self.look(session, view, true, Vec::new())).await
    }

    /// Reads these nodes, and if the list may be another one, that and the new ones on it.
    async fn look(&self, session: Session, mut view: View, list: bool, mut nodes: Vec<String>) -> Result<View, Error> {
        if list {
            let (names, watcher) = self.list(&session).await?;
            view.wait(Place::List, watcher);
            view.nodes.retain(|name, _| names.contains(name));
            view.junk.retain(|name| names.contains(name));
            nodes.retain(|name| names.contains(name));
            nodes.extend(names.into_iter().filter(|name| !view.nodes.contains_key(name)));
        }
        let paths: Vec<String> = nodes.iter().map(|name| format!("{}/{name}", self.path)).collect();
        let found = join_all(paths.iter().map(|path| session.get_and_watch_data(path))).await;
        for (name, found) in nodes.into_iter().zip(found) {
            match found {
                Ok((data, _, watcher)) => {
                    let instance = value::instance(&data, &self.tags).map_err(|cause| cause.to_string());
                    view.wait(Place::Node(name.clone()), watcher);
                    self.saw(&mut view, name, instance);
                }
                // The list will tell.
                Err(Error::NoNode) => drop(view.nodes.remove(&name)),
                Err(cause @ Error::NoAuth) => self.saw(&mut view, name, Err(cause.to_string())),
                Err(cause) => return Err(cause),
            }
        }
        Ok(view)
    }

    /// The names of the nodes, and what waits for them to be others. Where there is no list, there is nobody.
    async fn list(&self, session: &Session) -> Result<(BTreeSet<String>, OneshotWatcher), Error> {
        loop {
            match session.list_and_watch_children(&self.path).await {
                Ok((names, watcher)) => return Ok((names.into_iter().collect(), watcher)),
                Err(Error::NoNode) => {}
                Err(cause) => return Err(cause),
            }
            if let (None, watcher) = session.check_and_watch_stat(&self.path).await? {
                return Ok((BTreeSet::new(), watcher));
            }
        }
    }

    fn saw(&self, view: &mut View, name: String, instance: Result<Option<Instance>, String>) {
        match instance {
            Ok(instance) => {
                view.junk.remove(&name);
                view.nodes.insert(name, instance);
            }
            Err(reason) => {
                if view.junk.insert(name.clone()) {
                    warn!(self.log, "skipping what is no instance"; "node" => &name, "reason" => reason);
                }
                view.nodes.insert(name, None);
            }
        }
    }
}
