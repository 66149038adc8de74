//! The runtime of ContainerPilot: jobs, checks, watches and catalogs as actors that exchange typed messages.
//!
//! It starts from plain values (`spec`) and knows nothing of JSON5, templates, flags or files.

pub mod address_watcher;
pub mod addresses;
pub mod bus;
pub mod catalog;
pub mod consul_agent;
pub mod control;
pub mod duration;
#[cfg(feature = "etcd")]
pub mod etcd_agent;
pub mod event;
#[cfg(all(fuzzing, feature = "etcd"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod guard;
pub mod health_check;
pub mod http;
pub mod job;
pub mod journal;
mod memory_events;
pub mod messages;
pub mod metrics;
pub mod nearest;
pub mod output;
pub mod overview;
pub mod policy;
pub mod process_stats;
pub mod processes;
pub mod random;
mod reading;
pub mod reaper;
pub mod runtime;
pub mod signal_handler;
pub mod spec;
pub mod status;
pub mod supervisor;
pub mod sys;
pub mod telemetry;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod timers;
pub mod watch;
#[cfg(feature = "zookeeper")]
pub mod zookeeper_agent;
