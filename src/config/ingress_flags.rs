//! The flags of `landfall ingress`. Where ingress-nginx has a flag for it, name, default and meaning are the same, so that its
//! command line works unchanged; [`super::upstream`] says which of its flags have no meaning here.

use std::net::IpAddr;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args};

use super::parse::{self, ListenAddress};
use super::route_flags::RouteFlags;
use crate::routes::findings::ObjectKey;
use crate::telemetry::LogFormat;

/// Flags of `landfall ingress`.
#[derive(Clone, Debug, Args)]
pub struct IngressFlags {
    /// Those that shape the route table.
    #[command(flatten)]
    pub routes: RouteFlags,

    /// Service whose addresses the Ingresses' status shows; usually the one with the load balancer in front of this
    #[arg(long, env = "LANDFALL_PUBLISH_SERVICE", value_name = "NAMESPACE/NAME", value_parser = parse::object, help_heading = "Status")]
    pub publish_service: Option<ObjectKey>,

    /// Addresses that the Ingresses' status shows, instead of a Service's; comma between them
    #[arg(
        long,
        env = "LANDFALL_PUBLISH_STATUS_ADDRESS",
        value_name = "ADDRESSES",
        value_delimiter = ',',
        conflicts_with = "publish_service",
        value_parser = parse::status_address,
        help_heading = "Status"
    )]
    pub publish_status_address: Vec<String>,

    /// Write the Ingresses' status
    #[arg(
        long,
        env = "LANDFALL_UPDATE_STATUS",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value = "true",
        default_missing_value = "true",
        action = ArgAction::Set,
        value_parser = BoolishValueParser::new(),
        help_heading = "Status"
    )]
    pub update_status: bool,

    /// Name of the Lease whose holder writes status and events; traffic is served by every replica
    #[arg(
        long,
        env = "LANDFALL_ELECTION_ID",
        value_name = "NAME",
        default_value = "ingress-controller-leader",
        value_parser = parse::object_name,
        help_heading = "Leader election"
    )]
    pub election_id: String,

    /// How long a leader that is not heard of is left alone
    #[arg(
        long,
        env = "LANDFALL_ELECTION_TTL",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = parse::duration,
        help_heading = "Leader election"
    )]
    pub election_ttl: Duration,

    /// Write status and events without holding a lease. Only with a single replica
    #[arg(
        long,
        env = "LANDFALL_DISABLE_LEADER_ELECTION",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        action = ArgAction::Set,
        value_parser = BoolishValueParser::new(),
        help_heading = "Leader election"
    )]
    pub disable_leader_election: bool,

    /// Address to serve on [default: all]
    #[arg(long, env = "LANDFALL_BIND_ADDRESS", value_name = "ADDRESS", default_value = "0.0.0.0", help_heading = "Data plane")]
    pub bind_address: IpAddr,

    /// Port for http
    #[arg(long, env = "LANDFALL_HTTP_PORT", value_name = "PORT", default_value_t = 80, help_heading = "Data plane")]
    pub http_port: u16,

    /// Port for https
    #[arg(long, env = "LANDFALL_HTTPS_PORT", value_name = "PORT", default_value_t = 443, help_heading = "Data plane")]
    pub https_port: u16,

    /// Threads that serve, each with its own connections [default: one for each core that this process may use]
    #[arg(long, env = "LANDFALL_WORKERS", value_name = "NUMBER", value_parser = parse::workers, help_heading = "Data plane")]
    pub workers: Option<usize>,

    /// Seconds of serving as before after SIGTERM, so that whoever sends traffic can learn of it first
    #[arg(
        long,
        env = "LANDFALL_SHUTDOWN_GRACE_PERIOD",
        value_name = "SECONDS",
        default_value_t = 0,
        value_parser = clap::value_parser!(u64).range(..=3600),
        help_heading = "Data plane"
    )]
    pub shutdown_grace_period: u64,

    /// Seconds after that in which open requests may end
    #[arg(
        long,
        env = "LANDFALL_WORKER_SHUTDOWN_TIMEOUT",
        value_name = "SECONDS",
        default_value_t = 240,
        value_parser = clap::value_parser!(u64).range(..=3600),
        help_heading = "Data plane"
    )]
    pub worker_shutdown_timeout: u64,

    /// Where /healthz, /livez, /readyz, /metrics and /debug/config are served; '' for nowhere
    #[arg(
        long,
        env = "LANDFALL_ADMIN_ADDRESS",
        value_name = "ADDRESS",
        default_value = "0.0.0.0:10254",
        value_parser = parse::listen_address,
        help_heading = "Operation"
    )]
    pub admin_address: ListenAddress,

    /// Port of --admin-address, as ingress-nginx calls it
    #[arg(long, env = "LANDFALL_HEALTHZ_PORT", value_name = "PORT", help_heading = "Operation")]
    pub healthz_port: Option<u16>,

    /// Form of the log on standard error
    #[arg(
        long,
        env = "LANDFALL_LOG_FORMAT",
        value_name = "FORMAT",
        value_enum,
        default_value = "text",
        help_heading = "Logging"
    )]
    pub log_format: LogFormat,

    /// What is logged: error, warn, info, debug or trace, or directives like info,landfall::proxy=debug
    #[arg(
        long,
        env = "LANDFALL_LOG_LEVEL",
        value_name = "FILTER",
        default_value = "info",
        value_parser = parse::log_level,
        help_heading = "Logging"
    )]
    pub log_level: String,
}
