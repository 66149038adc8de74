//! The files of TLS as living things: certificates are short-lived where Vault makes them, and are replaced in place.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use actix::clock::Instant;
use rustls::ClientConfig;
use slog::{Logger, debug, info, warn};
use tokio::sync::Semaphore;

use super::{TlsError, client_config};
use crate::runtime::blocking::Lane;
use crate::spec::TlsSpec;

/// The files are looked at once in this time at most.
const PACE: Duration = Duration::from_secs(1);
/// How long a look may take; a connection as a whole has two seconds.
const LIMIT: Duration = Duration::from_millis(1500);
static READERS: LazyLock<Lane> = LazyLock::new(|| Lane::new(2));

/// What tells one content of a file from another without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

type Stamps = Vec<Option<Stamp>>;

/// What a look at the files found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// They are as they were.
    Unchanged,
    /// They have changed, and are in use.
    Changed,
    /// They cannot be used now; those of before are used on.
    Unusable(String),
}

/// How TLS is done, by the files as they are now.
pub struct TlsFiles {
    spec: TlsSpec,
    config: RefCell<Arc<ClientConfig>>,
    stamps: RefCell<Stamps>,
    looked: Cell<Instant>,
    /// Whether a connection has failed for the sake of a certificate since the last look.
    suspect: Cell<bool>,
    /// Why they could not be used at the last look.
    trouble: RefCell<Option<String>>,
    /// One look at a time; those who come meanwhile wait for it.
    turn: Semaphore,
    log: Logger,
}

impl fmt::Debug for TlsFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsFiles").field("spec", &self.spec).finish_non_exhaustive()
    }
}

impl TlsFiles {
    /// Reads the files at once; to be called where that may block.
    pub fn open(spec: &TlsSpec, log: &Logger) -> Result<Self, TlsError> {
        let stamps = stamps(spec);
        Ok(Self {
            config: RefCell::new(client_config(spec)?),
            spec: spec.clone(),
            stamps: RefCell::new(stamps),
            looked: Cell::new(Instant::now()),
            suspect: Cell::new(false),
            trouble: RefCell::new(None),
            turn: Semaphore::new(1),
            log: log.clone(),
        })
    }

    /// What is configured.
    pub fn spec(&self) -> &TlsSpec {
        &self.spec
    }

    /// For a new connection: looks at the files first, if that was not done within the last second.
    pub async fn current(&self) -> Arc<ClientConfig> {
        if let Ok(_turn) = self.turn.acquire().await
            && self.looked.get().elapsed() >= PACE
        {
            self.look_at_them().await;
        }
        self.config.borrow().clone()
    }

    /// Looks at the files now.
    pub async fn look(&self) -> Found {
        let Ok(_turn) = self.turn.acquire().await else { return Found::Unchanged };
        self.look_at_them().await
    }

    /// A connection has failed for the sake of a certificate: the files are read again before the next one, whatever their times say.
    pub fn suspect(&self) {
        self.suspect.set(true);
    }

    /// Why the files could not be used at the last look.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.borrow().clone()
    }

    async fn look_at_them(&self) -> Found {
        self.looked.set(Instant::now());
        let (spec, before) = (self.spec.clone(), self.stamps.borrow().clone());
        let anyway = self.suspect.take();
        let reading = READERS.run(LIMIT, move || {
            // Before the files are read: one that changes meanwhile is seen the next time.
            let now = stamps(&spec);
            let has_changed = now != before;
            (has_changed || anyway).then(|| (has_changed, now, client_config(&spec)))
        });
        let error = match reading.await {
            Ok(None) => {
                self.trouble.take();
                return Found::Unchanged;
            }
            Ok(Some((has_changed, stamps, Ok(config)))) => {
                self.trouble.take();
                self.config.replace(config);
                self.stamps.replace(stamps);
                if !has_changed {
                    debug!(self.log, "the TLS files have been read again");
                    return Found::Unchanged;
                }
                info!(self.log, "the TLS files have changed, new connections use them");
                return Found::Changed;
            }
            Ok(Some((_, _, Err(cause)))) => cause.to_string(),
            Err(cause) => format!("cannot read them: {cause}"),
        };
        if self.trouble.replace(Some(error.clone())).as_ref() != Some(&error) {
            // Perhaps only one of a pair has been replaced so far.
            warn!(self.log, "the TLS files cannot be used now, those of before are used on"; "error" => &error);
        }
        Found::Unusable(error)
    }
}

fn stamps(spec: &TlsSpec) -> Stamps {
    let pair = spec.client.iter().flat_map(|(certificate, key)| [certificate, key]);
    let mut stamps: Stamps = spec.ca_file.iter().chain(pair).map(|path| stamp(path)).collect();
    if let Some(folder) = &spec.ca_path {
        stamps.push(stamp(folder));
        let mut paths: Vec<PathBuf> =
            fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        paths.sort();
        stamps.extend(paths.iter().map(|path| stamp(path)));
    }
    if spec.ca_file.is_none() && spec.ca_path.is_none() {
        stamps.extend(super::system_file().map(stamp));
    }
    stamps
}

/// None if there is no such file.
fn stamp(path: &Path) -> Option<Stamp> {
    let about = fs::metadata(path).ok()?;
    Some(Stamp {
        path: path.to_owned(),
        device: about.dev(),
        inode: about.ino(),
        size: about.size(),
        modified: (about.mtime(), about.mtime_nsec()),
        changed: (about.ctime(), about.ctime_nsec()),
    })
}
