//! Names and tags as ELBv2 accepts them, and the lookups every action begins with.
//!
//! Imports `error`, `query`, `model`.

use std::collections::BTreeMap;

use crate::error::ApiError;
use crate::model::Tags;
use crate::model::balancing::{Balancing, Listener, LoadBalancer, TargetGroup};
use crate::query::Params;

/// Tags that a resource may have, not counting AWS's own.
const MAX_TAGS: usize = 50;
/// Resources that one describing call may name.
const MAX_NAMED: usize = 20;

/// Checks the name of a load balancer or target group: up to 32 letters, digits and inner hyphens.
pub(super) fn check_name(what: &str, name: &str) -> Result<(), ApiError> {
    let complain = |why: &str| Err(ApiError::validation(format!("The {what} name '{name}' {why}")));
    if name.is_empty() {
        return complain("cannot be empty");
    }
    if name.chars().count() > 32 {
        return complain("cannot be longer than '32' characters");
    }
    if !name.chars().all(|character| character.is_ascii_alphanumeric() || character == '-') {
        return complain("can only contain characters that are alphanumeric characters and hyphens(-)");
    }
    if name.starts_with('-') || name.ends_with('-') {
        return complain("cannot begin or end with a hyphen(-)");
    }
    Ok(())
}

/// Reads and checks `Tags.member.N`.
pub(super) fn tags(params: &Params) -> Result<Tags, ApiError> {
    let mut tags = Tags::new();
    for tag in params.items("Tags") {
        let (key, value) = (tag.required("Key"), tag.text("Value").unwrap_or_default());
        check_tag(key, value)?;
        if tags.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(ApiError::new("DuplicateTagKeys", format!("The tag key '{key}' was specified more than once")));
        }
    }
    check_tag_count(tags.len())?;
    Ok(tags)
}

fn check_tag(key: &str, value: &str) -> Result<(), ApiError> {
    let plain =
        |text: &str| text.chars().all(|letter| letter.is_alphanumeric() || letter.is_whitespace() || "_.:/=+-@".contains(letter));
    let fault = if key.is_empty() || key.chars().count() > 128 {
        "its key must have 1 to 128 characters"
    } else if value.chars().count() > 256 {
        "its value must have at most 256 characters"
    } else if !plain(key) || !plain(value) {
        "keys and values consist of letters, digits, spaces and _.:/=+-@"
    } else if key.to_ascii_lowercase().starts_with("aws:") {
        "keys that begin with 'aws:' are reserved"
    } else {
        return Ok(());
    };
    Err(ApiError::validation(format!("The tag '{key}' is not valid: {fault}")))
}

/// Refuses more tags than a resource may have.
pub(super) fn check_tag_count(count: usize) -> Result<(), ApiError> {
    if count > MAX_TAGS {
        return Err(ApiError::new("TooManyTags", format!("A resource can have at most {MAX_TAGS} tags, not {count}")));
    }
    Ok(())
}

/// Refuses more resources than one describing call may name.
pub(super) fn check_named(what: &str, count: usize) -> Result<(), ApiError> {
    if count > MAX_NAMED {
        return Err(ApiError::validation(format!(
            "The number of {what} in one call cannot exceed {MAX_NAMED}, but {count} were given"
        )));
    }
    Ok(())
}

/// The size of a page as asked for; ELBv2's largest is also its default.
pub(super) fn page_size(params: &Params) -> usize {
    params.number("PageSize").and_then(|size| usize::try_from(size).ok()).unwrap_or(400)
}

/// A load balancer that has to be there.
pub(super) fn load_balancer<'a>(balancing: &'a Balancing, arn: &str) -> Result<&'a LoadBalancer, ApiError> {
    balancing.load_balancers.get(arn).ok_or_else(|| no_load_balancer(arn))
}

/// A target group that has to be there.
pub(super) fn target_group<'a>(balancing: &'a Balancing, arn: &str) -> Result<&'a TargetGroup, ApiError> {
    balancing.target_groups.get(arn).ok_or_else(|| no_target_group(arn))
}

/// A listener that has to be there.
pub(super) fn listener<'a>(balancing: &'a Balancing, arn: &str) -> Result<&'a Listener, ApiError> {
    balancing.listeners.get(arn).ok_or_else(|| no_listener(arn))
}

pub(super) fn no_load_balancer(what: &str) -> ApiError {
    ApiError::new("LoadBalancerNotFound", format!("Load balancers '[{what}]' not found"))
}

pub(super) fn no_target_group(what: &str) -> ApiError {
    ApiError::new("TargetGroupNotFound", format!("Target groups '[{what}]' not found"))
}

pub(super) fn no_listener(what: &str) -> ApiError {
    ApiError::new("ListenerNotFound", format!("Listeners '[{what}]' not found"))
}

pub(super) fn no_rule(what: &str) -> ApiError {
    ApiError::new("RuleNotFound", format!("Rules '[{what}]' not found"))
}

/// The named items of a map by ARN, in the order asked; one that is missing fails the whole call.
pub(super) fn all_named<'a, T>(
    items: &'a BTreeMap<String, T>,
    arns: &[&str],
    missing: fn(&str) -> ApiError,
) -> Result<Vec<&'a T>, ApiError> {
    arns.iter().map(|arn| items.get(*arn).ok_or_else(|| missing(arn))).collect()
}
