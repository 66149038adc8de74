//! `zookeeper` of a config, in whichever version: where ZooKeeper is, and who we are there.

use std::net::Ipv6Addr;
use std::time::Duration;

use containerpilot_actors::spec::{CatalogSpec, ServiceSpec, ZooKeeperSpec};

use super::discovery::{LOCALHOST, is_host, token};
use super::node::{Value, shortened};
use super::raw_v3::{Field, ZooKeeper};
use super::reader::{Reader, Scope};

const PREFIX: &str = "/containerpilot";
/// Where ZooKeeper listens unless told otherwise.
const PORT: u16 = 2181;
/// Of a session without services.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// The catalog; none if the config names none (D3). Its sessions do not fit any services yet.
pub fn catalog(scope: &Scope, field: Field<'_>, reader: &mut Reader) -> Option<CatalogSpec> {
    let node = field.node?;
    if !matches!(node.value, Value::Object(_)) {
        // The value may hold a password.
        let says = format!("is {}, not an object with hosts, prefix, digest", node.kind());
        reader.problem(scope, field, says);
        return None;
    }
    let (scope, raw) = reader.block::<ZooKeeper<'_>>(scope, field)?;
    if cfg!(not(feature = "zookeeper")) {
        reader.problem_with(&scope, "cannot be used, this binary has been built without ZooKeeper");
        return None;
    }
    let faults = reader.faults.len();
    let spec = ZooKeeperSpec {
        hosts: hosts(&scope, raw.hosts, reader),
        prefix: prefix(&scope, raw.prefix, reader),
        digest: digest(&scope, raw.digest, reader),
        session_timeout: SESSION_TIMEOUT,
    };
    (reader.faults.len() == faults).then_some(CatalogSpec::ZooKeeper(spec))
}

/// Gives ZooKeeper sessions that end soon enough for each of these services, should we be killed.
pub fn fit<'a>(catalog: &mut Option<CatalogSpec>, services: impl Iterator<Item = &'a ServiceSpec>) {
    if let Some(CatalogSpec::ZooKeeper(zookeeper)) = catalog
        && let Some(shortest) = services.map(|service| service.ttl).min()
    {
        zookeeper.session_timeout = shortest;
    }
}

fn hosts(scope: &Scope, field: Field<'_>, reader: &mut Reader) -> Vec<(String, u16)> {
    const ACCEPTED: &str = "hosts as in \"h1:2181,h2:2181\"";
    let problems = reader.problems.len();
    let Some(written) = reader.string(scope, field) else {
        if field.node.is_some() && reader.problems.len() == problems {
            reader.fault(scope, field, format!("is empty, it must be {ACCEPTED}"));
        } else if reader.problems.len() == problems {
            reader.problem(scope, field, format!("is missing, it must be {ACCEPTED}"));
        }
        return Vec::new();
    };
    let mut hosts = Vec::new();
    for word in written.split(',').map(str::trim) {
        match host(word) {
            Some(host) => hosts.push(host),
            // Perhaps with a password before it.
            None if word.contains('@') => {
                reader.fault(scope, field, format!("has an `@` in it, it must be {ACCEPTED}"))
            }
            None if word.contains('/') => {
                let says = format!("`{}` has a `/` in it, the path of a host belongs in `prefix`", shortened(word));
                reader.fault(scope, field, says);
            }
            None => reader.fault(scope, field, format!("`{}` is not one of {ACCEPTED}", shortened(word))),
        }
    }
    hosts
}

/// `host`, `host:port`, `[v6]`, `[v6]:port` or a bare v6 address.
fn host(word: &str) -> Option<(String, u16)> {
    if word.parse::<Ipv6Addr>().is_ok() {
        return Some((word.to_owned(), PORT));
    }
    let (host, port) = match word.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').filter(|(host, _)| host.parse::<Ipv6Addr>().is_ok())?;
            (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        }
        None => match word.split_once(':') {
            // As for Consul and etcd.
            Some(("", port)) => (LOCALHOST, Some(port)),
            Some((host, port)) => (host, Some(port)),
            None => (word, None),
        },
    };
    let port = match port {
        Some(port) => port.parse().ok().filter(|port| *port > 0)?,
        None => PORT,
    };
    let is_host = !host.is_empty() && (word.starts_with('[') || is_host(host));
    is_host.then(|| (host.to_owned(), port))
}

fn prefix(scope: &Scope, field: Field<'_>, reader: &mut Reader) -> String {
    let written = reader.string(scope, field);
    let prefix = written.as_deref().unwrap_or(PREFIX).trim_end_matches('/');
    let is_part = |part: &str| !matches!(part, "" | "." | "..") && !part.chars().any(char::is_control);
    let is_path = prefix.is_empty() || prefix.strip_prefix('/').is_some_and(|path| path.split('/').all(is_part));
    if !is_path {
        reader.refuse(scope, field, "a path (such as /containerpilot)");
    }
    prefix.to_owned()
}

/// Never shown.
fn digest(scope: &Scope, field: Field<'_>, reader: &mut Reader) -> Option<String> {
    let digest = token(scope, field, reader)?;
    let is_digest = digest.split_once(':').is_some_and(|(user, _)| !user.is_empty());
    if !is_digest {
        reader.problem(scope, field, "is not \"user:password\"");
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read() {
        for (written, want) in [
            ("h", Some(("h", 2181))),
            ("h:1", Some(("h", 1))),
            ("10.0.0.1:2182", Some(("10.0.0.1", 2182))),
            ("::1", Some(("::1", 2181))),
            ("[::1]", Some(("::1", 2181))),
            ("[::1]:7", Some(("::1", 7))),
            ("", None),
            (":1", Some(("127.0.0.1", 1))),
            (":", None),
            ("256.0.0.1", None),
            ("h:", None),
            ("h:0", None),
            ("h:70000", None),
            ("h:1:2", None),
            ("h h", None),
            ("[h]:1", None),
            ("[::1]7", None),
            ("h:1/path", None),
            ("http://h", None),
        ] {
            assert_eq!(host(written), want.map(|(host, port)| (host.to_owned(), port)), "{written}");
        }
    }
}
