//! What happened: the events that jobs emit and react to, and how a process or a job ended.
//!
//! Plain values. Matching is by equality of code and source (job-semantics section 1).

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Takes the text as it is; `config/` has validated it.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The name as configured.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// The name of a job, which is also its service's name in a catalog.
    JobName
);
name!(
    /// The name of a watch, without the `watch.` that marks it as a source.
    WatchName
);

/// What kind of thing happened. The words in `when` and in metrics are 3.8's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventCode {
    /// A run ended with status 0.
    ExitSuccess,
    /// A run ended in any other way, or could not be started.
    ExitFailed,
    /// A job is about to stop.
    Stopping,
    /// A job that has started is about to stop because it was asked to. Emitted if somebody waits for it.
    Terminating,
    /// A job that has started has stopped for good. Emitted if somebody waits for it, before `Stopped`.
    Ended,
    /// A job has stopped for good.
    Stopped,
    /// A health check passed, or a watch sees instances.
    StatusHealthy,
    /// A health check failed, or a watch sees no instance.
    StatusUnhealthy,
    /// A watch saw other instances than before.
    StatusChanged,
    /// A job gave up waiting for its start event.
    TimerExpired,
    /// The process went into maintenance.
    EnterMaintenance,
    /// The process came back from maintenance.
    ExitMaintenance,
    /// The reason of a failed exit, as text.
    Error,
    /// Part of 3.8's vocabulary; never emitted.
    Quit,
    /// Part of 3.8's vocabulary; never emitted.
    Metric,
    /// All jobs are subscribed.
    Startup,
    /// The end has been asked for.
    Shutdown,
    /// A Unix signal came.
    Signal,
}

impl EventCode {
    /// Every code that `when.once` and `when.each` accept, by its word there.
    pub const WORDS: [(&'static str, EventCode); 18] = [
        ("exitSuccess", EventCode::ExitSuccess),
        ("exitFailed", EventCode::ExitFailed),
        ("stopping", EventCode::Stopping),
        ("stopped", EventCode::Stopped),
        ("terminating", EventCode::Terminating),
        ("ended", EventCode::Ended),
        ("healthy", EventCode::StatusHealthy),
        ("unhealthy", EventCode::StatusUnhealthy),
        ("changed", EventCode::StatusChanged),
        ("timerExpired", EventCode::TimerExpired),
        ("enterMaintenance", EventCode::EnterMaintenance),
        ("exitMaintenance", EventCode::ExitMaintenance),
        ("error", EventCode::Error),
        ("quit", EventCode::Quit),
        ("startup", EventCode::Startup),
        ("shutdown", EventCode::Shutdown),
        ("SIGHUP", EventCode::Signal),
        ("SIGUSR2", EventCode::Signal),
    ];

    /// The codes that tell of the stop of a job.
    pub const OF_A_STOP: [EventCode; 4] =
        [EventCode::Stopping, EventCode::Stopped, EventCode::Terminating, EventCode::Ended];

    /// The code behind a word of `when`, exactly as spelled.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(known, _)| *known == word).map(|(_, code)| *code)
    }

    /// Whether the code concerns the whole process, so that it needs no source.
    pub fn is_global(self) -> bool {
        matches!(self, Self::Startup | Self::Shutdown | Self::EnterMaintenance | Self::ExitMaintenance)
    }
}

impl fmt::Display for EventCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The Unix signals that are events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SignalSource {
    /// `SIGHUP`
    Hup,
    /// `SIGUSR2`
    Usr2,
}

impl fmt::Display for SignalSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hup => "SIGHUP",
            Self::Usr2 => "SIGUSR2",
        })
    }
}

/// Who an event is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// The whole process.
    Global,
    /// A job.
    Job(JobName),
    /// The health check of a job.
    Check(JobName),
    /// A watch.
    Watch(WatchName),
    /// A Unix signal.
    Signal(SignalSource),
    /// The text of an `Error` event, as in 3.8.
    Reason(Arc<str>),
}

impl Source {
    /// Reads `when.source`: `SIGHUP`, `SIGUSR2`, `watch.NAME`, `check.JOB`, `global`, nothing, or the name of a job.
    pub fn parse(text: &str) -> Self {
        match text {
            "SIGHUP" => Self::Signal(SignalSource::Hup),
            "SIGUSR2" => Self::Signal(SignalSource::Usr2),
            "global" | "" => Self::Global,
            _ => {
                if let Some(watch) = text.strip_prefix("watch.") {
                    Self::Watch(WatchName::new(watch))
                } else if let Some(check) = text.strip_prefix("check.") {
                    Self::Check(JobName::new(check))
                } else {
                    Self::Job(JobName::new(text))
                }
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Global => f.write_str("global"),
            Self::Job(name) => name.fmt(f),
            Self::Check(name) => write!(f, "check.{name}"),
            Self::Watch(name) => write!(f, "watch.{name}"),
            Self::Signal(signal) => signal.fmt(f),
            Self::Reason(text) => f.write_str(text),
        }
    }
}

/// One thing that happened, in the one sequence of all events. Displayed as 3.8's debug log does: `{Code Source}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Event {
    /// What happened.
    pub code: EventCode,
    /// To whom.
    pub source: Source,
}

impl Event {
    /// All jobs are subscribed.
    pub const STARTUP: Event = Event { code: EventCode::Startup, source: Source::Global };
    /// The end has been asked for.
    pub const SHUTDOWN: Event = Event { code: EventCode::Shutdown, source: Source::Global };
    /// The process went into maintenance.
    pub const ENTER_MAINTENANCE: Event = Event { code: EventCode::EnterMaintenance, source: Source::Global };
    /// The process came back from maintenance.
    pub const EXIT_MAINTENANCE: Event = Event { code: EventCode::ExitMaintenance, source: Source::Global };

    /// An event of any kind.
    pub fn new(code: EventCode, source: Source) -> Self {
        Self { code, source }
    }

    /// An event of a job.
    pub fn job(code: EventCode, name: &JobName) -> Self {
        Self::new(code, Source::Job(name.clone()))
    }

    /// An event of a watch.
    pub fn watch(code: EventCode, name: &WatchName) -> Self {
        Self::new(code, Source::Watch(name.clone()))
    }

    /// A signal that came.
    pub fn signal(signal: SignalSource) -> Self {
        Self::new(EventCode::Signal, Source::Signal(signal))
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{} {}}}", self.code, self.source)
    }
}

/// Whose process a run is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Owner {
    /// A job's.
    Job(JobName),
    /// That of a job's health check.
    Check(JobName),
}

impl Owner {
    /// The job that the run is for.
    pub fn job(&self) -> &JobName {
        match self {
            Self::Job(name) | Self::Check(name) => name,
        }
    }

    /// The owner as a source of events.
    pub fn source(&self) -> Source {
        match self {
            Self::Job(name) => Source::Job(name.clone()),
            Self::Check(name) => Source::Check(name.clone()),
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Job(name) => name.fmt(f),
            Self::Check(name) => write!(f, "check.{name}"),
        }
    }
}

/// One execution of a process: the owner counts its runs from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(pub u64);

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With a status from 0 to 255.
    Status(u8),
    /// By this signal.
    Signal(i32),
    /// By the SIGKILL that the kernel sends when a cgroup has no memory left.
    OutOfMemory,
}

impl Exit {
    /// Whether the process ended with status 0.
    pub fn is_success(self) -> bool {
        self == Self::Status(0)
    }

    /// What a status that a shell reports says: above 128 it was a signal, if there is one of that number.
    pub fn from_code(code: u8) -> Self {
        match code.checked_sub(128) {
            Some(signal @ 1..=64) => Self::Signal(i32::from(signal)),
            Some(_) | None => Self::Status(code),
        }
    }

    /// The status as a shell reports it: 128 + n for a signal.
    pub fn code(self) -> u8 {
        match self {
            Self::Status(status) => status,
            Self::Signal(signal) => 128u8.wrapping_add(u8::try_from(signal).unwrap_or(127)),
            Self::OutOfMemory => 128 + 9,
        }
    }
}

impl fmt::Display for Exit {
    // 3.8: Go's words for an *exec.ExitError
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "exit status {status}"),
            Self::Signal(signal) => write!(f, "signal: {}", signal_word(*signal)),
            Self::OutOfMemory => f.write_str("killed (out of memory)"),
        }
    }
}

/// The words that Go, and so 3.8, has for a signal; its number for the rest.
fn signal_word(signal: i32) -> String {
    let word = match signal {
        1 => "hangup",
        2 => "interrupt",
        3 => "quit",
        4 => "illegal instruction",
        5 => "trace/breakpoint trap",
        6 => "aborted",
        7 => "bus error",
        8 => "floating point exception",
        9 => "killed",
        10 => "user defined signal 1",
        11 => "segmentation fault",
        12 => "user defined signal 2",
        13 => "broken pipe",
        14 => "alarm clock",
        15 => "terminated",
        _ => return format!("signal {signal}"),
    };
    word.to_owned()
}

/// How a job ended, for the exit status of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its last run ended well, or it never ran.
    Success,
    /// Its last run failed by itself; the status from 1 to 255 that tells how.
    Failure(u8),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// Its process ended.
    Exited(Exit),
    /// Its process could not be started; everything treats that as an ended process.
    NotStarted {
        /// The status a shell would report: 127 for not found, 126 for not executable.
        code: u8,
        /// Why, in words.
        reason: Arc<str>,
    },
}

impl RunEnd {
    /// Whether the run ended with status 0.
    pub fn is_success(&self) -> bool {
        match self {
            Self::Exited(exit) => exit.is_success(),
            Self::NotStarted { .. } => false,
        }
    }

    /// The status as a shell reports it.
    pub fn code(&self) -> u8 {
        match self {
            Self::Exited(exit) => exit.code(),
            Self::NotStarted { code, .. } => *code,
        }
    }
}

impl fmt::Display for RunEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(exit) => exit.fmt(f),
            Self::NotStarted { reason, .. } => f.write_str(reason),
        }
    }
}
