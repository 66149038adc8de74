//! The built binary, as its users run it. One module per theme.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has to stop")]

mod control;
mod ends;
mod http;
mod life;
mod logs;
mod migrate;
mod output;
mod page;
mod pilot;
mod problems;
mod samples;
mod telemetry;
mod tidy;
mod viewers;
