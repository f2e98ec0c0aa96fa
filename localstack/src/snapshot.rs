//! The whole emulator as one JSON document, and back: clock, durations, quotas, identifiers, every account in every region.
//!
//! An account is saved at one moment; what one account does while another is saved is in the document or not. Journal and fault rules are
//! about a run, not about AWS, and stay out. Private keys are in it: it is as secret as they are. Imports `shared`, `model`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::durations::Durations;
use crate::ids::Ids;
use crate::model::State;
use crate::model::certificates::Certificate;
use crate::model::quotas::Quotas;
use crate::model::timers::{Check, Event};
use crate::shared::Shared;

/// The form of the document; another number is another form.
const VERSION: u32 = 1;

/// What is in the document.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Saved {
    version: u32,
    now: Timestamp,
    seed: u64,
    durations: Durations,
    quotas: Quotas,
    /// Where request ids come from.
    pub(crate) request_ids: Ids,
    /// IAM's certificates by account and ARN.
    server_certificates: BTreeMap<String, BTreeMap<String, Certificate>>,
    states: Vec<State>,
}

/// Why a document cannot be restored. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It is not one, or of another form.
    #[error("this is not the state of an emulator: {0}")]
    Text(serde_json::Error),
    /// It is of another version of the emulator.
    #[error("the state has version {0}, this emulator reads version {VERSION}: make it anew with this emulator")]
    Version(u32),
}

/// Writes the document.
pub(crate) fn save(shared: &Shared) -> Result<String, serde_json::Error> {
    let states = shared.accounts();
    let states = states.iter().map(|state| shared.with(state, |state, _, _| serde_json::to_value(&*state)));
    let states: Vec<serde_json::Value> = states.collect::<Result<_, _>>()?;
    let certificates: BTreeMap<String, _> =
        shared.server_certificates().into_iter().map(|(account, shared)| (account, shared.lock().certificates.clone())).collect();
    let document = serde_json::json!({
        "version": VERSION,
        "now": shared.clock.now(),
        "seed": shared.seed(),
        "durations": shared.durations(),
        "quotas": shared.quotas(),
        "request_ids": shared.saved_request_ids()?,
        "server_certificates": certificates,
        "states": states,
    });
    serde_json::to_string(&document)
}

/// Puts a document in the place of all that is there.
pub(crate) fn restore(shared: &Shared, text: &[u8]) -> Result<(), RestoreError> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let Version { version } = serde_json::from_slice(text).map_err(RestoreError::Text)?;
    if version != VERSION {
        return Err(RestoreError::Version(version));
    }
    let saved: Saved = serde_json::from_slice(text).map_err(RestoreError::Text)?;
    shared.clock.set(saved.now);
    shared.set_durations(saved.durations);
    shared.set_quotas(saved.quotas);
    shared.begin_again(saved.seed, saved.request_ids);
    for (account, certificates) in saved.server_certificates {
        shared.server_certificates_of(&account).lock().certificates = certificates;
    }
    for mut restored in saved.states {
        let state = shared.account(&restored.place.account, &restored.place.region);
        shared.with(&state, |state, now, _| {
            restored.server_certificates = state.server_certificates.clone();
            *state = restored;
            state.revive(now);
        });
    }
    Ok(())
}

impl State {
    /// Takes up what was on its way when the state was saved: a health check under way then is made again.
    fn revive(&mut self, now: Timestamp) {
        let planned: BTreeSet<(String, u64)> =
            self.timers.checked_targets().chain(self.checks.iter().map(|(_, check)| check)).map(identity).collect();
        let mut lost = Vec::new();
        for (arn, group) in &self.balancing.target_groups {
            for (key, target) in group.targets.iter().filter(|(_, target)| target.in_use() && !target.pinned) {
                let check = Check { group: arn.clone(), key: key.clone(), generation: target.generation };
                if !planned.contains(&identity(&check)) {
                    lost.push(check);
                }
            }
        }
        for check in lost {
            self.timers.plan(now, Event::CheckDue(check));
        }
        self.timers.wake();
        self.dirty = true;
    }
}

/// A target's life: generations are not used twice in a state.
fn identity(check: &Check) -> (String, u64) {
    (check.group.clone(), check.generation)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::{ACCOUNT, Kit, REGION};

    /// A busy account: something of each kind, some of it on its way.
    fn busy() -> Kit {
        let kit = Kit::new(Durations {
            provisioning: Duration::from_secs(100),
            deregistration: Some(Duration::from_secs(50)),
            registration: Duration::from_secs(10),
            ..Durations::instant()
        });
        let (balancer, group) = (kit.load_balancer("lb", &[]), kit.target_group("tg", &[("TargetType", "ip")]));
        kit.listener(&balancer, "80", &group);
        for id in ["10.20.1.10", "10.20.1.11"] {
            let target = [("TargetGroupArn", group.as_str()), ("Targets.member.1.Id", id)];
            kit.elb("RegisterTargets", &target).unwrap();
        }
        kit.elb("DeregisterTargets", &[("TargetGroupArn", group.as_str()), ("Targets.member.1.Id", "10.20.1.11")]).unwrap();
        kit.ec2("AllocateAddress", &[]).unwrap();
        kit.json("acm", "RequestCertificate", &[("DomainName", "a.example.com"), ("KeyAlgorithm", "EC_prime256v1")]).unwrap();
        kit
    }

    /// What clients see, without what is each answer's own.
    fn listings(region: &crate::region::Region) -> Vec<String> {
        let calls = [
            ("elasticloadbalancing", "DescribeLoadBalancers"),
            ("elasticloadbalancing", "DescribeTargetGroups"),
            ("ec2", "DescribeSubnets"),
            ("ec2", "DescribeInstances"),
            ("ec2", "DescribeRouteTables"),
            ("ec2", "DescribeNetworkInterfaces"),
            ("ec2", "DescribeAddresses"),
            ("ec2", "DescribeSecurityGroups"),
            ("ec2", "DescribeTags"),
            ("tagging", "GetResources"),
        ];
        let seen = calls.map(|(service, action)| {
            let xml = region.call(service, action, &[]).unwrap();
            // A request id has 36 characters wherever it stands.
            xml.split("equestId>")
                .enumerate()
                .map(|(at, part)| if at == 1 { part.get(36..).unwrap_or_default() } else { part })
                .collect::<String>()
        });
        let ec = region.call("acm", "ListCertificates", &[("Includes.keyTypes.1", "EC_prime256v1")]).unwrap();
        seen.into_iter().chain([ec]).collect()
    }

    #[test]
    fn a_restored_emulator_shows_the_same_and_goes_on() {
        let kit = busy();
        kit.advance(5);
        let saved = save(&kit.shared).unwrap();
        let other = Kit::new(Durations::realistic());
        other.ec2("AllocateAddress", &[]).unwrap();
        restore(&other.shared, saved.as_bytes()).unwrap();
        assert_eq!(other.shared.durations(), kit.shared.durations());
        assert_eq!(listings(&other.region), listings(&kit.region));
        let group = kit.region.target_groups().remove(0).arn;
        for seconds in [0, 10, 50, 50] {
            kit.advance(seconds);
            other.advance(seconds);
            assert_eq!(other.region.load_balancers(), kit.region.load_balancers(), "after {seconds} s");
            assert_eq!(other.health(&group), kit.health(&group), "after {seconds} s");
        }
        assert_eq!(other.region.load_balancers()[0].state, "active");
        let next = |kit: &Kit| crate::testing::first(&kit.ec2("AllocateAddress", &[]).unwrap(), "allocationId");
        assert_eq!(next(&other), next(&kit), "identifiers go on");
    }

    #[test]
    fn a_check_that_was_under_way_is_made_again() {
        let kit = busy();
        kit.advance(200);
        let state = kit.shared.account(ACCOUNT, REGION);
        // The prober has taken the check and not come back.
        let taken = kit.shared.with(&state, |state, _, _| std::mem::take(&mut state.checks));
        assert_eq!(taken.len(), 1);
        let saved = save(&kit.shared).unwrap();
        restore(&kit.shared, saved.as_bytes()).unwrap();
        let again = kit.shared.with(&state, |state, _, _| state.checks.len());
        assert_eq!(again, 1);
    }

    #[test]
    fn what_is_no_state_changes_nothing() {
        let kit = busy();
        let before = listings(&kit.region);
        assert!(matches!(restore(&kit.shared, b"{"), Err(RestoreError::Text(_))));
        assert!(matches!(restore(&kit.shared, b"{\"version\": 2}"), Err(RestoreError::Version(2))));
        assert!(matches!(restore(&kit.shared, b"{\"version\": 1}"), Err(RestoreError::Text(_))));
        assert_eq!(listings(&kit.region), before);
    }
}
