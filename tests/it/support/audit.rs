//! What the controller wrote to the API server, from the cluster's audit log.

use serde_json::Value;

use super::world::World;

impl World {
    /// A point in the audit log, for [`World::kubernetes_writes`].
    pub fn audited(&self) -> u64 {
        std::fs::metadata(self.audit_log()).expect("the audit log").len()
    }

    /// Writes of controllers in this test's namespace since then: verb, resource, name.
    pub fn kubernetes_writes(&self, since: u64) -> Vec<String> {
        let text = std::fs::read_to_string(self.audit_log()).expect("the audit log");
        let lines = text.get(usize::try_from(since).expect("an offset")..).expect("the log only grows").lines();
        lines.filter_map(|line| write(line, &self.namespace)).collect()
    }

    fn audit_log(&self) -> &std::path::Path {
        self.cluster.audit_log().expect("the cluster writes an audit log")
    }
}

/// The write that a line of the audit log tells of, if it is a controller's and in this namespace.
fn write(line: &str, namespace: &str) -> Option<String> {
    let entry: Value = serde_json::from_str(line).ok()?;
    let text = |path: &str| entry.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let writes = ["create", "update", "patch", "delete", "deletecollection"].contains(&text("/verb"));
    let ours = text("/objectRef/namespace") == namespace && text("/userAgent").starts_with("landfall");
    (writes && ours && text("/stage") == "ResponseComplete")
        .then(|| format!("{} {} {}", text("/verb"), text("/objectRef/resource"), text("/objectRef/name")))
}
