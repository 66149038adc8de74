//! The built binary, as its users run it. One module per theme.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has to stop")]

mod consul;
mod consumers;
mod container;
mod control;
mod ends;
mod faults;
mod http;
mod life;
mod lifecycle;
mod logs;
mod migrate;
mod output;
mod page;
mod pilot;
mod plain;
mod problems;
mod promises;
mod reading;
mod samples;
mod scarce;
mod strict;
mod telemetry;
mod terminal;
mod tidy;
mod v2;
mod viewers;
