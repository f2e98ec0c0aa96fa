//! What is served, and how tables are made, under ingress-nginx's names: its dashboards and alerts keep working.
//!
//! Asked of the table in force at each scrape, so that nothing of an earlier table is left. Every replica tells of its own
//! table; when certificates end is told by ingress-nginx's leader only.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use tokio::sync::watch as channel;

use super::published::Published;
use crate::clock::{self, Timestamp};
use crate::proxy::metrics::Constant;
use crate::routes::findings::{BACKEND_PORT_MISSING, BACKEND_REFUSED, BACKEND_SERVICE_MISSING, Kind};
use crate::telemetry::{self, Histograms, Process};

/// What all names begin with.
const PREFIX: &str = "nginx_ingress_controller";

/// Hosts whose certificates are told; those beyond are told by Secret, as host `other`.
const HOSTS_LIMIT: usize = 10_000;

/// All of a table was made.
pub const OBJECTS: &str = "objects";

/// Nothing but endpoints was exchanged.
pub const ENDPOINTS: &str = "endpoints";

/// Labels of `landfall_table_update_duration_seconds`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TableLabels {
    change: &'static str,
}

/// How tables are made. Clones share the numbers.
#[derive(Clone, Debug)]
pub struct TableMetrics {
    update_duration: Histograms<TableLabels>,
    outcome: Arc<Mutex<Outcome>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    made: u64,
    failed: u64,
    /// The last attempt was one that failed.
    fails: bool,
    last_made: Option<Timestamp>,
}

impl TableMetrics {
    /// Registers `landfall_table_update_duration_seconds`; the registry's prefix is `landfall`.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self { update_duration: telemetry::durations(), outcome: Arc::default() };
        registry.register_with_unit(
            "table_update_duration",
            "Time from the first of the changes that a route table was made for until it was in force",
            Unit::Seconds,
            metrics.update_duration.clone(),
        );
        metrics
    }

    /// A table is in force. `change`: [`OBJECTS`] (the whole of it was made) or [`ENDPOINTS`] (those of some Services were
    /// exchanged, for which ingress-nginx would not have reloaded); `took`: since the first of the changes was seen.
    pub fn made(&self, change: &'static str, took: Duration) {
        self.update_duration.get_or_create(&TableLabels { change }).observe(took.as_secs_f64());
        if change == OBJECTS {
            let mut outcome = self.outcome();
            outcome.made += 1;
            outcome.fails = false;
            outcome.last_made = Some(clock::wall());
        }
    }

    /// Whether the last table that was due is in force.
    #[must_use]
    pub fn works(&self) -> bool {
        let outcome = self.outcome();
        outcome.made > 0 && !outcome.fails
    }

    /// No table could be made: the one before stays in force.
    pub fn failed(&self) {
        let mut outcome = self.outcome();
        outcome.failed += 1;
        outcome.fails = true;
    }

    fn outcome(&self) -> MutexGuard<'_, Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells at each scrape what is served and how that came about; for a registry without a prefix.
#[derive(Debug)]
pub struct IngressMetrics {
    /// What the data plane serves.
    pub published: channel::Receiver<Published>,
    /// How that came about.
    pub tables: TableMetrics,
    /// Whether this replica leads.
    pub leading: channel::Receiver<bool>,
    /// Name of the lease; none: there is no election.
    pub lease: Option<String>,
    /// Labels of the pod.
    pub constant: Constant,
}

type Labels<'a> = Vec<(&'static str, &'a str)>;

impl Collector for IngressMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let published = self.published.borrow().clone();
        self.pod(&mut encoder)?;
        self.tables(&mut encoder)?;
        self.certificates(&mut encoder, &published)?;
        self.findings(&mut encoder, &published)?;
        self.process(&mut encoder)
    }
}

impl IngressMetrics {
    /// The pod's labels and these.
    fn labels<'a>(&'a self, more: impl IntoIterator<Item = (&'static str, &'a str)>) -> Labels<'a> {
        let mut labels = self.constant.labels();
        labels.extend(more);
        labels
    }

    fn pod(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let build = [("release", env!("CARGO_PKG_VERSION")), ("build", ""), ("repository", env!("CARGO_PKG_REPOSITORY"))];
        let help = "1, with what is running as labels";
        family(encoder, "build_info", help, MetricType::Gauge, [(self.labels(build), 1.0)])?;
        let leads = f64::from(u8::from(*self.leading.borrow()));
        let election = self.lease.iter().map(|name| (self.labels([("name", &**name)]), leads));
        family(encoder, "leader_election_status", "1 while this replica leads", MetricType::Gauge, election)
    }

    fn tables(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Outcome { made, failed, last_made, .. } = *self.tables.outcome();
        let one = |value: f64| [(self.labels([]), value)];
        let works = f64::from(u8::from(self.tables.works()));
        let (gauge, counter) = (MetricType::Gauge, MetricType::Unknown);
        family(encoder, "config_last_reload_successful", "Whether the last table that was due is in force", gauge, one(works))?;
        let name = "config_last_reload_successful_timestamp_seconds";
        family(encoder, name, "When a whole table was made last", gauge, last_made.map(|at| (self.labels([]), seconds(at))))?;
        family(encoder, "success", "Whole tables made", counter, one(telemetry::to_f64(made)))?;
        family(encoder, "errors", "Tables that could not be made", counter, one(telemetry::to_f64(failed)))
    }

    /// Those that the table's hosts are served with, as far as they are a Secret's.
    fn certificates(&self, encoder: &mut DescriptorEncoder<'_>, published: &Published) -> fmt::Result {
        let in_table = &published.table.certificates;
        let secrets: HashMap<_, _> = published
            .certificates
            .iter()
            .map(|(secret, certificate)| (Arc::as_ptr(&certificate.key), (secret, certificate)))
            .collect();
        let mut hosts: BTreeMap<&str, _> = in_table.by_name.iter().map(|(host, key)| (&**host, Arc::as_ptr(key))).collect();
        hosts.insert("_", Arc::as_ptr(&in_table.default));
        let beyond: HashSet<_> = hosts.values().skip(HOSTS_LIMIT).copied().collect();
        let told = hosts.into_iter().take(HOSTS_LIMIT).chain(beyond.into_iter().map(|key| ("other", key)));
        // What both metrics have as labels, and the certificate.
        let served = told.filter_map(|(host, key)| {
            let (secret, certificate) = secrets.get(&key)?;
            let labels: Labels<'_> = vec![
                ("namespace", &secret.namespace),
                ("class", &self.constant.class),
                ("host", host),
                ("secret_name", &secret.name),
                ("identifier", &certificate.leaf.identifier),
            ];
            Some((labels, &certificate.leaf))
        });
        let served: Vec<_> = served.collect();
        let expiry = served.iter().map(|(labels, leaf)| (labels.clone(), seconds(leaf.not_after)));
        let help = "Seconds from 1970 to the end of the certificate that a host is served with";
        family(encoder, "ssl_expire_time_seconds", help, MetricType::Gauge, expiry)?;
        let about = served.into_iter().map(|(mut labels, leaf)| {
            labels.extend([
                ("issuer_organization", &*leaf.issuer.organization),
                ("issuer_common_name", &leaf.issuer.common_name),
                ("serial_number", &leaf.serial),
                ("public_key_algorithm", leaf.algorithm),
            ]);
            (labels, 1.0)
        });
        family(encoder, "ssl_certificate_info", "1, with what a certificate says as labels", MetricType::Gauge, about)
    }

    fn findings(&self, encoder: &mut DescriptorEncoder<'_>, published: &Published) -> fmt::Result {
        let table = &published.table;
        let with = |codes: &[&str]| -> BTreeSet<_> {
            let findings = published.findings.iter();
            let found = findings.filter(|finding| finding.kind == Kind::Ingress && codes.contains(&finding.code));
            found.map(|finding| &finding.object).collect()
        };
        let (missing, unserved) = (with(&[BACKEND_SERVICE_MISSING]), with(&[BACKEND_PORT_MISSING, BACKEND_REFUSED]));
        let orphans = published.ingresses.iter().flat_map(|ingress| {
            let key = &ingress.key;
            let no_service = missing.contains(key);
            let mut backends = ingress.backends.iter().filter_map(|index| table.backend(*index));
            let no_endpoint = unserved.contains(key) || backends.any(|backend| backend.endpoints.is_empty());
            let kinds = [("no-service", no_service), ("no-endpoint", no_endpoint)];
            kinds.into_iter().filter(|(_, is)| *is).map(move |(kind, _)| (key, kind))
        });
        let orphans = orphans
            .map(|(key, kind)| (self.labels([("namespace", &*key.namespace), ("ingress", &*key.name), ("type", kind)]), 1.0));
        let help = "1 for an Ingress that names a Service which does not exist, or which nobody serves";
        family(encoder, "orphan_ingress", help, MetricType::Gauge, orphans)?;

        let mut counts: BTreeMap<_, u32> = BTreeMap::new();
        for finding in &*published.findings {
            *counts.entry((finding.code, finding.severity)).or_default() += 1;
        }
        let counts = counts
            .into_iter()
            .map(|((code, severity), count)| (vec![("reason", code), ("severity", severity.as_str())], f64::from(count)));
        let help = "What is wrong with objects, or ignored, at this moment";
        let mut metric = encoder.encode_descriptor("landfall_findings", help, None, MetricType::Gauge)?;
        counts.into_iter().try_for_each(|(labels, value)| metric.encode_family(&labels)?.encode_gauge(&value))
    }

    fn process(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(process) = Process::read() else { return Ok(()) };
        let (gauge, counter) = (MetricType::Gauge, MetricType::Unknown);
        for (name, help, kind, value) in [
            ("num_procs", "Processes", gauge, Some(1.0)),
            ("cpu_seconds_total", "Processor time", counter, Some(process.cpu_seconds)),
            ("resident_memory_bytes", "Memory in use", gauge, Some(process.resident_bytes)),
            ("virtual_memory_bytes", "Address space in use", gauge, Some(process.virtual_bytes)),
            ("oldest_start_time_seconds", "Seconds from 1970 to the start", gauge, Some(process.start_seconds)),
            ("read_bytes_total", "Bytes read from disks", counter, process.read_bytes),
            ("write_bytes_total", "Bytes written to disks", counter, process.written_bytes),
        ] {
            let value = value.map(|value| (self.labels([]), value));
            family(encoder, &format!("nginx_process_{name}"), help, kind, value)?;
        }
        Ok(())
    }
}

/// One metric with all its values.
fn family<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    kind: MetricType,
    values: impl IntoIterator<Item = (Labels<'a>, f64)>,
) -> fmt::Result {
    let name = format!("{PREFIX}_{name}");
    let mut metric = encoder.encode_descriptor(&name, help, None, kind)?;
    values.into_iter().try_for_each(|(labels, value)| metric.encode_family(&labels)?.encode_gauge(&value))
}

/// Since 1970.
fn seconds(time: Timestamp) -> f64 {
    time.as_duration().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::compile::fixtures::{World, rule, rules, secret_for};

    fn scraped(metrics: IngressMetrics) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(metrics));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    fn metrics(world: &World, tables: TableMetrics, lease: Option<&str>) -> IngressMetrics {
        let published = Published::new(world.compile());
        IngressMetrics {
            published: channel::channel(published).1,
            tables,
            leading: channel::channel(true).1,
            lease: lease.map(ToOwned::to_owned),
            constant: Constant { namespace: "ns".into(), class: "k8s.io/ingress-nginx".into(), pod: "pod-1".into() },
        }
    }

    fn tables() -> TableMetrics {
        TableMetrics::register(&mut Registry::default())
    }

    /// Lines of a metric, without what all names and most labels begin with.
    fn lines(text: &str, name: &str) -> Vec<String> {
        const POD: &str = r#"controller_namespace="ns",controller_class="k8s.io/ingress-nginx",controller_pod="pod-1""#;
        let start = format!("nginx_ingress_controller_{name}{{");
        let found = text.lines().filter_map(|line| line.strip_prefix(&start));
        found.map(|line| line.replace(&format!("{POD},"), "").replace(POD, "")).collect()
    }

    #[test]
    fn certificates_that_hosts_are_served_with() {
        let tls = |host: &str, secret: &str| {
            format!("tls: [{{hosts: [{host}], secretName: {secret}}}], {}", rules(host, &[("/", "Prefix", "web")]))
        };
        let world = World::new()
            .secret(secret_for("a", &["a.com"], (2020, 2030)))
            .secret(secret_for("unused", &["b.com"], (2020, 2040)))
            .ingress("a", &tls("a.com", "a"))
            .ingress("b", &tls("b.com", "missing"))
            .ingress("c", &tls("c.com", "unused"));
        let text = scraped(metrics(&world, tables(), None));
        let [expiry] = &lines(&text, "ssl_expire_time_seconds")[..] else { panic!("{text}") };
        let labels = r#"namespace="default",class="k8s.io/ingress-nginx",host="a.com",secret_name="a",identifier="-"#;
        assert!(expiry.starts_with(labels) && expiry.ends_with("} 1893456000.0"), "{expiry}");
        let [about] = &lines(&text, "ssl_certificate_info")[..] else { panic!("{text}") };
        assert!(about.contains(r#"issuer_common_name="rcgen self signed cert""#), "{about}");
        assert!(about.contains(r#"public_key_algorithm="ECDSA""#), "{about}");

        let default = |settings: &mut crate::routes::compile::Settings| {
            settings.default_ssl_certificate = Some("default/unused".parse().unwrap());
        };
        let text = scraped(metrics(&world.with(default), tables(), None));
        let hosts = ["_", "a.com", "b.com", "c.com"];
        let expiry = lines(&text, "ssl_expire_time_seconds");
        assert_eq!(expiry.len(), hosts.len(), "{expiry:#?}");
        for (line, host) in expiry.iter().zip(hosts) {
            let secret = if host == "a.com" { "a" } else { "unused" };
            assert!(line.contains(&format!(r#"host="{host}",secret_name="{secret}""#)), "{line}");
        }
    }

    #[test]
    fn of_very_many_hosts_the_rest_is_told_by_secret() {
        let hosts: Vec<_> = (0..=HOSTS_LIMIT).map(|n| rule(&format!("{n}.a.com"), &[("/", "Prefix", "web")])).collect();
        let spec = format!("tls: [{{secretName: a}}], rules: [{}]", hosts.join(", "));
        let world = World::new().secret(secret_for("a", &["*.a.com"], (2020, 2030))).ingress("many", &spec);
        let text = scraped(metrics(&world, tables(), None));
        for name in ["ssl_expire_time_seconds", "ssl_certificate_info"] {
            let lines = lines(&text, name);
            assert_eq!(lines.len(), HOSTS_LIMIT + 1, "{name}");
            let others = lines.iter().filter(|line| line.contains(r#"host="other",secret_name="a""#));
            assert_eq!(others.count(), 1, "{name}");
        }
    }

    #[test]
    fn what_is_wrong_with_ingresses() {
        let path = |service| rules(&format!("{service}.com"), &[("/", "Prefix", service)]);
        let world = World::new()
            .service("idle", "ports: [{port: 80}]")
            .ingress("fine", &path("web"))
            .ingress("idle", &path("idle"))
            .ingress("lost", &path("nothing"))
            .ingress("port", &rules("port.com", &[("/", "Prefix", "web:81")]));
        let text = scraped(metrics(&world, tables(), None));
        let expected = [
            r#"namespace="default",ingress="idle",type="no-endpoint"} 1.0"#,
            r#"namespace="default",ingress="lost",type="no-service"} 1.0"#,
            r#"namespace="default",ingress="port",type="no-endpoint"} 1.0"#,
        ];
        let mut orphans = lines(&text, "orphan_ingress");
        orphans.sort();
        assert_eq!(orphans, expected);
        let finding = r#"landfall_findings{reason="BackendServiceMissing",severity="error"} 1.0"#;
        assert!(text.lines().any(|line| line == finding), "{text}");
    }

    #[test]
    fn how_tables_are_made_and_who_leads() {
        let (world, tables) = (World::new(), tables());
        let text = || scraped(metrics(&world, tables.clone(), Some("ingress-controller-leader")));
        let values = |text: &str| ["config_last_reload_successful", "success", "errors"].map(|name| lines(text, name).concat());
        assert_eq!(values(&text()), ["} 0.0", "} 0.0", "} 0.0"], "nothing is served yet");
        tables.made(OBJECTS, Duration::ZERO);
        assert_eq!(values(&text()), ["} 1.0", "} 1.0", "} 0.0"]);
        tables.failed();
        assert_eq!(values(&text()), ["} 0.0", "} 1.0", "} 1.0"]);
        tables.made(OBJECTS, Duration::ZERO);
        tables.made(ENDPOINTS, Duration::ZERO);
        let text = text();
        assert_eq!(values(&text), ["} 1.0", "} 2.0", "} 1.0"], "an exchange of endpoints is no reload");
        assert_eq!(lines(&text, "leader_election_status"), [r#"name="ingress-controller-leader"} 1.0"#]);
        for name in ["config_last_reload_successful_timestamp_seconds", "nginx_process_resident_memory_bytes", "build_info"] {
            assert_eq!(lines(&text, name).len(), 1, "{name}: {text}");
        }
    }
}
