//! Decisions: pure state machines that actors ask in their mailbox handlers. No actor, clock, randomness or I/O.

pub mod contact;
pub mod frozen;
pub mod health;
pub mod init;
pub mod job;
pub mod places;
pub mod reload;
pub mod remainder;
pub mod restart;
pub mod revival;
pub mod service;
pub mod shutdown;
pub mod waits;
pub mod watch;
