//! The numbers of all workers, added up at each scrape.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::{Count, Histogram, Series, Stats};
use crate::telemetry::to_f64;

/// Labels that are the same on everything: those of the pod.
#[derive(Clone, Debug, Default)]
pub struct Constant {
    /// `controller_namespace`.
    pub namespace: String,
    /// `controller_class`.
    pub class: String,
    /// `controller_pod`.
    pub pod: String,
}

impl Constant {
    /// Names and values.
    #[must_use]
    pub fn labels(&self) -> Vec<(&'static str, &str)> {
        let Self { namespace, class, pod } = self;
        vec![("controller_namespace", namespace), ("controller_class", class), ("controller_pod", pod)]
    }
}

/// The workers' numbers, which are known once the data plane has started; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Workers(Arc<OnceLock<Vec<Arc<Stats>>>>);

impl Workers {
    /// The data plane has started. Only the first time counts.
    pub fn set(&self, stats: Vec<Arc<Stats>>) {
        let _ = self.0.set(stats);
    }

    fn iter(&self) -> impl Iterator<Item = &Arc<Stats>> {
        self.0.get().into_iter().flatten()
    }
}

/// Adds the data plane's metrics to a registry, which has to be one without a prefix: the names are ingress-nginx's.
pub fn register(registry: &mut Registry, workers: Workers, constant: Constant) {
    registry.register_collector(Box::new(Exposition { workers, constant }));
}

#[derive(Debug)]
struct Exposition {
    workers: Workers,
    constant: Constant,
}

type Families<'a> = HashMap<(&'a [Box<str>; 6], u16), Vec<&'a Series>>;

/// One of a series' histograms.
type Part<const N: usize> = fn(&Series) -> &Histogram<N>;

type Pairs<'a> = Vec<(&'static str, &'a str)>;

impl Exposition {
    fn sum(&self, count: impl Fn(&Stats) -> &Count) -> u64 {
        self.workers.iter().map(|stats| count(stats).get()).sum()
    }

    /// `nginx_ingress_controller_nginx_process_*`.
    fn process(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (active, reading, writing) = (self.sum(|s| &s.active), self.sum(|s| &s.reading), self.sum(|s| &s.writing));
        let accepted = self.sum(|s| &s.accepted);
        let waiting = active.saturating_sub(reading).saturating_sub(writing);
        let name = "nginx_ingress_controller_nginx_process_connections";
        let mut metric =
            encoder.encode_descriptor(name, "current number of client connections with state", None, MetricType::Gauge)?;
        for (state, value) in [("active", active), ("reading", reading), ("writing", writing), ("waiting", waiting)] {
            self.value(&mut metric, ("state", state), value)?;
        }
        let mut metric = encoder.encode_descriptor(
            "nginx_ingress_controller_nginx_process_connections_total",
            "total number of connections with state",
            None,
            MetricType::Unknown,
        )?;
        for state in ["accepted", "handled"] {
            self.value(&mut metric, ("state", state), accepted)?;
        }
        for (name, help, value) in [
            (
                "nginx_ingress_controller_nginx_process_requests_total",
                "total number of client requests",
                self.sum(|s| &s.requests),
            ),
            ("landfall_access_log_lost_lines", "Lines of the access log that nobody took in time", self.sum(|s| &s.log_lost)),
            ("landfall_upstream_idle_connections", "Idle connections to endpoints", self.sum(|s| &s.upstream_idle)),
        ] {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Unknown)?;
            metric.encode_family(&self.constant.labels())?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn value(&self, metric: &mut MetricEncoder<'_>, label: (&'static str, &str), value: u64) -> fmt::Result {
        let mut labels = self.constant.labels();
        labels.push(label);
        metric.encode_family(&labels)?.encode_gauge(&value)
    }

    fn labels<'a>(&'a self, (labels, _): &(&'a [Box<str>; 6], u16), status: &'a str) -> Pairs<'a> {
        let [host, method, path, namespace, ingress, service] = labels;
        let mut all = self.constant.labels();
        all.extend([
            ("host", &**host),
            ("status", status),
            ("method", &**method),
            ("path", &**path),
            ("namespace", &**namespace),
            ("ingress", &**ingress),
            ("service", &**service),
            ("canary", ""),
        ]);
        all
    }

    fn histograms<const N: usize>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        families: &Families<'_>,
        (name, help, unit): (&str, &str, Option<&Unit>),
        scale: f64,
        histogram: Part<N>,
    ) -> fmt::Result {
        let mut metric = encoder.encode_descriptor(name, help, unit, MetricType::Histogram)?;
        for (key, series) in families {
            let all = || series.iter().map(|series| histogram(series));
            let count: u64 = all().map(|histogram| histogram.count.get()).sum();
            if count == 0 {
                continue;
            }
            let sum: u64 = all().map(|histogram| histogram.sum.get()).sum();
            let bounds = all().next().map_or(&[][..], |histogram| &histogram.bounds[..]);
            let bucket = |at: usize| all().filter_map(|histogram| histogram.buckets.get(at)).map(Count::get).sum::<u64>();
            let mut buckets: Vec<(f64, u64)> =
                bounds.iter().enumerate().map(|(at, bound)| (to_f64(*bound) * scale, bucket(at))).collect();
            let bounded: u64 = buckets.iter().map(|(_, count)| count).sum();
            buckets.push((f64::INFINITY, count.saturating_sub(bounded)));
            let status = key.1.to_string();
            let labels = self.labels(key, &status);
            metric.encode_family(&labels)?.encode_histogram::<NoLabelSet>(to_f64(sum) * scale, count, &buckets, None)?;
        }
        Ok(())
    }
}

impl Collector for Exposition {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.process(&mut encoder)?;
        let series: Vec<Arc<Series>> = self.workers.iter().flat_map(|stats| stats.series()).collect();
        let mut families = Families::new();
        for series in &series {
            families.entry((&series.labels, series.status)).or_default().push(series);
        }
        // A counter of OpenMetrics would end in `_total`, which the dashboards do not ask for.
        let name = "nginx_ingress_controller_requests";
        let mut metric = encoder.encode_descriptor(name, "total number of client requests", None, MetricType::Unknown)?;
        for (key, series) in &families {
            let status = key.1.to_string();
            let count: u64 = series.iter().map(|series| series.requests.get()).sum();
            metric.encode_family(&self.labels(key, &status))?.encode_gauge(&count)?;
        }
        const MICROS: f64 = 1e-6;
        let seconds = Some(&Unit::Seconds);
        let prefix = "nginx_ingress_controller";
        let times: [(&str, &str, Part<11>); 4] = [
            ("request_duration", "request processing time", |s| &s.request_time),
            ("connect_duration", "time spent on establishing a connection with the upstream server", |s| &s.connect_time),
            ("header_duration", "time spent on receiving first header from the upstream server", |s| &s.header_time),
            ("response_duration", "time spent on receiving the response from the upstream server", |s| &s.response_time),
        ];
        for (name, help, histogram) in times {
            self.histograms(&mut encoder, &families, (&format!("{prefix}_{name}"), help, seconds), MICROS, histogram)?;
        }
        let sizes: [(&str, &str, Part<7>); 3] = [
            ("request_size", "request length (including request line, header, and request body)", |s| &s.request_size),
            ("response_size", "response length", |s| &s.response_size),
            ("bytes_sent", "DEPRECATED number of bytes sent to a client", |s| &s.response_size),
        ];
        for (name, help, histogram) in sizes {
            self.histograms(&mut encoder, &families, (&format!("{prefix}_{name}"), help, None), 1.0, histogram)?;
        }
        Ok(())
    }
}
