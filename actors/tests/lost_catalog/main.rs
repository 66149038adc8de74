//! The actors of the catalog and of watches that panic, with a real Consul. Apart from the other panics: Consul must be nobody's
//! child here, so that no reaper takes its end.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has to stop")]

mod catalog;
#[path = "../panics/scene.rs"]
#[allow(dead_code, reason = "the other panics need more of it")]
mod scene;

const ADOPTS: bool = false;
