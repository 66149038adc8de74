//! Actors that panic, through the real supervisor with real children: nothing else notices, or everything ends with status 70.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has to stop")]

mod core;
mod jobs;
mod scene;
mod servers;

/// Orphans become ours, as in the real program.
const ADOPTS: bool = true;
