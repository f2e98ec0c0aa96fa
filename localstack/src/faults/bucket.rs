//! A token bucket, as AWS throttles calls with (EC2 developer guide, "Request throttling"). Imports nothing of the crate.

use jiff::Timestamp;

/// What is left in a bucket.
#[derive(Debug)]
pub(super) struct Tokens {
    left: f64,
    counted: Timestamp,
}

impl Tokens {
    pub(super) fn full(burst: u32, now: Timestamp) -> Self {
        Self { left: f64::from(burst), counted: now }
    }

    /// Takes a token; false when there is none.
    pub(super) fn take(&mut self, burst: u32, per_second: f64, now: Timestamp) -> bool {
        let passed = now.duration_since(self.counted).as_secs_f64().max(0.0);
        self.counted = now;
        self.left = (self.left + passed * per_second).min(f64::from(burst));
        let enough = self.left >= 1.0;
        if enough {
            self.left -= 1.0;
        }
        enough
    }
}
