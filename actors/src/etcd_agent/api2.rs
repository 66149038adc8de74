//! API 2, as ContainerPilot 2.7 spoke it: a service is a directory with a time to live, and in it the key `service`.

use actix::clock::Instant;
use awc::http::Method;

use super::client::EtcdClient;
use super::wire;
use crate::catalog::client::Reply;
use crate::catalog::{RequestError, value};
use crate::http::percent_encode;
use crate::policy::watch::Answer;
use crate::spec::ServiceSpec;

/// The status of an answer that does not make a directory because there is one.
const IS_THERE: u16 = 403;

/// Makes the directory, or has it live on, and writes the key.
pub async fn register(client: &EtcdClient, spec: &ServiceSpec, deadline: Instant) -> Result<(), RequestError> {
    let made = directory(client, spec, "", deadline).await?;
    if made.status == IS_THERE {
        wire::done(&directory(client, spec, "&prevExist=true", deadline).await?)?;
    } else {
        wire::done(&made)?;
    }
    let form = format!("value={}", percent_encode(&String::from_utf8_lossy(&value::value(spec))));
    wire::done(&client.keys(Method::PUT, &value_path(client, spec), &form, deadline).await?)
}

/// Has the directory live on; whether it and its key are there.
pub async fn beat(client: &EtcdClient, spec: &ServiceSpec, deadline: Instant) -> Result<bool, RequestError> {
    let reply = directory(client, spec, "&prevExist=true", deadline).await?;
    Ok(wire::there(reply)?.is_some() && is_as_registered(client, spec, deadline).await?.is_some())
}

async fn directory(
    client: &EtcdClient,
    spec: &ServiceSpec,
    condition: &str,
    deadline: Instant,
) -> Result<Reply, RequestError> {
    let form = format!("dir=true&ttl={}{condition}", spec.ttl.as_secs().max(1));
    client.keys(Method::PUT, &path(&client.key(spec)), &form, deadline).await
}

/// Whether what is there under our id is what we write; none if there is nothing.
pub async fn is_as_registered(
    client: &EtcdClient,
    spec: &ServiceSpec,
    deadline: Instant,
) -> Result<Option<bool>, RequestError> {
    let reply = client.keys(Method::GET, &value_path(client, spec), "", deadline).await?;
    let Some(reply) = wire::there(reply)? else { return Ok(None) };
    Ok(Some(wire::text(&reply)?.as_bytes() == value::value(spec)))
}

/// Takes the directory out.
pub async fn remove(client: &EtcdClient, spec: &ServiceSpec, deadline: Instant) -> Result<(), RequestError> {
    let path = format!("{}?dir=true&recursive=true", path(&client.key(spec)));
    wire::there(client.keys(Method::DELETE, &path, "", deadline).await?).map(drop)
}

/// The instances of a service now. There is no index: API 2 keeps only the last thousand events of all keys.
pub async fn instances(
    client: &EtcdClient,
    service: &str,
    tags: &[String],
    deadline: Instant,
) -> Result<(Answer, Vec<String>), RequestError> {
    let folder = client.folder(service);
    let path = format!("{}?recursive=true", path(folder.trim_end_matches('/')));
    let reply = wire::there(client.keys(Method::GET, &path, "", deadline).await?)?;
    let found = reply.map(|reply| wire::tree(&reply, tags)).transpose()?.unwrap_or_default();
    Ok((Answer { index: None, instances: found.instances }, found.strange))
}

/// Whether there is anything of API 2 where services are.
pub async fn has_entries(client: &EtcdClient, deadline: Instant) -> Result<bool, RequestError> {
    let reply = wire::there(client.keys(Method::GET, &path(client.prefix()), "", deadline).await?)?;
    reply.map(|reply| wire::is_filled(&reply)).transpose().map(|filled| filled.unwrap_or(false))
}

fn value_path(client: &EtcdClient, spec: &ServiceSpec) -> String {
    path(&client.key(spec)) + "/service"
}

fn path(key: &str) -> String {
    let parts: Vec<String> = key.trim_start_matches('/').split('/').map(percent_encode).collect();
    format!("/v2/keys/{}", parts.join("/"))
}
