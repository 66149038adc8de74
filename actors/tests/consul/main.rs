//! Real Consul servers, as processes of the tests on loopback. Without the `consul` binary the tests fail.

mod answers;
mod cluster;
mod limits;
#[path = "../catalog/scene.rs"]
mod scene;
mod security;
mod server;
mod services;
mod tls_files;
mod watches;
