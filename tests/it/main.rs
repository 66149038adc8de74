//! The built binary, as its users run it. One module per theme.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has to stop")]

mod ends;
mod life;
mod logs;
mod output;
mod pilot;
mod problems;
mod samples;
mod tidy;
