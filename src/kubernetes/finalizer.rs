//! The finalizer that brackets our ownership in AWS: added before the first create, removed after the last delete.
//! The caller gives its name.
//!
//! Both are JSON patches that first test the identity of the object and the entry they touch, so neither can harm an object
//! that changed meanwhile. Neighbour: [`super::status`] writes the status.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{CALL_LIMIT, Error, MANAGER, Written, call};

/// Kinds that can carry the finalizer.
pub trait Finalizable: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned {}

impl<K> Finalizable for K where K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned {}

/// Whether the object carries the finalizer.
#[must_use]
pub fn is_present(object: &impl ResourceExt, finalizer: &str) -> bool {
    object.finalizers().iter().any(|name| name == finalizer)
}

/// Adds the finalizer. Does nothing if `object` has it.
///
/// # Errors
/// [`Error::Stale`] if the object was changed, replaced or deleted since it was read: read it again.
pub async fn add<K: Finalizable>(client: &Client, object: &K, finalizer: &str) -> Result<Written, Error> {
    match addition(object, finalizer) {
        None => Ok(Written::Unchanged),
        Some(patch) => send(client, object, "add finalizer to", patch).await.map(|()| Written::Changed),
    }
}

/// Removes the finalizer, which lets a deleted object go. Does nothing if `object` has none.
///
/// # Errors
/// [`Error::Stale`] if the finalizers were changed since the object was read, or the object is gone: look at it again.
pub async fn remove<K: Finalizable>(client: &Client, object: &K, finalizer: &str) -> Result<Written, Error> {
    match removal(object, finalizer) {
        None => Ok(Written::Unchanged),
        Some(patch) => send(client, object, "remove finalizer from", patch).await.map(|()| Written::Changed),
    }
}

fn addition(object: &impl ResourceExt, finalizer: &str) -> Option<Value> {
    if is_present(object, finalizer) {
        return None;
    }
    let present = object.finalizers();
    let (current, path, added) = if present.is_empty() {
        // A list that is not there tests equal to null.
        (Value::Null, "/metadata/finalizers", json!([finalizer]))
    } else {
        (json!(present), "/metadata/finalizers/-", json!(finalizer))
    };
    Some(json!([
        same_object(object),
        {"op": "test", "path": "/metadata/finalizers", "value": current},
        {"op": "add", "path": path, "value": added},
    ]))
}

fn removal(object: &impl ResourceExt, finalizer: &str) -> Option<Value> {
    let index = object.finalizers().iter().position(|name| name == finalizer)?;
    let path = format!("/metadata/finalizers/{index}");
    Some(json!([
        same_object(object),
        {"op": "test", "path": path, "value": finalizer},
        {"op": "remove", "path": path},
    ]))
}

/// Another object of the same name may have taken the place of the one that was read.
fn same_object(object: &impl ResourceExt) -> Value {
    json!({"op": "test", "path": "/metadata/uid", "value": object.uid()})
}

async fn send<K: Finalizable>(client: &Client, object: &K, verb: &str, patch: Value) -> Result<(), Error> {
    let name = object.name_any();
    let namespace = object.namespace().unwrap_or_default();
    let action = format!("{verb} {} {namespace}/{name}", K::kind(&()));
    let failed = |source| Error::Failed { action: action.clone(), source: Box::new(kube::Error::SerdeError(source)) };
    let patch: Patch<()> = Patch::Json(serde_json::from_value(patch).map_err(failed)?);
    let parameters = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    match call(&action, CALL_LIMIT, api::<K>(client, object).patch(&name, &parameters, &patch)).await {
        Ok(_) => Ok(()),
        // How the API server answers when a test of the patch fails.
        Err(error) if error.status_code() == Some(422) => {
            Err(Error::Stale { action, reason: "its finalizers differ".to_owned() })
        }
        Err(error) => Err(error),
    }
}

fn api<K: Finalizable>(client: &Client, object: &K) -> Api<K> {
    Api::namespaced(client.clone(), &object.namespace().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Service;
    use kube::core::ObjectMeta;

    const FINALIZER: &str = "landfall/nlb";

    fn service(finalizers: &[&str]) -> Service {
        let finalizers = (!finalizers.is_empty()).then(|| finalizers.iter().map(|name| (*name).to_owned()).collect());
        Service { metadata: ObjectMeta { uid: Some("u-1".into()), finalizers, ..ObjectMeta::default() }, ..Service::default() }
    }

    #[test]
    fn the_first_finalizer_makes_the_list() {
        let expected = json!([
            {"op": "test", "path": "/metadata/uid", "value": "u-1"},
            {"op": "test", "path": "/metadata/finalizers", "value": null},
            {"op": "add", "path": "/metadata/finalizers", "value": ["landfall/nlb"]},
        ]);
        assert_eq!(addition(&service(&[]), FINALIZER), Some(expected));
    }

    #[test]
    fn others_are_left_where_they_are() {
        let expected = json!([
            {"op": "test", "path": "/metadata/uid", "value": "u-1"},
            {"op": "test", "path": "/metadata/finalizers", "value": ["a/b"]},
            {"op": "add", "path": "/metadata/finalizers/-", "value": "landfall/nlb"},
        ]);
        assert_eq!(addition(&service(&["a/b"]), FINALIZER), Some(expected));
        let expected = json!([
            {"op": "test", "path": "/metadata/uid", "value": "u-1"},
            {"op": "test", "path": "/metadata/finalizers/1", "value": "landfall/nlb"},
            {"op": "remove", "path": "/metadata/finalizers/1"},
        ]);
        assert_eq!(removal(&service(&["a/b", FINALIZER, "c/d"]), FINALIZER), Some(expected));
    }

    #[test]
    fn nothing_is_sent_when_it_is_as_wanted() {
        assert_eq!(addition(&service(&["a/b", FINALIZER]), FINALIZER), None);
        assert_eq!(removal(&service(&["a/b"]), FINALIZER), None);
    }

    #[test]
    fn the_patches_are_json_patches() {
        for patch in [addition(&service(&["a/b"]), FINALIZER).unwrap(), removal(&service(&[FINALIZER]), FINALIZER).unwrap()] {
            let parsed: Patch<()> = Patch::Json(serde_json::from_value(patch).unwrap());
            assert!(matches!(parsed, Patch::Json(operations) if operations.0.len() == 3));
        }
    }
}
