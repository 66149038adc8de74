//! The built binary, as its users run it. One module per theme.

mod ends;
mod life;
mod output;
mod pilot;
mod problems;
mod samples;
mod tidy;
