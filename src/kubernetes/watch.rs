//! One store per kind, and a stream of what changed in it that never loses a deletion.
//!
//! kube's own shared streams drop deletions, and its `touched_objects` those that happen while a watch is interrupted. Here
//! each event is applied to the store and compared with what the store held before, so an object that vanished unseen shows
//! up as a change when the list is read anew. Neighbour: [`super::queue`] takes the keys that the caller derives.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, BoxStream, Stream, StreamExt};
use k8s_openapi::api::core::v1::{Node, NodeSpec, NodeStatus};
use kube::api::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{Lookup, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::time::{Interval, MissedTickBehavior};

use crate::clock::Heartbeat;

/// A difference between what the store held and what it holds now. `before` and `after` are never both `None`; an object
/// that was replaced by another of the same name is two changes.
#[derive(Debug)]
pub struct Change<K> {
    /// As it was; `None` when it is new.
    pub before: Option<Arc<K>>,
    /// As it is; `None` when it is gone.
    pub after: Option<Arc<K>>,
}

/// A watched kind. The store is filled by polling `changes`: keep polling.
pub struct Watch<K>
where
    K: Lookup + 'static,
    K::DynamicType: Eq + std::hash::Hash,
{
    /// What is known of the kind now; empty until [`Watch::synced`].
    pub store: Store<K>,
    /// Every difference, in the order of the events; never ends.
    pub changes: BoxStream<'static, Change<K>>,
}

/// The stream that fills a store was dropped before its first list was complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a watch was stopped before it had read its first list")]
pub struct Stopped;

impl<K> Watch<K>
where
    K: Lookup<DynamicType = ()> + Clone + Send + Sync + 'static,
{
    /// Resolves when the first list has been read completely. Somebody else must poll `changes` meanwhile.
    #[must_use]
    pub fn synced(&self) -> BoxFuture<'static, Result<(), Stopped>> {
        let store = self.store.clone();
        async move { store.wait_until_ready().await.map_err(|_| Stopped) }.boxed()
    }
}

/// Waits until all stores have read their first list; give it [`Watch::synced`] of each.
///
/// # Errors
/// One of the streams was dropped.
pub async fn ready(stores: impl IntoIterator<Item = BoxFuture<'static, Result<(), Stopped>>>) -> Result<(), Stopped> {
    futures::future::try_join_all(stores).await.map(|_| ())
}

/// How often a watch without events shows that it is alive.
const IDLE_BEAT: Duration = Duration::from_secs(10);

/// Seconds after which the API server is asked to end a watch, and it is asked for anew from where it was. One that has not ended
/// five seconds later is on a dead connection, and nobody said so: something on the way forgot it. By default that takes five
/// minutes. (Bookmarks are no sign of life: a kind without any event since the API server's start gets none.)
const LENGTH: u32 = 60;

/// Which objects of a kind are watched, by their fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(Option<String>);

impl Selector {
    /// All of them.
    #[must_use]
    pub fn all() -> Self {
        Self(None)
    }

    /// The one with this name: what a role that grants the kind by `resourceNames` allows.
    #[must_use]
    pub fn name(name: &str) -> Self {
        Self(Some(format!("metadata.name={name}")))
    }

    /// Those that a field selector asks for, in the API server's syntax.
    #[must_use]
    pub fn fields(selector: &str) -> Self {
        Self(Some(selector.to_owned()))
    }
}

/// Watches a kind, in the namespaces that `api` covers, as far as `selector` asks for it.
///
/// `trim` drops what nobody reads before an object is stored ([`trim_metadata`], [`trim_node`]). `health` beats with each event,
/// every 10 s while there is nothing to report (kube keeps bookmarks to itself), and with each attempt that fails: a watch that
/// tries again is alive, and a new process would not reach the API server either. One that hangs does not beat.
pub fn watch<K>(api: Api<K>, selector: Selector, trim: fn(&mut K), health: Heartbeat) -> Watch<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let config = watcher::Config { field_selector: selector.0, timeout: Some(LENGTH), ..watcher::Config::default() };
    let events = watcher(api, config).default_backoff().modify(trim);
    let fan_out = FanOut::new();
    Watch { store: fan_out.writer.as_reader(), changes: changes(events, fan_out, health).boxed() }
}

/// Turns events into changes, and beats.
fn changes<K>(
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
    fan_out: FanOut<K>,
    health: Heartbeat,
) -> impl Stream<Item = Change<K>> + Send
where
    K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
{
    let mut ticks = tokio::time::interval(IDLE_BEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let source = Source { events: events.boxed(), fan_out, health, ticks, waiting: VecDeque::new() };
    stream::unfold(source, |mut source| async move { source.next().await.map(|change| (change, source)) })
}

struct Source<K: Lookup<DynamicType = ()> + Clone + 'static> {
    events: BoxStream<'static, watcher::Result<Event<K>>>,
    fan_out: FanOut<K>,
    health: Heartbeat,
    ticks: Interval,
    waiting: VecDeque<Change<K>>,
}

impl<K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static> Source<K> {
    async fn next(&mut self) -> Option<Change<K>> {
        loop {
            if let Some(change) = self.waiting.pop_front() {
                return Some(change);
            }
            tokio::select! {
                biased;
                event = self.events.next() => match event? {
                    Ok(event) => {
                        self.health.beat();
                        self.waiting.extend(self.fan_out.apply(&event));
                    }
                    Err(error) => {
                        self.health.beat();
                        tracing::warn!(kind = %K::kind(&()), error = %error, "watch failed, trying again");
                    }
                },
                _ = self.ticks.tick() => {
                    // A list that hangs reports no error either: only an open watch may be silent.
                    if self.fan_out.listed {
                        self.health.beat();
                    }
                }
            }
        }
    }
}

/// The store's only writer, and the comparison of before and after.
struct FanOut<K: Lookup<DynamicType = ()> + Clone + 'static> {
    writer: Writer<K>,
    store: Store<K>,
    /// Whether the last list is complete.
    listed: bool,
}

type Snapshot<K> = BTreeMap<(Option<String>, String), Arc<K>>;

impl<K: Resource<DynamicType = ()> + Clone + 'static> FanOut<K> {
    fn new() -> Self {
        let writer = Writer::default();
        let store = writer.as_reader();
        Self { writer, store, listed: false }
    }

    /// Applies an event to the store and returns the differences it made.
    fn apply(&mut self, event: &Event<K>) -> Vec<Change<K>> {
        match event {
            Event::Apply(object) => {
                let reference = object.to_object_ref(());
                let before = self.store.get(&reference);
                self.writer.apply_watcher_event(event);
                difference(before, self.store.get(&reference))
            }
            Event::Delete(object) => {
                let before = self.store.get(&object.to_object_ref(())).unwrap_or_else(|| Arc::new(object.clone()));
                self.writer.apply_watcher_event(event);
                difference(Some(before), None)
            }
            Event::Init | Event::InitApply(_) => {
                self.listed = false;
                self.writer.apply_watcher_event(event);
                Vec::new()
            }
            Event::InitDone => {
                let mut before = self.snapshot();
                self.writer.apply_watcher_event(event);
                self.listed = true;
                let mut changes: Vec<_> =
                    self.snapshot().into_iter().flat_map(|(key, after)| difference(before.remove(&key), Some(after))).collect();
                // What is left was there and is not listed any more.
                changes.extend(before.into_values().flat_map(|gone| difference(Some(gone), None)));
                changes
            }
        }
    }

    fn snapshot(&self) -> Snapshot<K> {
        self.store.state().into_iter().map(|object| ((object.meta().namespace.clone(), object.name_any()), object)).collect()
    }
}

/// The changes that lead from `before` to `after`: none if they are the same version of the same object.
fn difference<K: Resource<DynamicType = ()>>(before: Option<Arc<K>>, after: Option<Arc<K>>) -> Vec<Change<K>> {
    match (&before, &after) {
        (None, None) => Vec::new(),
        (Some(old), Some(new)) if old.meta().uid != new.meta().uid => {
            vec![Change { before, after: None }, Change { before: None, after }]
        }
        (Some(old), Some(new)) if old.meta().resource_version == new.meta().resource_version => Vec::new(),
        _ => vec![Change { before, after }],
    }
}

/// A store of objects that were listed once and are not watched.
pub fn listed<K>(objects: impl IntoIterator<Item = K>) -> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let mut writer = Writer::<K>::default();
    let store = writer.as_reader();
    writer.apply_watcher_event(&Event::Init);
    objects.into_iter().for_each(|object| writer.apply_watcher_event(&Event::InitApply(object)));
    writer.apply_watcher_event(&Event::InitDone);
    store
}

/// Drops from an object's metadata what only tools read: `managedFields` and kubectl's copy of the last applied manifest.
pub fn trim_metadata<K: ResourceExt>(object: &mut K) {
    object.managed_fields_mut().clear();
    object.annotations_mut().remove("kubectl.kubernetes.io/last-applied-configuration");
}

/// Keeps of a node what decides whether and where it takes traffic: labels, deletion, taints, provider id, `unschedulable`,
/// conditions, addresses. The rest (images, volumes, capacity) is most of its size.
pub fn trim_node(node: &mut Node) {
    trim_metadata(node);
    node.metadata.annotations = None;
    if let Some(spec) = node.spec.take() {
        let NodeSpec { provider_id, taints, unschedulable, .. } = spec;
        node.spec = Some(NodeSpec { provider_id, taints, unschedulable, ..NodeSpec::default() });
    }
    if let Some(status) = node.status.take() {
        let NodeStatus { addresses, conditions, .. } = status;
        node.status = Some(NodeStatus { addresses, conditions, ..NodeStatus::default() });
    }
}

#[cfg(test)]
mod tests;
