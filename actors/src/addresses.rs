//! What the network calls this machine: its interfaces' addresses and its host name.

use std::io;
use std::net::IpAddr;

use crate::sys;

/// An address of a network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The name of the interface.
    pub interface: String,
    /// One of its addresses.
    pub address: IpAddr,
}

/// What a config may refer to of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// The host name, which makes ids of services unique; empty if there is none.
    pub name: String,
    /// The addresses of all interfaces.
    pub addresses: Vec<InterfaceAddress>,
}

impl Host {
    /// Asks the kernel.
    pub fn read() -> io::Result<Self> {
        Ok(Self { name: sys::host_name(), addresses: interface_addresses()? })
    }
}

/// The addresses of all interfaces, as the kernel lists them: by interface, IPv4 before IPv6.
pub fn interface_addresses() -> io::Result<Vec<InterfaceAddress>> {
    let mut addresses = Vec::new();
    for (label, address) in sys::addresses()? {
        // An address may have a label of its own, `eth0:web`; no name of an interface holds a colon.
        let interface = label.split(':').next().unwrap_or_default().to_owned();
        addresses.push(InterfaceAddress { interface, address });
    }
    Ok(addresses)
}
