//! The command line. Each subcommand has its arguments here and a file of its own in `cli/` that carries it out.

mod controller;
mod ingress;
mod manifests;
mod plan;
mod routes;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use k8s_openapi::NamespaceResourceScope;
use kube::{Api, Resource};

use crate::admin::AdminError;
use crate::aws::types::VpcId;
use crate::aws::{Aws, AwsError};
use crate::config::flags::{ControllerFlags, SharedFlags};
use crate::config::ingress::IngressSettings;
use crate::config::ingress_flags::IngressFlags;
use crate::config::route_flags::RouteFlags;
use crate::config::upstream::{self, Ignored};
use crate::config::{ConfigError, ControllerSettings, Environment, Settings};
use crate::ingress::certificate::CertificateError;
use crate::kubernetes::client::ConnectError;
use crate::proxy::ProxyError;
use crate::routes::explain::Question;
use crate::telemetry::{self, TelemetryError};

/// `landfall`.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "landfall",
    version,
    about = "The way into a Kubernetes cluster on AWS: Network Load Balancers for Services, and a data plane for Ingresses",
    after_help = "Every flag can be given in the environment: --cluster-name as LANDFALL_CLUSTER_NAME. Flags win.",
    disable_help_subcommand = true,
    propagate_version = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Look after the Services of a cluster until told to stop
    Controller(ControllerArgs),
    /// Serve the Ingresses of a cluster until told to stop; takes ingress-nginx's command line
    Ingress(IngressArgs),
    /// Show what the controller would do, and do nothing
    Plan(PlanArgs),
    /// Show where the data plane sends requests, and what is wrong with Ingresses
    Routes(RoutesArgs),
    /// Print the version
    Version,
}

/// Arguments of `landfall controller`.
#[derive(Clone, Debug, Args)]
pub struct ControllerArgs {
    /// Its flags.
    #[command(flatten)]
    pub flags: ControllerFlags,
}

/// Arguments of `landfall ingress`.
#[derive(Clone, Debug, Args)]
pub struct IngressArgs {
    /// Its flags.
    #[command(flatten)]
    pub flags: IngressFlags,
}

/// Arguments of `landfall plan`. Exit code 0: nothing to do; 2: something to do; 1: it could not be found out.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Exit code: 0 nothing to do, 2 something to do, 1 it could not be found out.")]
pub struct PlanArgs {
    /// The Service, as svc/NAMESPACE/NAME; without it (and without -f) all Services that are ours
    #[arg(value_name = "SERVICE", value_parser = target)]
    pub target: Option<Target>,

    /// Take the Service from this manifest instead of from the cluster; - reads standard input
    #[arg(short = 'f', long = "file", value_name = "FILE", conflicts_with = "target")]
    pub file: Option<PathBuf>,

    /// Form of the answer
    #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value_t)]
    pub output: OutputFormat,

    /// Which cluster, and how load balancers look.
    #[command(flatten)]
    pub flags: SharedFlags,
}

/// Arguments of `landfall routes`. Exit code 0: all is well; 2: something is wrong with an Ingress (of `explain`: the request is
/// answered with an error); 1: it could not be found out.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Exit code: 0 nothing is wrong, 2 an Ingress or option is not served as it was asked for (explain: the request is \
                  answered with an error), 1 it could not be found out.",
    disable_help_subcommand = true
)]
pub struct RoutesArgs {
    /// One request instead of the whole table.
    #[command(subcommand)]
    pub command: Option<RoutesCommand>,

    /// Take all objects from this manifest instead of from the cluster; repeatable; - reads standard input
    #[arg(short = 'f', long = "file", value_name = "FILE", global = true)]
    pub files: Vec<PathBuf>,

    /// Form of the answer
    #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value_t, global = true)]
    pub output: OutputFormat,

    /// What shapes the table.
    #[command(flatten)]
    pub flags: RouteFlags,
}

/// What `landfall routes` does besides printing the table.
#[derive(Clone, Debug, Subcommand)]
pub enum RoutesCommand {
    /// Tell what is done with a request, rule by rule
    Explain {
        /// The request: host and path; http, unless it begins with https:
        #[arg(value_name = "URL")]
        url: Question,
    },
}

/// A Service to plan for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Form of what is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

impl Cli {
    /// Reads the process' arguments and environment. Prints help, version or an error, and ends the process, if asked or needed.
    /// Also returns ingress-nginx's flags that were given and change nothing.
    #[must_use]
    pub fn from_process() -> (Self, Vec<Ignored>) {
        let command = Self::described();
        let given: Vec<String> = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
        let known = |name: &str| {
            let ingress = command.find_subcommand("ingress");
            name == "help" || ingress.is_some_and(|ingress| ingress.get_arguments().any(|flag| flag.get_long() == Some(name)))
        };
        let (arguments, ignored) = upstream::translate(&given, known);
        let matches = command.get_matches_from(arguments);
        (Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()), ignored)
    }

    /// The command line as it is shown: the names of environment variables, not their values.
    #[must_use]
    pub fn described() -> clap::Command {
        Self::command().mut_subcommands(|command| command.mut_args(|argument| argument.hide_env_values(true)))
    }
}

/// Why a command could not do its work; printed on standard error, exit code 1.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A flag.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// `--log-level`.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// No Kubernetes client.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The API server refused or did not answer.
    #[error("the API server did not answer: {0}; check the kubeconfig and your permissions")]
    ApiServer(String),
    /// No AWS client, or a call that nothing can be done without.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The VPC is not known.
    #[error("the VPC is not known: give --vpc-id (instance metadata, which would tell, did not answer)")]
    NoVpc,
    /// `--admin-address`.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The data plane.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// The task that makes the route table ended by itself: a bug, and its panic is above in the log.
    #[error("the route table cannot be made; what went wrong is logged above")]
    Feed,
    /// The certificate for unknown server names.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Signals or threads cannot be had.
    #[error("the operating system refused: {0}")]
    System(#[from] std::io::Error),
    /// `landfall plan svc/…`.
    #[error("there is no Service {0}; `kubectl get services -A` lists them")]
    NoSuchService(String),
    /// `-f`.
    #[error("--file {0}: {1}")]
    Manifest(String, String),
    /// Another replica leads now.
    #[error("{0}; ending so that the other replica is the only one to write")]
    LeadershipLost(String),
}

/// Carries a command out. `main` is nothing but this.
#[must_use]
pub fn run((cli, ignored): (Cli, Vec<Ignored>)) -> ExitCode {
    let result = match cli.command {
        Command::Version => {
            println!("landfall {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Command::Controller(arguments) => controller(arguments),
        Command::Ingress(arguments) => ingress(arguments, &ignored),
        Command::Plan(arguments) => plan(arguments),
        Command::Routes(arguments) => block_on(routes::run(arguments)),
    };
    result.unwrap_or_else(|failure| {
        eprintln!("landfall: {failure}");
        ExitCode::FAILURE
    })
}

fn controller(arguments: ControllerArgs) -> Result<ExitCode, Failure> {
    let settings = ControllerSettings::resolve(arguments.flags, &Environment::of_this_process())?;
    telemetry::init(settings.shared.log_format, &settings.shared.log_level)?;
    block_on(controller::run(settings))
}

fn ingress(arguments: IngressArgs, ignored: &[Ignored]) -> Result<ExitCode, Failure> {
    let settings = IngressSettings::resolve(arguments.flags, &Environment::of_this_process())?;
    telemetry::init(settings.log_format, &settings.log_level)?;
    for Ignored { flag, reason } in ignored {
        tracing::warn!(flag, reason, "flag ignored");
    }
    block_on(ingress::run(settings))
}

fn plan(arguments: PlanArgs) -> Result<ExitCode, Failure> {
    let settings = Settings::resolve(arguments.flags, &Environment::of_this_process())?;
    telemetry::init(settings.log_format, &settings.log_level)?;
    let scope = match (arguments.target, arguments.file) {
        (Some(target), _) => plan::Scope::One(target),
        (None, Some(file)) => plan::Scope::File(file),
        (None, None) => plan::Scope::All,
    };
    block_on(plan::run(settings, scope, arguments.output))
}

/// One thread: the work is waiting for others, and one thread's memory is a third of a pool's.
fn block_on(work: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    // A second call would fail, and then there is a provider already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(Box::pin(work));
    // What is in flight is not waited for: whoever lost the lease must not write any more.
    runtime.shutdown_background();
    result
}

/// The VPC that load balancers are made in.
async fn vpc(aws: &Aws, settings: &Settings) -> Result<VpcId, Failure> {
    match &settings.vpc_id {
        Some(id) => Ok(id.clone()),
        None => aws.vpc_of_instance_metadata().await.ok_or(Failure::NoVpc),
    }
}

fn namespaced<K>(client: &kube::Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

fn target(text: &str) -> Result<Target, String> {
    let parts: Vec<&str> = text.split('/').collect();
    match parts.as_slice() {
        ["svc" | "service" | "services", namespace, name] if !namespace.is_empty() && !name.is_empty() => {
            Ok(Target { namespace: (*namespace).to_owned(), name: (*name).to_owned() })
        }
        _ => Err("not a Service; give svc/NAMESPACE/NAME, like svc/default/web".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::described().debug_assert();
    }

    #[test]
    fn every_flag_has_its_variable_heading_and_help() {
        for name in ["controller", "ingress", "plan", "routes"] {
            let command = Cli::described();
            for flag in command.find_subcommand(name).unwrap().get_arguments() {
                let Some(long) = flag.get_long().filter(|long| !["file", "output", "help", "version"].contains(long)) else {
                    continue;
                };
                let variable = format!("LANDFALL_{}", long.to_uppercase().replace('-', "_"));
                assert_eq!(flag.get_env().and_then(|name| name.to_str()), Some(variable.as_str()), "--{long}");
                assert!(flag.get_help_heading().is_some() && flag.get_help().is_some(), "--{long}");
            }
        }
    }

    #[test]
    fn the_reference_shows_the_help_as_it_is() {
        for name in ["controller", "ingress", "plan", "routes"] {
            let mut command = Cli::described().term_width(110);
            command.build();
            let help = command.find_subcommand(name).unwrap().clone().render_help().to_string();
            let help: String = help.lines().map(|line| format!("{}\n", line.trim_end())).collect();
            let block = format!("<!-- help:{name} -->\n\n```text\n{help}```\n");
            let page = include_str!("../docs/reference/flags.md");
            assert!(page.contains(&block), "docs/reference/flags.md should contain:\n{block}");
        }
    }

    #[test]
    fn routes_take_their_flags_before_and_after_the_request() {
        let parse = |arguments: &[&str]| {
            let all = ["landfall", "routes"].into_iter().chain(arguments.iter().copied());
            Cli::try_parse_from(all).map(|cli| match cli.command {
                Command::Routes(routes) => routes,
                other => panic!("{other:?}"),
            })
        };
        let files = [PathBuf::from("a"), PathBuf::from("-")];
        assert_eq!(parse(&["-f", "a", "-f", "-"]).unwrap().files, files);
        for arguments in [
            ["-f", "a", "-f", "-", "--ingress-class=x", "explain", "a.com/b"],
            ["explain", "a.com/b", "-f", "a", "-f", "-", "--ingress-class=x"],
        ] {
            let routes = parse(&arguments).unwrap();
            let Some(RoutesCommand::Explain { url }) = routes.command else { panic!("{arguments:?}") };
            assert_eq!((&*url.authority, &*url.path), ("a.com", "/b"));
            assert_eq!((routes.files.as_slice(), &*routes.flags.ingress_class), (&files[..], "x"));
        }
        assert!(parse(&["--default-ssl-certificate", "x"]).unwrap_err().to_string().contains("give NAMESPACE/NAME"));
    }

    #[test]
    fn a_plan_is_for_one_service_a_file_or_all() {
        let parse = |arguments: &[&str]| {
            let all = ["landfall", "plan", "--cluster-name", "demo"].into_iter().chain(arguments.iter().copied());
            Cli::try_parse_from(all).map(|cli| match cli.command {
                Command::Plan(plan) => plan,
                other => panic!("{other:?}"),
            })
        };
        let plan = parse(&[]).unwrap();
        assert_eq!((plan.target, plan.file, plan.output), (None, None, OutputFormat::Text));
        let plan = parse(&["svc/shop/web", "-o", "json"]).unwrap();
        let web = Target { namespace: "shop".into(), name: "web".into() };
        assert_eq!((plan.target, plan.output), (Some(web), OutputFormat::Json));
        assert_eq!(parse(&["-f", "-"]).unwrap().file, Some(PathBuf::from("-")));
        assert!(parse(&["svc/shop/web", "-f", "x.yaml"]).is_err());
        let error = parse(&["shop/web"]).unwrap_err().to_string();
        assert!(error.contains("'shop/web'") && error.contains("give svc/NAMESPACE/NAME"), "{error}");
    }
}
