//! Watches → table: gathers changes for a moment, compiles, publishes. The only writer of the table.
//!
//! The table is published whole and at once; whoever serves sees the old one or the new one. What was published is told to
//! [`super::status`] and [`super::report`] afterwards, so that nothing is said before it is so. What no table is made from (a
//! status, a Secret that holds no certificate) makes no table.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::stream::{self, BoxStream, Stream, StreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use kube::Resource;
use kube::runtime::reflector::{Lookup, Store};
use tokio::sync::watch as channel;
use tokio_util::sync::CancellationToken;

use super::metrics::{ENDPOINTS, OBJECTS, TableMetrics};
use super::published::Published;
use crate::clock::{self, Instant};
use crate::kubernetes::watch::{self, Change, Watch};
use crate::routes::RouteTable;
use crate::routes::compile::{Compiler, Inputs, service_of};
use crate::routes::findings::ObjectKey;

/// Without any change the table is made anew this often: certificates run out.
const CERTIFICATES: Duration = Duration::from_secs(3600);

/// After a table could not be made it is tried again this much later, whether or not something changes.
const RETRY: Duration = Duration::from_secs(30);

/// Changes that come within this time of one another are one publication: a rollout changes a slice many times a second.
const GATHERING: Duration = Duration::from_millis(15);

/// Field selector of Secrets: those of the largest kinds hold no certificate for a host.
pub const SECRETS: &str = "type!=kubernetes.io/service-account-token,type!=helm.sh/release.v1";

/// A watch of each kind that the table is made from.
pub struct Sources {
    /// Ingresses.
    pub ingresses: Watch<Ingress>,
    /// Their classes.
    pub classes: Watch<IngressClass>,
    /// Services.
    pub services: Watch<Service>,
    /// Their endpoints.
    pub endpoint_slices: Watch<EndpointSlice>,
    /// Certificates and keys: see [`trim_secret`].
    pub secrets: Watch<Secret>,
    /// The global options, if a ConfigMap has them.
    pub config_map: Option<Watch<ConfigMap>>,
}

/// What the stores hold.
#[derive(Clone)]
pub struct Stores {
    /// Ingresses of every class.
    pub ingresses: Store<Ingress>,
    /// Their classes.
    pub classes: Store<IngressClass>,
    /// Services.
    pub services: Store<Service>,
    /// Their endpoints.
    pub endpoint_slices: Store<EndpointSlice>,
    /// Certificates and keys.
    pub secrets: Store<Secret>,
    /// One ConfigMap at most.
    pub config_map: Option<Store<ConfigMap>>,
}

impl Stores {
    fn compile(&self, compiler: &mut Compiler) -> Published {
        let config_map = self.config_map.as_ref().and_then(|store| store.state().into_iter().next());
        let inputs = Inputs {
            ingresses: &self.ingresses.state(),
            classes: &self.classes.state(),
            services: &self.services.state(),
            endpoint_slices: &self.endpoint_slices.state(),
            secrets: &self.secrets.state(),
            config: config_map.as_ref().and_then(|map| map.data.as_ref()),
            now: Some(clock::wall()),
        };
        Published::new(compiler.compile(&inputs))
    }

    /// All slices of these Services.
    fn slices_of(&self, services: &BTreeSet<ObjectKey>) -> Vec<(ObjectKey, Vec<Arc<EndpointSlice>>)> {
        let mut found: BTreeMap<&ObjectKey, Vec<_>> = services.iter().map(|service| (service, Vec::new())).collect();
        for slice in self.endpoint_slices.state() {
            if let Some(slices) = service_of(&slice).and_then(|service| found.get_mut(&service)) {
                slices.push(slice);
            }
        }
        found.into_iter().map(|(service, slices)| (service.clone(), slices)).collect()
    }
}

impl Sources {
    /// The stores that these fill.
    #[must_use]
    pub fn stores(&self) -> Stores {
        Stores {
            ingresses: self.ingresses.store.clone(),
            classes: self.classes.store.clone(),
            services: self.services.store.clone(),
            endpoint_slices: self.endpoint_slices.store.clone(),
            secrets: self.secrets.store.clone(),
            config_map: self.config_map.as_ref().map(|watch| watch.store.clone()),
        }
    }
}

/// What a change asks for.
enum Wanted {
    /// Endpoints of this Service, and nothing else.
    Endpoints(ObjectKey),
    /// The whole table.
    Table,
    /// To be told again: a status that the leader keeps has changed.
    Telling,
}

/// What changed within a moment.
struct Gathered {
    /// When the first of these changes was seen.
    since: Instant,
    /// The whole table may have changed.
    table: bool,
    /// Services whose endpoints changed.
    services: BTreeSet<ObjectKey>,
    /// There is something to tell again.
    telling: bool,
}

/// Compiles and publishes until `shutdown`, from the moment at which every store has read its first list. Each publication is
/// told to `published`, after it is in force.
pub async fn run(
    sources: Sources,
    compiler: Compiler,
    table: Arc<ArcSwap<RouteTable>>,
    published: channel::Sender<Published>,
    metrics: TableMetrics,
    shutdown: CancellationToken,
) {
    let stores = sources.stores();
    let mut synced = vec![
        sources.ingresses.synced(),
        sources.classes.synced(),
        sources.services.synced(),
        sources.endpoint_slices.synced(),
        sources.secrets.synced(),
    ];
    synced.extend(sources.config_map.as_ref().map(Watch::synced));
    let mut changes = stream::select_all([
        wanted(sources.ingresses, of_ingress),
        wanted(sources.classes, |_| Some(Wanted::Table)),
        wanted(sources.services, of_service),
        of_endpoints(sources.endpoint_slices),
        wanted(sources.secrets, of_secret),
        sources.config_map.map_or_else(|| stream::pending().boxed(), |watch| wanted(watch, |_| Some(Wanted::Table))),
    ]);

    // The stores are filled by polling the changes, so both go on together until the first lists are complete.
    let mut complete = Box::pin(watch::ready(synced));
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            ready = &mut complete => match ready {
                Ok(()) => break,
                Err(watch::Stopped) => return,
            },
            _ = changes.next() => {}
        }
    }
    let mut feed = Feed { stores, compiler, table, published, metrics, works: false };
    feed.publish(&Gathered { since: clock::now(), table: true, services: BTreeSet::new(), telling: false }, Feed::make);
    if !feed.works {
        // Nothing to serve: whoever runs this is told at once, and not by being never ready.
        return;
    }
    while let Some(gathered) = shutdown.run_until_cancelled(gather(&mut changes, feed.patience())).await {
        feed.publish(&gathered, Feed::make);
    }
}

/// A table, and what of it is new: [`OBJECTS`] or [`ENDPOINTS`].
type Made = (Published, &'static str);

/// Makes tables of what was gathered, and puts them into force.
struct Feed {
    stores: Stores,
    compiler: Compiler,
    table: Arc<ArcSwap<RouteTable>>,
    published: channel::Sender<Published>,
    metrics: TableMetrics,
    /// What is published is what the compiler made last: endpoints can be exchanged in it. Not yet, and not after a failure.
    works: bool,
}

impl Feed {
    /// A panic of `make` is a bug of ours, and no reason to end serving: the table in force stays, endpoints included, and all of
    /// it is made again with the next change, or a little later.
    fn publish(&mut self, gathered: &Gathered, make: impl FnOnce(&mut Self, &Gathered) -> Option<Made>) {
        let made = std::panic::catch_unwind(AssertUnwindSafe(|| make(self, gathered)));
        self.works = made.is_ok();
        match made {
            Ok(Some((made, change))) => {
                self.table.store(made.table.clone());
                let took = gathered.since.elapsed();
                self.metrics.made(change, took);
                tracing::debug!(generation = made.table.generation, change, seconds = took.as_secs_f64(), "table published");
                self.published.send_replace(made);
            }
            Ok(None) if gathered.telling => self.published.send_modify(|_| {}),
            Ok(None) => {}
            Err(_) => {
                self.metrics.failed();
                tracing::error!("no table could be made (a bug: its panic is above): changes are not in force until one can");
            }
        }
    }

    /// How long to wait for a change before all is made again.
    fn patience(&self) -> Duration {
        if self.works { CERTIFICATES } else { RETRY }
    }

    /// None: all is as it was.
    fn make(&mut self, gathered: &Gathered) -> Option<Made> {
        if gathered.table || !self.works {
            return Some((self.stores.compile(&mut self.compiler), OBJECTS));
        }
        let table = self.compiler.update_endpoints(&self.stores.slices_of(&gathered.services))?;
        Some((self.published.borrow().with(table), ENDPOINTS))
    }
}

/// Waits for a change, and takes what else comes within a moment. Without any within `patience` the table is wanted again.
async fn gather(changes: &mut (impl Stream<Item = Wanted> + Unpin), patience: Duration) -> Gathered {
    let first = tokio::time::timeout(patience, changes.next()).await.ok().flatten();
    let since = clock::now();
    let mut gathered = Gathered { since, table: false, services: BTreeSet::new(), telling: false };
    gathered.add(first.unwrap_or(Wanted::Table));
    let deadline = since + GATHERING;
    // The time-out alone never ends while there always is a next change: a flood would keep all of them from being in force.
    while clock::now() < deadline
        && let Ok(Some(change)) = tokio::time::timeout_at(deadline, changes.next()).await
    {
        gathered.add(change);
    }
    gathered
}

impl Gathered {
    fn add(&mut self, wanted: Wanted) {
        match wanted {
            Wanted::Endpoints(service) => drop(self.services.insert(service)),
            Wanted::Table => self.table = true,
            Wanted::Telling => self.telling = true,
        }
    }
}

fn wanted<K>(watch: Watch<K>, wants: fn(&Change<K>) -> Option<Wanted>) -> BoxStream<'static, Wanted>
where
    K: Resource<DynamicType = ()> + Lookup<DynamicType = ()> + Clone + Send + Sync + 'static,
{
    watch.changes.filter_map(move |change| std::future::ready(wants(&change))).boxed()
}

/// Our own status writes come back as changes, a thousand at once when the front gets another address.
fn of_ingress(change: &Change<Ingress>) -> Option<Wanted> {
    let same = |before: &Ingress, after: &Ingress| {
        before.spec == after.spec && before.metadata.annotations == after.metadata.annotations
    };
    Some(if is_update(change, same) { Wanted::Telling } else { Wanted::Table })
}

/// Of a Service the table shows ports, type and names; its status and its annotations are written often, by others.
fn of_service(change: &Change<Service>) -> Option<Wanted> {
    let same = |before: &Service, after: &Service| before.spec == after.spec;
    (!is_update(change, same)).then_some(Wanted::Table)
}

/// Most Secrets hold no certificate: what is kept of them ([`trim_secret`]) does not change.
fn of_secret(change: &Change<Secret>) -> Option<Wanted> {
    let same = |before: &Secret, after: &Secret| before.data == after.data;
    (!is_update(change, same)).then_some(Wanted::Table)
}

/// Whether an object was changed and is the same as far as the table is concerned.
fn is_update<K>(change: &Change<K>, same: impl Fn(&K, &K) -> bool) -> bool {
    matches!((&change.before, &change.after), (Some(before), Some(after)) if same(before, after))
}

fn of_endpoints(watch: Watch<EndpointSlice>) -> BoxStream<'static, Wanted> {
    let services = watch.changes.flat_map(|change| {
        let services: BTreeSet<_> =
            [change.before, change.after].into_iter().flatten().filter_map(|slice| service_of(&slice)).collect();
        stream::iter(services)
    });
    services.map(Wanted::Endpoints).boxed()
}

/// Keeps of a Secret its certificate and key, and only where it has both: whatever else a tenant keeps in Secrets is dropped
/// before it is stored.
pub fn trim_secret(secret: &mut Secret) {
    const KEPT: [&str; 2] = ["tls.crt", "tls.key"];
    watch::trim_metadata(secret);
    secret.metadata.annotations = None;
    secret.metadata.labels = None;
    if let Some(data) = &mut secret.data {
        if KEPT.iter().all(|key| data.contains_key(*key)) {
            data.retain(|key, _| KEPT.contains(&key.as_str()));
        } else {
            data.clear();
        }
    }
    secret.string_data = None;
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use kube::runtime::reflector;

    use super::*;
    use crate::routes::compile::fixtures::World;

    #[test]
    fn of_a_secret_only_certificate_and_key_are_kept() {
        let data = |keys: &[&str]| keys.iter().map(|key| ((*key).to_owned(), ByteString(b"x".to_vec()))).collect();
        let keys = |mut secret: Secret| {
            trim_secret(&mut secret);
            secret.data.unwrap_or_default().into_keys().collect::<Vec<_>>()
        };
        let tls = Secret { data: Some(data(&["tls.crt", "tls.key", "password"])), ..Secret::default() };
        assert_eq!(keys(tls), ["tls.crt", "tls.key"]);
        let other = Secret { data: Some(data(&["tls.crt", "password"])), ..Secret::default() };
        assert_eq!(keys(other), Vec::<String>::new());
    }

    /// An object in YAML, before and after.
    fn change<K: serde::de::DeserializeOwned>(before: Option<&str>, after: Option<&str>) -> Change<K> {
        let object = |text: &str| Arc::new(serde_saphyr::from_str(text).unwrap());
        Change { before: before.map(object), after: after.map(object) }
    }

    #[test]
    fn a_status_makes_no_table() {
        const ONE: &str = "metadata: {resourceVersion: '1'}\nspec: {ingressClassName: nginx}";
        let shows = format!("{}\nstatus: {{loadBalancer: {{ingress: [{{ip: 192.0.2.1}}]}}}}", ONE.replace("'1'", "'2'"));
        let annotated = ONE.replace("{resource", "{annotations: {a: b}, resource");
        let other = ONE.replace("nginx", "other");
        let wants = |before, after| of_ingress(&change(before, after));
        assert!(matches!(wants(Some(ONE), Some(&*shows)), Some(Wanted::Telling)));
        for (before, after) in [(None, Some(ONE)), (Some(ONE), None), (Some(ONE), Some(&*annotated)), (Some(ONE), Some(&*other))]
        {
            assert!(matches!(wants(before, after), Some(Wanted::Table)), "{before:?} {after:?}");
        }

        const SERVICE: &str = "spec: {ports: [{port: 80}]}";
        let shows = format!("{SERVICE}\nstatus: {{loadBalancer: {{ingress: [{{ip: 192.0.2.1}}]}}}}");
        assert!(of_service(&change(Some(SERVICE), Some(&shows))).is_none());
        assert!(of_service(&change(Some(SERVICE), Some("spec: {ports: [{port: 81}]}"))).is_some());
        assert!(of_service(&change(Some(SERVICE), None)).is_some());
    }

    #[test]
    fn a_secret_makes_a_table_when_its_certificate_changes_or_it_comes_or_goes() {
        let (one, other) = ("data: {tls.crt: YQ==, tls.key: YQ==}", "data: {tls.crt: Yg==, tls.key: YQ==}");
        assert!(of_secret(&change(Some(one), Some(one))).is_none());
        for (before, after) in [(Some(one), Some(other)), (None, Some(one)), (Some(one), None), (Some("data: {}"), Some(one))] {
            assert!(of_secret(&change(before, after)).is_some(), "{before:?} {after:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_within_a_moment_is_one_publication() {
        let service = |name: &str| ObjectKey::new("shop", name);
        let (sender, receiver) = futures::channel::mpsc::unbounded();
        let mut changes = receiver;
        let later = async {
            sender.unbounded_send(Wanted::Endpoints(service("a"))).unwrap();
            tokio::time::sleep(GATHERING - Duration::from_millis(1)).await;
            sender.unbounded_send(Wanted::Endpoints(service("b"))).unwrap();
            sender.unbounded_send(Wanted::Telling).unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
            sender.unbounded_send(Wanted::Table).unwrap();
        };
        let (gathered, ()) = tokio::join!(gather(&mut changes, CERTIFICATES), later);
        assert_eq!(gathered.services, [service("a"), service("b")].into());
        assert!(gathered.telling && !gathered.table);
        let next = gather(&mut changes, CERTIFICATES).await;
        assert!(next.table && next.services.is_empty());
        // Nothing more: only time has changed.
        let begun = clock::now();
        assert!(gather(&mut changes, CERTIFICATES).await.table);
        assert_eq!(begun.elapsed().as_secs(), (CERTIFICATES + GATHERING).as_secs());
    }

    #[test]
    fn a_panic_leaves_the_table_in_force_and_the_next_change_makes_all_of_it() {
        let stores = Stores {
            ingresses: reflector::store().0,
            classes: reflector::store().0,
            services: reflector::store().0,
            endpoint_slices: reflector::store().0,
            secrets: reflector::store().0,
            config_map: None,
        };
        let mut compiler = World::new().compiler();
        let first = Published::first(&mut compiler);
        let (published, seen) = channel::channel(first.clone());
        let table = Arc::new(ArcSwap::new(first.table));
        let metrics = TableMetrics::register(&mut prometheus_client::registry::Registry::default());
        let outcome = metrics.clone();
        let mut feed = Feed { stores, compiler, table: table.clone(), published, metrics, works: false };
        let gathered = |table| Gathered { since: clock::now(), table, services: BTreeSet::new(), telling: false };
        let generations = || (table.load().generation, seen.borrow().table.generation);

        feed.publish(&gathered(true), Feed::make);
        let before = table.load().generation;
        assert_eq!((feed.patience(), outcome.works()), (CERTIFICATES, true));
        feed.publish(&gathered(true), |feed, _| {
            feed.stores.compile(&mut feed.compiler);
            panic!("as it never should, when half of it is done")
        });
        assert_eq!((generations(), feed.patience(), outcome.works()), ((before, before), RETRY, false));
        feed.publish(&gathered(false), Feed::make);
        let after = table.load().generation;
        assert!(after > before, "all of it is made, for a change of endpoints");
        assert_eq!((generations(), feed.patience(), outcome.works()), ((after, after), CERTIFICATES, true));
        feed.publish(&gathered(false), Feed::make);
        assert_eq!(generations(), (after, after), "nothing has changed");
    }

    #[tokio::test]
    async fn changes_that_never_end_do_not_put_the_table_off() {
        let mut flood = stream::repeat_with(|| Wanted::Endpoints(ObjectKey::new("shop", "a")));
        assert_eq!(gather(&mut flood, CERTIFICATES).await.services.len(), 1);
    }
}
