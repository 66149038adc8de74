//! Entry points for fuzz targets (`fuzz/`) to what is private otherwise. Built by cargo-fuzz only.
#![allow(missing_docs, reason = "each is what its name says, for one fuzz target")]

use std::collections::BTreeSet;

use crate::catalog::client::{self, dns};
use crate::catalog::value;
use crate::consul_agent::wire as consul;
use crate::etcd_agent::wire as etcd;
use crate::output;
use crate::spec::ServiceSpec;

/// Lines and pieces of lines, those with their ordinal and whether they are the last one.
pub fn cut<'a>(pieces: impl Iterator<Item = &'a [u8]>, longest: usize) -> Vec<(Vec<u8>, Option<(u32, bool)>)> {
    let mut found = Vec::new();
    let mut ordinal = 0;
    let mut each = |line: &[u8], piece: output::lines::Piece| {
        let taken = if piece.last { line.len() } else { output::lines::piece_length(line, longest) };
        ordinal = if piece.first { 1 } else { ordinal + 1 };
        let is_whole = piece.first && piece.last;
        found.push((line[..taken].to_vec(), (!is_whole).then_some((ordinal, piece.last))));
        taken
    };
    let (limit, mut cutter) = (output::lines::Limit::new(longest), output::lines::Cutter::default());
    for piece in pieces {
        cutter.take(piece, &limit, &mut each);
    }
    cutter.end(&limit, &mut each);
    found
}

pub fn is_object(line: &[u8]) -> bool {
    output::object::inspect(line, &output::loggers::Keys::default()).is_some()
}

pub fn dns_reply(message: &[u8]) {
    drop(dns::read_reply(message, &BTreeSet::from([(0, dns::A), (1, dns::AAAA)])));
}

pub fn dns_files(text: &str, host: &str) {
    drop(dns::in_hosts(text, host));
    for name in dns::Config::parse(text).candidates(host) {
        if let Ok(query) = dns::query(0, &name, dns::A) {
            assert!(query.len() <= 271, "{name}");
        }
    }
}

pub fn consul_instances<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Option<Vec<String>> {
    let mut reader = consul::InstanceReader::new();
    for piece in pieces {
        reader.feed(piece).ok()?;
    }
    Some(reader.finish().ok()?.iter().map(|instance| format!("{instance:?}")).collect())
}

pub fn consul_service(body: &[u8]) {
    drop(consul::is_as_registered(body, &ServiceSpec::new("web")));
}

pub fn etcd_reply(status: u16, body: &[u8]) {
    let reply = client::Reply { status, body: body.to_vec(), retry_after: None };
    let tags = ["a".to_owned()];
    drop((etcd::is_granted(&reply), etcd::is_alive(&reply), etcd::is_over(&reply), etcd::entry(&reply)));
    drop((etcd::token(&reply), etcd::text(&reply), etcd::tree(&reply, &tags)));
    drop((etcd::has_begun(body), etcd::wants_token(&reply), etcd::refusal(&reply)));
    if let Ok((_, Some(next))) = etcd::page(&reply, &tags, &mut etcd::Found::default()) {
        assert_eq!(next.last(), Some(&0));
    }
    drop(etcd::there(reply));
}

/// The instance that a value describes, as jobs see it.
pub fn instance(written: &[u8]) -> Option<String> {
    let instance = value::instance(written, &[]).ok()??;
    Some(format!("{}:{}", instance.address, instance.port))
}
