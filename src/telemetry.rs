//! Logs and metrics of the process.
//!
//! Logs go to standard error, so that what a command prints stays clean. Here are the controller's metrics and
//! what all are made with; others are in `aws/meter.rs`, `proxy/metrics.rs` and `ingress/metrics.rs`. Who measures holds a
//! clone of [`Metrics`]. Served by [`crate::admin`]. Imports `clock` only.

mod process;

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::clock::Heartbeat;
pub use process::Process;

/// `--log-format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One line for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not one.
    #[error(
        "--log-level {filter:?}: {reason}; give error, warn, info, debug or trace, or directives like info,landfall::aws=debug"
    )]
    Filter {
        /// As given.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Something else in this process logs already.
    #[error("logging is set up twice: {0}")]
    Twice(String),
}

/// Reads a filter: a level, or directives like `info,landfall::aws=debug`.
///
/// # Errors
/// The filter is malformed.
pub fn filter(text: &str) -> Result<EnvFilter, TelemetryError> {
    // The builder's default would drop everything for an empty filter.
    let text = if text.trim().is_empty() { "info" } else { text };
    EnvFilter::builder()
        .parse(text)
        .map_err(|error| TelemetryError::Filter { filter: text.to_owned(), reason: error.to_string() })
}

/// Starts logging to standard error, for the whole process.
///
/// # Errors
/// The filter is malformed, or logging was started before.
pub fn init(format: LogFormat, level: &str) -> Result<(), TelemetryError> {
    subscriber(format, filter(level)?, std::io::stderr).try_init().map_err(|error| TelemetryError::Twice(error.to_string()))
}

type Subscriber = Box<dyn tracing::Subscriber + Send + Sync>;

fn subscriber<W>(format: LogFormat, filter: EnvFilter, writer: W) -> Subscriber
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    match format {
        LogFormat::Text => Box::new(registry.with(layer.with_ansi(false))),
        LogFormat::Json => {
            Box::new(registry.with(layer.json().flatten_event(true).with_current_span(true).with_span_list(false)))
        }
    }
}

/// Labels of [`Metrics::reconcile_duration`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReconcileLabels {
    /// `service`, later `ingress`.
    pub controller: &'static str,
    /// `ok`, `gone`, `foreign`, or the class of the error.
    pub result: &'static str,
}

/// Labels of [`Metrics::stage_duration`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StageLabels {
    /// `sweep`: the stages of a single run are too short to be worth a series.
    pub stage: &'static str,
}

/// Labels of [`Metrics::plan_steps`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StepLabels {
    /// Kind of step, like `create-listener`.
    pub step: &'static str,
}

/// A family of histograms, built by a plain function.
pub type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// Histograms of times, from 1 ms to 65 s.
#[must_use]
pub fn durations<L: Clone + std::hash::Hash + Eq>() -> Histograms<L> {
    Family::new_with_constructor(|| Histogram::new((0..17).map(|n| 0.001 * f64::from(1_u32 << n))))
}

/// As metrics are written. Exact up to 2^53, which no number of ours reaches while anybody looks.
#[must_use]
#[allow(clippy::cast_precision_loss)]
pub fn to_f64(value: u64) -> f64 {
    value as f64
}

/// Everything that is counted and timed. Clones share the numbers.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// `landfall_reconcile_duration_seconds{controller,result}`.
    pub reconcile_duration: Histograms<ReconcileLabels>,
    /// `landfall_stage_duration_seconds{stage}`.
    pub stage_duration: Histograms<StageLabels>,
    /// `landfall_plan_steps_total{step}`.
    pub plan_steps: Family<StepLabels, Counter>,
}

impl Metrics {
    /// The registry of the process with these metrics in it. Add sampled ones with [`sample`] before serving it.
    #[must_use]
    pub fn new() -> (Self, Registry) {
        let metrics = Self { reconcile_duration: durations(), stage_duration: durations(), plan_steps: Family::default() };
        let mut registry = Registry::with_prefix("landfall");
        registry.register_with_unit(
            "reconcile_duration",
            "Time from the start of a reconcile to its end",
            Unit::Seconds,
            metrics.reconcile_duration.clone(),
        );
        registry.register_with_unit(
            "stage_duration",
            "Time taken by one stage of a reconcile",
            Unit::Seconds,
            metrics.stage_duration.clone(),
        );
        registry.register("plan_steps", "Steps of plans that were carried out", metrics.plan_steps.clone());
        (metrics, registry)
    }
}

/// Labels and value of one gauge at the time of a scrape.
pub type Sample = (Vec<(&'static str, String)>, f64);

/// Registers a gauge whose values are asked for at each scrape: nobody has to keep it up to date.
pub fn sample(
    registry: &mut Registry,
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    values: impl Fn() -> Vec<Sample> + Send + Sync + 'static,
) {
    registry.register_collector(Box::new(Sampled { name, help, unit, values: Box::new(values) }));
}

/// `landfall_watch_last_event_seconds{kind}`: age of each watch's last sign of life.
pub fn sample_watches(registry: &mut Registry, watches: Vec<Heartbeat>) {
    let values =
        move || watches.iter().map(|watch| (vec![("kind", watch.name().to_owned())], watch.age().as_secs_f64())).collect();
    sample(registry, "watch_last_event", "Age of the last sign of life of a watch", Some(Unit::Seconds), values);
}

/// `landfall_queue_depth`: keys that are due and wait for a worker.
pub fn sample_queue(registry: &mut Registry, depth: impl Fn() -> usize + Send + Sync + 'static) {
    let values = move || vec![(Vec::new(), f64::from(u32::try_from(depth()).unwrap_or(u32::MAX)))];
    sample(registry, "queue_depth", "Objects that are due and wait for a worker", None, values);
}

/// `landfall_leader`: 1 while this process may act.
pub fn sample_leader(registry: &mut Registry, is_leader: impl Fn() -> bool + Send + Sync + 'static) {
    let values = move || vec![(Vec::new(), f64::from(u8::from(is_leader())))];
    sample(registry, "leader", "1 while this process is the leader", None, values);
}

/// `landfall_owned_load_balancers`: load balancers of this cluster that are known to exist.
pub fn sample_owned(registry: &mut Registry, count: impl Fn() -> usize + Send + Sync + 'static) {
    let values = move || vec![(Vec::new(), f64::from(u32::try_from(count()).unwrap_or(u32::MAX)))];
    sample(registry, "owned_load_balancers", "Load balancers of this cluster", None, values);
}

struct Sampled {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    values: Box<dyn Fn() -> Vec<Sample> + Send + Sync>,
}

impl fmt::Debug for Sampled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sampled").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Collector for Sampled {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut metric = encoder.encode_descriptor(self.name, self.help, self.unit.as_ref(), MetricType::Gauge)?;
        for (labels, value) in (self.values)() {
            if labels.is_empty() {
                metric.encode_gauge(&value)?;
            } else {
                metric.encode_family(&labels)?.encode_gauge(&value)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, level: &str, log: impl FnOnce()) -> String {
        let written = Written::default();
        let writer = written.clone();
        tracing::subscriber::with_default(subscriber(format, filter(level).unwrap(), move || writer.clone()), log);
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn json_lines_carry_fields_and_span() {
        let text = logged(LogFormat::Json, "info", || {
            let _span = tracing::info_span!("reconcile", object = "ns/web").entered();
            tracing::info!(step = "create-listener", "applied");
            tracing::debug!("not shown");
        });
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["message"], &line["step"]), (&"applied".into(), &"create-listener".into()));
        assert_eq!(line["span"]["object"], "ns/web");
    }

    #[test]
    fn text_lines_are_plain() {
        let text = logged(LogFormat::Text, "warn,landfall=debug", || tracing::debug!(step = "x", "applied"));
        assert!(text.contains("DEBUG") && text.contains("applied step=\"x\""), "{text}");
        assert!(!text.contains('\u{1b}'), "no colours in a file");
        assert!(!logged(LogFormat::Text, "", || tracing::info!("shown")).is_empty(), "an empty filter is info");
    }

    #[test]
    fn a_bad_filter_is_named_with_its_flag() {
        let error = filter("landfall=loud").unwrap_err().to_string();
        assert!(error.starts_with("--log-level \"landfall=loud\": "), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_names_of_the_metrics_are_a_promise() {
        let (metrics, mut registry) = Metrics::new();
        let heartbeat = Heartbeat::new("Service", Duration::from_secs(60));
        tokio::time::advance(Duration::from_millis(2500)).await;
        sample_watches(&mut registry, vec![heartbeat]);
        sample_queue(&mut registry, || 3);
        sample_leader(&mut registry, || true);
        sample_owned(&mut registry, || 2);
        metrics.reconcile_duration.get_or_create(&ReconcileLabels { controller: "service", result: "done" }).observe(0.003);
        metrics.stage_duration.get_or_create(&StageLabels { stage: "build" }).observe(0.003);
        metrics.plan_steps.get_or_create(&StepLabels { step: "create-listener" }).inc();
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let expected = [
            r#"landfall_reconcile_duration_seconds_count{controller="service",result="done"} 1"#,
            r#"landfall_reconcile_duration_seconds_bucket{le="0.004",controller="service",result="done"} 1"#,
            r#"landfall_stage_duration_seconds_count{stage="build"} 1"#,
            r#"landfall_plan_steps_total{step="create-listener"} 1"#,
            r#"landfall_watch_last_event_seconds{kind="Service"} 2.5"#,
            "landfall_queue_depth 3.0",
            "landfall_leader 1.0",
            "landfall_owned_load_balancers 2.0",
        ];
        for line in expected {
            assert!(text.lines().any(|have| have == line), "{line} is not in\n{text}");
        }
    }
}
