//! Acceptance 4 of the data plane: 1,000 Ingresses with 5,000 routes, endpoints that change 50 times a second, Secrets that rotate,
//! Ingresses that come and go, all of it under load. Each change is in force soon, no request is lost, memory is bounded.
//!
//! A test of the program as it is built for tests, with bounds for a busy machine; and, by `make bench-routes`, of the program as
//! it is shipped, with the bounds of the issue.

mod changes;
mod objects;

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::Ingress;
use landfall_test_cluster::load::{Load, Plan, Sort, Tally};
use libtest_mimic::Trial;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::data_plane::{DataPlane, create_class, delete_class};
use crate::support::fixture;
use crate::support::wait;
use crate::support::world::World;
use changes::{Changes, Probe, Turns};
use objects::{INGRESSES, PATHS, SECRETS, SERVICES};

pub fn trials() -> Vec<Trial> {
    crate::trials_alone!("ingress_churn": changes_are_in_force_soon_under_load_and_memory_is_bounded)
}

/// Each of the two phases of churn: what the second one adds to memory is a leak.
const PHASE: Duration = Duration::from_secs(12);

/// Clients that ask for every route once, so that all that is remembered of routes is remembered before memory is looked at.
const WARMING: usize = 8;

/// What must hold.
#[derive(Clone, Copy)]
struct Limits {
    /// 99 of 100 changes are in force within this,
    in_force: Duration,
    /// or within so many times what 99 of 100 writes took the API server: on a machine that does many other things.
    writes: u32,
    /// Endpoint changes a second.
    rate: f64,
}

/// Of the program as shipped.
const SHIPPED: Limits = Limits { in_force: Duration::from_millis(100), writes: 0, rate: 49.0 };

/// Of a debug build, where the data plane, its clients, its endpoints and the cluster share two cores with other builds.
const BUSY: Limits = Limits { in_force: Duration::from_millis(1500), writes: 5, rate: 20.0 };

/// Resident memory after the churn, and after all Ingresses were deleted and made anew: as a multiple of that after loading.
const GROWTH: f64 = 1.25;

async fn changes_are_in_force_soon_under_load_and_memory_is_bounded(world: World) {
    let outcome = measure(&world).await;
    print!("{}", outcome.render(&BUSY));
    assert_eq!(outcome.missed(&BUSY), Vec::<String>::new());
}

/// `make bench-routes`: measures, prints a table, and fails when a limit is missed.
pub fn bench() -> ExitCode {
    let outcome = fixture::block_on(async { measure(&World::create("bench-churn", 0).await).await });
    print!("{}", outcome.render(&SHIPPED));
    let missed = outcome.missed(&SHIPPED);
    for what in &missed {
        eprintln!("limit missed: {what}");
    }
    if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What came out.
struct Outcome {
    changes: Changes,
    tally: Tally,
    /// Of both phases.
    length: Duration,
    /// Processor time of the data plane meanwhile, in seconds.
    cpu: f64,
    /// Tables made meanwhile: whole ones, and others with other endpoints.
    tables: (u64, u64),
    memory: Memory,
}

/// Resident memory of the data plane in MB.
struct Memory {
    empty: f64,
    /// All routes were asked for once.
    loaded: f64,
    /// After each phase.
    churned: [f64; 2],
    /// Without any Ingress.
    deleted: f64,
    /// With all of them again.
    anew: f64,
}

async fn measure(world: &World) -> Outcome {
    objects::start_backends().await;
    create_class(world).await;
    let data_plane = DataPlane::start(world, "a", &["--publish-status-address=192.0.2.1"]).await;
    let empty = data_plane.resident();
    objects::create_backing(world).await;
    objects::create_ingresses(world).await;
    ask_for_all(&data_plane).await;
    objects::published(world).await;
    let loaded = data_plane.resident();

    let loads: Vec<Load> = [(false, data_plane.http, 2), (true, data_plane.https, 1)]
        .into_iter()
        .map(|(tls, address, clients)| {
            let plan = Plan { addresses: vec![address], requests: objects::requests(tls).into(), tls, clients };
            Load::begin(&plan, &[Sort::Kept, Sort::New, Sort::Http2])
        })
        .collect();
    let (begun, cpu, tables) = (Instant::now(), data_plane.cpu(), tables(&data_plane).await);
    let (mut all, mut turns, mut churned) = (Changes::default(), Turns::new(), [0.0; 2]);
    for resident in &mut churned {
        all.add(changes::make(world, &mut turns, data_plane.http, data_plane.https, PHASE).await);
        *resident = data_plane.resident();
    }
    let (length, cpu, made) = (begun.elapsed(), data_plane.cpu() - cpu, self::tables(&data_plane).await);
    let mut tally = Tally::default();
    for load in loads {
        tally.add(load.stop().await);
    }

    objects::delete::<Ingress>(world).await;
    data_plane.answers(&objects::host(INGRESSES - 1), "/", 404).await;
    let deleted = data_plane.resident();
    objects::create_ingresses(world).await;
    ask_for_all(&data_plane).await;
    objects::published(world).await;
    let anew = data_plane.resident();
    data_plane.stop().await;

    objects::delete::<Ingress>(world).await;
    objects::delete::<Service>(world).await;
    objects::delete::<EndpointSlice>(world).await;
    objects::delete::<Secret>(world).await;
    delete_class(world).await;
    let memory = Memory { empty, loaded, churned, deleted, anew };
    let tables = (made.0 - tables.0, made.1 - tables.1);
    Outcome { changes: all, tally, length, cpu, tables, memory }
}

/// Asks for every route, each until it is answered.
async fn ask_for_all(data_plane: &DataPlane) {
    let mut clients = JoinSet::new();
    for tls in [false, true] {
        let (requests, address) = (objects::requests(tls), if tls { data_plane.https } else { data_plane.http });
        for share in requests.chunks(requests.len().div_ceil(WARMING / 2)).map(<[_]>::to_vec) {
            clients.spawn(async move {
                let mut probe = match tls {
                    true => Probe::connect_tls(address, &share[0].host).await,
                    false => Probe::connect(address).await,
                };
                for asked in share {
                    while !probe.ask(&asked.host, &asked.path).await.1.starts_with(&asked.answer) {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            });
        }
    }
    tokio::time::timeout(wait::LIMIT, clients.join_all()).await.expect("all routes are there within a minute");
}

/// How many tables the data plane has published: whole ones, others.
async fn tables(data_plane: &DataPlane) -> (u64, u64) {
    let metrics = data_plane.metrics().await.expect("metrics");
    let count = |change: &str| {
        let name = format!("landfall_table_update_duration_seconds_count{{change=\"{change}\"}} ");
        let found = metrics.lines().find_map(|line| line.strip_prefix(&name)?.trim().parse().ok());
        found.unwrap_or_else(|| panic!("{name} is not among the metrics"))
    };
    (count("objects"), if metrics.contains("change=\"endpoints\"") { count("endpoints") } else { 0 })
}

impl Outcome {
    fn kinds(&self) -> [(&'static str, &[Duration]); 4] {
        let Changes { endpoints, certificates, created, deleted, .. } = &self.changes;
        [
            ("an endpoint exchanged", endpoints),
            ("a certificate rotated", certificates),
            ("an Ingress created", created),
            ("an Ingress deleted", deleted),
        ]
    }

    /// Endpoint changes a second.
    fn rate(&self) -> f64 {
        self.changes.writes.len() as f64 / (PHASE * 2).as_secs_f64()
    }

    fn all(&self) -> Vec<Duration> {
        self.kinds().into_iter().flat_map(|(_, took)| took).copied().collect()
    }

    /// Markdown.
    fn render(&self, limits: &Limits) -> String {
        let (seconds, rate) = (self.length.as_secs_f64(), self.rate());
        let mut text = format!(
            "{INGRESSES} Ingresses, {} routes, {SERVICES} Services, {SECRETS} Secrets; {:.1} endpoint changes a second for {seconds:.0} s.\\\n\
             Load meanwhile: {}.\\\n\
             Tables published: {} whole, {} with other endpoints. Processor time: {:.2} s, {:.0} % of a core.\n\n\
             | from the API server's answer to the first request served so, ms | changes | median | 99 of 100 | limit | longest |\n\
             |---|---|---|---|---|---|\n",
            INGRESSES * PATHS,
            rate,
            self.tally,
            self.tables.0,
            self.tables.1,
            self.cpu,
            self.cpu / seconds * 100.0,
        );
        let mut row = |what: &str, took: &[Duration], limit: &str| {
            let at = |share| percentile(took, share).as_secs_f64() * 1e3;
            let (count, median, high, longest) = (took.len(), at(0.5), at(0.99), at(1.0));
            let _ = writeln!(text, "| {what} | {count} | {median:.1} | **{high:.1}** | {limit} | {longest:.1} |");
        };
        for (what, took) in self.kinds() {
            row(what, took, "");
        }
        row("all of these", &self.all(), &limits.in_force.as_millis().to_string());
        row("for comparison: the API server's answer to a write", &self.changes.writes, "");
        let Memory { empty, loaded, churned: [first, second], deleted, anew } = self.memory;
        let bound = loaded * GROWTH;
        text.push_str("\n| resident memory | MB | limit |\n|---|---|---|\n");
        for (what, megabytes, limit) in [
            ("nothing to serve", empty, None),
            ("all loaded, every route asked for once", loaded, None),
            ("after half of the churn", first, None),
            ("after all of it", second, Some(bound)),
            ("all Ingresses deleted", deleted, None),
            ("all of them again", anew, Some(bound)),
        ] {
            let limit = limit.map(|limit| format!("{limit:.1}")).unwrap_or_default();
            let _ = writeln!(text, "| {what} | **{megabytes:.1}** | {limit} |");
        }
        text
    }

    /// What is beyond its limit, in words.
    fn missed(&self, limits: &Limits) -> Vec<String> {
        let mut missed = Vec::new();
        let mut unless = |good: bool, what: String| {
            if !good {
                missed.push(what);
            }
        };
        let high = percentile(&self.all(), 0.99);
        let limit = limits.in_force.max(percentile(&self.changes.writes, 0.99) * limits.writes);
        unless(high <= limit, format!("99 of 100 changes are in force within {high:?}, not within {limit:?}"));
        let failed: Vec<_> = self.tally.failed.iter().take(10).collect();
        unless(failed.is_empty(), format!("{} requests failed, such as {failed:#?}", self.tally.failed.len()));
        unless(self.tally.sent > 2000, format!("a load of {} requests says nothing", self.tally.sent));
        let rate = self.rate();
        unless(rate >= limits.rate, format!("only {rate:.1} endpoint changes a second were written"));
        let Memory { loaded, churned: [_, second], anew, .. } = self.memory;
        unless(second <= loaded * GROWTH, format!("memory grew from {loaded:.1} MB to {second:.1} MB"));
        unless(
            anew <= loaded * GROWTH,
            format!("memory grew from {loaded:.1} MB to {anew:.1} MB with the same Ingresses made anew"),
        );
        missed
    }
}

fn percentile(took: &[Duration], share: f64) -> Duration {
    let mut sorted = took.to_vec();
    sorted.sort();
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or_default()
}
