//! What the network calls this machine: its interfaces' addresses and its host name.

use std::io;
use std::net::IpAddr;

use nix::sys::socket::SockaddrStorage;

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
        let name = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self { name, addresses: interface_addresses()? })
    }
}

/// The addresses of all interfaces, as the kernel lists them: by interface, IPv4 before IPv6.
pub fn interface_addresses() -> io::Result<Vec<InterfaceAddress>> {
    let mut addresses = Vec::new();
    for found in nix::ifaddrs::getifaddrs()? {
        let Some(address) = found.address.as_ref().and_then(ip) else { continue };
        // An address may have a label of its own, `eth0:web`; no name of an interface holds a colon.
        let interface = found.interface_name.split(':').next().unwrap_or_default().to_owned();
        addresses.push(InterfaceAddress { interface, address });
    }
    Ok(addresses)
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}
