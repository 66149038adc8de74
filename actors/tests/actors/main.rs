//! Real actors between probes, in virtual time.

mod bus;
mod health_check;
mod job;
