//! Real ZooKeeper servers, as processes of the tests on loopback. Without Java and ZooKeeper's jars the tests fail.
#![cfg(feature = "zookeeper")]

mod cluster;
mod faults;
mod proxy;
#[path = "../catalog/scene.rs"]
#[expect(dead_code, reason = "other catalogs need more")]
mod scene;
mod server;
mod services;
mod watches;
