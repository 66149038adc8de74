//! Which of the machine's addresses a service is reached at: `eth0`, `eth0:inet6`, `eth0[1]`, `inet`, a network such as
//! `10.0.0.0/16`, or `static:` and an address. The addresses that there are is an argument.

use std::net::{IpAddr, Ipv6Addr};

use containerpilot_actors::addresses::InterfaceAddress;

/// 3.8: what is looked for where nothing is configured.
pub const DEFAULT: [&str; 2] = ["eth0:inet", "inet"];

/// How many addresses a message lists.
const LISTED: usize = 16;

/// One interface specification.
#[derive(Clone, Debug, PartialEq)]
pub enum InterfaceSpec {
    /// The first address of this family, on this interface or on any but the loopback.
    Inet {
        /// The interface; any if there is none.
        name: Option<String>,
        /// IPv6 rather than IPv4.
        v6: bool,
    },
    /// The n-th address of an interface, IPv4 before most of IPv6.
    Index {
        /// The interface.
        name: String,
        /// From 0.
        index: usize,
    },
    /// The first address in a network.
    Network {
        /// Any address of the network.
        address: IpAddr,
        /// How many bits are the network's.
        bits: u32,
    },
    /// This address, be it ours or not.
    Static(IpAddr),
}

impl InterfaceSpec {
    /// Reads a specification.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "inet" => return Some(Self::Inet { name: None, v6: false }),
            "inet6" => return Some(Self::Inet { name: None, v6: true }),
            _ => {}
        }
        if let Some(address) = text.strip_prefix("static:") {
            return address.parse().ok().map(Self::Static);
        }
        if let Some((address, bits)) = text.split_once('/') {
            return parse_network(address, bits);
        }
        if let Some((name, index)) = text.strip_suffix(']').and_then(|text| text.split_once('[')) {
            let index = index.bytes().all(|b| b.is_ascii_digit()).then(|| index.parse().ok())??;
            return is_name(name).then(|| Self::Index { name: name.to_owned(), index });
        }
        let (name, family) = text.split_once(':').unwrap_or((text, "inet"));
        let v6 = match family {
            "inet" => false,
            "inet6" => true,
            _ => return None,
        };
        is_name(name).then(|| Self::Inet { name: Some(name.to_owned()), v6 })
    }

    fn matches(&self, index_on_interface: usize, candidate: &InterfaceAddress) -> bool {
        match self {
            Self::Inet { name: None, v6 } => !candidate.address.is_loopback() && candidate.address.is_ipv6() == *v6,
            Self::Inet { name: Some(name), v6 } => *name == candidate.interface && candidate.address.is_ipv6() == *v6,
            Self::Index { name, index } => *name == candidate.interface && *index == index_on_interface,
            Self::Network { address, bits } => contains(*address, *bits, candidate.address),
            Self::Static(_) => false,
        }
    }
}

/// 3.8 takes letters, digits and `_` only; names such as `br-lan` and `eth0.100` are as good. An address is no name.
fn is_name(text: &str) -> bool {
    let is_sign = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '@' | '+');
    !text.is_empty() && text.chars().all(is_sign) && text.parse::<IpAddr>().is_err()
}

fn parse_network(address: &str, bits: &str) -> Option<InterfaceSpec> {
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let is_number = !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit());
    let bits = is_number.then(|| bits.parse().ok())??;
    (bits <= most).then_some(InterfaceSpec::Network { address, bits })
}

fn contains(network: IpAddr, bits: u32, address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).checked_shr(32 - bits).unwrap_or(0) == 0,
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).checked_shr(128 - bits).unwrap_or(0) == 0,
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

/// The address that the first matching specification picks.
pub fn pick(specs: &[InterfaceSpec], addresses: &[InterfaceAddress]) -> Option<IpAddr> {
    let sorted = sorted(addresses);
    for spec in specs {
        if let InterfaceSpec::Static(address) = spec {
            return Some(address.to_canonical());
        }
        let mut index = 0;
        let mut before: Option<&str> = None;
        for candidate in &sorted {
            index = if before == Some(&candidate.interface) { index + 1 } else { 0 };
            before = Some(&candidate.interface);
            if spec.matches(index, candidate) {
                return Some(candidate.address);
            }
        }
    }
    None
}

/// 3.8: by the interface's name, then by the sixteen bytes of the address, where IPv4 is ::ffff:a.b.c.d.
fn sorted(addresses: &[InterfaceAddress]) -> Vec<InterfaceAddress> {
    let mut sorted: Vec<InterfaceAddress> = addresses.to_vec();
    for address in &mut sorted {
        address.address = address.address.to_canonical();
    }
    sorted.sort_by(|a, b| (&a.interface, sixteen(a.address)).cmp(&(&b.interface, sixteen(b.address))));
    sorted
}

fn sixteen(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// The addresses for a message.
pub fn listed(addresses: &[InterfaceAddress]) -> String {
    let sorted = sorted(addresses);
    let mut names: Vec<String> = sorted.iter().take(LISTED).map(|a| format!("{} {}", a.interface, a.address)).collect();
    if sorted.len() > LISTED {
        names.push(format!("and {} more", sorted.len() - LISTED));
    }
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() -> Vec<InterfaceAddress> {
        [
            ("lo", "127.0.0.1"),
            ("lo", "::1"),
            ("eth0", "192.168.1.100"),
            ("eth0", "10.2.0.1"),
            ("eth1", "10.0.0.200"),
            ("eth1", "10.0.0.100"),
            ("eth10", "172.16.10.1"),
            ("eth2", "fdc6:238c:c4bc::1"),
            ("eth2", "10.1.0.200"),
            ("br-lan", "172.17.0.1"),
        ]
        .iter()
        .map(|(name, address)| InterfaceAddress { interface: (*name).to_owned(), address: address.parse().unwrap() })
        .collect()
    }

    fn picked(specs: &[&str]) -> String {
        let specs: Vec<InterfaceSpec> = specs.iter().map(|spec| InterfaceSpec::parse(spec).unwrap()).collect();
        pick(&specs, &here()).map_or_else(|| "none".to_owned(), |address| address.to_string())
    }

    #[test]
    fn each_kind_picks_its_address() {
        for (spec, want) in [
            ("eth0", "10.2.0.1"),
            ("eth1:inet", "10.0.0.100"),
            ("eth10", "172.16.10.1"),
            ("eth0:inet6", "none"),
            ("eth2:inet6", "fdc6:238c:c4bc::1"),
            ("eth0[1]", "192.168.1.100"),
            ("eth0[2]", "none"),
            ("eth2[0]", "10.1.0.200"),
            ("lo[0]", "::1"),
            ("inet6", "fdc6:238c:c4bc::1"),
            ("br-lan", "172.17.0.1"),
            ("10.0.0.77/16", "10.0.0.100"),
            ("0.0.0.0/0", "172.17.0.1"),
            ("::/0", "fdc6:238c:c4bc::1"),
            ("10.0.0.200/32", "10.0.0.200"),
            ("static:203.0.113.9", "203.0.113.9"),
            ("static:2001:db8::5", "2001:db8::5"),
        ] {
            assert_eq!(picked(&[spec]), want, "{spec}");
        }
    }

    #[test]
    fn the_first_spec_that_matches_decides() {
        assert_eq!(picked(&["eth3", "10.0.0.0/16", "inet"]), "10.0.0.100");
        assert_eq!(picked(&["eth1[1]", "static:203.0.113.9"]), "10.0.0.200");
        assert_eq!(picked(&["eth3", "static:203.0.113.9", "inet"]), "203.0.113.9");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "!",
            "127.0.0.1",
            "::1",
            "eth0:inet5",
            "eth0:",
            "eth0[-1]",
            "eth0[x]",
            "eth0[]",
            "eth0[+1]",
            "eth0[0]:inet",
            "static:abcdef",
            "static:",
            "static:5",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "eth0/8",
        ] {
            assert_eq!(InterfaceSpec::parse(text), None, "{text}");
        }
    }
}
