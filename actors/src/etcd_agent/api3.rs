//! API 3: a service is one key with a lease. Through the JSON gateway, `/v3/...`.

use std::time::Duration;

use actix::clock::Instant;

use super::client::EtcdClient;
use super::wire::{self, Entry, Found};
use crate::catalog::{RequestError, value};
use crate::policy::watch::Answer;
use crate::spec::ServiceSpec;

/// So many instances are asked for at a time.
const PAGE: usize = 500;

/// Writes the service under its lease, which begins or goes on.
pub async fn register(client: &EtcdClient, spec: &ServiceSpec, deadline: Instant) -> Result<(), RequestError> {
    let lease = client.lease(spec);
    if !grant(client, spec, deadline).await? && !extend(client, spec, deadline).await? {
        // It was there, but about to lapse.
        grant(client, spec, deadline).await?;
    }
    let body = wire::put(&client.key(spec), &value::value(spec), lease);
    wire::done(&client.post("/v3/kv/put", &body, deadline).await?)
}

/// Whether the lease is a new one.
async fn grant(client: &EtcdClient, spec: &ServiceSpec, deadline: Instant) -> Result<bool, RequestError> {
    let body = wire::grant(client.lease(spec), spec.ttl.as_secs().max(1));
    wire::is_granted(&client.post("/v3/lease/grant", &body, deadline).await?)
}

/// Whether the lease is there; then its time begins anew.
async fn extend(client: &EtcdClient, spec: &ServiceSpec, deadline: Instant) -> Result<bool, RequestError> {
    let body = wire::lease(client.lease(spec));
    wire::is_alive(&client.post("/v3/lease/keepalive", &body, deadline).await?)
}

/// Extends the lease; whether lease and key are there.
pub async fn beat(client: &EtcdClient, spec: &ServiceSpec, deadline: Instant) -> Result<bool, RequestError> {
    Ok(extend(client, spec, deadline).await? && entry(client, spec, deadline).await?.is_some())
}

async fn entry(client: &EtcdClient, spec: &ServiceSpec, deadline: Instant) -> Result<Option<Entry>, RequestError> {
    wire::entry(&client.post("/v3/kv/range", &wire::key(&client.key(spec)), deadline).await?)
}

/// Whether what is there under our id is what we write; none if there is nothing.
pub async fn is_as_registered(
    client: &EtcdClient,
    spec: &ServiceSpec,
    deadline: Instant,
) -> Result<Option<bool>, RequestError> {
    let ours = Entry { value: value::value(spec), lease: client.lease(spec) };
    Ok(entry(client, spec, deadline).await?.map(|entry| entry == ours))
}

/// Takes the service out. Without its lease, a registration that is still on its way comes to nothing; whatever else is
/// under our id goes too.
pub async fn remove(client: &EtcdClient, spec: &ServiceSpec, deadline: Instant) -> Result<(), RequestError> {
    wire::is_over(&client.post("/v3/lease/revoke", &wire::lease(client.lease(spec)), deadline).await?)?;
    wire::done(&client.post("/v3/kv/deleterange", &wire::key(&client.key(spec)), deadline).await?)
}

/// The instances of a service now, page by page. The index is the revision of the first page: what changes between two
/// pages is news at once.
pub async fn instances(
    client: &EtcdClient,
    service: &str,
    tags: &[String],
    deadline: Instant,
) -> Result<(Answer, Vec<String>), RequestError> {
    let folder = client.folder(service);
    let mut found = Found::default();
    let mut index = None;
    let mut from = Some(folder.clone().into_bytes());
    while let Some(begin) = from {
        let reply = client.post("/v3/kv/range", &wire::folder(&folder, &begin, PAGE), deadline).await?;
        let (revision, next) = wire::page(&reply, tags, &mut found)?;
        index = index.or(Some(revision));
        from = next;
    }
    Ok((Answer { index, instances: found.instances }, found.strange))
}

/// Waits until the instances of a service may be others than at this revision, or for as long as this.
pub async fn wait(client: &EtcdClient, service: &str, revision: u64, at_most: Duration) -> Result<(), RequestError> {
    let body = wire::watch(&client.folder(service), revision);
    tokio::time::timeout(at_most, client.wait_for_news("/v3/watch", &body)).await.unwrap_or(Ok(()))
}
