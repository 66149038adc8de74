//! Real children: what the reaper promises of processes. One behaviour per file.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has to stop")]

mod environment;
mod exits;
mod failures;
mod groups;
mod orphans;
mod output;
mod scene;
