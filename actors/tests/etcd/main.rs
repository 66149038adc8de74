//! Real etcd servers, as processes of the tests on loopback. Without the `etcd` binary the tests fail.
#![cfg(feature = "etcd")]

mod api2;
mod cluster;
#[path = "../catalog/scene.rs"]
mod scene;
mod security;
mod server;
mod services;
mod watches;
