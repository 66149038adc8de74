//! `etcd` of a config, in whichever version: where etcd is, and who we are there.

use containerpilot_actors::catalog::client::client_config;
use containerpilot_actors::spec::{CatalogSpec, EtcdApi, EtcdEndpoint, EtcdLogin, EtcdSpec, TlsSpec};

use super::discovery::{server_address, tls, token};
use super::lower_v3::item_problem;
use super::node::Value;
use super::problem::Problem;
use super::raw_v3::{Etcd, Field, Tls};
use super::reader::{Reader, Scope, text};

/// 2.7's default.
const PREFIX: &str = "/containerpilot";
/// Where etcd listens unless told otherwise.
const PORT: u16 = 2379;

/// The catalog; none if the config names none (D3).
pub fn catalog(scope: &Scope, field: Field<'_>, reader: &mut Reader) -> Option<CatalogSpec> {
    let node = field.node?;
    if !matches!(node.value, Value::Object(_)) {
        // The value may hold a password.
        let says = format!("is {}, not an object with endpoints, prefix, api, username, password, tls", node.kind());
        reader.problem(scope, field, says);
        return None;
    }
    let (scope, raw) = reader.block::<Etcd<'_>>(scope, field)?;
    if cfg!(not(feature = "etcd")) {
        reader.problem_with(&scope, "cannot be used, this binary has been built without etcd");
        return None;
    }
    let (problems, faults) = (reader.problems.len(), reader.faults.len());
    let tls_block = reader.block::<Tls<'_>>(&scope, raw.tls);
    let endpoints = endpoints(&scope, raw.endpoints, tls_block.is_some(), reader);
    let (tls_scope, tls) = match tls_block {
        Some((scope, raw)) => {
            let tls = tls(&scope, Some(&raw), None, reader);
            (scope, tls)
        }
        None => (scope.clone(), TlsSpec::default()),
    };
    let prefix = reader.string(&scope, raw.prefix);
    let prefix = prefix.as_deref().unwrap_or(PREFIX).trim_end_matches('/').to_owned();
    let api = api(&scope, raw.api, reader);
    let spec = EtcdSpec { prefix, api, warns_of_api2: false, login: login(&scope, &raw, reader), endpoints, tls };
    // The files are there; whether they fit each other shows when they are put to use.
    if spec.endpoints.iter().any(|endpoint| endpoint.https)
        && reader.problems.len() == problems
        && let Err(cause) = client_config(&spec.tls)
    {
        reader.problem_with(&tls_scope, cause.to_string());
    }
    (reader.faults.len() == faults).then_some(CatalogSpec::Etcd(spec))
}

/// One text or a list of them. Without a scheme an endpoint speaks TLS if anything is said about TLS.
fn endpoints(scope: &Scope, field: Field<'_>, https: bool, reader: &mut Reader) -> Vec<EtcdEndpoint> {
    const ACCEPTED: &str = "is missing, it must be an address of etcd or a list of them";
    let Some(node) = field.node else {
        reader.problem(scope, field, ACCEPTED);
        return Vec::new();
    };
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::String(_) | Value::Object(_) => {
            std::slice::from_ref(node)
        }
    };
    let mut endpoints = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let found = match text(item) {
            Some(written) => server_address(&written, https, Some(PORT)),
            None => Err(format!("is {}, not a string", item.kind())),
        };
        match found {
            Ok((address, https)) => endpoints.push(EtcdEndpoint { address, https }),
            Err(says) => {
                let problem = match item.id == node.id {
                    true => Problem::value(node, scope.path_of(field), says),
                    false => item_problem(scope, field, index, item, says),
                };
                if text(item).is_some() { reader.faults.push(problem) } else { reader.problems.push(problem) }
            }
        }
    }
    if items.is_empty() {
        reader.problem(scope, field, ACCEPTED);
    }
    endpoints
}

fn api(scope: &Scope, field: Field<'_>, reader: &mut Reader) -> EtcdApi {
    const ACCEPTED: &str = "2 or 3";
    match reader.integer(scope, field, ACCEPTED) {
        Some(2) => EtcdApi::Two,
        None | Some(3) => EtcdApi::Three,
        Some(_) => {
            reader.refuse(scope, field, ACCEPTED);
            EtcdApi::Three
        }
    }
}

fn login(scope: &Scope, raw: &Etcd<'_>, reader: &mut Reader) -> Option<EtcdLogin> {
    let username = reader.string(scope, raw.username);
    let password = token(scope, raw.password, reader).filter(|password| !password.is_empty());
    match (username, password) {
        (Some(username), Some(password)) => Some(EtcdLogin { username, password }),
        (None, None) => None,
        (Some(_), None) => {
            reader.problem_with(scope, "has a `username` but no `password`, they go together");
            None
        }
        (None, Some(_)) => {
            reader.problem_with(scope, "has a `password` but no `username`, they go together");
            None
        }
    }
}
