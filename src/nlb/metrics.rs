//! What the NLB half counts, in the process' metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::apply::Outcome;
use super::diff::render;
use crate::telemetry::{self, ReconcileLabels, StageLabels, StepLabels};

/// Cheap to clone; clones share the numbers.
#[derive(Clone, Debug)]
pub struct Metrics {
    shared: telemetry::Metrics,
    orphans: Arc<AtomicUsize>,
}

impl Metrics {
    /// Counts into the process' metrics.
    #[must_use]
    pub fn new(shared: telemetry::Metrics) -> Self {
        Self { shared, orphans: Arc::default() }
    }

    /// A run ended.
    pub(super) fn reconciled(&self, result: &'static str, took: Duration) {
        let labels = ReconcileLabels { controller: "service", result };
        self.shared.reconcile_duration.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A plan was carried out.
    pub(super) fn applied(&self, outcome: &Outcome) {
        for step in &outcome.done {
            self.shared.plan_steps.get_or_create(&StepLabels { step: render::kind(&step.action) }).inc();
        }
    }

    /// A sweep ended.
    pub(super) fn swept(&self, took: Duration) {
        self.shared.stage_duration.get_or_create(&StageLabels { stage: "sweep" }).observe(took.as_secs_f64());
    }

    /// So many Services that do not exist, or that flags do not claim any more, own something in AWS.
    pub(super) fn set_orphans(&self, count: usize) {
        self.orphans.store(count, Ordering::Relaxed);
    }

    /// For the gauge `landfall_orphans`.
    #[must_use]
    pub fn orphans(&self) -> usize {
        self.orphans.load(Ordering::Relaxed)
    }
}
