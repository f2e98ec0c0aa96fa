//! [`IngressFlags`] and the process' surroundings → [`IngressSettings`].

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use super::ingress_flags::IngressFlags;
use super::route_flags::RouteFlags;
use super::{ConfigError, Environment};
use crate::kubernetes::elect::LeaseSettings;
use crate::kubernetes::lease::Timings;
use crate::proxy;
use crate::proxy::metrics::Constant;
use crate::routes::findings::ObjectKey;
use crate::telemetry::LogFormat;

/// What the data plane and its feed need to know.
#[derive(Clone, Debug)]
pub struct IngressSettings {
    /// What shapes the route table, and where it is read from.
    pub routes: RouteFlags,
    /// `--publish-service` or `--publish-status-address`; `None`: no status is written.
    pub publish: Option<Publish>,
    /// The lease to hold before status and events are written; `None`: `--disable-leader-election`.
    pub election: Option<LeaseSettings>,
    /// Name of this process among its replicas.
    pub identity: String,
    /// Namespace of this process.
    pub namespace: String,
    /// Where http is served.
    pub http: SocketAddr,
    /// Where https is served.
    pub https: SocketAddr,
    /// `--workers`; `None`: one for each core.
    pub workers: Option<usize>,
    /// `--shutdown-grace-period`.
    pub shutdown_grace_period: Duration,
    /// `--worker-shutdown-timeout`.
    pub worker_shutdown_timeout: Duration,
    /// `--admin-address`; `None`: no admin server.
    pub admin_address: Option<SocketAddr>,
    /// `--log-format`.
    pub log_format: LogFormat,
    /// `--log-level`.
    pub log_level: String,
}

/// What the Ingresses' status shows.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Publish {
    /// The addresses of this Service.
    Service(ObjectKey),
    /// These host names or IP addresses.
    Addresses(Vec<String>),
}

impl IngressSettings {
    /// Settles the flags.
    ///
    /// # Errors
    /// An election without a namespace for its lease, or with a time too short for it.
    pub fn resolve(flags: IngressFlags, environment: &Environment<'_>) -> Result<Self, ConfigError> {
        let (identity, namespace) = (environment.identity(None), environment.pod_namespace());
        let publish = match (flags.publish_service, flags.publish_status_address) {
            _ if !flags.update_status => None,
            (Some(service), _) => Some(Publish::Service(service)),
            (None, addresses) if !addresses.is_empty() => Some(Publish::Addresses(addresses)),
            (None, _) => None,
        };
        let timings = timings(flags.election_ttl)?;
        let election = (!flags.disable_leader_election).then(|| LeaseSettings {
            namespace: namespace.clone(),
            name: flags.election_id,
            identity: identity.clone(),
            timings,
        });
        let admin_address = flags.admin_address.0.map(|address| match flags.healthz_port {
            Some(port) => SocketAddr::new(address.ip(), port),
            None => address,
        });
        Ok(Self {
            routes: flags.routes,
            publish,
            election,
            identity,
            namespace,
            http: SocketAddr::new(flags.bind_address, flags.http_port),
            https: SocketAddr::new(flags.bind_address, flags.https_port),
            workers: flags.workers,
            shutdown_grace_period: Duration::from_secs(flags.shutdown_grace_period),
            worker_shutdown_timeout: Duration::from_secs(flags.worker_shutdown_timeout),
            admin_address,
            log_format: flags.log_format,
            log_level: flags.log_level,
        })
    }

    /// Labels of everything that the data plane counts.
    #[must_use]
    pub fn metrics_labels(&self) -> Constant {
        Constant { namespace: self.namespace.clone(), class: self.routes.controller_class.clone(), pod: self.identity.clone() }
    }

    /// What the data plane is started with.
    #[must_use]
    pub fn proxy(&self) -> proxy::Settings {
        let settings = proxy::Settings::new(Some(self.http), Some(self.https));
        proxy::Settings { workers: self.workers.unwrap_or(settings.workers), ..settings }
    }

    /// The settings by the names of their flags, for `/debug/config`.
    #[must_use]
    pub fn describe(&self) -> Value {
        let (routes, election) = (&self.routes, self.election.as_ref());
        json!({
            "admin-address": self.admin_address,
            "configmap": routes.configmap,
            "controller-class": routes.controller_class,
            "default-backend-service": routes.default_backend_service,
            "default-ssl-certificate": routes.default_ssl_certificate,
            "disable-catch-all": routes.disable_catch_all,
            "disable-svc-external-name": routes.disable_svc_external_name,
            "election-id": election.map(|election| &election.name),
            "election-ttl": election.map(|election| format!("{:?}", election.timings.lease_duration)),
            "http": self.http,
            "https": self.https,
            "identity": self.identity,
            "ingress-class": routes.ingress_class,
            "ingress-class-by-name": routes.ingress_class_by_name,
            "kubeconfig": routes.kubeconfig,
            "log-format": self.log_format,
            "namespace": self.namespace,
            "log-level": self.log_level,
            "path-matching": routes.path_matching,
            "publish": self.publish,
            "shutdown-grace-period": self.shutdown_grace_period.as_secs(),
            "watch-ingress-without-class": routes.watch_ingress_without_class,
            "watch-namespace": routes.watch_namespace,
            "worker-shutdown-timeout": self.worker_shutdown_timeout.as_secs(),
            "workers": self.workers,
        })
    }
}

/// client-go's proportions: 15 s, 10 s, 2 s.
fn timings(ttl: Duration) -> Result<Timings, ConfigError> {
    const SHORTEST: Duration = Duration::from_secs(5);
    if ttl < SHORTEST {
        let problem = "too short for two tries to renew the lease; give at least 5s".to_owned();
        return Err(ConfigError { flag: "election-ttl", value: format!("{ttl:?}"), problem });
    }
    Ok(Timings { lease_duration: ttl, renew_deadline: ttl * 2 / 3, retry_period: ttl * 2 / 15 })
}
