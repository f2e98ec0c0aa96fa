//! Tags of EC2 resources: at creation (`TagSpecification`) and later (`CreateTags`, `DeleteTags`, `DescribeTags`).
//!
//! Imports `filter`, `model`, `query`.

use std::collections::BTreeMap;

use super::filter::{Described, Kind, select};
use crate::error::ApiError;
use crate::model::network::Network;
use crate::model::{State, Tags};
use crate::query::Params;
use crate::service::Call;
use crate::xml::Xml;

/// Tags that a resource may have.
const MAX_TAGS: usize = 50;

/// The tags that a creating call gives the resource it creates; a specification for another type of resource is refused.
pub(super) fn specified(params: &Params, resource_type: &str) -> Result<Tags, ApiError> {
    let mut tags = Tags::new();
    for specification in params.items("TagSpecification") {
        let kind = specification.required("ResourceType");
        if kind != resource_type {
            let message = format!("'{kind}' is not a valid taggable resource type for this operation: use '{resource_type}'");
            return Err(ApiError::parameter_value(message));
        }
        for (key, value) in read(specification)? {
            if tags.insert(key.clone(), value).is_some() {
                return Err(ApiError::parameter_value(format!("Duplicate tag key '{key}' specified")));
            }
        }
    }
    check_count(tags.len())?;
    Ok(tags)
}

fn read(params: &Params) -> Result<Vec<(String, String)>, ApiError> {
    let mut tags = Vec::new();
    for tag in params.items("Tag") {
        let (key, value) = (tag.required("Key"), tag.text("Value").unwrap_or_default());
        if key.is_empty() || key.chars().count() > 127 || key.starts_with("aws:") {
            let message = format!("Tag key '{key}' is not valid: it has 1 to 127 characters and does not begin with 'aws:'");
            return Err(ApiError::parameter_value(message));
        }
        if value.chars().count() > 255 {
            return Err(ApiError::parameter_value(format!("The value of tag '{key}' has more than 255 characters")));
        }
        tags.push((key.to_owned(), value.to_owned()));
    }
    Ok(tags)
}

fn check_count(count: usize) -> Result<(), ApiError> {
    if count > MAX_TAGS {
        return Err(ApiError::new("TagLimitExceeded", format!("A resource can have at most {MAX_TAGS} tags, not {count}")));
    }
    Ok(())
}

/// The kinds of resources that can be tagged: `(prefix of the id, resource type)`.
const KINDS: &[(&str, &str)] = &[
    ("vpc-", "vpc"),
    ("subnet-", "subnet"),
    ("rtb-", "route-table"),
    ("igw-", "internet-gateway"),
    ("i-", "instance"),
    ("eni-", "network-interface"),
    ("eipalloc-", "elastic-ip"),
    ("pl-", "prefix-list"),
    ("sg-", "security-group"),
    ("sgr-", "security-group-rule"),
];

fn tags_of<'a>(network: &'a mut Network, id: &str) -> Result<&'a mut Tags, ApiError> {
    let kind = KINDS.iter().find(|(prefix, _)| id.starts_with(prefix)).map(|(_, kind)| *kind);
    let (found, missing) = match kind {
        Some("vpc") => (network.vpcs.get_mut(id).map(|item| &mut item.tags), "InvalidVpcID.NotFound"),
        Some("subnet") => (network.subnets.get_mut(id).map(|item| &mut item.tags), "InvalidSubnetID.NotFound"),
        Some("route-table") => (network.route_tables.get_mut(id).map(|item| &mut item.tags), "InvalidRouteTableID.NotFound"),
        Some("internet-gateway") => {
            (network.internet_gateways.get_mut(id).map(|item| &mut item.tags), "InvalidInternetGatewayID.NotFound")
        }
        Some("instance") => (network.instances.get_mut(id).map(|item| &mut item.tags), "InvalidInstanceID.NotFound"),
        Some("network-interface") => {
            (network.interfaces.get_mut(id).map(|item| &mut item.tags), "InvalidNetworkInterfaceID.NotFound")
        }
        Some("elastic-ip") => (network.addresses.get_mut(id).map(|item| &mut item.tags), "InvalidAllocationID.NotFound"),
        Some("prefix-list") => (network.prefix_lists.get_mut(id).map(|item| &mut item.tags), "InvalidPrefixListID.NotFound"),
        Some("security-group") => (network.security_groups.get_mut(id).map(|item| &mut item.tags), "InvalidGroup.NotFound"),
        Some("security-group-rule") => {
            (network.rules.get_mut(id).map(|item| &mut item.tags), "InvalidSecurityGroupRuleId.NotFound")
        }
        _ => (None, "InvalidID"),
    };
    found.ok_or_else(|| ApiError::new(missing, format!("The ID '{id}' is not valid or does not exist")))
}

/// The type and the tags of a resource, if it is there.
pub(crate) fn tags_of_id(state: &mut State, id: &str) -> Option<(&'static str, Tags)> {
    let kind = KINDS.iter().find(|(prefix, _)| id.starts_with(prefix)).map(|(_, kind)| *kind)?;
    tags_of(&mut state.network, id).ok().map(|tags| (kind, tags.clone()))
}

pub(super) fn create(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let added: Tags = read(call.params)?.into_iter().collect();
    let ids = call.params.texts("ResourceId");
    for id in &ids {
        let present = tags_of(&mut call.state.network, id)?;
        check_count(present.keys().chain(added.keys().filter(|key| !present.contains_key(*key))).count())?;
    }
    for id in &ids {
        tags_of(&mut call.state.network, id)?.extend(added.clone());
    }
    out.text("return", true);
    Ok(())
}

pub(super) fn delete(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let ids = call.params.texts("ResourceId");
    for id in &ids {
        tags_of(&mut call.state.network, id)?;
    }
    let removed = call.params.items("Tag");
    for id in &ids {
        let present = tags_of(&mut call.state.network, id)?;
        if removed.is_empty() {
            present.clear();
        }
        for tag in &removed {
            // With a value given, a tag with another value stays (API reference).
            let key = tag.required("Key");
            if tag.text("Value").is_none_or(|value| present.get(key).is_some_and(|own| own == value)) {
                present.remove(key);
            }
        }
    }
    out.text("return", true);
    Ok(())
}

struct TagRow {
    resource_id: String,
    resource_type: &'static str,
    /// The one tag of this row.
    tag: Tags,
}

impl Described for TagRow {
    const FILTERS: &'static [&'static str] = &["key", "value", "resource-id", "resource-type"];

    fn tags(&self) -> &Tags {
        &self.tag
    }

    fn values(&self, filter: &str) -> Vec<String> {
        match filter {
            "key" => self.tag.keys().cloned().collect(),
            "value" => self.tag.values().cloned().collect(),
            "resource-id" => vec![self.resource_id.clone()],
            "resource-type" => vec![self.resource_type.to_owned()],
            _ => Vec::new(),
        }
    }
}

fn all_tags(network: &Network) -> impl Iterator<Item = (&String, &Tags)> {
    let Network {
        zones: _,
        vpcs,
        subnets,
        route_tables,
        internet_gateways,
        instances,
        interfaces,
        addresses,
        prefix_lists,
        tokens: _,
        security_groups,
        rules,
    } = network;
    vpcs.iter()
        .map(|(id, item)| (id, &item.tags))
        .chain(subnets.iter().map(|(id, item)| (id, &item.tags)))
        .chain(route_tables.iter().map(|(id, item)| (id, &item.tags)))
        .chain(internet_gateways.iter().map(|(id, item)| (id, &item.tags)))
        .chain(instances.iter().map(|(id, item)| (id, &item.tags)))
        .chain(interfaces.iter().map(|(id, item)| (id, &item.tags)))
        .chain(addresses.iter().map(|(id, item)| (id, &item.tags)))
        .chain(prefix_lists.iter().map(|(id, item)| (id, &item.tags)))
        .chain(security_groups.iter().map(|(id, item)| (id, &item.tags)))
        .chain(rules.iter().map(|(id, item)| (id, &item.tags)))
}

/// Everything that can have tags: its type, id and tags.
pub(crate) fn tagged(network: &Network) -> impl Iterator<Item = (&'static str, &String, &Tags)> {
    let kind_of = |id: &str| KINDS.iter().find(|(prefix, _)| id.starts_with(prefix)).map_or("", |(_, kind)| *kind);
    all_tags(network).map(move |(id, tags)| (kind_of(id), id, tags))
}

pub(super) fn describe(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let mut rows = BTreeMap::new();
    for (resource_type, id, tags) in tagged(&call.state.network) {
        for (key, value) in tags {
            let tag = Tags::from([(key.clone(), value.clone())]);
            rows.insert(format!("{id} {key}"), TagRow { resource_id: id.clone(), resource_type, tag });
        }
    }
    let kind = Kind { parameter: "ResourceId", prefix: "", missing: "InvalidID" };
    let page = select(call.params, &rows, &kind)?;
    out.list("tagSet", page.items, |xml, row| {
        xml.text("resourceId", &row.resource_id);
        xml.text("resourceType", row.resource_type);
        for (key, value) in &row.tag {
            xml.text("key", key);
            xml.text("value", value);
        }
    });
    out.optional("nextToken", page.next);
    Ok(())
}
