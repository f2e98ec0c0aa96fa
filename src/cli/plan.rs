//! `landfall plan`: what the controller would do, for Services and for what they share, printed before anything is done.
//! Reads only.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, ListParams};

use super::{Failure, OutputFormat, Target, manifests};
use crate::aws::{Aws, AwsSettings, Meter};
use crate::config::Settings;
use crate::kubernetes::watch::listed;
use crate::kubernetes::{client, explain, finalizer};
use crate::nlb::build;
use crate::nlb::diff::render;
use crate::nlb::gather::{Cluster, Gatherer, Slices};
use crate::nlb::model::{Desired, Placement, Plan, PortRange, Problem, ServiceKey};
use crate::nlb::observe::Observer;
use crate::nlb::ownership::Claim;
use crate::nlb::reconcile::observe_and_diff;
use crate::nlb::report::published_host_name;
use crate::nlb::shared::{self, Sources};

/// Exit code when there is something to do.
const CHANGES: u8 = 2;

/// What to plan for.
pub(super) enum Scope {
    /// All Services that are ours.
    All,
    /// One of the cluster.
    One(Target),
    /// One from a manifest; `-` is standard input.
    File(std::path::PathBuf),
}

/// Prints the plans. Exit code 0: nothing to do; 2: something to do.
///
/// # Errors
/// It could not be found out: the API server or AWS does not answer, there is no such Service, the manifest holds none.
pub(super) async fn run(settings: Settings, scope: Scope, output: OutputFormat) -> Result<ExitCode, Failure> {
    let clients = client::connect(settings.kubeconfig.as_deref()).await?;
    let namespace = settings.watch_namespace.as_deref();
    let mut services: Vec<Service> = list(&super::namespaced(&clients.work, namespace)).await?;
    let slices: Vec<EndpointSlice> = list(&super::namespaced(&clients.work, namespace)).await?;
    let nodes: Vec<Node> = list(&Api::all(clients.work.clone())).await?;

    let claim = Claim { classes: settings.load_balancer_classes.clone(), classless: settings.claim_classless };
    let wanted: Vec<Arc<Service>> = match scope {
        Scope::All => {
            let held = build::names::finalizer(&settings.cluster_name);
            let ours = |service: &&Service| claim.covers(service) || finalizer::is_present(*service, &held);
            services.iter().filter(ours).cloned().map(Arc::new).collect()
        }
        Scope::One(target) => {
            let found = services.iter().find(|service| {
                service.metadata.namespace.as_deref() == Some(&target.namespace)
                    && service.metadata.name.as_deref() == Some(&target.name)
            });
            let found = found.ok_or_else(|| Failure::NoSuchService(format!("{}/{}", target.namespace, target.name)))?;
            vec![Arc::new(found.clone())]
        }
        Scope::File(path) => {
            let service = from_manifest(&path, &services, settings.node_port_range)?;
            services.retain(|existing| existing.metadata.uid != service.metadata.uid);
            services.push(service.clone());
            vec![Arc::new(service)]
        }
    };

    let mut registry = prometheus_client::registry::Registry::default();
    let aws_settings = AwsSettings {
        region: settings.aws_region.clone(),
        endpoint_url: settings.aws_endpoint_url.clone(),
        ..AwsSettings::default()
    };
    // A plan writes nothing, whatever happens.
    let aws = Aws::connect(&aws_settings, Meter::register(&mut registry)).await?.with_write_gate(Arc::new(|| false));
    let vpc = super::vpc(&aws, &settings).await?;
    let cluster = Cluster { services: listed(services), endpoint_slices: Slices::new(listed(slices)), nodes: listed(nodes) };
    let observer = Observer::new(aws.clone(), vpc.clone(), settings.cluster_name.clone());
    let gatherer = Gatherer::new(cluster, aws, vpc, Arc::new(settings.policy()));

    let sources = Sources { claim: &claim, gatherer: &gatherer, observer: &observer, cluster_name: &settings.cluster_name };
    let mut plans = Vec::new();
    let mut problems: Vec<(ServiceKey, Vec<Problem>)> = Vec::new();
    for service in wanted {
        match plan_for(sources, service).await? {
            Ok(plan) => plans.push(plan),
            Err((key, found)) => problems.push((key, found)),
        }
    }
    // A run for any Service brings one for these along.
    plans.push(shared::plan(sources, |_| None).await?.plan);
    print(output, &plans, &problems);
    if !problems.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    let nothing = plans.iter().all(|plan| plan.steps.is_empty() && plan.conflicts.is_empty());
    Ok(if nothing { ExitCode::SUCCESS } else { ExitCode::from(CHANGES) })
}

type Planned = Result<Plan, (ServiceKey, Vec<Problem>)>;

async fn plan_for(sources: Sources<'_>, service: Arc<Service>) -> Result<Planned, Failure> {
    let Sources { claim, gatherer, observer, cluster_name } = sources;
    let key = ServiceKey {
        namespace: service.metadata.namespace.clone().unwrap_or_default(),
        name: service.metadata.name.clone().unwrap_or_default(),
    };
    let published = published_host_name(&service);
    let custom_name = build::custom_name(&service).map(str::to_owned);
    let desired = if claim.covers(&service) {
        observer.ensure_listed().await?;
        let placement = observer.placement(&key).map(|(scheme, subnets)| Placement { scheme, subnets });
        let inputs = gatherer.gather(&key, service, placement).await?;
        match build::build(&inputs) {
            Ok(desired) => desired,
            Err(rejection) => return Ok(Err((key, rejection.problems))),
        }
    } else {
        Desired::nothing(key)
    };
    let (_, plan) = observe_and_diff(observer, gatherer, &desired, custom_name.as_deref(), published, cluster_name).await?;
    Ok(Ok(plan))
}

fn print(output: OutputFormat, plans: &[Plan], problems: &[(ServiceKey, Vec<Problem>)]) {
    match output {
        OutputFormat::Text => {
            for plan in plans {
                print!("{}", render::text(plan));
            }
            for (key, found) in problems {
                println!("{key}: cannot be planned");
                for problem in found {
                    println!("  ! {}: {problem}", problem.code);
                }
            }
        }
        OutputFormat::Json => {
            let rejected: Vec<_> =
                problems.iter().map(|(key, found)| serde_json::json!({"service": key, "problems": found})).collect();
            let mut answer = render::json(plans);
            if let Some(fields) = answer.as_object_mut() {
                fields.insert("rejected".to_owned(), rejected.into());
            }
            println!("{answer:#}");
        }
    }
}

/// The first Service of a manifest, as the API server would know it: with the UID and node ports of the one that it would replace.
fn from_manifest(path: &Path, existing: &[Service], node_ports: PortRange) -> Result<Service, Failure> {
    let unreadable = |error: &dyn std::fmt::Display| manifests::failure(path, error);
    let found = manifests::objects(path)?.into_iter().find(|object| manifests::kind(object) == "Service");
    let found = found.ok_or_else(|| unreadable(&"it holds no object of kind Service"))?;
    let mut service: Service = serde_json::from_value(found).map_err(|error| unreadable(&error))?;
    service.metadata.namespace.get_or_insert_with(|| "default".to_owned());
    let same = existing
        .iter()
        .find(|other| other.metadata.namespace == service.metadata.namespace && other.metadata.name == service.metadata.name);
    match same {
        Some(same) => {
            service.metadata.uid = same.metadata.uid.clone();
            service.status = same.status.clone();
            keep_node_ports(&mut service, same);
        }
        // Names are hashed from the UID, which only the API server gives: those in the plan are placeholders.
        None => service.metadata.uid = Some("00000000-0000-0000-0000-000000000000".to_owned()),
    }
    allocate_node_ports(&mut service, node_ports);
    Ok(service)
}

/// The API server keeps the node ports that a manifest does not mention.
fn keep_node_ports(service: &mut Service, existing: &Service) {
    let known = existing.spec.as_ref().and_then(|spec| spec.ports.clone()).unwrap_or_default();
    let Some(spec) = service.spec.as_mut() else { return };
    if spec.health_check_node_port.is_none() {
        spec.health_check_node_port = existing.spec.as_ref().and_then(|spec| spec.health_check_node_port);
    }
    for port in spec.ports.iter_mut().flatten().filter(|port| port.node_port.is_none()) {
        port.node_port =
            known.iter().find(|old| old.port == port.port && old.protocol == port.protocol).and_then(|old| old.node_port);
    }
}

/// The API server allocates the node ports that are missing: those in the plan are placeholders, too.
fn allocate_node_ports(service: &mut Service, range: PortRange) {
    let Some(spec) = service.spec.as_mut() else { return };
    let by_type = matches!(spec.type_.as_deref(), Some("LoadBalancer" | "NodePort"));
    if !by_type || spec.allocate_load_balancer_node_ports == Some(false) {
        return;
    }
    let is_local = spec.external_traffic_policy.as_deref() == Some("Local");
    let ports = spec.ports.get_or_insert_default();
    let taken: BTreeSet<i32> = ports.iter().filter_map(|port| port.node_port).chain(spec.health_check_node_port).collect();
    let mut free = (i32::from(range.first)..=i32::from(range.last)).filter(|number| !taken.contains(number));
    for port in ports.iter_mut().filter(|port| port.node_port.is_none()) {
        port.node_port = free.next();
    }
    if is_local && spec.health_check_node_port.is_none() {
        spec.health_check_node_port = free.next();
    }
}

/// All objects of a kind.
pub(super) async fn list<K>(api: &Api<K>) -> Result<Vec<K>, Failure>
where
    K: kube::Resource<DynamicType = ()> + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    Ok(api.list(&ListParams::default()).await.map_err(|error| Failure::ApiServer(explain(&error)))?.items)
}
