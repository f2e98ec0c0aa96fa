//! Subnets of the load balancer: those that an annotation names, or one for each zone that discovery finds fit.
//!
//! Discovery follows AWS's tagging rules (EKS user guide, "Subnet requirements"; LBC does the same), with two differences: a
//! load balancer never loses a zone because a subnet ran low, and gains the zones that become fit later. Uses `annotations`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::annotations::{self, Annotations};
use super::codes::{self, Findings, listing, quote};
use crate::aws::types::{Scheme, Subnet, SubnetId, VpcId};
use crate::nlb::model::Inputs;

/// Addresses that AWS wants free in a subnet (NLB user guide, "Subnets").
const FREE_ADDRESSES: i32 = 8;
/// Tag keys that give a subnet its role; the value is empty or `1`.
const PUBLIC_ROLE: &str = "kubernetes.io/role/elb";
const INTERNAL_ROLE: &str = "kubernetes.io/role/internal-elb";
/// Tag keys that give a subnet to a cluster end with its name.
const CLUSTER_TAG: &str = "kubernetes.io/cluster/";

/// What was chosen: subnets, and the zones that they lie in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) subnets: BTreeSet<SubnetId>,
    pub(super) zones: BTreeSet<String>,
}

impl<'a> FromIterator<&'a Subnet> for Chosen {
    fn from_iter<T: IntoIterator<Item = &'a Subnet>>(subnets: T) -> Self {
        subnets.into_iter().fold(Self::default(), |mut chosen, subnet| {
            chosen.subnets.insert(subnet.id.clone());
            chosen.zones.insert(subnet.zone.clone());
            chosen
        })
    }
}

/// Why a subnet was not chosen.
struct Verdict<'a> {
    subnet: &'a Subnet,
    reason: String,
}

impl fmt::Display for Verdict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) {}", self.subnet.id, self.subnet.zone, self.reason)
    }
}

/// Whether discovery may need to know which subnets are public: when no subnet bears the role tag of one of the schemes.
#[must_use]
pub fn reachability_needed(subnets: &[Subnet]) -> bool {
    [PUBLIC_ROLE, INTERNAL_ROLE].iter().any(|role| !subnets.iter().any(|subnet| has_role(subnet, role)))
}

/// Chooses. Without a known scheme only named subnets can be judged.
pub(super) fn choose(
    inputs: &Inputs,
    vpc: &VpcId,
    scheme: Option<&Scheme>,
    annotations: &Annotations<'_>,
    findings: &mut Findings,
) -> Option<Chosen> {
    let named = annotations.list(&annotations::SUBNETS);
    if named.is_empty() { discover(inputs, vpc, scheme?, findings) } else { explicit(inputs, vpc, &named, findings) }
}

fn explicit(inputs: &Inputs, vpc: &VpcId, named: &[&str], findings: &mut Findings) -> Option<Chosen> {
    let field = annotations::SUBNETS.full_key();
    let mut known: Vec<&Subnet> = inputs.network.subnets.iter().filter(|subnet| subnet.vpc == *vpc).collect();
    known.sort_by(|a, b| a.id.cmp(&b.id));
    let before = findings.problems.len();

    let mut chosen: BTreeMap<&SubnetId, &Subnet> = BTreeMap::new();
    for name in named {
        // A name that is asked for several times stands for as many subnets, in the order of their ids.
        let found = if name.starts_with("subnet-") {
            known.iter().find(|subnet| subnet.id.as_str() == *name)
        } else {
            let bears = |subnet: &Subnet| subnet.tags.get("Name").is_some_and(|value| value == name);
            known.iter().find(|subnet| bears(subnet) && !chosen.contains_key(&subnet.id))
        };
        match found {
            Some(subnet) => {
                chosen.insert(&subnet.id, subnet);
            }
            None => findings.refuse(
                codes::SUBNET_NOT_FOUND,
                &field,
                format!("{vpc} has no (further) subnet with this id or tag `Name`: {}", quote(name)),
                "name subnets of that VPC",
            ),
        }
    }

    let mut zones: BTreeMap<&str, &Subnet> = BTreeMap::new();
    for subnet in chosen.values() {
        if let Some(other) = zones.insert(&subnet.zone, subnet) {
            findings.refuse(
                codes::SUBNETS_IN_SAME_ZONE,
                &field,
                format!("{} and {} both lie in zone {}", other.id, subnet.id, subnet.zone),
                "name one subnet for each zone",
            );
        }
    }
    let kinds: BTreeSet<ZoneKind> = chosen.values().map(|subnet| ZoneKind::of(subnet)).collect();
    if kinds.len() > 1 || kinds.contains(&ZoneKind::Outpost) {
        let subnets: Vec<String> =
            chosen.values().map(|subnet| format!("{} lies in {}", subnet.id, ZoneKind::of(subnet))).collect();
        findings.refuse(
            codes::MIXED_ZONE_KINDS,
            &field,
            format!("a Network Load Balancer cannot join these: {}", listing(&subnets, ", ")),
            "name subnets in zones of one kind, and none on an Outpost",
        );
    }
    (findings.problems.len() == before).then(|| chosen.into_values().collect())
}

fn discover(inputs: &Inputs, vpc: &VpcId, scheme: &Scheme, findings: &mut Findings) -> Option<Chosen> {
    let mut all: Vec<&Subnet> = inputs.network.subnets.iter().filter(|subnet| subnet.vpc == *vpc).collect();
    all.sort_by(|a, b| a.id.cmp(&b.id));
    let placement = inputs.placement.as_ref().filter(|placement| placement.scheme == *scheme);
    let current: BTreeSet<SubnetId> = placement.map(|placement| placement.subnets.clone()).unwrap_or_default();

    // What is in use stays, whatever discovery would say of it now.
    let (in_use, others): (Vec<&Subnet>, Vec<&Subnet>) = all.iter().partition(|subnet| current.contains(&subnet.id));
    let (candidates, mut unfit) = candidates(inputs, &all, &others, scheme);
    let (fit, passed_over) = sift(&inputs.policy.cluster_name, in_use, candidates);
    if fit.is_empty() && current.is_empty() {
        unfit.extend(passed_over);
        unfit.sort_by(|a, b| a.subnet.id.cmp(&b.subnet.id));
        let verdicts = if unfit.is_empty() { "it has none".to_owned() } else { listing(&unfit, "; ") };
        findings.refuse(
            codes::NO_SUBNET,
            annotations::SUBNETS.full_key(),
            format!("no subnet of {vpc} is fit for an {scheme} load balancer: {verdicts}"),
            format!("tag one subnet in each zone `{}=1`, or name subnets in this annotation", role(scheme)),
        );
        return None;
    }
    if !passed_over.is_empty() {
        findings.tell(
            codes::SUBNET_PASSED_OVER,
            annotations::SUBNETS.full_key(),
            listing(&passed_over, "; "),
            "nothing needs to be done, unless one of them should be used: then name the subnets in this annotation",
        );
    }
    let mut chosen: Chosen = fit.into_values().collect();
    // Even if the list of subnets lags behind.
    chosen.subnets.extend(current);
    Some(chosen)
}

/// Which of `others` are meant for this scheme: by role tag; by route table if no subnet at all bears it. And why the rest is not.
fn candidates<'a>(
    inputs: &Inputs,
    all: &[&'a Subnet],
    others: &[&'a Subnet],
    scheme: &Scheme,
) -> (Vec<&'a Subnet>, Vec<Verdict<'a>>) {
    let role = role(scheme);
    let no_tag = format!("bears no tag `{role}` (empty or `1`)");
    let is_tagged = |subnet: &&Subnet| has_role(subnet, role);
    let wants_public = *scheme != Scheme::Internal;
    let (meant, rest, reason): (Vec<&Subnet>, Vec<&Subnet>, String) = match &inputs.network.public_subnets {
        Some(public) if !all.iter().any(&is_tagged) => {
            let (meant, rest) = others.iter().partition(|subnet| public.contains(&subnet.id) == wants_public);
            let not = if wants_public { "no" } else { "an" };
            (meant, rest, format!("{no_tag}, and its route table leads to {not} internet gateway"))
        }
        _ => {
            let (meant, rest) = others.iter().partition(|subnet| is_tagged(subnet));
            (meant, rest, no_tag)
        }
    };
    (meant, rest.into_iter().map(|subnet| Verdict { subnet, reason: reason.clone() }).collect())
}

/// One subnet for each zone: those in use, then of the candidates those tagged for this cluster, then the lowest id. And why
/// the other candidates are passed over.
fn sift<'a>(
    cluster: &str,
    in_use: Vec<&'a Subnet>,
    mut candidates: Vec<&'a Subnet>,
) -> (BTreeMap<&'a str, &'a Subnet>, Vec<Verdict<'a>>) {
    let mut fit: BTreeMap<&str, &Subnet> = in_use.into_iter().map(|subnet| (subnet.zone.as_str(), subnet)).collect();
    let mut passed_over = Vec::new();
    candidates.sort_by_key(|subnet| (ZoneKind::of(subnet), !is_tagged_for(subnet, cluster), subnet.id.as_str()));
    for subnet in candidates {
        let kind = ZoneKind::of(subnet);
        let reason = if kind == ZoneKind::Outpost {
            format!("lies in {kind}, where there are no Network Load Balancers")
        } else if let Some(other) = other_cluster(subnet, cluster) {
            format!("is tagged for another cluster, `{other}`")
        } else if subnet.available_addresses < FREE_ADDRESSES {
            format!("has fewer than {FREE_ADDRESSES} free addresses")
        } else if let Some(chosen) = fit.get(subnet.zone.as_str()) {
            format!("lies in the zone of {}", chosen.id)
        } else if fit.values().any(|chosen| ZoneKind::of(chosen) != kind) {
            format!("lies in {kind}, which cannot be joined with the others")
        } else {
            fit.insert(&subnet.zone, subnet);
            continue;
        };
        passed_over.push(Verdict { subnet, reason });
    }
    passed_over.sort_by(|a, b| a.subnet.id.cmp(&b.subnet.id));
    (fit, passed_over)
}

fn role(scheme: &Scheme) -> &'static str {
    if *scheme == Scheme::Internal { INTERNAL_ROLE } else { PUBLIC_ROLE }
}

fn has_role(subnet: &Subnet, role: &str) -> bool {
    subnet.tags.get(role).is_some_and(|value| value.is_empty() || value == "1")
}

fn is_tagged_for(subnet: &Subnet, cluster: &str) -> bool {
    subnet.tags.contains_key(&format!("{CLUSTER_TAG}{cluster}"))
}

/// Another cluster's name, if the subnet is tagged for it and not for ours as well.
fn other_cluster<'a>(subnet: &'a Subnet, cluster: &str) -> Option<&'a str> {
    if is_tagged_for(subnet, cluster) {
        return None;
    }
    subnet.tags.keys().find_map(|key| key.strip_prefix(CLUSTER_TAG))
}

/// Kinds of zones: one load balancer stays within one kind (NLB user guide, "Availability Zones").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ZoneKind {
    Availability,
    LocalOrWavelength,
    Outpost,
}

impl ZoneKind {
    /// Zone ids tell: `usw2-az1`, but `usw2-lax1-az1` and `usw2-wl1-las-wlz1`.
    fn of(subnet: &Subnet) -> Self {
        match subnet.zone_id.matches('-').count() {
            _ if subnet.outpost => Self::Outpost,
            0 | 1 => Self::Availability,
            _ => Self::LocalOrWavelength,
        }
    }
}

impl fmt::Display for ZoneKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Availability => "an availability zone",
            Self::LocalOrWavelength => "a local or wavelength zone",
            Self::Outpost => "an Outpost",
        })
    }
}

#[cfg(test)]
mod tests;
