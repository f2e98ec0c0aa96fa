//! `DescribeAccountLimits`: the quotas that the emulator enforces, under AWS's names.

use std::collections::BTreeMap;

use super::{forward, names};
use crate::error::ApiError;
use crate::page::page;
use crate::service::Call;
use crate::xml::Xml;

pub(super) fn describe(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let quotas = call.state.quotas;
    let limits: BTreeMap<String, (&str, usize)> = [
        ("network-load-balancers", quotas.load_balancers),
        ("target-groups", quotas.target_groups),
        ("listeners-per-network-load-balancer", quotas.listeners_per_load_balancer),
        ("certificates-per-network-load-balancer", quotas.certificates_per_load_balancer),
        ("targets-per-network-load-balancer", quotas.targets_per_load_balancer),
        ("targets-per-availability-zone-per-network-load-balancer", quotas.targets_per_zone),
        ("targets-per-target-group", quotas.targets_per_target_group),
        ("target-groups-per-action-on-network-load-balancer", forward::MAX_GROUPS),
    ]
    .into_iter()
    .map(|(name, max)| (name.to_owned(), (name, max)))
    .collect();
    let page = page(&limits, call.params.text("Marker"), names::page_size(call.params), |_| true)?;
    out.list("Limits", page.items, |xml, (name, max)| {
        xml.text("Name", name);
        xml.text("Max", max);
    });
    out.optional("NextMarker", page.next);
    Ok(())
}
