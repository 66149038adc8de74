//! Real children: what the reaper promises of processes. One behaviour per file.

mod environment;
mod exits;
mod failures;
mod groups;
mod orphans;
mod output;
mod scene;
