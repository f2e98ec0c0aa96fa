//! Endpoint slices by Service: a Service's are found without going through all of the cluster's.
//!
//! The store stays the only source: whatever is said to have changed is looked up there. Neighbour: `triggers.rs` says so.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::reflector::{ObjectRef, Store};

use crate::kubernetes::watch::Change;
use crate::nlb::model::ServiceKey;

/// Label by which an EndpointSlice names its Service (Kubernetes API, discovery/v1).
const SERVICE_NAME: &str = "kubernetes.io/service-name";

type Index = BTreeMap<ServiceKey, BTreeMap<String, Arc<EndpointSlice>>>;

/// A store of endpoint slices with its index; clones share both.
#[derive(Clone)]
pub struct Slices {
    store: Store<EndpointSlice>,
    /// `None` until somebody asks: by then the store has read its first list.
    index: Arc<Mutex<Option<Index>>>,
}

impl Slices {
    /// An index of this store. Whoever fills the store afterwards must report changes by [`Slices::follow`].
    #[must_use]
    pub fn new(store: Store<EndpointSlice>) -> Self {
        Self { store, index: Arc::default() }
    }

    /// The slices of one Service, in the order of their names.
    #[must_use]
    pub fn of(&self, key: &ServiceKey) -> Vec<Arc<EndpointSlice>> {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let index = index.get_or_insert_with(|| {
            let mut index = Index::new();
            self.store.state().into_iter().for_each(|slice| insert(&mut index, slice));
            index
        });
        index.get(key).into_iter().flat_map(BTreeMap::values).cloned().collect()
    }

    /// Brings the index up to what the store holds now of the slice that changed, which may be newer than the change.
    pub fn follow(&self, change: &Change<EndpointSlice>) {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(index) = index.as_mut() else { return };
        for slice in [&change.before, &change.after].into_iter().flatten() {
            let Some((key, name)) = service_of(slice).zip(slice.metadata.name.as_ref()) else { continue };
            if let Some(slices) = index.get_mut(&key) {
                slices.remove(name);
                if slices.is_empty() {
                    index.remove(&key);
                }
            }
        }
        if let Some(changed) = change.after.as_ref().or(change.before.as_ref())
            && let Some(slice) = self.store.get(&ObjectRef::from_obj(&**changed))
        {
            insert(index, slice);
        }
    }
}

fn insert(index: &mut Index, slice: Arc<EndpointSlice>) {
    if let Some((key, name)) = service_of(&slice).zip(slice.metadata.name.clone()) {
        index.entry(key).or_default().insert(name, slice);
    }
}

/// The Service that an endpoint slice belongs to.
#[must_use]
pub fn service_of(slice: &EndpointSlice) -> Option<ServiceKey> {
    Some(ServiceKey {
        namespace: slice.metadata.namespace.clone()?,
        name: slice.metadata.labels.as_ref()?.get(SERVICE_NAME)?.clone(),
    })
}

#[cfg(test)]
mod tests {
    use kube::runtime::reflector::store::Writer;
    use kube::runtime::watcher::Event;
    use serde_json::json;

    use super::*;
    use crate::clock;
    use crate::kubernetes::watch::listed;

    fn slice(service: &str, name: &str) -> EndpointSlice {
        let metadata = json!({"namespace": "shop", "name": name, "labels": {SERVICE_NAME: service}});
        serde_json::from_value(json!({"metadata": metadata, "addressType": "IPv4", "endpoints": []})).unwrap()
    }

    fn key(name: &str) -> ServiceKey {
        ServiceKey { namespace: "shop".to_owned(), name: name.to_owned() }
    }

    fn filled(slices: impl IntoIterator<Item = EndpointSlice>) -> (Writer<EndpointSlice>, Slices) {
        let mut writer = Writer::default();
        writer.apply_watcher_event(&Event::Init);
        slices.into_iter().for_each(|slice| writer.apply_watcher_event(&Event::InitApply(slice)));
        writer.apply_watcher_event(&Event::InitDone);
        let slices = Slices::new(writer.as_reader());
        (writer, slices)
    }

    fn names(slices: &Slices, service: &str) -> Vec<String> {
        slices.of(&key(service)).iter().filter_map(|slice| slice.metadata.name.clone()).collect()
    }

    #[test]
    fn slices_come_move_and_go() {
        let (mut writer, slices) = filled([slice("web", "a"), slice("web", "b"), slice("api", "c")]);
        assert_eq!((names(&slices, "web"), names(&slices, "api")), (vec!["a".into(), "b".into()], vec!["c".into()]));
        let mut apply = |event: Event<EndpointSlice>, before: Option<EndpointSlice>, after: Option<EndpointSlice>| {
            writer.apply_watcher_event(&event);
            slices.follow(&Change { before: before.map(Arc::new), after: after.map(Arc::new) });
        };
        apply(Event::Apply(slice("web", "d")), None, Some(slice("web", "d")));
        assert_eq!(names(&slices, "web"), ["a", "b", "d"]);
        apply(Event::Apply(slice("api", "a")), Some(slice("web", "a")), Some(slice("api", "a")));
        assert_eq!((names(&slices, "web"), names(&slices, "api")), (vec!["b".into(), "d".into()], vec!["a".into(), "c".into()]));
        apply(Event::Delete(slice("api", "c")), Some(slice("api", "c")), None);
        assert_eq!(names(&slices, "api"), ["a"]);
        // A change that was overtaken: what the store holds now counts.
        apply(Event::Delete(slice("web", "d")), None, Some(slice("web", "d")));
        assert_eq!(names(&slices, "web"), ["b"]);
        apply(Event::Apply(slice("web", "e")), Some(slice("web", "e")), None);
        assert_eq!(names(&slices, "web"), ["b", "e"]);
    }

    #[test]
    fn a_thousand_services_find_their_own() {
        let services: Vec<ServiceKey> = (0..1000).map(|number| key(&format!("web-{number}"))).collect();
        let all = services.iter().flat_map(|key| (0..3).map(|number| slice(&key.name, &format!("{}-{number}", key.name))));
        let slices = Slices::new(listed(all));
        let start = clock::now();
        let scanned: Vec<usize> = services
            .iter()
            .map(|key| slices.store.state().iter().filter(|slice| service_of(slice).as_ref() == Some(key)).count())
            .collect();
        let before = start.elapsed();
        let start = clock::now();
        let found: Vec<usize> = services.iter().map(|key| slices.of(key).len()).collect();
        let after = start.elapsed();
        println!(
            "slices of 1,000 Services with 3 each: all gone through {before:?}, by the index {after:?}, its making included"
        );
        assert_eq!((found, scanned), (vec![3; 1000], vec![3; 1000]));
    }
}
