//! What only one replica does: status and events, as long as it holds the lease. Traffic never depends on it.
//!
//! Who loses the lease stops writing and stands for election again; the data plane serves on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::Ingress;
use kube::Client;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::watch as channel;
use tokio_util::sync::CancellationToken;

use super::feed::{Published, Stores};
use super::report::Reporter;
use super::status::{self, Address};
use crate::error::{Class, Classified};
use crate::kubernetes::elect::{self, Leadership, LeaseSettings};
use crate::kubernetes::events::Recorder;
use crate::kubernetes::queue::{Queue, QueueHandle, Requeue};
use crate::kubernetes::watch::Watch;
use crate::routes::findings::ObjectKey;

/// Status writes at once.
const WRITERS: usize = 8;

/// A burst of changes of one Ingress is one write.
const DEBOUNCE: Duration = Duration::from_millis(20);

/// Between the end of an election and the next one.
const PAUSE: Duration = Duration::from_secs(2);

/// Where the addresses come from.
pub enum Front {
    /// The status of a Service, watched.
    Service(Watch<Service>),
    /// Given once and for all.
    Fixed(BTreeSet<Address>),
    /// No status is written.
    Nothing,
}

/// Everything that the leader works with.
pub struct Leader {
    /// For status writes.
    pub client: Client,
    /// For the lease alone.
    pub lease_client: Client,
    /// The lease; `None`: there is no election.
    pub lease: Option<LeaseSettings>,
    /// For events.
    pub recorder: Recorder,
    /// To find the objects that are written to.
    pub stores: Stores,
    /// What the data plane serves.
    pub published: channel::Receiver<Published>,
    /// Told of each change of leadership.
    pub leads: channel::Sender<bool>,
}

impl Leader {
    /// Works until `shutdown`; gives the lease back then.
    pub async fn run(self, front: Front, shutdown: CancellationToken) {
        let (addresses, watched) = channel::channel(BTreeSet::new());
        let writes = !matches!(front, Front::Nothing);
        let follow = follow(front, addresses, shutdown.clone());
        let work = async {
            while !shutdown.is_cancelled() {
                let (leadership, election) = match self.lease.clone() {
                    Some(lease) => {
                        let (leadership, task) = elect::start(self.lease_client.clone(), lease, shutdown.clone());
                        (leadership, Some(task))
                    }
                    None => (Leadership::unopposed(), None),
                };
                if shutdown.run_until_cancelled(leadership.acquired()).await == Some(true) {
                    self.leads.send_replace(true);
                    self.write(&leadership, writes.then(|| watched.clone()), &shutdown).await;
                    self.leads.send_replace(false);
                }
                if let Some(task) = election
                    && let Ok(Err(lost)) = task.await
                {
                    tracing::warn!(%lost, "status and events are another replica's now; serving on");
                }
                let _ = shutdown.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
            }
        };
        tokio::join!(follow, work);
    }

    /// Writes until the lease is lost or `shutdown`.
    async fn write(
        &self,
        leadership: &Leadership,
        watched: Option<channel::Receiver<BTreeSet<Address>>>,
        shutdown: &CancellationToken,
    ) {
        let stop = shutdown.child_token();
        let queue: Queue<ObjectKey> = Queue::with_debounce(WRITERS, DEBOUNCE);
        let handle = queue.handle();
        let write = |key: ObjectKey| {
            let (client, stores, published) = (self.client.clone(), self.stores.clone(), self.published.borrow().clone());
            let (addresses, leadership) = (watched.as_ref().map(|watched| watched.borrow().clone()), leadership.clone());
            async move {
                match addresses {
                    Some(addresses) if leadership.is_valid() => one(&client, &stores, &published, &addresses, &key).await,
                    _ => Requeue::Done,
                }
            }
        };
        let lost = async {
            leadership.lost().await;
            stop.cancel();
        };
        tokio::select! {
            () = lost => {}
            () = self.drive(&handle, watched.clone(), &stop) => {}
            () = queue.run(stop.clone(), write) => {}
        }
    }

    /// Tells what is new, and wakes the writers for every Ingress whose status may differ.
    async fn drive(
        &self,
        queue: &QueueHandle<ObjectKey>,
        watched: Option<channel::Receiver<BTreeSet<Address>>>,
        stop: &CancellationToken,
    ) {
        let (mut published, mut reporter) = (self.published.clone(), Reporter::default());
        let mut watched = watched;
        published.mark_changed();
        loop {
            let moved = async {
                match &mut watched {
                    Some(watched) => watched.changed().await.is_ok(),
                    None => std::future::pending().await,
                }
            };
            let go_on = tokio::select! {
                () = stop.cancelled() => return,
                changed = published.changed() => changed.is_ok(),
                moved = moved => moved,
            };
            if !go_on {
                return;
            }
            let current = published.borrow_and_update().clone();
            reporter.tell(&current.findings, &self.stores, &self.recorder);
            let addresses = watched.as_mut().map(|watched| watched.borrow_and_update().clone()).unwrap_or_default();
            for key in current.live().filter(|_| !addresses.is_empty()) {
                let shown = ingress(&self.stores, key);
                if shown.is_some_and(|ingress| status::published(&ingress) != addresses) {
                    queue.enqueue(key.clone());
                }
            }
        }
    }
}

/// The addresses of the front, as they change. With none known nothing is written: an address that was shown stays.
async fn follow(front: Front, addresses: channel::Sender<BTreeSet<Address>>, shutdown: CancellationToken) {
    match front {
        Front::Nothing => {}
        Front::Fixed(fixed) => {
            addresses.send_replace(fixed);
        }
        Front::Service(mut watch) => {
            while let Some(Some(change)) = shutdown.run_until_cancelled(watch.changes.next()).await {
                let now = change.after.map(|service| status::addresses_of(&service)).unwrap_or_default();
                addresses.send_if_modified(|known| std::mem::replace(known, now.clone()) != now);
            }
        }
    }
    shutdown.cancelled().await;
}

/// One status, if its Ingress is live.
async fn one(client: &Client, stores: &Stores, published: &Published, addresses: &BTreeSet<Address>, key: &ObjectKey) -> Requeue {
    let is_live = published.live().any(|live| live == key);
    let Some(ingress) = ingress(stores, key).filter(|_| is_live && !addresses.is_empty()) else { return Requeue::Done };
    match status::publish(client, &ingress, addresses).await {
        Ok(_) => Requeue::Done,
        Err(error) if error.class() == Class::Stale => Requeue::After(DEBOUNCE * 5),
        Err(error) => {
            tracing::warn!(%error, "status not published");
            Requeue::Backoff
        }
    }
}

fn ingress(stores: &Stores, key: &ObjectKey) -> Option<Arc<Ingress>> {
    stores.ingresses.get(&ObjectRef::new(&key.name).within(&key.namespace))
}
