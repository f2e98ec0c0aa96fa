//! Tags of load balancers, target groups and listeners after their creation.
//!
//! Imports `names`. AWS's lists of resources are lists in name only when writing: it refuses more than one.

use super::names::{check_named, check_tag_count, no_listener, no_load_balancer, no_rule, no_target_group, tags};
use super::trust_stores::no_trust_store;
use super::{rules, show};
use crate::error::ApiError;
use crate::model::balancing::Balancing;
use crate::model::{State, Tags};
use crate::query::Params;
use crate::service::Call;
use crate::xml::Xml;

/// The tags of the resource that an ARN names.
fn tags_of<'a>(balancing: &'a mut Balancing, arn: &str) -> Result<&'a mut Tags, ApiError> {
    let resource = arn.split(':').nth(5).unwrap_or_default();
    match resource.split('/').next() {
        Some("loadbalancer") => {
            balancing.load_balancers.get_mut(arn).map(|item| &mut item.tags).ok_or_else(|| no_load_balancer(arn))
        }
        Some("targetgroup") => {
            balancing.target_groups.get_mut(arn).map(|item| &mut item.tags).ok_or_else(|| no_target_group(arn))
        }
        Some("listener") => balancing.listeners.get_mut(arn).map(|item| &mut item.tags).ok_or_else(|| no_listener(arn)),
        Some("listener-rule") => rules::tags_of(balancing, arn).ok_or_else(|| no_rule(arn)),
        Some("truststore") => Err(no_trust_store(arn)),
        _ => Err(ApiError::validation(format!("'{arn}' is not a valid load balancer, target group, listener or rule ARN"))),
    }
}

/// The tags of a resource, if it is there.
pub(crate) fn tags_of_arn(state: &mut State, arn: &str) -> Option<Tags> {
    tags_of(&mut state.balancing, arn).ok().cloned()
}

fn only_resource(params: &Params) -> Result<&str, ApiError> {
    match params.texts("ResourceArns").as_slice() {
        [arn] => Ok(arn),
        [] => Err(ApiError::validation("A resource must be specified (ResourceArns)")),
        _ => Err(ApiError::validation("Only one resource can be tagged at a time")),
    }
}

pub(super) fn add(call: &mut Call<'_>, _out: &mut Xml) -> Result<(), ApiError> {
    let arn = only_resource(call.params)?;
    let added = tags(call.params)?;
    if added.is_empty() {
        return Err(ApiError::validation("At least one tag must be specified (Tags)"));
    }
    let present = tags_of(&mut call.state.balancing, arn)?;
    let new = added.keys().filter(|key| !present.contains_key(*key)).count();
    check_tag_count(present.len() + new)?;
    present.extend(added);
    Ok(())
}

pub(super) fn remove(call: &mut Call<'_>, _out: &mut Xml) -> Result<(), ApiError> {
    let arn = only_resource(call.params)?;
    let present = tags_of(&mut call.state.balancing, arn)?;
    for key in call.params.texts("TagKeys") {
        present.remove(key);
    }
    Ok(())
}

pub(super) fn describe(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let arns = call.params.texts("ResourceArns");
    check_named("resources", arns.len())?;
    let mut found = Vec::new();
    for arn in arns {
        found.push((arn, tags_of(&mut call.state.balancing, arn)?.clone()));
    }
    out.list("TagDescriptions", found, |xml, (arn, tags)| {
        xml.text("ResourceArn", arn);
        show::tags(xml, &tags);
    });
    Ok(())
}
