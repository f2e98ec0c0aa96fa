//! The flags: name, environment variable, default, and what `--help` says. Each value is checked by [`super::parse`].

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args};

use super::parse::{self, ListenAddress};
use crate::aws::types::{Scheme, Tags, TargetType, VpcId};
use crate::nlb::model::PortRange;
use crate::nlb::report::PublishHostname;
use crate::telemetry::LogFormat;

/// Flags of every command that looks at a cluster.
#[derive(Clone, Debug, Args)]
pub struct SharedFlags {
    /// Kubeconfig to use instead of the one found by KUBECONFIG, ~/.kube/config or the pod's service account
    #[arg(long, env = "LANDFALL_KUBECONFIG", value_name = "FILE", value_parser = parse::path, help_heading = "Cluster")]
    pub kubeconfig: Option<PathBuf>,

    /// Name of the cluster: marks what belongs to it in AWS, so it must be unique in the account and must never change
    #[arg(long, env = "LANDFALL_CLUSTER_NAME", value_name = "NAME", value_parser = parse::cluster_name, help_heading = "Cluster")]
    pub cluster_name: String,

    /// Namespace whose Services are looked after [default: all]
    #[arg(long, env = "LANDFALL_WATCH_NAMESPACE", value_name = "NAMESPACE", value_parser = parse::namespace, help_heading = "Cluster")]
    pub watch_namespace: Option<String>,

    /// VPC of the cluster [default: that of this instance, by its metadata]
    #[arg(long, env = "LANDFALL_VPC_ID", value_name = "ID", value_parser = parse::vpc_id, help_heading = "AWS")]
    pub vpc_id: Option<VpcId>,

    /// AWS region [default: AWS_REGION, AWS_DEFAULT_REGION, the profile's, or that of the instance]
    #[arg(long, env = "LANDFALL_AWS_REGION", value_name = "REGION", value_parser = parse::region, help_heading = "AWS")]
    pub aws_region: Option<String>,

    /// Endpoint of the AWS APIs, for an emulator or a proxy [default: AWS_ENDPOINT_URL, or AWS's own]
    #[arg(long, env = "LANDFALL_AWS_ENDPOINT_URL", value_name = "URL", value_parser = parse::endpoint_url, help_heading = "AWS")]
    pub aws_endpoint_url: Option<String>,

    /// Services of this load balancer class get a load balancer; repeatable. Give service.k8s.aws/nlb to take over from the
    /// AWS Load Balancer Controller, after stopping that
    #[arg(
        long,
        env = "LANDFALL_LOAD_BALANCER_CLASS",
        value_name = "CLASS",
        value_delimiter = ',',
        default_value = "landfall/nlb",
        value_parser = parse::load_balancer_class,
        help_heading = "Services"
    )]
    pub load_balancer_class: Vec<String>,

    /// Also look after Services of type LoadBalancer without a class. Only where no other controller does
    #[arg(
        long,
        env = "LANDFALL_CLAIM_CLASSLESS",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        action = ArgAction::Set,
        value_parser = BoolishValueParser::new(),
        help_heading = "Services"
    )]
    pub claim_classless: bool,

    /// What load balancers send traffic to where a Service does not say: instance (node ports) or ip (pods)
    #[arg(
        long,
        env = "LANDFALL_DEFAULT_TARGET_TYPE",
        value_name = "TYPE",
        default_value = "instance",
        value_parser = parse::target_type,
        help_heading = "Services"
    )]
    pub default_target_type: TargetType,

    /// Where load balancers are reachable from where a Service does not say: internal or internet-facing
    #[arg(
        long,
        env = "LANDFALL_DEFAULT_SCHEME",
        value_name = "SCHEME",
        default_value = "internal",
        value_parser = parse::scheme,
        help_heading = "Services"
    )]
    pub default_scheme: Scheme,

    /// Tags on everything that is created in AWS, like team=web,env=prod
    #[arg(
        long,
        env = "LANDFALL_DEFAULT_TAGS",
        value_name = "TAGS",
        default_value = "",
        hide_default_value = true,
        value_parser = parse::tags,
        help_heading = "Services"
    )]
    pub default_tags: Tags,

    /// Node ports that the cluster gives out (kube-apiserver's --service-node-port-range)
    #[arg(
        long,
        env = "LANDFALL_NODE_PORT_RANGE",
        value_name = "FIRST-LAST",
        default_value = "30000-32767",
        value_parser = parse::port_range,
        help_heading = "Services"
    )]
    pub node_port_range: PortRange,

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

    /// What is logged: error, warn, info, debug or trace, or directives like info,landfall::aws=debug
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

/// Flags of `landfall controller`.
#[derive(Clone, Debug, Args)]
pub struct ControllerFlags {
    /// Those that other commands have, too.
    #[command(flatten)]
    pub shared: SharedFlags,

    /// When a load balancer's name appears in the Service's status: when it takes traffic, or as soon as it has a name
    #[arg(
        long,
        env = "LANDFALL_PUBLISH_HOSTNAME",
        value_name = "WHEN",
        value_enum,
        default_value = "active",
        help_heading = "Services"
    )]
    pub publish_hostname: PublishHostname,

    /// How often AWS is compared with the cluster, to put right what was changed there by hand
    #[arg(
        long,
        env = "LANDFALL_SWEEP_INTERVAL",
        value_name = "DURATION",
        default_value = "4m",
        value_parser = parse::duration,
        help_heading = "Operation"
    )]
    pub sweep_interval: Duration,

    /// Where /livez, /readyz, /metrics and /debug/config are served; '' for nowhere
    #[arg(
        long,
        env = "LANDFALL_ADMIN_ADDRESS",
        value_name = "ADDRESS",
        default_value = "0.0.0.0:8080",
        value_parser = parse::listen_address,
        help_heading = "Operation"
    )]
    pub admin_address: ListenAddress,

    /// Name of this process, another for each replica [default: POD_NAME, or the host's name and a random part]
    #[arg(long, env = "LANDFALL_IDENTITY", value_name = "NAME", value_parser = parse::identity, help_heading = "Leader election")]
    pub identity: Option<String>,

    /// Work only while holding a lease, so that any number of replicas may run
    #[arg(
        long,
        env = "LANDFALL_LEADER_ELECT",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value = "true",
        default_missing_value = "true",
        action = ArgAction::Set,
        value_parser = BoolishValueParser::new(),
        help_heading = "Leader election"
    )]
    pub leader_elect: bool,

    /// Name of the Lease
    #[arg(
        long,
        env = "LANDFALL_LEADER_ELECTION_ID",
        value_name = "NAME",
        default_value = "landfall-controller",
        value_parser = parse::object_name,
        help_heading = "Leader election"
    )]
    pub leader_election_id: String,

    /// Namespace of the Lease [default: the pod's, or kube-system]
    #[arg(
        long,
        env = "LANDFALL_LEADER_ELECTION_NAMESPACE",
        value_name = "NAMESPACE",
        value_parser = parse::namespace,
        help_heading = "Leader election"
    )]
    pub leader_election_namespace: Option<String>,

    /// How long a leader that is not heard of is left alone
    #[arg(
        long,
        env = "LANDFALL_LEADER_ELECTION_LEASE_DURATION",
        value_name = "DURATION",
        default_value = "15s",
        value_parser = parse::duration,
        help_heading = "Leader election"
    )]
    pub leader_election_lease_duration: Duration,

    /// How long a leader goes on without being able to renew its lease
    #[arg(
        long,
        env = "LANDFALL_LEADER_ELECTION_RENEW_DEADLINE",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = parse::duration,
        help_heading = "Leader election"
    )]
    pub leader_election_renew_deadline: Duration,

    /// Time between two renewals
    #[arg(
        long,
        env = "LANDFALL_LEADER_ELECTION_RETRY_PERIOD",
        value_name = "DURATION",
        default_value = "2s",
        value_parser = parse::duration,
        help_heading = "Leader election"
    )]
    pub leader_election_retry_period: Duration,
}
