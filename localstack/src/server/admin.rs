//! The emulator's own endpoints: journal, clock, faults, durations, seeding, state. JSON in, JSON out.
//!
//! Imports `shared`, `region`, `world`, `faults`, `durations`. A wrong call is answered 400, 404 or 405 with `{"error": "…"}` that says what is
//! wrong.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hyper::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Answer, Refusal, console, localstack, read, to_json};
use crate::durations::change_durations;
use crate::model::quotas::Quotas;
use crate::policy::Policy;
use crate::region::{Region, TargetHealth};
use crate::shared::Shared;
use crate::snapshot;
use crate::world::World;

/// Answers a call to a path that begins with `/_`.
pub(super) async fn answer(head: &Parts, body: &[u8], shared: &Arc<Shared>) -> Answer {
    if let Some(file) = console::file(head) {
        return file;
    }
    let query = super::query(head);
    if let Some(answer) = super::journal::answer(&shared.journal, head, &query).await {
        return answer;
    }
    super::json(dispatch(head.uri.path(), head.method.as_str(), &query, body, shared))
}

fn dispatch(
    path: &str,
    method: &str,
    query: &BTreeMap<String, String>,
    body: &[u8],
    shared: &Arc<Shared>,
) -> Result<Value, Refusal> {
    match (path, method) {
        ("/_localstack/health", "GET" | "HEAD") => Ok(localstack::status(shared)),
        ("/_localstack/info", "GET") => Ok(localstack::info()),
        ("/_localstack/init", "GET") => Ok(localstack::init()),
        ("/_localstack/init/ready", "GET") => Ok(localstack::init_ready()),
        ("/_landfall/clock", "GET") => Ok(clock(shared)),
        ("/_landfall/clock", "POST") => {
            let Move { advance_seconds, frozen } = read(body)?;
            let seconds = advance_seconds.unwrap_or(0.0);
            let by = Duration::try_from_secs_f64(seconds)
                .map_err(|error| (400, format!("advance_seconds: {seconds} is not a number of seconds from 0 on ({error})")))?;
            match frozen {
                Some(true) => shared.clock.freeze(),
                Some(false) => shared.clock.run(),
                None => {}
            }
            shared.clock.advance(by);
            Ok(clock(shared))
        }
        ("/_landfall/faults", "PUT") => {
            let conditions = super::read_conditions(body)?;
            conditions.apply(shared).map_err(|error| (400, error.to_string()))?;
            to_json(&shared.faults.shown())
        }
        ("/_landfall/faults", "GET" | "POST" | "DELETE") => {
            super::faults::answer(&shared.faults, method, query, body, |_| Ok(())).unwrap_or_else(|| Err(not_taken(path, method)))
        }
        ("/_landfall/policy", "PUT") => {
            let policy = Policy::from_json(&String::from_utf8_lossy(body)).map_err(|error| (400, error.to_string()))?;
            shared.policy.set(Some(policy), query.get("account").cloned());
            Ok(json!({}))
        }
        ("/_landfall/policy", "DELETE") => {
            shared.policy.set(None, None);
            Ok(json!({}))
        }
        ("/_landfall/durations", "GET") => to_json(&shared.durations()),
        ("/_landfall/durations", "PUT") => {
            let changed = change_durations(shared.durations(), &read(body)?).map_err(|error| (400, error))?;
            shared.set_durations(changed);
            to_json(&changed)
        }
        ("/_landfall/quotas", "GET") => to_json(&region(query, shared).quotas()),
        ("/_landfall/quotas", "PUT") => {
            let region = region(query, shared);
            region.set_quotas(merge(&region.quotas(), read(body)?)?);
            to_json(&region.quotas())
        }
        ("/_landfall/quotas", "DELETE") => {
            region(query, shared).set_quotas(Quotas::default());
            to_json(&Quotas::default())
        }
        ("/_landfall/seed", "POST") => to_json(&region(query, shared).seed(&read::<World>(body)?)),
        ("/_landfall/state", "GET") => to_json(&region(query, shared).snapshot()),
        ("/_landfall/snapshot", "GET") => {
            let saved = snapshot::save(shared).and_then(|text| serde_json::from_str(&text));
            saved.map_err(|error| (500, error.to_string()))
        }
        ("/_landfall/snapshot", "PUT") => {
            snapshot::restore(shared, body).map_err(|error| (400, error.to_string()))?;
            Ok(clock(shared))
        }
        ("/_landfall/places", "GET") => Ok(console::places(shared)),
        ("/_landfall/overview", "GET") => console::overview(&region(query, shared), query),
        ("/_landfall/targets", "GET") => console::targets(&region(query, shared), query),
        ("/_landfall/target-health", "POST") => {
            let Set { target_group, id, port, health } = read(body)?;
            let set = region(query, shared).set_target_health(&target_group, &id, port, health);
            set.map(|()| json!({})).map_err(|error| (404, error.to_string()))
        }
        _ => Err(not_taken(path, method)),
    }
}

fn not_taken(path: &str, method: &str) -> Refusal {
    match ENDPOINTS.iter().find(|(known, _)| *known == path) {
        Some((_, methods)) => (405, format!("{path} takes {methods}, not {method}")),
        None => (404, format!("{path} does not exist; there are {}", ENDPOINTS.map(|(known, _)| known).join(", "))),
    }
}

/// The endpoints and their methods, for people who ask for something else.
const ENDPOINTS: [(&str, &str); 21] = [
    ("/_localstack/health", "GET"),
    ("/_localstack/info", "GET"),
    ("/_localstack/init", "GET"),
    ("/_localstack/init/ready", "GET"),
    ("/_landfall/", "GET"),
    ("/_landfall/places", "GET"),
    ("/_landfall/overview", "GET"),
    ("/_landfall/targets", "GET"),
    ("/_landfall/journal", "GET, DELETE"),
    ("/_landfall/journal/counts", "GET"),
    ("/_landfall/journal/stream", "GET"),
    ("/_landfall/journal/wait", "GET"),
    ("/_landfall/clock", "GET, POST"),
    ("/_landfall/faults", "GET, POST, PUT, DELETE"),
    ("/_landfall/policy", "PUT, DELETE"),
    ("/_landfall/durations", "GET, PUT"),
    ("/_landfall/quotas", "GET, PUT, DELETE"),
    ("/_landfall/seed", "POST"),
    ("/_landfall/state", "GET"),
    ("/_landfall/snapshot", "GET, PUT"),
    ("/_landfall/target-health", "POST"),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Move {
    advance_seconds: Option<f64>,
    frozen: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Set {
    target_group: String,
    id: String,
    port: u16,
    health: TargetHealth,
}

/// The account and region of `?account=&region=`, with LocalStack's defaults.
fn region(query: &BTreeMap<String, String>, shared: &Arc<Shared>) -> Region {
    let value = |name: &str, default: &'static str| query.get(name).map_or(default, String::as_str).to_owned();
    let state = shared.account(&value("account", "000000000000"), &value("region", "us-east-1"));
    Region::new(Arc::clone(shared), state)
}

fn clock(shared: &Shared) -> Value {
    let clock = &shared.clock;
    json!({ "now": clock.now().to_string(), "ahead_seconds": clock.offset().as_secs_f64(), "frozen": clock.is_frozen() })
}

/// `present` with the fields that a JSON object names.
fn merge<T: serde::Serialize + DeserializeOwned>(present: &T, named: serde_json::Map<String, Value>) -> Result<T, Refusal> {
    let mut merged = to_json(present)?;
    if let Some(fields) = merged.as_object_mut() {
        fields.extend(named);
    }
    serde_json::from_value(merged).map_err(|error| (400, error.to_string()))
}
