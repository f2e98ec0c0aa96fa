//! What a program in a pod may ask the API server for, and what it has asked for.

use std::collections::BTreeSet;

use serde_json::Value;

use super::world::World;

/// The objects of a manifest.
pub fn documents(manifest: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(manifest).expect("YAML documents")
}

/// A request, as the API server's audit log shows it.
#[derive(Debug)]
pub struct Requested {
    /// As in [`granted`].
    pub right: String,
    /// Whether the API server allowed it.
    pub allowed: bool,
    #[expect(dead_code, reason = "for the message of a failure")]
    uri: String,
}

/// Everything that a ServiceAccount has asked for.
pub fn requests(world: &World, account: &str) -> Vec<Requested> {
    let log = std::fs::read_to_string(world.cluster.audit_log().expect("an audit log")).expect("the audit log");
    // The last line may be half written.
    let entries = log.lines().filter(|line| line.contains(account)).filter_map(|line| serde_json::from_str::<Value>(line).ok());
    entries
        .filter(|entry| entry["user"]["username"] == account)
        .map(|entry| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let object = &entry["objectRef"];
            Requested {
                right: right(&text(&entry["verb"]), &text(&object["apiGroup"]), &resource(object)),
                allowed: entry["annotations"]["authorization.k8s.io/decision"] == "allow",
                uri: text(&entry["requestURI"]),
            }
        })
        .collect()
}

fn resource(object: &Value) -> String {
    let text = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
    let (resource, subresource) = (text("resource"), text("subresource"));
    if subresource.is_empty() { resource } else { format!("{resource}/{subresource}") }
}

fn right(verb: &str, group: &str, resource: &str) -> String {
    format!("{verb} {resource} ({group})")
}

/// Every verb on every resource that a manifest's roles grant.
pub fn granted(manifest: &str) -> BTreeSet<String> {
    let words = |rule: &Value, key: &str| -> Vec<String> {
        rule[key].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut rights = BTreeSet::new();
    for role in documents(manifest).iter().filter(|object| object["kind"] == "ClusterRole" || object["kind"] == "Role") {
        for rule in role["rules"].as_array().into_iter().flatten() {
            for group in words(rule, "apiGroups") {
                for resource in words(rule, "resources") {
                    rights.extend(words(rule, "verbs").iter().map(|verb| right(verb, &group, &resource)));
                }
            }
        }
    }
    rights
}
