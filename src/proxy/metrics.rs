//! What the data plane counts, under ingress-nginx's names, so that its dashboards keep working.
//!
//! Each worker counts into numbers of its own that nobody else writes: an increment is a load and a store. A scrape reads
//! them all and adds them up. A lock is taken only when a new set of labels appears, and by the scrape.

mod exposition;

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;

pub use exposition::{Constant, Workers, register};

/// Sets of labels that a worker tells apart; what is beyond is counted under host and path `other`.
const SERIES_LIMIT: usize = 10_000;

/// Upper bounds of the buckets of times, in microseconds (Prometheus' defaults, as ingress-nginx uses them).
const TIMES: [u64; 11] = [5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000];

/// Upper bounds of the buckets of sizes, in bytes.
const SIZES: [u64; 7] = [10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];

/// A number with one writer.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, amount: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }

    pub(super) fn subtract(&self, amount: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).saturating_sub(amount), Ordering::Relaxed);
    }

    pub(super) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A histogram of `N` bounded buckets.
#[derive(Debug)]
struct Histogram<const N: usize> {
    bounds: &'static [u64; N],
    buckets: [Count; N],
    count: Count,
    sum: Count,
}

impl<const N: usize> Histogram<N> {
    fn new(bounds: &'static [u64; N]) -> Self {
        Self { bounds, buckets: std::array::from_fn(|_| Count::default()), count: Count::default(), sum: Count::default() }
    }

    fn observe(&self, value: u64) {
        let bucket = self.bounds.iter().zip(&self.buckets).find(|(bound, _)| value <= **bound);
        if let Some((_, bucket)) = bucket {
            bucket.add(1);
        }
        self.count.add(1);
        self.sum.add(value);
    }
}

/// What a request is counted under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Labels<'a> {
    pub host: &'a str,
    pub status: u16,
    pub method: &'a str,
    pub path: &'a str,
    pub namespace: &'a str,
    pub ingress: &'a str,
    pub service: &'a str,
}

/// What is known of a request when it is over.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measured {
    /// From the first byte of the request to the last of the response.
    pub request_time: Duration,
    /// Of the last endpoint tried: until it was connected to, until its response's head, until its response's end.
    pub connect_time: Option<Duration>,
    pub header_time: Option<Duration>,
    pub response_time: Option<Duration>,
    /// Bytes of head and body.
    pub request_size: u64,
    /// Bytes of the body.
    pub response_size: u64,
}

/// The numbers of one set of labels.
#[derive(Debug)]
pub(super) struct Series {
    labels: [Box<str>; 6],
    status: u16,
    requests: Count,
    request_time: Histogram<11>,
    connect_time: Histogram<11>,
    header_time: Histogram<11>,
    response_time: Histogram<11>,
    request_size: Histogram<7>,
    response_size: Histogram<7>,
}

impl Series {
    fn new(labels: &Labels<'_>) -> Self {
        let Labels { host, status, method, path, namespace, ingress, service } = *labels;
        Self {
            labels: [host, method, path, namespace, ingress, service].map(Box::from),
            status,
            requests: Count::default(),
            request_time: Histogram::new(&TIMES),
            connect_time: Histogram::new(&TIMES),
            header_time: Histogram::new(&TIMES),
            response_time: Histogram::new(&TIMES),
            request_size: Histogram::new(&SIZES),
            response_size: Histogram::new(&SIZES),
        }
    }

    fn is(&self, labels: &Labels<'_>) -> bool {
        let Labels { host, status, method, path, namespace, ingress, service } = *labels;
        self.status == status
            && self.labels.iter().zip([host, method, path, namespace, ingress, service]).all(|(have, want)| **have == *want)
    }

    /// A request is over.
    pub(super) fn observe(&self, measured: &Measured) {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.requests.add(1);
        self.request_time.observe(micros(measured.request_time));
        for (histogram, time) in [
            (&self.connect_time, measured.connect_time),
            (&self.header_time, measured.header_time),
            (&self.response_time, measured.response_time),
        ] {
            if let Some(time) = time {
                histogram.observe(micros(time));
            }
        }
        self.request_size.observe(measured.request_size);
        self.response_size.observe(measured.response_size);
    }
}

/// A worker's numbers, for all to read.
#[derive(Debug, Default)]
pub struct Stats {
    /// Connections accepted so far.
    pub(super) accepted: Count,
    /// Connections that are open.
    pub(super) active: Count,
    /// Of these: before their first request; with a request in flight.
    pub(super) reading: Count,
    pub(super) writing: Count,
    /// Requests read so far.
    pub(super) requests: Count,
    /// Idle upstream connections at the last tick.
    pub(super) upstream_idle: Count,
    /// Lines of the access log that were lost because nobody took them.
    pub(super) log_lost: Count,
    series: Mutex<Vec<Arc<Series>>>,
}

impl Stats {
    /// Connections accepted so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.get()
    }

    /// Connections that are open.
    #[must_use]
    pub fn active(&self) -> u64 {
        self.active.get()
    }

    fn series(&self) -> Vec<Arc<Series>> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A worker's own view of its numbers: finds those of a request without a lock.
#[derive(Debug)]
pub(super) struct Counters {
    pub stats: Arc<Stats>,
    known: RefCell<HashMap<u64, Vec<Arc<Series>>, RandomState>>,
    count: RefCell<usize>,
}

impl Counters {
    pub(super) fn new(stats: Arc<Stats>) -> Self {
        Self { stats, known: RefCell::default(), count: RefCell::default() }
    }

    /// The numbers of these labels.
    pub(super) fn series(&self, labels: &Labels<'_>) -> Arc<Series> {
        // Enough to tell most apart: what else there is follows from host and path, and is compared.
        let mut known = self.known.borrow_mut();
        let hash = known.hasher().hash_one((labels.host, labels.path, labels.status, labels.method));
        let alike = known.entry(hash).or_default();
        if let Some(series) = alike.iter().find(|series| series.is(labels)) {
            return Arc::clone(series);
        }
        let mut count = self.count.borrow_mut();
        if *count >= SERIES_LIMIT && labels.host != "other" {
            drop((known, count));
            return self.series(&Labels { host: "other", path: "other", ..*labels });
        }
        *count += 1;
        let series = Arc::new(Series::new(labels));
        alike.push(Arc::clone(&series));
        self.stats.series.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&series));
        series
    }
}

/// Methods have no series of their own unless they are among these.
pub(super) fn method(method: &http::Method) -> &str {
    match method.as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "OPTIONS" | "PATCH" | "PROPFIND") => known,
        _ => "OTHER",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels<'a>(host: &'a str, path: &'a str) -> Labels<'a> {
        Labels { host, status: 200, method: "GET", path, namespace: "default", ingress: "web", service: "web" }
    }

    #[test]
    fn series_are_bounded_and_what_is_beyond_is_counted_together() {
        let counters = Counters::new(Arc::default());
        let hosts: Vec<String> = (0..SERIES_LIMIT + 500).map(|number| format!("h{number}.example")).collect();
        for host in hosts.iter().chain(&hosts) {
            counters.series(&labels(host, "/")).observe(&Measured::default());
        }
        let all = counters.stats.series();
        assert_eq!(all.len(), SERIES_LIMIT + 1);
        let other = all.iter().find(|series| series.is(&labels("other", "other"))).unwrap();
        assert_eq!(other.requests.get(), 1000, "twice those that came too late");
        assert!(all.iter().all(|series| series.requests.get() == if Arc::ptr_eq(series, other) { 1000 } else { 2 }));
    }

    #[test]
    fn methods_that_clients_make_up_have_one_series() {
        for (name, expected) in [("GET", "GET"), ("PATCH", "PATCH"), ("get", "OTHER"), ("EVIL1", "OTHER"), ("EVIL2", "OTHER")] {
            assert_eq!(method(&http::Method::from_bytes(name.as_bytes()).unwrap()), expected);
        }
    }
}
