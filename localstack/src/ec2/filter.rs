//! What EC2's describing actions have in common: identifiers, filters, pages.
//!
//! Imports `query`, `glob`, `page`, `error`. A kind of resource says by [`Described`] which filters it has and what they compare with.

use std::collections::BTreeMap;

use crate::error::ApiError;
use crate::glob;
use crate::model::Tags;
use crate::page::{Page, page};
use crate::query::Params;

/// A kind of resource that can be listed.
pub(super) trait Described {
    /// The filters it knows, besides `tag:KEY` and `tag-key`.
    const FILTERS: &'static [&'static str];

    fn tags(&self) -> &Tags;

    /// What a filter of [`Described::FILTERS`] compares with: any of the values has to match.
    fn values(&self, filter: &str) -> Vec<String>;
}

/// The filters of a call: all have to match, each by any of its values.
pub(super) struct Filters<'a>(Vec<(&'a str, Vec<&'a str>)>);

impl<'a> Filters<'a> {
    /// Reads the filters and refuses those that `known` does not name.
    pub(super) fn read(params: &'a Params, known: &[&str]) -> Result<Self, ApiError> {
        let mut filters = Vec::new();
        for filter in params.items("Filter") {
            let (name, values) = (filter.required("Name"), filter.texts("Value"));
            if !known.contains(&name) && name != "tag-key" && !name.starts_with("tag:") {
                return Err(ApiError::parameter_value(format!("The filter '{name}' is invalid")));
            }
            if values.is_empty() {
                return Err(ApiError::parameter_value(format!("The filter '{name}' has no value")));
            }
            filters.push((name, values));
        }
        Ok(Self(filters))
    }

    fn accept<T: Described>(&self, item: &T) -> bool {
        self.0.iter().all(|(name, wanted)| {
            let actual: Vec<String> = if let Some(key) = name.strip_prefix("tag:") {
                item.tags().get(key).cloned().into_iter().collect()
            } else if *name == "tag-key" {
                item.tags().keys().cloned().collect()
            } else {
                item.values(name)
            };
            actual.iter().any(|actual| wanted.iter().any(|pattern| glob::matches(pattern, actual)))
        })
    }
}

/// How a kind of resource is named in calls and errors.
pub(super) struct Kind {
    /// The list parameter that names identifiers.
    pub(super) parameter: &'static str,
    /// The prefix of identifiers, `subnet-`.
    pub(super) prefix: &'static str,
    /// The error for one that does not exist; `Malformed` replaces `NotFound` for what is no identifier at all, where that is a code.
    pub(super) missing: &'static str,
}

impl Kind {
    /// The error for an identifier that names nothing.
    pub(super) fn no(&self, id: &str) -> ApiError {
        if id.starts_with(self.prefix) {
            return ApiError::new(self.missing, format!("The ID '{id}' does not exist"));
        }
        let malformed = match self.missing {
            // Kinds whose two errors have different stems.
            "InvalidGroup.NotFound" => "InvalidGroupId.Malformed".to_owned(),
            stem @ ("InvalidInternetGatewayID.NotFound"
            | "InvalidNetworkInterfaceID.NotFound"
            | "InvalidRouteTableID.NotFound") => stem.replace("ID.NotFound", "Id.Malformed"),
            // No other code is known.
            missing @ ("InvalidAllocationID.NotFound" | "InvalidPrefixListID.NotFound") => missing.to_owned(),
            other => other.replace("NotFound", "Malformed"),
        };
        ApiError::new(&malformed, format!("Invalid id: \"{id}\" (expecting \"{}...\")", self.prefix))
    }
}

/// The resources that a describing call asks for.
pub(super) fn select<'a, T: Described>(
    params: &Params,
    items: &'a BTreeMap<String, T>,
    kind: &Kind,
) -> Result<Page<'a, T>, ApiError> {
    let filters = Filters::read(params, T::FILTERS)?;
    let size = params.number("MaxResults").and_then(|size| usize::try_from(size).ok());
    let ids = params.texts(kind.parameter);
    if !ids.is_empty() {
        if size.is_some() {
            let message = format!("The parameter {} cannot be used with the parameter maxResults", kind.parameter);
            return Err(ApiError::new("InvalidParameterCombination", message));
        }
        let mut found = Vec::new();
        for id in ids {
            found.push(items.get(id).ok_or_else(|| kind.no(id))?);
        }
        found.retain(|item| filters.accept(*item));
        return Ok(Page { items: found, next: None });
    }
    page(items, params.text("NextToken"), size.unwrap_or(1000), |item| filters.accept(item))
        .map_err(|error| ApiError::new("InvalidNextToken", error.message))
}
