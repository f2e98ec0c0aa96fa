//! What a call asks of a policy: each action on each resource, with what is known about it.
//!
//! After AWS's service authorization reference for ELBv2 and EC2: describing is asked of `*`, changing of what is named, creating of what
//! will be (with `*` for its id), and tags given at creation of `AddTags` or `CreateTags` besides. Imports `model`, `query`.

use super::condition::Context;
use crate::journal::is_write;
use crate::model::{State, Tags};
use crate::query::{Form, Params};
use crate::{ec2, elbv2};

/// One thing that has to be allowed.
#[derive(Debug)]
pub(super) struct Demand {
    /// `elasticloadbalancing:CreateListener`.
    pub(super) action: String,
    /// Its ARN, or `*`.
    pub(super) resource: String,
    pub(super) context: Context,
}

/// Everything that has to be allowed for a call.
pub(super) fn of(service: &str, form: &Form, state: &mut State, user_agent: &str) -> Vec<Demand> {
    let action = form.get("Action").map(String::as_str).unwrap_or_default();
    // AWS tells everybody who they are, whatever their policies say.
    if service == "sts" && action == "GetCallerIdentity" {
        return Vec::new();
    }
    let (params, place) = (Params::parse(form), state.place.clone());
    let requested = requested_tags(&params);
    let prefix = if service == "tagging" { "tag" } else { service };
    let one = |action: &str, resource: String, tags: &Tags, create_action: Option<&str>| {
        let mut context = Context::new();
        let mut know = |key: String, value: &str| context.entry(key).or_default().push(value.to_owned());
        for (key, value) in &requested {
            know(format!("aws:RequestTag/{key}"), value);
            know("aws:TagKeys".to_owned(), key);
        }
        for key in params.texts("TagKeys") {
            know("aws:TagKeys".to_owned(), key);
        }
        for (key, value) in tags {
            know(format!("aws:ResourceTag/{key}"), value);
            know(format!("{prefix}:ResourceTag/{key}"), value);
        }
        if let Some(create_action) = create_action {
            know(format!("{prefix}:CreateAction"), create_action);
        }
        know("aws:RequestedRegion".to_owned(), &place.region);
        know("ec2:Region".to_owned(), &place.region);
        know("aws:PrincipalAccount".to_owned(), &place.account);
        know("aws:UserAgent".to_owned(), user_agent);
        Demand { action: format!("{prefix}:{action}"), resource, context }
    };
    let resources = if is_write(action) { resources(service, action, &params, state) } else { Vec::new() };
    let mut demands: Vec<Demand> = if resources.is_empty() {
        vec![one(action, "*".to_owned(), &Tags::new(), None)]
    } else {
        resources.into_iter().map(|(arn, tags)| one(action, arn, &tags, None)).collect()
    };
    if let Some(arn) = created(action, &params, state).filter(|_| !requested.is_empty()) {
        let tagging = if service == "ec2" { "CreateTags" } else { "AddTags" };
        demands.push(one(tagging, arn, &Tags::new(), Some(action)));
    }
    demands
}

/// The tags that a call gives.
fn requested_tags(params: &Params) -> Tags {
    let specified = params.items("TagSpecification").into_iter().flat_map(|specification| specification.items("Tag"));
    let tag = |tag: &Params| (tag.required("Key").to_owned(), tag.required("Value").to_owned());
    params.items("Tags").into_iter().chain(params.items("Tag")).chain(specified).map(tag).collect()
}

/// The ARN of what a call would create and can tag.
fn created(action: &str, params: &Params, state: &State) -> Option<String> {
    let elb = |resource: String| state.place.arn("elasticloadbalancing", &resource);
    let name = params.required("Name");
    Some(match action {
        "CreateLoadBalancer" => elb(format!("loadbalancer/net/{name}/*")),
        "CreateTargetGroup" => elb(format!("targetgroup/{name}/*")),
        "CreateListener" => {
            let balancer = params.required("LoadBalancerArn").rsplit(":loadbalancer/").next().unwrap_or_default().to_owned();
            elb(format!("listener/{balancer}/*"))
        }
        "CreateRule" => {
            let listener = params.required("ListenerArn").rsplit(":listener/").next().unwrap_or_default().to_owned();
            elb(format!("listener-rule/{listener}/*"))
        }
        "CreateSecurityGroup" => state.place.arn("ec2", "security-group/*"),
        "AuthorizeSecurityGroupIngress" | "AuthorizeSecurityGroupEgress" => state.place.arn("ec2", "security-group-rule/*"),
        "AllocateAddress" => state.place.arn("ec2", "elastic-ip/*"),
        "CreateVpc" => state.place.arn("ec2", "vpc/*"),
        "CreateInternetGateway" => state.place.arn("ec2", "internet-gateway/*"),
        "CreateManagedPrefixList" => state.place.arn("ec2", "prefix-list/*"),
        "CreateRouteTable" => state.place.arn("ec2", "route-table/*"),
        "RunInstances" => state.place.arn("ec2", "instance/*"),
        "CreateSubnet" => state.place.arn("ec2", "subnet/*"),
        _ => return None,
    })
}

/// What a writing call is about, with the tags it has; empty when that cannot be named in a policy.
fn resources(service: &str, action: &str, params: &Params, state: &mut State) -> Vec<(String, Tags)> {
    match service {
        "elasticloadbalancing" => {
            // A listener is created on a load balancer, a rule on a listener: that is what is asked for.
            if !["CreateListener", "CreateRule"].contains(&action)
                && let Some(arn) = created(action, params, state)
            {
                return vec![(arn, Tags::new())];
            }
            let named =
                ["RuleArn", "ListenerArn", "TargetGroupArn", "LoadBalancerArn"].into_iter().find_map(|name| params.text(name));
            let arns: Vec<&str> = named.map_or_else(|| params.texts("ResourceArns"), |arn| vec![arn]);
            arns.into_iter().map(|arn| (arn.to_owned(), elbv2::tags_of(state, arn).unwrap_or_default())).collect()
        }
        "ec2" => {
            let mut ids = params.texts("ResourceId");
            ids.extend(params.texts("InstanceId"));
            ids.extend(NAMED_BY.iter().filter_map(|name| params.text(name)));
            let mut found: Vec<(String, Tags)> = ids
                .into_iter()
                .filter_map(|id| {
                    let (kind, tags) = ec2::tags_of(state, id)?;
                    Some((state.place.arn("ec2", &format!("{kind}/{id}")), tags))
                })
                .collect();
            // New rules are asked for on their group; only tags on them need more.
            if !action.starts_with("Authorize") {
                found.extend(created(action, params, state).map(|arn| (arn, Tags::new())));
            }
            found
        }
        "acm" => {
            let arns = params.text("CertificateArn").into_iter();
            arns.map(|arn| (arn.to_owned(), state.certificates.get(arn).map(|found| found.tags.clone()).unwrap_or_default()))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// Parameters of EC2 by which one resource is named.
const NAMED_BY: &[&str] =
    &["GroupId", "SubnetId", "VpcId", "NetworkInterfaceId", "AllocationId", "InternetGatewayId", "RouteTableId", "PrefixListId"];
