//! The fault rules over HTTP: `/_landfall/faults`, of the emulator and of a proxy. Imports `faults`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Refusal, query_number, read, to_json};
use crate::faults::{self, Faults, Rule, RuleId, SETS};

/// `GET`, `POST` (a rule, or `{"set": NAME}`) and `DELETE` (`?id=N`, or all); `check` refuses rules that cannot be carried out here.
pub(crate) fn answer(
    faults: &Faults,
    method: &str,
    query: &BTreeMap<String, String>,
    body: &[u8],
    check: impl Fn(&Rule) -> Result<(), String>,
) -> Option<Result<Value, Refusal>> {
    Some(match method {
        "GET" => to_json(&faults.shown()),
        "POST" => add(faults, body, check),
        "DELETE" => query_number(query, "id").and_then(|id| {
            match id {
                Some(id) => faults.remove(RuleId(id)),
                None => faults.clear(),
            }
            to_json(&faults.shown())
        }),
        _ => return None,
    })
}

fn add(faults: &Faults, body: &[u8], check: impl Fn(&Rule) -> Result<(), String>) -> Result<Value, Refusal> {
    if let Ok(Value::Object(object)) = serde_json::from_slice(body)
        && let Some(name) = object.get("set")
    {
        let rules = name.as_str().and_then(faults::set);
        let rules = rules.ok_or_else(|| (400, format!("set: {name} does not exist; there are {}", SETS.join(", "))))?;
        let ids: Vec<RuleId> = rules.into_iter().map(|rule| faults.add(rule)).collect();
        return Ok(json!({ "ids": ids }));
    }
    let rule: Rule = read(body)?;
    check(&rule).map_err(|problem| (400, problem))?;
    let id = faults.try_add(rule).map_err(|error| (400, error.to_string()))?;
    Ok(json!({ "id": id }))
}
