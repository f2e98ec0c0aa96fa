//! Rules of listeners: the default one that every listener has, and those of dual-stack load balancers, which tell IPv4 clients from IPv6
//! ones (NLB user guide, "Listener rules").
//!
//! Imports `forward` for actions, `names`, `show`. A rule lives in its listener, by priority; the default rule is the listener's own action.

use std::collections::{BTreeMap, BTreeSet};

use super::names::{self, check_named, no_rule};
use super::placement::configuration;
use super::{forward, show};
use crate::error::ApiError;
use crate::ids;
use crate::model::balancing::{Balancing, Forward, Listener, Rule};
use crate::model::{State, Tags};
use crate::page::page;
use crate::query::Params;
use crate::service::Call;
use crate::xml::Xml;

/// Rules of a listener beside the default one. Undocumented; there is one condition with two values.
const MAX_RULES: usize = 100;

/// The ARN of a listener's default rule.
pub(super) fn default_arn(listener: &Listener) -> String {
    format!("{}/{}", listener.arn.replacen(":listener/", ":listener-rule/", 1), ids::hex(&listener.arn, 16))
}

/// A rule as it is shown.
struct Shown<'a> {
    arn: String,
    /// `None`: the default rule.
    condition: Option<(u32, bool)>,
    action: &'a Forward,
}

fn default_rule(listener: &Listener) -> Shown<'_> {
    Shown { arn: default_arn(listener), condition: None, action: &listener.action }
}

fn own_rule(priority: u32, rule: &Rule) -> Shown<'_> {
    Shown { arn: rule.arn.clone(), condition: Some((priority, rule.ipv6)), action: &rule.action }
}

fn show(xml: &mut Xml, rule: &Shown<'_>) {
    xml.text("RuleArn", &rule.arn);
    match rule.condition {
        Some((priority, _)) => xml.text("Priority", priority),
        None => xml.text("Priority", "default"),
    }
    xml.list("Conditions", rule.condition, |xml, (_, ipv6)| {
        xml.text("Field", "source-ip");
        xml.within("SourceIpConfig", |xml| xml.text("IpAddressType", if ipv6 { "ipv6" } else { "ipv4" }));
    });
    xml.list("Actions", [rule.action], show::action);
    xml.text("IsDefault", rule.condition.is_none());
}

/// `DescribeRules`.
pub(super) fn describe(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let balancing = &call.state.balancing;
    let (arns, listener) = (call.params.texts("RuleArns"), call.params.text("ListenerArn"));
    check_named("rules", arns.len())?;
    let mut next = None;
    let shown: Vec<Shown<'_>> = match listener {
        None if arns.is_empty() => {
            return Err(ApiError::validation("You must specify either rule ARNs or a listener ARN"));
        }
        Some(_) if !arns.is_empty() => {
            return Err(ApiError::validation("Rule ARNs and a listener ARN cannot be specified at the same time"));
        }
        None => arns.iter().map(|arn| find(call.state, arn)).collect::<Result<_, _>>()?,
        Some(arn) => {
            let listener = names::listener(balancing, arn)?;
            let own = listener.rules.iter().map(|(priority, rule)| (format!("{priority:05}"), Some((*priority, rule))));
            let all: BTreeMap<String, Option<(u32, &Rule)>> = own.chain([("default".to_owned(), None)]).collect();
            let page = page(&all, call.params.text("Marker"), names::page_size(call.params), |_| true)?;
            next = page.next;
            page.items
                .into_iter()
                .map(|rule| match rule {
                    Some((priority, rule)) => own_rule(*priority, rule),
                    None => default_rule(listener),
                })
                .collect()
        }
    };
    out.list("Rules", &shown, show);
    out.optional("NextMarker", next);
    Ok(())
}

fn find<'a>(state: &'a State, arn: &str) -> Result<Shown<'a>, ApiError> {
    if let Some((_, priority, rule)) = state.balancing.rule(arn) {
        return Ok(own_rule(priority, rule));
    }
    let listener = default_of(state, arn).ok_or_else(|| no_rule(arn))?;
    Ok(default_rule(listener))
}

/// The listener whose default rule has this ARN.
fn default_of<'a>(state: &'a State, arn: &str) -> Option<&'a Listener> {
    let (listener, _) = arn.rsplit_once('/')?;
    let listener = state.balancing.listeners.get(&listener.replacen(":listener-rule/", ":listener/", 1))?;
    (default_arn(listener) == arn).then_some(listener)
}

/// The tags of a rule, which may be a default one.
pub(super) fn tags_of<'a>(balancing: &'a mut Balancing, arn: &str) -> Option<&'a mut Tags> {
    let (listener, _) = arn.rsplit_once('/')?;
    let listener = balancing.listeners.get_mut(&listener.replacen(":listener-rule/", ":listener/", 1))?;
    if default_arn(listener) == arn {
        return Some(&mut listener.default_rule_tags);
    }
    listener.rules.values_mut().find(|rule| rule.arn == arn).map(|rule| &mut rule.tags)
}

/// The listener of a rule that may be changed, and the rule's priority.
fn changeable(state: &State, arn: &str) -> Result<(Listener, u32), ApiError> {
    if default_of(state, arn).is_some() {
        return Err(ApiError::new(
            "OperationNotPermitted",
            format!("Default rule '{arn}' cannot be changed: modify its listener"),
        ));
    }
    let (listener, priority, _) = state.balancing.rule(arn).ok_or_else(|| no_rule(arn))?;
    Ok((listener.clone(), priority))
}

pub(super) fn create(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let params = call.params;
    let arn = params.required("ListenerArn");
    let mut listener = names::listener(&call.state.balancing, arn)?.clone();
    let priority = params.number("Priority").and_then(|number| u32::try_from(number).ok()).unwrap_or_default();
    let ipv6 = read_condition(params)?.ok_or_else(|| ApiError::validation("A rule needs a condition (Conditions)"))?;
    let action = forward::read(params, "Actions")?.ok_or_else(|| ApiError::validation("A rule needs an action (Actions)"))?;
    let tags = names::tags(params)?;
    if listener.rules.contains_key(&priority) {
        return Err(in_use(priority));
    }
    if listener.rules.len() >= MAX_RULES {
        return Err(ApiError::new("TooManyRules", format!("Listener '{arn}' can have at most {MAX_RULES} rules")));
    }
    let id = ids::hex(&format!("{arn}/{priority}/{}", call.state.timers.fresh()), 16);
    let rule_arn = format!("{}/{id}", arn.replacen(":listener/", ":listener-rule/", 1));
    listener.rules.insert(priority, Rule { arn: rule_arn, ipv6, action, tags });
    store(call, out, listener, priority)
}

pub(super) fn modify(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let (mut listener, priority) = changeable(call.state, call.params.required("RuleArn"))?;
    let (condition, action) = (read_condition(call.params)?, forward::read(call.params, "Actions")?);
    if let Some(rule) = listener.rules.get_mut(&priority) {
        rule.ipv6 = condition.unwrap_or(rule.ipv6);
        if let Some(action) = action {
            rule.action = action;
        }
    }
    store(call, out, listener, priority)
}

/// Puts the changed listener in its place and answers with one of its rules.
fn store(call: &mut Call<'_>, out: &mut Xml, listener: Listener, priority: u32) -> Result<(), ApiError> {
    let balancer = names::load_balancer(&call.state.balancing, &listener.load_balancer)?;
    forward::check(call.state, balancer, &listener)?;
    out.list("Rules", listener.rules.get(&priority), |xml, rule| show(xml, &own_rule(priority, rule)));
    call.state.put_listener(listener, call.now, call.durations);
    Ok(())
}

pub(super) fn delete(call: &mut Call<'_>, _out: &mut Xml) -> Result<(), ApiError> {
    let (mut listener, priority) = changeable(call.state, call.params.required("RuleArn"))?;
    listener.rules.remove(&priority);
    call.state.put_listener(listener, call.now, call.durations);
    Ok(())
}

/// `SetRulePriorities`: all of them change at once, so that two may change places.
pub(super) fn set_priorities(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let mut wanted: BTreeMap<String, u32> = BTreeMap::new();
    let mut owner: Option<Listener> = None;
    for pair in call.params.items("RulePriorities") {
        let arn = pair.required("RuleArn");
        let priority = pair.number("Priority").and_then(|number| u32::try_from(number).ok());
        let priority = priority.ok_or_else(|| ApiError::validation(format!("Rule '{arn}' needs a priority (Priority)")))?;
        let (listener, _) = changeable(call.state, arn)?;
        if owner.get_or_insert_with(|| listener.clone()).arn != listener.arn {
            return Err(ApiError::validation("The rules of one call must belong to the same listener (RulePriorities)"));
        }
        wanted.insert(arn.to_owned(), priority);
    }
    let mut listener = owner.ok_or_else(|| ApiError::validation("At least one rule must be specified (RulePriorities)"))?;
    let mut rules = BTreeMap::new();
    for (priority, rule) in std::mem::take(&mut listener.rules) {
        let priority = wanted.get(&rule.arn).copied().unwrap_or(priority);
        if rules.insert(priority, rule).is_some() {
            return Err(in_use(priority));
        }
    }
    let changed: BTreeSet<u32> = wanted.into_values().collect();
    let shown = rules.iter().filter(|(priority, _)| changed.contains(*priority));
    out.list("Rules", shown, |xml, (priority, rule)| show(xml, &own_rule(*priority, rule)));
    listener.rules = rules;
    call.state.put_listener(listener, call.now, call.durations);
    Ok(())
}

fn in_use(priority: u32) -> ApiError {
    ApiError::new("PriorityInUse", format!("Priority '{priority}' is in use by another rule of the listener"))
}

/// Whether a rule is for IPv6 clients; `None` when the call does not say it.
fn read_condition(params: &Params) -> Result<Option<bool>, ApiError> {
    let conditions = params.items("Conditions");
    let condition = match conditions.as_slice() {
        [] => return Ok(None),
        [condition] => condition,
        _ => return Err(ApiError::validation("A rule of a network load balancer has exactly one condition (Conditions)")),
    };
    match (condition.required("Field"), condition.text("SourceIpConfig.IpAddressType")) {
        ("source-ip", Some(kind)) => Ok(Some(kind == "ipv6")),
        ("source-ip", None) => {
            Err(ApiError::validation("A source-ip condition of a network load balancer needs SourceIpConfig.IpAddressType"))
        }
        (field, _) => {
            let message =
                format!("Condition field '{field}' is not supported on load balancers with type 'network': use source-ip");
            Err(configuration(&message))
        }
    }
}
