//! The parts of the program that read what users write, for fuzz targets. The program has no library: its modules are here by their path.
#![allow(dead_code, unused_imports, unused_qualifications)]

#[path = "../../src/config/mod.rs"]
pub mod config;
#[path = "../../src/template/mod.rs"]
pub mod template;

/// What a config may refer to.
pub fn environment() -> template::Environment {
    [("A", "a"), ("EMPTY", ""), ("NUMBER", "8"), ("LIST", "a,b,c")].into_iter().collect()
}

/// Where this machine is.
pub fn host() -> containerpilot_actors::addresses::Host {
    use containerpilot_actors::addresses::{Host, InterfaceAddress};
    let address = |interface: &str, address: &str| InterfaceAddress {
        interface: interface.to_owned(),
        address: address.parse().expect("it is an address"),
    };
    let addresses =
        [("lo", "127.0.0.1"), ("lo", "::1"), ("eth0", "10.2.0.1"), ("eth0", "fe80::1"), ("eth1", "192.168.1.7")];
    Host { name: "host".to_owned(), addresses: addresses.map(|(name, of)| address(name, of)).into() }
}

/// The input in pieces, whose sizes its first byte tells.
pub fn pieces(data: &[u8]) -> Option<(&[u8], impl Iterator<Item = &[u8]>)> {
    let (size, rest) = data.split_first()?;
    Some((rest, rest.chunks(usize::from(*size).max(1))))
}
