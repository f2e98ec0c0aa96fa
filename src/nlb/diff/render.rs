//! Plans for people and for programs. Both forms are stable: equal plans print equally.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::aws::types::{Attributes, Rule, Tags, Target};
use crate::nlb::model::{Action, Plan, Step, Wait};

/// Items of a long list that are shown.
const SHOWN: usize = 5;

/// Plans as JSON: `{"changes": <number of steps>, "plans": [<plan>, …]}`, each plan with `subject`, `steps` (wave, action,
/// payload, reason), `waits`, `conflicts` and `needsAttributes`.
#[must_use]
pub fn json(plans: &[Plan]) -> Value {
    let changes: usize = plans.iter().map(|plan| plan.steps.len()).sum();
    json!({ "changes": changes, "plans": plans })
}

/// One plan as text: a line for each step (`+` comes, `~` changes, `-` goes), each wait (`…`) and each conflict (`!`), and
/// a count at the end.
#[must_use]
pub fn text(plan: &Plan) -> String {
    let mut lines = vec![plan.subject.to_string()];
    for step in &plan.steps {
        let line = Line::of(&step.action);
        let mut text = format!("  {} {} {}", line.sign, line.verb, line.object);
        if !line.detail.is_empty() {
            let _ = write!(text, ": {}", line.detail);
        }
        let _ = write!(text, "  ({})", step.reason);
        lines.push(text);
    }
    lines.extend(plan.waits.iter().map(|wait| format!("  … {}", wait_text(wait))));
    lines.extend(plan.needs_attributes.iter().map(|name| format!("  … needs the attributes of {name}")));
    lines.extend(plan.conflicts.iter().map(|problem| format!("  ! {}: {problem}", problem.code)));
    lines.push(format!("Plan: {}.", summary(plan)));
    lines.join("\n") + "\n"
}

/// The number of steps of each kind in one line, for logs: `3 to add, 0 to change, 1 to remove`.
#[must_use]
pub fn summary(plan: &Plan) -> String {
    if plan.steps.is_empty() {
        return if !plan.conflicts.is_empty() {
            "nothing can be done".to_owned()
        } else if !plan.waits.is_empty() || !plan.needs_attributes.is_empty() {
            "nothing to do yet".to_owned()
        } else {
            "nothing to do".to_owned()
        };
    }
    let count = |sign| plan.steps.iter().filter(|step| Line::of(&step.action).sign == sign).count();
    format!("{} to add, {} to change, {} to remove", count('+'), count('~'), count('-'))
}

/// Steps that were taken, in one line for an event: `create listener TCP/80 on load-balancer/lf-… (not there)`.
#[must_use]
pub fn steps(steps: &[Step]) -> String {
    let words = steps.iter().take(SHOWN).map(|step| {
        let line = Line::of(&step.action);
        format!("{} {} ({})", line.verb, line.object, step.reason)
    });
    let more = steps.len().saturating_sub(SHOWN);
    let more = (more > 0).then(|| format!("and {more} more"));
    words.chain(more).collect::<Vec<_>>().join(", ")
}

/// The same without reasons, to tell events apart: `create listener TCP/80 on load-balancer/lf-…`.
#[must_use]
pub fn step_names(steps: &[Step]) -> String {
    let names = steps.iter().take(SHOWN).map(|step| {
        let line = Line::of(&step.action);
        format!("{} {}", line.verb, line.object)
    });
    names.collect::<Vec<_>>().join(", ")
}

/// Kind of a step, as the metrics name it: `create-listener`.
#[must_use]
pub fn kind(action: &Action) -> &'static str {
    match action {
        Action::CreateSecurityGroup { .. } => "create-security-group",
        Action::AuthorizeIngress { .. } => "authorize-ingress",
        Action::RevokeIngress { .. } => "revoke-ingress",
        Action::DeleteSecurityGroup { .. } => "delete-security-group",
        Action::TagSecurityGroup { .. } => "tag-security-group",
        Action::CreateTargetGroup { .. } => "create-target-group",
        Action::ModifyHealthCheck { .. } => "modify-health-check",
        Action::ModifyTargetGroupAttributes { .. } => "modify-target-group-attributes",
        Action::RegisterTargets { .. } => "register-targets",
        Action::DeregisterTargets { .. } => "deregister-targets",
        Action::TagTargetGroup { .. } => "tag-target-group",
        Action::DeleteTargetGroup { .. } => "delete-target-group",
        Action::CreateLoadBalancer { .. } => "create-load-balancer",
        Action::SetSubnets { .. } => "set-subnets",
        Action::SetSecurityGroups { .. } => "set-security-groups",
        Action::ModifyLoadBalancerAttributes { .. } => "modify-load-balancer-attributes",
        Action::TagLoadBalancer { .. } => "tag-load-balancer",
        Action::DeleteLoadBalancer { .. } => "delete-load-balancer",
        Action::CreateListener { .. } => "create-listener",
        Action::ModifyListener { .. } => "modify-listener",
        Action::DeleteListener { .. } => "delete-listener",
    }
}

fn wait_text(wait: &Wait) -> String {
    match wait {
        Wait::BackendGroup => "waits for the cluster's backend security group".to_owned(),
        Wait::NodeRules => "opens the nodes for that group when it is there".to_owned(),
        Wait::Provisioning { load_balancer } => format!("waits for load-balancer/{load_balancer} to become active"),
        Wait::Replacement { load_balancer } => {
            format!("keeps load-balancer/{load_balancer} until its replacement serves and is published")
        }
        Wait::SubnetChange { load_balancer } => {
            format!("goes on with the subnets of load-balancer/{load_balancer} when AWS has let go of the old ones")
        }
    }
}

/// One step in words.
struct Line {
    sign: char,
    verb: &'static str,
    object: String,
    detail: String,
}

impl Line {
    fn new(sign: char, verb: &'static str, object: impl std::fmt::Display, detail: impl Into<String>) -> Self {
        Self { sign, verb, object: object.to_string(), detail: detail.into() }
    }

    fn of(action: &Action) -> Self {
        match action {
            Action::CreateSecurityGroup { name, vpc, .. } => {
                Self::new('+', "create", format_args!("security-group/{name}"), format!("in {vpc}"))
            }
            Action::AuthorizeIngress { group, rules } => Self::new('+', "authorize", group, list(rules, Rule::to_string)),
            Action::RevokeIngress { group, rules } => Self::new('-', "revoke", group, list(rules, Rule::to_string)),
            Action::DeleteSecurityGroup { group } => Self::new('-', "delete", group, ""),
            Action::TagSecurityGroup { group, set, remove } => Self::new('~', "tag", group, tag_list(set, remove)),
            Action::CreateTargetGroup { name, protocol, port, target_type, .. } => {
                let detail = format!("{protocol} to {target_type} targets, port {port}");
                Self::new('+', "create", format_args!("target-group/{name}"), detail)
            }
            Action::ModifyHealthCheck { target_group, .. } => Self::new('~', "modify", target_group, ""),
            Action::ModifyTargetGroupAttributes { target_group, attributes } => {
                Self::new('~', "modify", target_group, pairs(attributes))
            }
            Action::RegisterTargets { target_group, targets } => {
                Self::new('+', "register", target_group, list(targets, target_text))
            }
            Action::DeregisterTargets { target_group, targets } => {
                Self::new('-', "deregister", target_group, list(targets, target_text))
            }
            Action::TagTargetGroup { target_group, set, remove } => Self::new('~', "tag", target_group, tag_list(set, remove)),
            Action::DeleteTargetGroup { target_group } => Self::new('-', "delete", target_group, ""),
            Action::CreateLoadBalancer { name, scheme, subnets, security_groups, .. } => {
                let groups = list(security_groups, |group| group.name().to_owned());
                let detail = format!("{scheme}, in {}, with {groups}", list(subnets, ToString::to_string));
                Self::new('+', "create", format_args!("load-balancer/{name}"), detail)
            }
            Action::SetSubnets { load_balancer, .. } => Self::new('~', "set subnets of", load_balancer, ""),
            Action::SetSecurityGroups { load_balancer, security_groups } => {
                let detail = list(security_groups, |group| group.name().to_owned());
                Self::new('~', "set security groups of", load_balancer, detail)
            }
            Action::ModifyLoadBalancerAttributes { load_balancer, attributes } => {
                Self::new('~', "modify", load_balancer, pairs(attributes))
            }
            Action::TagLoadBalancer { load_balancer, set, remove } => Self::new('~', "tag", load_balancer, tag_list(set, remove)),
            Action::DeleteLoadBalancer { load_balancer } => Self::new('-', "delete", load_balancer, ""),
            Action::CreateListener { load_balancer, port, protocol, target_group, .. } => {
                let object = format_args!("listener {protocol}/{port} on {load_balancer}").to_string();
                Self::new('+', "create", object, format!("to {target_group}"))
            }
            Action::ModifyListener { load_balancer, port, protocol, target_group, .. } => {
                let object = format_args!("listener {protocol}/{port} on {load_balancer}").to_string();
                Self::new('~', "modify", object, format!("to {target_group}"))
            }
            Action::DeleteListener { load_balancer, port, .. } => {
                Self::new('-', "delete", format_args!("listener {port} on {load_balancer}"), "")
            }
        }
    }
}

/// The first few items, and how many more there are.
fn list<'a, T: 'a, I>(items: I, text: impl Fn(&T) -> String) -> String
where
    I: IntoIterator<Item = &'a T>,
    I::IntoIter: ExactSizeIterator,
{
    let items = items.into_iter();
    let more = items.len().saturating_sub(SHOWN);
    let mut shown: Vec<String> = items.take(SHOWN).map(text).collect();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    shown.join(", ")
}

fn target_text(target: &Target) -> String {
    format!("{}:{}", target.id, target.port)
}

fn pairs(attributes: &Attributes) -> String {
    attributes.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ")
}

fn tag_list(set: &Tags, remove: &std::collections::BTreeSet<String>) -> String {
    let set = set.iter().map(|(key, value)| format!("+{key}={value}"));
    set.chain(remove.iter().map(|key| format!("-{key}"))).collect::<Vec<_>>().join(", ")
}
