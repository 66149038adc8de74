//! Names to addresses, without a thread: `/etc/hosts`, then the name servers of `/etc/resolv.conf`.
//!
//! The C library's resolver blocks, and in a static binary it may load modules of another C library's version, so that
//! a line in a container's `nsswitch.conf` could end PID 1. This one knows A and AAAA records over UDP, and nothing else.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::LazyLock;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use crate::random::Random;
use crate::runtime::blocking::Lane;

/// How long one server may take; the whole connection has two seconds.
const PER_SERVER: Duration = Duration::from_millis(600);
/// How long the addresses of one family wait for those of the other.
const OTHER_FAMILY: Duration = Duration::from_millis(100);
/// How long the two files may take.
const FILES: Duration = Duration::from_secs(1);
/// How many look-ups may read them at a time.
const MOST_READERS: usize = 8;
pub(crate) const A: u16 = 1;
pub(crate) const AAAA: u16 = 28;

static READERS: LazyLock<Lane> = LazyLock::new(|| Lane::new(MOST_READERS));

/// The addresses of a host, IPv4 first. A literal address is itself.
pub async fn resolve(host: &str) -> io::Result<Vec<IpAddr>> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse() {
        return Ok(vec![address]);
    }
    let files = READERS.run(FILES, || (read("/etc/hosts"), read("/etc/resolv.conf"))).await;
    let (hosts, config) = files.map_err(|cause| {
        io::Error::other(format!("cannot look up `{host}`: cannot read /etc/hosts and /etc/resolv.conf: {cause}"))
    })?;
    let known = in_hosts(&hosts, host);
    if !known.is_empty() {
        return Ok(known);
    }
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    let config = Config::parse(&config);
    let mut random = Random::from_entropy();
    let mut last = io::Error::new(io::ErrorKind::NotFound, format!("no such host `{host}`"));
    for name in config.candidates(host) {
        match ask_servers(&config.servers, &name, &mut random).await {
            Ok(found) if found.is_empty() => {}
            Ok(found) => return Ok(found),
            Err(cause) => last = io::Error::new(cause.kind(), format!("cannot look up `{host}`: {cause}")),
        }
    }
    Err(last)
}

/// An absent file says nothing, which is fine in a container FROM scratch.
fn read(path: &str) -> String {
    std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

pub(crate) fn in_hosts(hosts: &str, host: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in hosts.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let address: Option<IpAddr> = words.next().and_then(|word| word.parse().ok());
        if let Some(address) = address
            && words.any(|word| word.eq_ignore_ascii_case(host))
        {
            found.push(address);
        }
    }
    found.sort_by_key(IpAddr::is_ipv6);
    found
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Config {
    servers: Vec<SocketAddr>,
    search: Vec<String>,
    ndots: usize,
}

impl Config {
    pub(crate) fn parse(text: &str) -> Self {
        let mut config = Self { servers: Vec::new(), search: Vec::new(), ndots: 1 };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let address = words.next().and_then(|word| word.parse().ok());
                    config.servers.extend(address.map(|address: IpAddr| SocketAddr::new(address, 53)));
                }
                Some("search" | "domain") => {
                    config.search = words.map(|word| word.trim_end_matches('.').to_owned()).collect()
                }
                Some("options") => {
                    for option in words {
                        if let Some(number) = option.strip_prefix("ndots:").and_then(|number| number.parse().ok()) {
                            config.ndots = number;
                        }
                    }
                }
                Some(_) | None => {}
            }
        }
        config.servers.truncate(3);
        config.search.truncate(6);
        if config.servers.is_empty() {
            config.servers.push((Ipv4Addr::LOCALHOST, 53).into());
        }
        config
    }

    /// The absolute names to try, in order.
    pub(crate) fn candidates(&self, host: &str) -> Vec<String> {
        if let Some(absolute) = host.strip_suffix('.') {
            return vec![absolute.to_owned()];
        }
        let mut names: Vec<String> = self.search.iter().map(|domain| format!("{host}.{domain}")).collect();
        let enough_dots = host.bytes().filter(|byte| *byte == b'.').count() >= self.ndots;
        names.insert(if enough_dots { 0 } else { names.len() }, host.to_owned());
        names
    }
}

async fn ask_servers(servers: &[SocketAddr], name: &str, random: &mut Random) -> io::Result<Vec<IpAddr>> {
    let mut last = io::Error::other("no name server");
    for server in servers {
        match ask(*server, name, random).await {
            Ok(found) => return Ok(found),
            Err(cause) => last = io::Error::new(cause.kind(), format!("name server {}: {cause}", server.ip())),
        }
    }
    Err(last)
}

/// The addresses that a server has for a name; none if there is no such name.
async fn ask(server: SocketAddr, name: &str, random: &mut Random) -> io::Result<Vec<IpAddr>> {
    let local: SocketAddr =
        if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(local).await?;
    // Connected: replies of others are dropped by the kernel, and an absent server is an error at once.
    socket.connect(server).await?;
    let mut open = BTreeSet::new();
    for kind in [A, AAAA] {
        let id = query_id(random);
        socket.send(&query(id, name, kind)?).await?;
        open.insert((id, kind));
    }
    let mut deadline = Instant::now() + PER_SERVER;
    let mut found = Vec::new();
    let mut failure = None;
    let mut buffer = vec![0; 4096];
    while !open.is_empty() {
        let size = match timeout_at(deadline, socket.recv(&mut buffer)).await {
            Ok(size) => size?,
            Err(_) if !found.is_empty() => break,
            Err(_) => return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer")),
        };
        let Some((reply, kind)) = read_reply(&buffer[..size], &open) else { continue };
        open.retain(|(_, open)| *open != kind);
        match reply {
            Ok(addresses) => found.extend(addresses),
            Err(code) => failure = Some(io::Error::other(format!("refused with code {code}"))),
        }
        if !found.is_empty() {
            deadline = deadline.min(Instant::now() + OTHER_FAMILY);
        }
    }
    found.sort_by_key(IpAddr::is_ipv6);
    match failure {
        Some(failure) if found.is_empty() => Err(failure),
        Some(_) | None => Ok(found),
    }
}

fn query_id(random: &mut Random) -> u16 {
    u16::try_from(random.below(1 << 16)).unwrap_or(0)
}

pub(crate) fn query(id: u16, name: &str, kind: u16) -> io::Result<Vec<u8>> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, format!("`{name}` is not a host name"));
    let mut message = id.to_be_bytes().to_vec();
    // A standard query, recursion desired, with one question.
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    if name.len() > 253 {
        return Err(invalid());
    }
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..64).contains(length)).ok_or_else(invalid)?;
        message.push(length);
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend(kind.to_be_bytes());
    message.extend([0, 1]);
    Ok(message)
}

/// The answer to one of the open questions and which one it is: its addresses, or the server's error code.
pub(crate) fn read_reply(message: &[u8], open: &BTreeSet<(u16, u16)>) -> Option<(Result<Vec<IpAddr>, u8>, u16)> {
    let word = |at: usize| Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]));
    let id = word(0)?;
    let (_, kind) = open.iter().find(|(open, _)| *open == id).copied()?;
    let code = message.get(3)? & 15;
    const NO_SUCH_NAME: u8 = 3;
    if message.get(2)? & 0x80 == 0 {
        return None;
    }
    if code != 0 {
        return Some((if code == NO_SUCH_NAME { Ok(Vec::new()) } else { Err(code) }, kind));
    }
    let (questions, answers) = (word(4)?, word(6)?);
    let mut at = 12;
    for _ in 0..questions {
        at = skip_name(message, at)? + 4;
    }
    let mut found = Vec::new();
    for _ in 0..answers {
        // What a truncated reply still holds is good.
        let Some(after_name) = skip_name(message, at) else { break };
        let (Some(of), Some(length)) = (word(after_name), word(after_name + 8)) else { break };
        let start = after_name + 10;
        at = start + usize::from(length);
        let Some(data) = message.get(start..at) else { break };
        if of == A && kind == A {
            found.extend(<[u8; 4]>::try_from(data).map(IpAddr::from));
        } else if of == AAAA && kind == AAAA {
            found.extend(<[u8; 16]>::try_from(data).map(IpAddr::from));
        }
    }
    Some((Ok(found), kind))
}

/// Where the name at this place ends.
fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let length = usize::from(*message.get(at)?);
        match length {
            0 => return Some(at + 1),
            1..64 => at += 1 + length,
            // A pointer to a name elsewhere.
            192.. => return Some(at + 2),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_searched_for_as_the_file_says() {
        let config = Config::parse(
            "# kubernetes\nsearch ns.svc.cluster.local svc.cluster.local.\nnameserver 10.0.0.10\nnameserver ::1\noptions ndots:2 timeout:1\n",
        );
        assert_eq!(config.servers, [([10, 0, 0, 10], 53).into(), (Ipv6Addr::LOCALHOST, 53).into()]);
        assert_eq!(config.candidates("consul"), ["consul.ns.svc.cluster.local", "consul.svc.cluster.local", "consul"]);
        assert_eq!(config.candidates("a.b.c")[0], "a.b.c");
        assert_eq!(config.candidates("a.b."), ["a.b"]);
        assert_eq!(Config::parse("").servers, [([127, 0, 0, 1], 53).into()]);
    }

    #[test]
    fn the_hosts_file_knows_aliases_in_any_case() {
        let hosts = "127.0.0.1 localhost\nfe80::1 consul # here\n10.0.0.5\tx Consul consul.local\n#1.2.3.4 consul\nbad consul\n";
        assert_eq!(in_hosts(hosts, "CONSUL"), [IpAddr::from([10, 0, 0, 5]), "fe80::1".parse().unwrap()]);
        assert_eq!(in_hosts(hosts, "other"), Vec::<IpAddr>::new());
    }

    fn reply(id: u16, kind: u16, records: &[(u16, &[u8])]) -> Vec<u8> {
        let mut message = query(id, "consul.test", kind).unwrap();
        message[2] |= 0x80;
        message[7] = u8::try_from(records.len()).unwrap();
        for (kind, data) in records {
            message.extend([0xc0, 12]);
            message.extend(kind.to_be_bytes());
            message.extend([0, 1, 0, 0, 0, 9, 0, u8::try_from(data.len()).unwrap()]);
            message.extend(*data);
        }
        message
    }

    #[test]
    fn addresses_are_found_behind_aliases_and_in_truncated_replies() {
        let open = BTreeSet::from([(7, A), (8, AAAA)]);
        let full = reply(7, A, &[(5, b"\x01x\x00"), (A, &[10, 0, 0, 1]), (A, &[10, 0, 0, 2])]);
        let both = vec![IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2])];
        assert_eq!(read_reply(&full, &open), Some((Ok(both.clone()), A)));
        assert_eq!(read_reply(&full[..full.len() - 3], &open), Some((Ok(both[..1].to_vec()), A)));
        assert_eq!(read_reply(&reply(9, A, &[]), &open), None, "nobody asked");
        let mut missing = reply(8, AAAA, &[]);
        missing[3] = 3;
        assert_eq!(read_reply(&missing, &open), Some((Ok(Vec::new()), AAAA)));
        missing[3] = 2;
        assert_eq!(read_reply(&missing, &open), Some((Err(2), AAAA)));
    }

    #[test]
    fn no_reply_whatever_makes_it_panic() {
        let mut random = Random::from_seed(1);
        let open = BTreeSet::from([(7, A)]);
        for _ in 0..20_000 {
            let mut message = reply(7, A, &[(A, &[10, 0, 0, 1]), (5, b"\x03abc\x00")]);
            for _ in 0..3 {
                let at = usize::from(query_id(&mut random)) % message.len();
                message[at] = query_id(&mut random).to_be_bytes()[0];
            }
            message.truncate(usize::from(query_id(&mut random)) % (message.len() + 1));
            if read_reply(&message, &open).is_none() {}
        }
    }

    #[test]
    fn what_is_not_a_host_name_is_not_asked_for() {
        for name in ["", "a..b", &"x".repeat(64), &"x.".repeat(130)] {
            assert!(query(1, name, A).is_err(), "{name}");
        }
    }
}
