//! What etcd reads and writes, of both APIs: private structs between specs and JSON.
//!
//! API 3 comes through etcd's gateway: bytes are base64, 64-bit numbers are strings, what is zero or empty is left out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::client::LONGEST;
use crate::catalog::client::Reply;
use crate::catalog::{RequestError, value};
use crate::policy::watch::Instance;
use crate::spec::EtcdLogin;

/// gRPC's number for what is not there.
const NOT_FOUND: i64 = 5;
/// The same of API 2.
const KEY_NOT_FOUND: i64 = 100;
/// So many instances of one service are more than we take.
const MOST_INSTANCES: usize = 100_000;

/// The instances that have been found so far, and what is none.
#[derive(Debug, Default)]
pub struct Found {
    /// Those with all the tags.
    pub instances: Vec<Instance>,
    /// The keys of what cannot be read.
    pub strange: Vec<String>,
}

impl Found {
    fn take(&mut self, key: String, value: &[u8], tags: &[String]) -> Result<(), RequestError> {
        match value::instance(value, tags) {
            Ok(instance) => self.instances.extend(instance),
            Err(_) => self.strange.push(key),
        }
        if self.instances.len() + self.strange.len() > MOST_INSTANCES {
            return Err(RequestError::Broken("too many instances".to_owned()));
        }
        Ok(())
    }
}

fn json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("plain structs of text and numbers are always JSON")
}

/// Whatever etcd says when it does what it is asked: each answer has some of these. One struct, because each would be
/// kilobytes of program.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    /// What a stream says.
    result: Option<Box<Answer>>,
    header: Header,
    /// The keys that were asked for, and whether there are more.
    kvs: Vec<Node>,
    more: bool,
    /// What is left of a lease.
    #[serde(rename = "TTL")]
    ttl: String,
    /// Whether a watch has begun, or is over.
    created: bool,
    canceled: bool,
    token: String,
    /// The key that API 2 was asked for.
    node: Node,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Header {
    revision: String,
}

/// A key; of API 2 perhaps one with others in it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Node {
    key: String,
    value: Option<String>,
    lease: String,
    nodes: Vec<Node>,
}

/// What etcd says when it does not. What was to be a stream puts it into `error`, which is a text elsewhere.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Failure {
    message: String,
    cause: String,
    code: i64,
    #[serde(rename = "errorCode")]
    error_code: i64,
}

fn failure(reply: &Reply) -> Failure {
    #[derive(Deserialize)]
    struct Stream {
        error: Failure,
    }
    let deeper = serde_json::from_slice(&reply.body).map(|Stream { error }| error);
    deeper.or_else(|_| serde_json::from_slice(&reply.body)).unwrap_or_default()
}

/// The error that a reply is.
pub fn refusal(reply: &Reply) -> RequestError {
    let Failure { message, cause, .. } = failure(reply);
    let text = match (message.is_empty(), cause.is_empty()) {
        (true, _) => return reply.refusal(),
        (false, true) => message,
        (false, false) => format!("{message} ({cause})"),
    };
    RequestError::Refused { status: reply.status, text, retry_after: reply.retry_after }
}

fn senseless(why: &dyn std::fmt::Display) -> RequestError {
    RequestError::Broken(format!("the answer makes no sense: {why}"))
}

/// What an answer says, unless it is a refusal.
fn read(reply: &Reply) -> Result<Answer, RequestError> {
    done(reply)?;
    serde_json::from_slice(&reply.body)
        .map_err(|cause| if reply.body.len() < LONGEST { senseless(&cause) } else { senseless(&"it is too long") })
}

/// Nothing that anybody wants to know, unless it is a refusal.
pub fn done(reply: &Reply) -> Result<(), RequestError> {
    if reply.is_success() { Ok(()) } else { Err(refusal(reply)) }
}

// API 3

#[derive(Serialize)]
struct Lease {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "TTL", skip_serializing_if = "Option::is_none")]
    ttl: Option<String>,
}

/// The body that asks for a lease.
pub fn grant(lease: i64, ttl: u64) -> Vec<u8> {
    json(&Lease { id: lease.to_string(), ttl: Some(ttl.to_string()) })
}

/// Whether the lease is a new one; else it has been there before.
pub fn is_granted(reply: &Reply) -> Result<bool, RequestError> {
    if !reply.is_success() && failure(reply).message.contains("lease already exists") {
        return Ok(false);
    }
    done(reply).map(|()| true)
}

/// The body that extends a lease, or ends it.
pub fn lease(lease: i64) -> Vec<u8> {
    json(&Lease { id: lease.to_string(), ttl: None })
}

/// Whether the lease is there; if it has lapsed, nothing is left of its time.
pub fn is_alive(reply: &Reply) -> Result<bool, RequestError> {
    let Answer { result: Some(answer), .. } = read(reply)? else { return Err(senseless(&"it says nothing")) };
    Ok(!matches!(&*answer.ttl, "" | "0"))
}

/// Whether the lease is no longer there, be it since now.
pub fn is_over(reply: &Reply) -> Result<(), RequestError> {
    if !reply.is_success() && failure(reply).code == NOT_FOUND { Ok(()) } else { done(reply) }
}

/// The body that writes a key for as long as the lease lives.
pub fn put(key: &str, value: &[u8], lease: i64) -> Vec<u8> {
    #[derive(Serialize)]
    struct Put {
        key: String,
        value: String,
        lease: String,
    }
    json(&Put { key: BASE64.encode(key), value: BASE64.encode(value), lease: lease.to_string() })
}

#[derive(Serialize)]
struct Range {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    range_end: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_revision: Option<String>,
}

impl Range {
    fn of(key: &[u8]) -> Self {
        Self { key: BASE64.encode(key), range_end: None, limit: None, start_revision: None }
    }

    /// All keys from this one on that are in the folder.
    fn within(folder: &str, from: &[u8]) -> Self {
        // The first key after all that begin with `.../` begins with `...0`.
        let end = format!("{}0", folder.strip_suffix('/').unwrap_or(folder));
        Self { range_end: Some(BASE64.encode(end)), ..Self::of(from) }
    }
}

/// The body that asks for one key, or takes it out.
pub fn key(key: &str) -> Vec<u8> {
    json(&Range::of(key.as_bytes()))
}

/// The body that asks for the keys of a folder, from this one on, but not for more than so many.
pub fn folder(folder: &str, from: &[u8], limit: usize) -> Vec<u8> {
    json(&Range { limit: Some(limit.to_string()), ..Range::within(folder, from) })
}

/// The body that asks for all that happens in a folder after this revision.
pub fn watch(folder: &str, revision: u64) -> Vec<u8> {
    #[derive(Serialize)]
    struct Watch {
        create_request: Range,
    }
    let start_revision = Some(revision.saturating_add(1).to_string());
    json(&Watch { create_request: Range { start_revision, ..Range::within(folder, folder.as_bytes()) } })
}

/// Whether the first line of a stream says that it has begun, and no more than that.
pub fn has_begun(line: &[u8]) -> bool {
    let begins = |Answer { result, .. }| result.is_some_and(|answer: Box<Answer>| answer.created && !answer.canceled);
    serde_json::from_slice(line).is_ok_and(begins)
}

fn bytes(text: &str) -> Result<Vec<u8>, RequestError> {
    BASE64.decode(text).map_err(|cause| senseless(&cause))
}

/// What is under one key.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its value.
    pub value: Vec<u8>,
    /// Its lease; 0 for none.
    pub lease: i64,
}

/// The answer to a question for keys, and its revision. Something else that is JSON, too, is no empty catalog.
fn range(reply: &Reply) -> Result<(u64, Answer), RequestError> {
    let answer = read(reply)?;
    let revision = answer.header.revision.parse().map_err(|_| senseless(&"it has no revision"))?;
    Ok((revision, answer))
}

/// What is under the key that was asked for.
pub fn entry(reply: &Reply) -> Result<Option<Entry>, RequestError> {
    let (_, page) = range(reply)?;
    let Some(node) = page.kvs.into_iter().next() else { return Ok(None) };
    let value = bytes(&node.value.unwrap_or_default())?;
    Ok(Some(Entry { value, lease: node.lease.parse().unwrap_or(0) }))
}

/// Takes the instances of a page. The revision of the page, and where the next one begins if there is one.
pub fn page(reply: &Reply, tags: &[String], found: &mut Found) -> Result<(u64, Option<Vec<u8>>), RequestError> {
    let (revision, page) = range(reply)?;
    let mut next = None;
    for node in page.kvs {
        let mut key = bytes(&node.key)?;
        let name = String::from_utf8_lossy(&key).into_owned();
        found.take(name, &bytes(&node.value.unwrap_or_default())?, tags)?;
        key.push(0);
        next = Some(key);
    }
    Ok((revision, next.filter(|_| page.more)))
}

/// The body that asks for a token.
pub fn login(login: &EtcdLogin) -> Vec<u8> {
    #[derive(Serialize)]
    struct Login<'a> {
        name: &'a str,
        password: &'a str,
    }
    json(&Login { name: &login.username, password: &login.password })
}

/// The token; none if nobody needs one there.
pub fn token(reply: &Reply) -> Result<Option<String>, RequestError> {
    if !reply.is_success() && failure(reply).message.contains("authentication is not enabled") {
        return Ok(None);
    }
    read(reply).map(|answer| Some(answer.token))
}

/// Whether a reply refuses the token that came with the request, or wants one.
pub fn wants_token(reply: &Reply) -> bool {
    const WORDS: [&str; 3] = ["invalid auth token", "user name is empty", "revision of auth store is old"];
    !reply.is_success() && {
        let message = failure(reply).message;
        reply.status == 401 || WORDS.iter().any(|words| message.contains(words))
    }
}

// API 2

/// The value of the header `Authorization`.
pub fn basic(login: &EtcdLogin) -> String {
    format!("Basic {}", BASE64.encode(format!("{}:{}", login.username, login.password)))
}

/// The reply, unless it says that there is no such key. A server without API 2 says something else.
pub fn there(reply: Reply) -> Result<Option<Reply>, RequestError> {
    match reply.status {
        404 if failure(&reply).error_code == KEY_NOT_FOUND => Ok(None),
        _ => done(&reply).map(|()| Some(reply)),
    }
}

/// The value of the key that was asked for.
pub fn text(reply: &Reply) -> Result<String, RequestError> {
    Ok(read(reply)?.node.value.unwrap_or_default())
}

/// Whether there is anything in a folder.
pub fn is_filled(reply: &Reply) -> Result<bool, RequestError> {
    Ok(!read(reply)?.node.nodes.is_empty())
}

/// The instances of a folder: every key in it, however deep.
pub fn tree(reply: &Reply, tags: &[String]) -> Result<Found, RequestError> {
    let node = read(reply)?.node;
    if node.key.is_empty() {
        return Err(senseless(&"it has no key"));
    }
    let (mut found, mut nodes) = (Found::default(), node.nodes);
    while let Some(node) = nodes.pop() {
        if let Some(value) = node.value {
            found.take(node.key, value.as_bytes(), tags)?;
        }
        nodes.extend(node.nodes);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn reply(status: u16, body: &str) -> Reply {
        Reply { status, body: body.as_bytes().to_vec(), retry_after: None }
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    fn refused(status: u16, body: &str) -> String {
        refusal(&reply(status, body)).to_string()
    }

    #[test]
    fn a_folder_is_asked_for_without_what_merely_begins_alike() {
        let bytes = |text: &str| BASE64.encode(text);
        let (key, end) = (bytes("/p/db/"), bytes("/p/db0"));
        let want = format!(r#"{{"key":"{key}","range_end":"{end}","limit":"5"}}"#);
        assert_eq!(text(folder("/p/db/", b"/p/db/", 5)), want);
        let want = format!(r#"{{"create_request":{{"key":"{key}","range_end":"{end}","start_revision":"8"}}}}"#);
        assert_eq!(text(watch("/p/db/", 7)), want);
    }

    /// Of a real etcd, version 3.4.23.
    const PAGE: &str = r#"{"header":{"cluster_id":"324952591200643719","member_id":"3319814642761637952","revision":"21","raft_term":"2"},"kvs":[{"key":"L3AvZGIvYQ==","create_revision":"2","mod_revision":"2","version":"1","value":"eyJhZGRyZXNzIjoiaCIsInBvcnQiOjF9","lease":"1234567890123"},{"key":"L3AvZGIvYg==","create_revision":"3","mod_revision":"3","version":"1"}],"more":true,"count":"3"}"#;

    #[test]
    fn pages_follow_each_other() {
        let mut found = Found::default();
        let (revision, next) = page(&reply(200, PAGE), &[], &mut found).unwrap();
        assert_eq!((revision, next.as_deref()), (21, Some(&b"/p/db/b\0"[..])));
        assert_eq!((found.instances[0].to_string().as_str(), &*found.strange), ("h:1", &["/p/db/b".to_owned()][..]));
        let last = page(&reply(200, r#"{"header":{"revision":"22"}}"#), &[], &mut found).unwrap();
        assert_eq!(last, (22, None));
        let mut found = Found::default();
        page(&reply(200, PAGE), &["rw".to_owned()], &mut found).unwrap();
        assert_eq!(found.instances, [], "without the tag");
        let one = entry(&reply(200, PAGE)).unwrap().unwrap();
        assert_eq!((&*one.value, one.lease), (&br#"{"address":"h","port":1}"#[..], 1_234_567_890_123));
        assert_eq!(entry(&reply(200, r#"{"header":{"revision":"1"}}"#)).unwrap(), None);
        for stranger in ["{}", "[]", r#"{"header":{}}"#, r#"{"node":{}}"#, "<html>"] {
            let reply = reply(200, stranger);
            assert!(page(&reply, &[], &mut found).is_err() && tree(&reply, &[]).is_err(), "{stranger}");
        }
    }

    #[test]
    fn a_stream_that_has_begun_has_no_news_yet() {
        assert!(has_begun(br#"{"result":{"header":{"revision":"3"},"created":true}}"#));
        for news in [
            r#"{"result":{"watch_id":"-1","created":true,"canceled":true,"cancel_reason":"denied"}}"#,
            r#"{"result":{"canceled":true,"compact_revision":"2"}}"#,
            r#"{"result":{"events":[{"kv":{}}]}}"#,
            "{\"result\":{\"created\":true}}\n{\"result\":{}}",
            r#"{"error":{"message":"no"}}"#,
            "",
        ] {
            assert!(!has_begun(news.as_bytes()), "{news}");
        }
    }

    #[test]
    fn a_lease_that_has_lapsed_has_no_time_left() {
        assert!(is_alive(&reply(200, r#"{"result":{"header":{},"ID":"77","TTL":"9"}}"#)).unwrap());
        assert!(!is_alive(&reply(200, r#"{"result":{"header":{},"ID":"77"}}"#)).unwrap());
        assert!(is_alive(&reply(200, r#"{"error":{"message":"etcdserver: no leader"}}"#)).is_err());
    }

    #[test]
    fn refusals_are_told_in_etcds_words() {
        let lease = r#"{"error":"etcdserver: requested lease not found","message":"etcdserver: requested lease not found","code":5}"#;
        assert_eq!(refused(404, lease), "404: etcdserver: requested lease not found");
        is_over(&reply(404, lease)).unwrap();
        assert_eq!(refused(404, "404 page not found\n"), "404: 404 page not found");
        is_over(&reply(404, "404 page not found\n")).unwrap_err();
        let exists = r#"{"message":"etcdserver: lease already exists","code":9}"#;
        assert!(!is_granted(&reply(412, exists)).unwrap());
        let missing = r#"{"errorCode":100,"message":"Key not found","cause":"/p","index":6}"#;
        assert_eq!(refused(404, missing), "404: Key not found (/p)");
        assert!(there(reply(404, missing)).unwrap().is_none());
        assert!(there(reply(404, "404 page not found")).is_err());
    }

    #[test]
    fn a_token_is_asked_for_when_it_helps() {
        let says = |status, message: &str| reply(status, &format!(r#"{{"message":"etcdserver: {message}"}}"#));
        assert!(wants_token(&says(401, "invalid auth token")));
        assert!(wants_token(&says(400, "user name is empty")));
        assert!(wants_token(&says(400, "revision of auth store is old")));
        // Of a lease that is to be kept alive, version 3.5.30.
        assert!(wants_token(&reply(400, r#"{"error":{"code":3,"message":"etcdserver: user name is empty"}}"#)));
        assert!(!wants_token(&says(403, "permission denied")));
        assert!(!wants_token(&reply(200, r#"{"message":"user name is empty"}"#)));
        assert_eq!(token(&says(412, "authentication is not enabled")).unwrap(), None);
        assert_eq!(token(&reply(200, r#"{"header":{},"token":"a.1"}"#)).unwrap().as_deref(), Some("a.1"));
        token(&says(400, "authentication failed, invalid user ID or password")).unwrap_err();
    }

    #[test]
    fn a_tree_is_read_however_deep_it_is() {
        let body = r#"{"action":"get","node":{"key":"/p/db","dir":true,"nodes":[
            {"key":"/p/db/a","dir":true,"ttl":7,"nodes":[{"key":"/p/db/a/service","value":"{\"address\":\"h\",\"port\":1}"}]},
            {"key":"/p/db/b","dir":true},{"key":"/p/db/c","value":"x"}]}}"#;
        let found = tree(&reply(200, body), &[]).unwrap();
        assert_eq!(found.instances.len(), 1);
        assert_eq!(found.strange, ["/p/db/c"]);
    }

    #[test]
    fn no_reply_whatever_makes_it_panic() {
        let mut random = Random::from_seed(1);
        for _ in 0..20_000 {
            let mut body = PAGE.as_bytes().to_vec();
            for _ in 0..3 {
                let at = random.below(u32::try_from(body.len()).unwrap()) as usize;
                body[at] = b"[]{}\",\\: 1=\xff"[random.below(11) as usize];
            }
            body.truncate(random.below(u32::try_from(body.len()).unwrap() + 1) as usize);
            let reply = Reply { status: 200, body, retry_after: None };
            let read =
                page(&reply, &[], &mut Found::default()).is_ok() || entry(&reply).is_ok() || tree(&reply, &[]).is_ok();
            if read || wants_token(&reply) || has_begun(&reply.body) || is_alive(&reply).is_ok() {}
        }
    }
}
