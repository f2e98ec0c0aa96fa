//! Counts of AWS calls and their latency, for `/metrics` and for tests.
//!
//! Every attempt counts, also those that the SDK repeats by itself: that is what AWS's own throttles and the bill see.
//! Neighbours: `attempts.rs` reports attempts, `call.rs` reports waits.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::operation::Operation;

/// Upper bounds in seconds: a call takes 50 to 300 ms, a bad one up to the attempt's limit of 10 s.
const SECONDS: [f64; 9] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    service: &'static str,
    operation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    service: &'static str,
    operation: &'static str,
    outcome: String,
}

fn histogram() -> Histogram {
    Histogram::new(SECONDS)
}

/// The metrics of the AWS layer. Clones share them.
#[derive(Clone, Debug)]
pub struct Meter {
    calls: Family<OutcomeLabels, Counter>,
    seconds: Family<OperationLabels, Histogram, fn() -> Histogram>,
    waits: Family<OperationLabels, Histogram, fn() -> Histogram>,
    total: Counter,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            calls: Family::default(),
            seconds: Family::new_with_constructor(histogram),
            waits: Family::new_with_constructor(histogram),
            total: Counter::default(),
        }
    }
}

impl Meter {
    /// A meter whose metrics `registry` shows; the registry gives them the prefix `landfall`.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let meter = Self::default();
        // The text format adds `_total` to a counter's name.
        registry.register(
            "aws_calls",
            "Calls to AWS, each attempt counted, by outcome: ok or the error code",
            meter.calls.clone(),
        );
        registry.register("aws_call_seconds", "Time from sending an AWS call to its answer", meter.seconds.clone());
        registry.register(
            "aws_throttle_wait_seconds",
            "Time that AWS calls were held back by our own throttle, for those that had to wait",
            meter.waits.clone(),
        );
        meter
    }

    /// Attempts so far.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total.get()
    }

    /// Attempts of one operation with one outcome (`ok` or an error code) so far.
    #[must_use]
    pub fn count(&self, operation: Operation, outcome: &str) -> u64 {
        let labels = OutcomeLabels { service: operation.service(), operation: operation.name(), outcome: outcome.to_owned() };
        self.calls.get(&labels).map_or(0, |counter| counter.get())
    }

    pub(super) fn attempt(&self, operation: Operation, outcome: &str, took: Duration) {
        let (service, operation) = (operation.service(), operation.name());
        self.total.inc();
        self.calls.get_or_create(&OutcomeLabels { service, operation, outcome: outcome.to_owned() }).inc();
        self.seconds.get_or_create(&OperationLabels { service, operation }).observe(took.as_secs_f64());
    }

    pub(super) fn waited(&self, operation: Operation, wait: Duration) {
        let labels = OperationLabels { service: operation.service(), operation: operation.name() };
        self.waits.get_or_create(&labels).observe(wait.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_appear_under_their_documented_names() {
        let mut registry = Registry::with_prefix("landfall");
        let meter = Meter::register(&mut registry);
        meter.attempt(Operation::CreateListener, "ok", Duration::from_millis(80));
        meter.attempt(Operation::CreateListener, "DuplicateListener", Duration::from_millis(40));
        meter.waited(Operation::CreateListener, Duration::from_millis(10));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            r#"landfall_aws_calls_total{service="elasticloadbalancing",operation="CreateListener",outcome="ok"} 1"#,
            r#"landfall_aws_call_seconds_count{service="elasticloadbalancing",operation="CreateListener"} 2"#,
            r#"landfall_aws_throttle_wait_seconds_count{service="elasticloadbalancing",operation="CreateListener"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        assert_eq!(meter.total(), 2);
        assert_eq!(meter.count(Operation::CreateListener, "DuplicateListener"), 1);
    }
}
