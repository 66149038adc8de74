//! The runtime of ContainerPilot: jobs, checks, watches and catalogs as actors that exchange typed messages.
//!
//! It starts from plain values (`spec`) and knows nothing of JSON5, templates, flags or files.

pub mod event;
pub mod spec;
