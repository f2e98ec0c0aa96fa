//! What only one replica does: status and events, as long as it holds the lease. Traffic never depends on it.
//!
//! Who loses the lease stops writing and stands for election again; the data plane serves on.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::Ingress;
use kube::Client;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::watch as channel;
use tokio_util::sync::CancellationToken;

use super::feed::Stores;
use super::published::Published;
use super::report::Reporter;
use super::status::{self, Address};
use crate::clock::{self, Instant};
use crate::error::{Class, Classified};
use crate::kubernetes::Written;
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

/// Publications are looked through this often at most: under a rollout there are tens in a second, each with all Ingresses.
const LOOK: Duration = Duration::from_millis(100);

/// A status that somebody else keeps changing (two controllers for one class) is written this often at most.
const CONTESTED: Duration = Duration::from_secs(30);

/// Where the addresses come from.
pub enum Front {
    /// The status of a Service, watched.
    Service(Watch<Service>),
    /// Given once and for all.
    Fixed(BTreeSet<Address>),
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
    /// What [`follow`] finds; `None`: no status is written.
    pub addresses: Option<channel::Receiver<BTreeSet<Address>>>,
    /// Told of each change of leadership.
    pub leads: channel::Sender<bool>,
}

impl Leader {
    /// Works until `shutdown`; gives the lease back then.
    pub async fn run(self, shutdown: CancellationToken) {
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
                self.write(&leadership, &shutdown).await;
                self.leads.send_replace(false);
            }
            if let Some(task) = election
                && let Ok(Err(lost)) = task.await
            {
                tracing::warn!(%lost, "status and events are another replica's now; serving on");
            }
            let _ = shutdown.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
        }
    }

    /// Writes until the lease is lost or `shutdown`.
    async fn write(&self, leadership: &Leadership, shutdown: &CancellationToken) {
        let stop = shutdown.child_token();
        let queue: Queue<ObjectKey> = Queue::with_debounce(WRITERS, DEBOUNCE);
        let handle = queue.handle();
        let write = |key: ObjectKey| {
            let (client, stores, published) = (self.client.clone(), self.stores.clone(), self.published.borrow().clone());
            let addresses = self.addresses.as_ref().map(|addresses| addresses.borrow().clone());
            let leadership = leadership.clone();
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
            () = self.drive(&handle, &stop) => {}
            () = queue.run(stop.clone(), write) => {}
        }
    }

    /// Tells what is new, and wakes the writers for every Ingress whose status may differ.
    async fn drive(&self, queue: &QueueHandle<ObjectKey>, stop: &CancellationToken) {
        let (mut published, mut watched) = (self.published.clone(), self.addresses.clone());
        let mut reporter = Reporter::default();
        let mut asked = Asked::default();
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
            if !reporter.tell(&current.findings, &self.stores, &self.recorder) {
                published.mark_changed();
            }
            let addresses = watched.as_mut().map(|watched| watched.borrow_and_update().clone()).unwrap_or_default();
            let now = clock::now();
            asked.begin(&addresses, now);
            for key in current.live().filter(|_| !addresses.is_empty()) {
                let shown = ingress(&self.stores, key).filter(|ingress| status::published(ingress) != addresses);
                if let Some(ingress) = shown {
                    queue.enqueue_after(key.clone(), asked.delay(&ingress, now));
                }
            }
            // What is published meanwhile is one look.
            let _ = stop.run_until_cancelled(tokio::time::sleep(LOOK)).await;
        }
    }
}

/// Statuses that a write was asked for not long ago. One that is wrong again was changed by somebody else; if that is another
/// controller that does the same, writing at once would go on for ever, hundreds of times a second.
#[derive(Debug, Default)]
struct Asked {
    addresses: BTreeSet<Address>,
    /// By UID: another Ingress of the same name is nobody's contest.
    when: HashMap<String, Instant>,
}

impl Asked {
    /// Forgets what is long ago; and everything, when there is something new to show.
    fn begin(&mut self, addresses: &BTreeSet<Address>, now: Instant) {
        if self.addresses != *addresses {
            self.addresses = addresses.clone();
            self.when.clear();
        }
        self.when.retain(|_, when| now < *when + CONTESTED);
    }

    /// How long to wait before it is written (again).
    fn delay(&mut self, ingress: &Ingress, now: Instant) -> Duration {
        match self.when.entry(ingress.metadata.uid.clone().unwrap_or_default()) {
            Entry::Occupied(entry) => (*entry.get() + CONTESTED).saturating_duration_since(now),
            Entry::Vacant(entry) => {
                entry.insert(now);
                DEBOUNCE
            }
        }
    }
}

/// The addresses of the front, as they change, until `shutdown`. With none known nothing is written: an address that was shown stays.
/// From the beginning of the process on: a watch that nobody polls counts as dead.
pub async fn follow(front: Front, addresses: channel::Sender<BTreeSet<Address>>, shutdown: CancellationToken) {
    let mut watch = match front {
        Front::Fixed(fixed) => {
            addresses.send_replace(fixed);
            // Who dropped the sender would end the leader's work.
            return shutdown.cancelled().await;
        }
        Front::Service(watch) => watch,
    };
    let (mut synced, mut waiting) = (watch.synced(), true);
    loop {
        let change = tokio::select! {
            () = shutdown.cancelled() => return,
            _ = &mut synced, if waiting => {
                waiting = false;
                if watch.store.is_empty() {
                    tracing::warn!("--publish-service: there is no such Service; no status is written until there is");
                }
                continue;
            }
            change = watch.changes.next() => change,
        };
        let Some(change) = change else { return };
        let now = change.after.map(|service| status::addresses_of(&service)).unwrap_or_default();
        addresses.send_if_modified(|known| {
            let changed = std::mem::replace(known, now.clone()) != now;
            if changed {
                tracing::info!(addresses = ?now, "--publish-service: addresses for the status of Ingresses");
            }
            changed
        });
    }
}

/// One status, if its Ingress is live.
async fn one(client: &Client, stores: &Stores, published: &Published, addresses: &BTreeSet<Address>, key: &ObjectKey) -> Requeue {
    let is_live = published.is_live(key);
    let Some(ingress) = ingress(stores, key).filter(|_| is_live && !addresses.is_empty()) else { return Requeue::Done };
    match status::publish(client, &ingress, addresses).await {
        Ok(Written::Unchanged) => Requeue::Done,
        Ok(Written::Changed) => {
            tracing::info!(ingress = %key, ?addresses, "status published");
            Requeue::Done
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_contested_status_is_written_now_and_then() {
        let mut asked = Asked::default();
        let ingress = |uid: &str| {
            let mut ingress = Ingress::default();
            ingress.metadata.uid = Some(uid.to_owned());
            ingress
        };
        let [one, other] = ["a.example.com", "b.example.com"].map(|name| BTreeSet::from([Address::parse(name)]));
        let mut delay = |addresses: &BTreeSet<Address>, uid: &str| {
            let now = clock::now();
            asked.begin(addresses, now);
            asked.delay(&ingress(uid), now)
        };
        assert_eq!(delay(&one, "1"), DEBOUNCE);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(delay(&one, "1"), CONTESTED - Duration::from_secs(10), "somebody has changed it since");
        assert_eq!(delay(&one, "2"), DEBOUNCE, "made anew");
        assert_eq!(delay(&other, "1"), DEBOUNCE, "another address is news");
        tokio::time::advance(CONTESTED).await;
        assert_eq!(delay(&other, "1"), DEBOUNCE);
    }
}
