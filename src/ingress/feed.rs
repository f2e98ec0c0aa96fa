//! Watches → table: gathers changes for a moment, compiles, publishes. The only writer of the table.
//!
//! The table is published whole and at once; whoever serves sees the old one or the new one. What was published is told to
//! [`super::status`] and [`super::report`] afterwards, so that nothing is said before it is so.

use std::collections::{BTreeMap, BTreeSet};
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

use crate::clock;
use crate::kubernetes::watch::{self, Watch};
use crate::routes::RouteTable;
use crate::routes::compile::{Compiled, Compiler, IngressState, Inputs, service_of};
use crate::routes::findings::{Finding, ObjectKey};

/// Without any change the table is made anew this often: certificates run out.
const CERTIFICATES: Duration = Duration::from_secs(3600);

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

/// What the data plane serves from now on, and what there is to tell about it.
#[derive(Clone, Debug)]
pub struct Published {
    /// The table.
    pub table: Arc<RouteTable>,
    /// About the objects that it was made from.
    pub findings: Arc<[Finding]>,
    /// Our Ingresses.
    pub ingresses: Arc<[IngressState]>,
}

impl Published {
    /// What is served before anything is known: nothing.
    #[must_use]
    pub fn first(compiler: &mut Compiler) -> Self {
        Self::new(compiler.compile(&Inputs::default()))
    }

    fn new(compiled: Compiled) -> Self {
        let Compiled { table, findings, ingresses, .. } = compiled;
        Self { table: Arc::new(table), findings: findings.into(), ingresses: ingresses.into() }
    }

    /// The same with other endpoints.
    fn with(&self, table: RouteTable) -> Self {
        Self { table: Arc::new(table), ..self.clone() }
    }

    /// Ingresses that traffic can be sent to the data plane for.
    pub fn live(&self) -> impl Iterator<Item = &ObjectKey> {
        self.ingresses.iter().filter(|ingress| ingress.is_live(&self.table)).map(|ingress| &ingress.key)
    }
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
enum Change {
    /// Endpoints of this Service, and nothing else.
    Endpoints(ObjectKey),
    /// The whole table.
    Table,
}

/// Compiles and publishes until `shutdown`, from the moment at which every store has read its first list. Each publication is
/// told to `published`, after it is in force.
pub async fn run(
    sources: Sources,
    mut compiler: Compiler,
    table: Arc<ArcSwap<RouteTable>>,
    published: channel::Sender<Published>,
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
        of_table(sources.ingresses),
        of_table(sources.classes),
        of_table(sources.services),
        of_endpoints(sources.endpoint_slices),
        of_table(sources.secrets),
        sources.config_map.map_or_else(|| stream::pending().boxed(), of_table),
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
    let mut current = stores.compile(&mut compiler);
    loop {
        table.store(current.table.clone());
        tracing::debug!(generation = current.table.generation, findings = current.findings.len(), "table published");
        published.send_replace(current.clone());
        current = loop {
            let Some(gathered) = shutdown.run_until_cancelled(gather(&mut changes)).await else { return };
            match gathered {
                Some(services) => {
                    if let Some(table) = compiler.update_endpoints(&stores.slices_of(&services)) {
                        break current.with(table);
                    }
                }
                None => break stores.compile(&mut compiler),
            }
        };
    }
}

/// Waits for a change, and takes what else comes within a moment: the Services whose endpoints changed, or `None` if the whole
/// table may have.
async fn gather(changes: &mut (impl Stream<Item = Change> + Unpin)) -> Option<BTreeSet<ObjectKey>> {
    let mut services = Some(BTreeSet::new());
    let mut deadline = clock::now() + CERTIFICATES;
    while let Ok(Some(change)) = tokio::time::timeout_at(deadline, changes.next()).await {
        if services.as_ref().is_some_and(BTreeSet::is_empty) {
            deadline = clock::now() + GATHERING;
        }
        match (change, &mut services) {
            (Change::Endpoints(service), Some(services)) => drop(services.insert(service)),
            _ => services = None,
        }
    }
    // Nothing for so long: only time has changed.
    services.filter(|services| !services.is_empty())
}

fn of_table<K>(watch: Watch<K>) -> BoxStream<'static, Change>
where
    K: Resource<DynamicType = ()> + Lookup<DynamicType = ()> + Clone + Send + Sync + 'static,
{
    watch.changes.map(|_| Change::Table).boxed()
}

fn of_endpoints(watch: Watch<EndpointSlice>) -> BoxStream<'static, Change> {
    let services = watch.changes.flat_map(|change| {
        let services: BTreeSet<_> =
            [change.before, change.after].into_iter().flatten().filter_map(|slice| service_of(&slice)).collect();
        stream::iter(services)
    });
    services.map(Change::Endpoints).boxed()
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

    use super::*;

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
}
