//! Real actors between probes, in virtual time.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has to stop")]

mod bus;
mod health_check;
mod job;
