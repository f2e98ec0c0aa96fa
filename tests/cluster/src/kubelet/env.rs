//! A container's environment and the expansion of `$(NAME)` in it. Reads ConfigMaps and Secrets through [`super::Context`]'s client;
//! everything else is PURE. Used by [`super::container`].
//!
//! Rules: Kubernetes API reference, Container `env`, `envFrom`, `command`, `args`.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVarSource, Pod, Secret};
use kube::api::Api;

use super::Context;

/// The search path of every container, as container images have it.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a container's environment cannot be made, as its status says it (reason `CreateContainerConfigError`).
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnvError {
    #[error("{kind} {name:?} not found in the pod's namespace")]
    NoObject { kind: &'static str, name: String },
    #[error("{kind} {name:?} has no key {key:?}")]
    NoKey { kind: &'static str, name: String, key: String },
    #[error("variable {variable}: {problem}")]
    Unsupported { variable: String, problem: String },
    #[error("{kind} {name:?} cannot be read: {source}")]
    Unreadable { kind: &'static str, name: String, source: Box<kube::Error> },
}

/// What the downward API knows of a pod that is being started.
pub(crate) struct Facts<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) pod_ip: &'a str,
    pub(crate) host_ip: &'a str,
    /// The pod's home folder: whose home it is outside must not matter inside (`~/.kube`, `~/.aws`).
    pub(crate) home: &'a str,
}

/// The whole environment: what every container gets, the image's, `envFrom`, then `env`; the later wins.
pub(crate) async fn environment(
    context: &Context,
    container: &Container,
    image: &BTreeMap<String, String>,
    facts: &Facts<'_>,
) -> Result<BTreeMap<String, String>, EnvError> {
    let name = facts.pod.metadata.name.as_deref().unwrap_or_default();
    let service = context.settings.service;
    let mut known: BTreeMap<String, String> = [
        ("PATH", PATH.to_owned()),
        ("HOME", facts.home.to_owned()),
        ("HOSTNAME", name.to_owned()),
        ("POD_IP", facts.pod_ip.to_owned()),
        ("KUBERNETES_SERVICE_HOST", service.ip().to_string()),
        ("KUBERNETES_SERVICE_PORT", service.port().to_string()),
        ("KUBERNETES_SERVICE_PORT_HTTPS", service.port().to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    known.extend(image.clone());

    let reader = Reader { context, namespace: facts.pod.metadata.namespace.as_deref().unwrap_or("default") };
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        let mut found = BTreeMap::new();
        if let Some(from) = &source.config_map_ref {
            found.extend(reader.config_map(&from.name, from.optional).await?);
        }
        if let Some(from) = &source.secret_ref {
            found.extend(reader.secret(&from.name, from.optional).await?);
        }
        known.extend(found.into_iter().map(|(name, value)| (format!("{prefix}{name}"), value)));
    }
    for variable in container.env.iter().flatten() {
        let value = match (&variable.value, &variable.value_from) {
            (Some(value), _) => Some(expand(value, &known)),
            (None, Some(source)) => resolve(&variable.name, source, facts, &reader).await?,
            (None, None) => Some(String::new()),
        };
        if let Some(value) = value {
            known.insert(variable.name.clone(), value);
        }
    }
    Ok(known)
}

async fn resolve(
    variable: &str,
    source: &EnvVarSource,
    facts: &Facts<'_>,
    reader: &Reader<'_>,
) -> Result<Option<String>, EnvError> {
    let unsupported = |problem: String| EnvError::Unsupported { variable: variable.to_owned(), problem };
    if let Some(field) = &source.field_ref {
        return field_value(&field.field_path, facts)
            .map(Some)
            .ok_or_else(|| unsupported(format!("unknown field {:?}", field.field_path)));
    }
    let (kind, name, key, optional, content) = if let Some(from) = &source.config_map_key_ref {
        ("ConfigMap", &from.name, &from.key, from.optional, reader.config_map(&from.name, from.optional).await?)
    } else if let Some(from) = &source.secret_key_ref {
        ("Secret", &from.name, &from.key, from.optional, reader.secret(&from.name, from.optional).await?)
    } else {
        return Err(unsupported("only fieldRef, configMapKeyRef and secretKeyRef can be resolved here".into()));
    };
    match content.get(key) {
        None if optional != Some(true) => Err(EnvError::NoKey { kind, name: name.clone(), key: key.clone() }),
        value => Ok(value.cloned()),
    }
}

/// A field of the downward API.
pub(crate) fn field_value(path: &str, facts: &Facts<'_>) -> Option<String> {
    let (metadata, spec) = (&facts.pod.metadata, facts.pod.spec.as_ref());
    let entry = |map: &Option<BTreeMap<String, String>>, key: &str| {
        map.as_ref().and_then(|map| map.get(key)).cloned().unwrap_or_default()
    };
    if let Some(key) = path.strip_prefix("metadata.labels['").and_then(|rest| rest.strip_suffix("']")) {
        return Some(entry(&metadata.labels, key));
    }
    if let Some(key) = path.strip_prefix("metadata.annotations['").and_then(|rest| rest.strip_suffix("']")) {
        return Some(entry(&metadata.annotations, key));
    }
    match path {
        "metadata.name" => metadata.name.clone(),
        "metadata.namespace" => metadata.namespace.clone(),
        "metadata.uid" => metadata.uid.clone(),
        "spec.nodeName" => spec?.node_name.clone(),
        "spec.serviceAccountName" => spec?.service_account_name.clone(),
        "status.podIP" | "status.podIPs" => Some(facts.pod_ip.to_owned()),
        "status.hostIP" | "status.hostIPs" => Some(facts.host_ip.to_owned()),
        _ => None,
    }
}

/// Replaces `$(NAME)` by the variable's value, if there is one, and `$$` by `$`.
pub(crate) fn expand(text: &str, known: &BTreeMap<String, String>) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        result.push_str(before);
        let reference = after.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        if let Some(after) = after.strip_prefix('$') {
            result.push('$');
            rest = after;
        } else if let Some((name, after)) = reference {
            match known.get(name) {
                Some(value) => result.push_str(value),
                None => result.push_str(&format!("$({name})")),
            }
            rest = after;
        } else {
            result.push('$');
            rest = after;
        }
    }
    result + rest
}

/// Reads the pod's namespace.
struct Reader<'a> {
    context: &'a Context,
    namespace: &'a str,
}

impl Reader<'_> {
    async fn config_map(&self, name: &str, optional: Option<bool>) -> Result<BTreeMap<String, String>, EnvError> {
        let api: Api<ConfigMap> = Api::namespaced(self.context.client.clone(), self.namespace);
        let found = api.get_opt(name).await;
        Ok(present("ConfigMap", name, found, optional)?.and_then(|map| map.data).unwrap_or_default())
    }

    async fn secret(&self, name: &str, optional: Option<bool>) -> Result<BTreeMap<String, String>, EnvError> {
        let api: Api<Secret> = Api::namespaced(self.context.client.clone(), self.namespace);
        let data = present("Secret", name, api.get_opt(name).await, optional)?.and_then(|secret| secret.data).unwrap_or_default();
        let text = |ByteString(bytes)| String::from_utf8_lossy(&bytes).into_owned();
        Ok(data.into_iter().map(|(key, value)| (key, text(value))).collect())
    }
}

fn present<K>(
    kind: &'static str,
    name: &str,
    found: kube::Result<Option<K>>,
    optional: Option<bool>,
) -> Result<Option<K>, EnvError> {
    match found {
        Err(source) => Err(EnvError::Unreadable { kind, name: name.to_owned(), source: Box::new(source) }),
        Ok(None) if optional != Some(true) => Err(EnvError::NoObject { kind, name: name.to_owned() }),
        Ok(object) => Ok(object),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_are_expanded() {
        let known = BTreeMap::from([("A".to_owned(), "1".to_owned()), ("B".to_owned(), "$(A)".to_owned())]);
        for (text, expected) in [
            ("x$(A)y", "x1y"),
            ("$(B)", "$(A)"),
            ("$(C)", "$(C)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("50$", "50$"),
            ("$(A", "$(A"),
            ("$A", "$A"),
        ] {
            assert_eq!(expand(text, &known), expected, "{text}");
        }
    }

    #[test]
    fn fields_of_the_downward_api() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"app.kubernetes.io/name": "MyApp"}},
            "spec": {"nodeName": "node-1", "containers": []},
        }))
        .unwrap();
        let facts = Facts { pod: &pod, pod_ip: "10.20.1.130", host_ip: "10.20.1.10", home: "/" };
        let value = |path| field_value(path, &facts);
        assert_eq!(value("metadata.labels['app.kubernetes.io/name']").as_deref(), Some("MyApp"));
        assert_eq!(value("metadata.annotations['absent']").as_deref(), Some(""));
        assert_eq!(value("spec.nodeName").as_deref(), Some("node-1"));
        assert_eq!(value("status.podIP").as_deref(), Some("10.20.1.130"));
        assert_eq!(value("status.phase"), None);
    }
}
