//! The only place that reads time, and the signs of life that are measured with it.
//!
//! Imports nothing of the crate; everything may import this. [`now`] follows tokio's clock, which tests pause and advance;
//! decisions are made on it alone. [`wall`] is for what people and other programs read (`lastTransitionTime`, `renewTime`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use jiff::Timestamp;
pub use tokio::time::Instant;

/// Monotonic time.
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// Wall-clock time in UTC. Never compared with another machine's.
#[must_use]
pub fn wall() -> Timestamp {
    Timestamp::now()
}

/// When some part of the process last showed that it works. Clones share the time.
///
/// `/livez` asks each whether it is younger than its limit; a metric shows its age.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    shared: Arc<Beats>,
}

#[derive(Debug)]
struct Beats {
    name: String,
    limit: Duration,
    start: Instant,
    /// Milliseconds from `start` to the last beat.
    last: AtomicU64,
}

impl Heartbeat {
    /// A heartbeat that counts as beaten now, and as dead once it is older than `limit`.
    #[must_use]
    pub fn new(name: impl Into<String>, limit: Duration) -> Self {
        Self { shared: Arc::new(Beats { name: name.into(), limit, start: now(), last: AtomicU64::new(0) }) }
    }

    /// What beats: a component (`queue`) or a watched kind (`Service`).
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The age at which it counts as dead.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.shared.limit
    }

    /// Notes a sign of life.
    pub fn beat(&self) {
        let since_start = now().saturating_duration_since(self.shared.start);
        let millis = u64::try_from(since_start.as_millis()).unwrap_or(u64::MAX);
        self.shared.last.fetch_max(millis, Ordering::Relaxed);
    }

    /// Time since the last sign of life, to the millisecond.
    #[must_use]
    pub fn age(&self) -> Duration {
        let last = Duration::from_millis(self.shared.last.load(Ordering::Relaxed));
        now().saturating_duration_since(self.shared.start).saturating_sub(last)
    }

    /// Whether the last sign of life is younger than the limit.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.age() <= self.shared.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_heartbeat_dies_at_its_limit_and_revives_when_beaten() {
        let heartbeat = Heartbeat::new("Service", Duration::from_secs(10));
        let clone = heartbeat.clone();
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(heartbeat.is_alive());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!heartbeat.is_alive());
        assert_eq!(heartbeat.age(), Duration::from_millis(10_001));
        clone.beat();
        assert!(heartbeat.is_alive());
        assert_eq!(heartbeat.age(), Duration::ZERO);
    }
}
