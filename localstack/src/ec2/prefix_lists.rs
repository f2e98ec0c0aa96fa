//! Managed prefix lists: named sets of CIDR blocks that security-group rules may refer to.
//!
//! Imports `filter`, `show`, `tags`. A rule that names a list counts as many rules as the list may have entries.

use std::collections::BTreeMap;

use super::filter::{Described, Kind, select};
use super::permissions::{read_v4, read_v6};
use super::{show, tags, tokens};
use crate::error::ApiError;
use crate::model::Tags;
use crate::model::network::{Peer, PrefixList};
use crate::page::page;
use crate::service::{Action, Call};
use crate::xml::Xml;

pub(super) const ACTIONS: &[Action] = &[
    Action {
        name: "CreateManagedPrefixList",
        parameters: &[
            "PrefixListName!",
            "ClientToken",
            "AddressFamily:IPv4|IPv6!",
            "MaxEntries:1-1000!",
            "Entry.#.Cidr",
            "Entry.#.Description",
            "TagSpecification.#.ResourceType",
            "TagSpecification.#.Tag.#.Key",
            "TagSpecification.#.Tag.#.Value",
            "DryRun:bool",
        ],
        run: create,
    },
    Action { name: "DeleteManagedPrefixList", parameters: &["PrefixListId!", "DryRun:bool"], run: delete },
    Action {
        name: "DescribeManagedPrefixLists",
        parameters: &["PrefixListId.#", "Filter.#.Name", "Filter.#.Value.#", "MaxResults:1-100", "NextToken", "DryRun:bool"],
        run: describe,
    },
    Action {
        name: "GetManagedPrefixListEntries",
        parameters: &["PrefixListId!", "MaxResults:1-100", "NextToken", "DryRun:bool"],
        run: entries,
    },
];

pub(super) const KIND: Kind = Kind { parameter: "PrefixListId", prefix: "pl-", missing: "InvalidPrefixListID.NotFound" };

impl Described for PrefixList {
    const FILTERS: &'static [&'static str] = &["owner-id", "prefix-list-id", "prefix-list-name"];

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn values(&self, filter: &str) -> Vec<String> {
        vec![match filter {
            "owner-id" => self.owner.clone(),
            "prefix-list-id" => self.id.clone(),
            _ => self.name.clone(),
        }]
    }
}

fn create(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let params = call.params;
    if let Some(id) = tokens::made(call, "CreateManagedPrefixList")?.into_iter().flatten().next()
        && let Some(list) = call.state.network.prefix_lists.get(&id)
    {
        out.within("prefixList", |xml| show::prefix_list(xml, list, "create-complete"));
        return Ok(());
    }
    let name = params.required("PrefixListName");
    if name.is_empty() || name.chars().count() > 255 || name.starts_with("com.amazonaws") {
        let message = format!("The name '{name}' is not valid: 1 to 255 characters, not beginning with com.amazonaws");
        return Err(ApiError::parameter_value(message));
    }
    let family = params.required("AddressFamily");
    let max_entries = params.number("MaxEntries").and_then(|count| usize::try_from(count).ok()).unwrap_or_default();
    let mut entries = BTreeMap::new();
    for entry in params.items("Entry") {
        let text = entry.required("Cidr");
        let cidr = if family == "IPv4" { read_v4(text)?.to_string() } else { read_v6(text)?.to_string() };
        let description = entry.text("Description").unwrap_or_default().to_owned();
        if entries.insert(cidr.clone(), description).is_some() {
            return Err(ApiError::parameter_value(format!("The CIDR {cidr} appears twice (Entry)")));
        }
    }
    if entries.len() > max_entries {
        let message = format!("The list has {} entries and may have at most {max_entries} (MaxEntries)", entries.len());
        return Err(ApiError::new("PrefixListMaxEntriesExceeded", message));
    }
    let tags = tags::specified(params, "prefix-list")?;
    let id = call.state.ids.ec2("pl");
    let list = PrefixList {
        arn: call.state.place.arn("ec2", &format!("prefix-list/{id}")),
        owner: call.state.place.account.clone(),
        id: id.clone(),
        name: name.to_owned(),
        ipv6: family == "IPv6",
        max_entries,
        entries,
        tags,
    };
    out.within("prefixList", |xml| show::prefix_list(xml, &list, "create-complete"));
    call.state.network.prefix_lists.insert(id.clone(), list);
    tokens::remember(call, "CreateManagedPrefixList", vec![id]);
    Ok(())
}

fn delete(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let id = call.params.required("PrefixListId");
    let network = &mut call.state.network;
    let list = network.prefix_lists.get(id).ok_or_else(|| KIND.no(id))?;
    if network.rules.values().any(|rule| rule.traffic.peer == Peer::PrefixList(id.to_owned())) {
        let message = format!("The prefix list {id} is referenced by a security group rule and cannot be deleted");
        return Err(ApiError::new("IncorrectState", message));
    }
    out.within("prefixList", |xml| show::prefix_list(xml, list, "delete-complete"));
    network.prefix_lists.remove(id);
    Ok(())
}

fn describe(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let page = select(call.params, &call.state.network.prefix_lists, &KIND)?;
    out.list("prefixListSet", page.items, |xml, list| show::prefix_list(xml, list, "create-complete"));
    out.optional("nextToken", page.next);
    Ok(())
}

fn entries(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let params = call.params;
    let id = params.required("PrefixListId");
    let list = call.state.network.prefix_lists.get(id).ok_or_else(|| KIND.no(id))?;
    let rows: BTreeMap<String, (&String, &String)> =
        list.entries.iter().map(|(cidr, description)| (cidr.clone(), (cidr, description))).collect();
    let size = params.number("MaxResults").and_then(|size| usize::try_from(size).ok()).unwrap_or(100);
    let page = page(&rows, params.text("NextToken"), size, |_| true)
        .map_err(|error| ApiError::new("InvalidNextToken", error.message))?;
    out.list("entrySet", page.items, |xml, (cidr, description)| {
        xml.text("cidr", cidr);
        xml.optional("description", Some(description).filter(|text| !text.is_empty()));
    });
    out.optional("nextToken", page.next);
    Ok(())
}
