//! The emulator's own endpoints: health in LocalStack's shape, journal, clock, faults, durations, seeding, state. JSON in, JSON out.
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

use super::{Answer, respond};
use crate::durations::Durations;
use crate::faults::{Rule, RuleId};
use crate::region::{Region, TargetHealth};
use crate::shared::Shared;
use crate::world::World;

/// What is wrong with a call: the HTTP status and the words.
type Refusal = (u16, String);

/// Answers a call to a path that begins with `/_`.
pub(super) fn answer(head: &Parts, body: &[u8], shared: &Arc<Shared>) -> Answer {
    let (status, value) = match dispatch(head, body, shared) {
        Ok(value) => (200, value),
        Err((status, error)) => (status, json!({ "error": error })),
    };
    respond(status, "application/json", format!("{value}\n"))
}

fn dispatch(head: &Parts, body: &[u8], shared: &Arc<Shared>) -> Result<Value, Refusal> {
    let query: BTreeMap<String, String> =
        form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let (path, method) = (head.uri.path(), head.method.as_str());
    match (path, method) {
        ("/_localstack/health" | "/_localstack/info", "GET" | "HEAD") => Ok(health()),
        ("/_landfall/journal", "GET") => to_json(&shared.journal.since(number(&query, "since")?.unwrap_or(0))),
        ("/_landfall/journal", "DELETE") => {
            shared.journal.clear();
            Ok(json!({ "next_sequence": shared.journal.next_sequence() }))
        }
        ("/_landfall/clock", "GET") => Ok(clock(shared)),
        ("/_landfall/clock", "POST") => {
            let Advance { advance_seconds } = read(body)?;
            let by = Duration::try_from_secs_f64(advance_seconds).map_err(|error| {
                (400, format!("advance_seconds: {advance_seconds} is not a number of seconds from 0 on ({error})"))
            })?;
            shared.clock.advance(by);
            Ok(clock(shared))
        }
        ("/_landfall/faults", "GET") => Ok(faults(shared)),
        ("/_landfall/faults", "POST") => Ok(json!({ "id": shared.faults.add(read::<Rule>(body)?) })),
        ("/_landfall/faults", "DELETE") => {
            match number(&query, "id")? {
                Some(id) => shared.faults.remove(RuleId(id)),
                None => shared.faults.clear(),
            }
            Ok(faults(shared))
        }
        ("/_landfall/durations", "GET") => to_json(&shared.durations()),
        ("/_landfall/durations", "PUT") => {
            shared.set_durations(read::<Durations>(body)?);
            to_json(&shared.durations())
        }
        ("/_landfall/seed", "POST") => to_json(&region(&query, shared).seed(&read::<World>(body)?)),
        ("/_landfall/state", "GET") => to_json(&region(&query, shared).snapshot()),
        ("/_landfall/target-health", "POST") => {
            let Set { target_group, id, port, health } = read(body)?;
            let set = region(&query, shared).set_target_health(&target_group, &id, port, health);
            set.map(|()| json!({})).map_err(|error| (404, error.to_string()))
        }
        _ => Err(match ENDPOINTS.iter().find(|(known, _)| *known == path) {
            Some((_, methods)) => (405, format!("{path} takes {methods}, not {method}")),
            None => (404, format!("{path} does not exist; there are {}", ENDPOINTS.map(|(known, _)| known).join(", "))),
        }),
    }
}

/// The endpoints and their methods, for people who ask for something else.
const ENDPOINTS: [(&str, &str); 8] = [
    ("/_localstack/health", "GET"),
    ("/_landfall/journal", "GET, DELETE"),
    ("/_landfall/clock", "GET, POST"),
    ("/_landfall/faults", "GET, POST, DELETE"),
    ("/_landfall/durations", "GET, PUT"),
    ("/_landfall/seed", "POST"),
    ("/_landfall/state", "GET"),
    ("/_landfall/target-health", "POST"),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_seconds: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Set {
    target_group: String,
    id: String,
    port: u16,
    health: TargetHealth,
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| (400, format!("the body is not what this endpoint takes: {error}")))
}

fn to_json<T: serde::Serialize>(value: &T) -> Result<Value, Refusal> {
    serde_json::to_value(value).map_err(|error| (500, error.to_string()))
}

fn number(query: &BTreeMap<String, String>, name: &str) -> Result<Option<u64>, Refusal> {
    let parse = |text: &String| text.parse().map_err(|_| (400, format!("{name}: '{text}' is not a number")));
    query.get(name).map(parse).transpose()
}

/// The account and region of `?account=&region=`, with LocalStack's defaults.
fn region(query: &BTreeMap<String, String>, shared: &Arc<Shared>) -> Region {
    let value = |name: &str, default: &'static str| query.get(name).map_or(default, String::as_str).to_owned();
    let state = shared.account(&value("account", "000000000000"), &value("region", "us-east-1"));
    Region::new(Arc::clone(shared), state)
}

fn health() -> Value {
    json!({
        "services": { "ec2": "running", "elbv2": "running", "sts": "running" },
        "edition": "landfall",
        "version": env!("CARGO_PKG_VERSION"),
    })
}

fn clock(shared: &Shared) -> Value {
    json!({ "now": shared.clock.now().to_string(), "ahead_seconds": shared.clock.offset().as_secs_f64() })
}

fn faults(shared: &Shared) -> Value {
    shared.faults.rules().into_iter().map(|(id, rule)| json!({ "id": id, "rule": rule })).collect()
}
