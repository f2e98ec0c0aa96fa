//! `DescribeAccountLimits`: the quotas that the emulator enforces, under AWS's names.

use std::collections::BTreeMap;

use super::load_balancers::MAX_LOAD_BALANCERS;
use super::target_groups::MAX_TARGET_GROUPS;
use crate::error::ApiError;
use crate::page::page;
use crate::service::Call;
use crate::xml::Xml;

pub(super) fn describe(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let limits: BTreeMap<String, (&str, usize)> = [
        ("network-load-balancers", MAX_LOAD_BALANCERS),
        ("target-groups", MAX_TARGET_GROUPS),
        ("listeners-per-network-load-balancer", 50),
        ("targets-per-target-group", 1000),
        ("target-groups-per-action-on-network-load-balancer", 1),
    ]
    .into_iter()
    .map(|(name, max)| (name.to_owned(), (name, max)))
    .collect();
    let size = call.params.number("PageSize").and_then(|size| usize::try_from(size).ok()).unwrap_or(400);
    let page = page(&limits, call.params.text("Marker"), size, |_| true)?;
    out.list("Limits", page.items, |xml, (name, max)| {
        xml.text("Name", name);
        xml.text("Max", max);
    });
    out.optional("NextMarker", page.next);
    Ok(())
}
