//! Names of AWS objects: deterministic, so that a create can be repeated, and telling whose they are.
//!
//! `lf-<6 hex of the cluster>-<readable part>-<10 hex>`: at most 32 characters, AWS's limit for load balancers and target groups.
//! The last part is a hash of whatever makes the object another one: the Service's UID, its role, everything immutable. Uses
//! nothing but the model; `tags.rs` says whose an object really is, a name alone never does.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::aws::types::{IpAddressType, Protocol, Scheme, TargetType, VpcId};
use crate::nlb::model::TargetGroupKey;

/// Longest name of a load balancer or target group (ELBv2 API reference, CreateLoadBalancer and CreateTargetGroup).
pub const MAX_LENGTH: usize = 32;

/// Hex digits that tell clusters apart, and objects of one cluster.
const CLUSTER_DIGITS: usize = 6;
const OBJECT_DIGITS: usize = 10;

/// Hash of several texts as lower-case hex. Each is preceded by its length: no two lists of texts give the same input.
pub(super) fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// What all names of a cluster begin with, such as `lf-3fa1b2-`: finds ours in a listing of thousands without reading a tag.
#[must_use]
pub fn cluster_prefix(cluster: &str) -> String {
    let digits: String = digest(&["cluster", cluster]).chars().take(CLUSTER_DIGITS).collect();
    format!("lf-{digits}-")
}

/// Name of the finalizer on Services, such as `landfall/nlb-3fa1b2`. It names the cluster because AWS's tags do: of a Service
/// whose class was wiped with its type, it alone tells which of two Landfalls has to let it go.
#[must_use]
pub fn finalizer(cluster: &str) -> String {
    let digits: String = digest(&["cluster", cluster]).chars().take(CLUSTER_DIGITS).collect();
    format!("landfall/nlb-{digits}")
}

/// Name of the cluster's shared backend security group.
#[must_use]
pub fn backend_group(cluster: &str) -> String {
    format!("{}backend", cluster_prefix(cluster))
}

/// What tells one Service's objects from all others'.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'a> {
    /// `--cluster-name`.
    pub(super) cluster: &'a str,
    /// UID of the Service: a Service that is deleted and made anew gets new objects.
    pub(super) uid: &'a str,
    /// Name of the Service, for the readable part.
    pub(super) service: &'a str,
}

impl Origin<'_> {
    /// Name of the load balancer. Its scheme is immutable, and so is that it has security groups (a load balancer made without
    /// any can never gain one), so both are in the hash.
    pub(super) fn load_balancer(&self, scheme: &Scheme) -> String {
        self.name(self.service, &["load-balancer", "with-security-groups", scheme.as_str()])
    }

    /// Name of the managed frontend security group.
    pub(super) fn frontend_group(&self, vpc: &VpcId) -> String {
        self.name(self.service, &["security-group", vpc.as_str()])
    }

    /// Name of a target group. It serves one load balancer only, hence that one's name is in the hash; port and health check
    /// are not, for they change in place or do not matter.
    pub(super) fn target_group(
        &self,
        load_balancer: &str,
        key: &TargetGroupKey,
        protocol: &Protocol,
        target_type: &TargetType,
        ip_address_type: &IpAddressType,
    ) -> String {
        let port = format!("-{}", key.port);
        let room = readable_room().saturating_sub(port.len());
        let readable = format!("{}{port}", readable(self.service, room));
        let key = key.to_string();
        let parts = ["target-group", load_balancer, &key, protocol.as_str(), target_type.as_str(), ip_address_type.as_str()];
        self.name(&readable, &parts)
    }

    fn name(&self, text: &str, role: &[&str]) -> String {
        let parts: Vec<&str> = [self.cluster, self.uid].iter().chain(role).copied().collect();
        let digits: String = digest(&parts).chars().take(OBJECT_DIGITS).collect();
        let prefix = cluster_prefix(self.cluster);
        match readable(text, readable_room()) {
            text if text.is_empty() => format!("{prefix}{digits}"),
            text => format!("{prefix}{text}-{digits}"),
        }
    }
}

/// Characters left for the readable part: `lf-` + cluster + `-` + readable + `-` + object.
const fn readable_room() -> usize {
    MAX_LENGTH - "lf-".len() - CLUSTER_DIGITS - "-".len() - "-".len() - OBJECT_DIGITS
}

/// `[a-z0-9-]` only, no hyphen at either end and no two in a row, at most `room` characters.
fn readable(text: &str, room: usize) -> String {
    let mut result = String::new();
    for character in text.chars().map(|c| c.to_ascii_lowercase()) {
        if result.len() >= room {
            break;
        }
        if character.is_ascii_alphanumeric() {
            result.push(character);
        } else if !result.is_empty() && !result.ends_with('-') {
            result.push('-');
        }
    }
    result.trim_end_matches('-').to_owned()
}

/// What AWS would not accept about a load balancer name, if anything (ELBv2 API reference, CreateLoadBalancer: Name).
pub(super) fn objection(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("is empty".to_owned());
    }
    let length = name.chars().count();
    if length > MAX_LENGTH {
        return Some(format!("is {length} characters long, and {MAX_LENGTH} is the limit"));
    }
    if let Some(character) = name.chars().find(|c| !c.is_ascii_alphanumeric() && *c != '-') {
        return Some(format!("contains {character:?}"));
    }
    if name.starts_with('-') || name.ends_with('-') {
        return Some("begins or ends with a hyphen".to_owned());
    }
    name.starts_with("internal-").then(|| "begins with `internal-`".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(port: u16, protocol: Protocol) -> TargetGroupKey {
        TargetGroupKey { port, protocol }
    }

    fn is_valid(name: &str) -> bool {
        objection(name).is_none() && !name.contains("--") && name.chars().all(|c| !c.is_ascii_uppercase())
    }

    #[test]
    fn names_tell_cluster_service_and_port() {
        let origin = Origin { cluster: "demo", uid: "u-1", service: "my-service" };
        let prefix = cluster_prefix("demo");
        assert_eq!(prefix.len(), 10);
        let name = origin.load_balancer(&Scheme::Internal);
        assert!(name.starts_with(&format!("{prefix}my-service-")), "{name}");
        let group = origin.target_group(&name, &key(65535, Protocol::Tcp), &Protocol::Tcp, &TargetType::Ip, &IpAddressType::Ipv4);
        assert!(group.starts_with(&format!("{prefix}my-se-65535-")), "{group}");
        assert_eq!(backend_group("demo"), format!("{prefix}backend"));
    }

    #[test]
    fn whatever_is_immutable_changes_the_name() {
        let origin = Origin { cluster: "demo", uid: "u-1", service: "web" };
        let group = |load_balancer: &str, key: TargetGroupKey, target_type: TargetType| {
            origin.target_group(load_balancer, &key, &key.protocol, &target_type, &IpAddressType::Ipv4)
        };
        let names = [
            origin.load_balancer(&Scheme::Internal),
            origin.load_balancer(&Scheme::InternetFacing),
            origin.frontend_group(&VpcId::from("vpc-1")),
            origin.frontend_group(&VpcId::from("vpc-2")),
            group("lb-1", key(80, Protocol::Tcp), TargetType::Instance),
            group("lb-2", key(80, Protocol::Tcp), TargetType::Instance),
            group("lb-1", key(80, Protocol::Tcp), TargetType::Ip),
            group("lb-1", key(80, Protocol::Udp), TargetType::Instance),
            group("lb-1", key(81, Protocol::Tcp), TargetType::Instance),
        ];
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len(), "{names:?}");
    }

    #[test]
    fn parts_are_told_apart() {
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
        assert_ne!(digest(&["ab"]), digest(&["ab", ""]));
    }

    #[test]
    fn custom_names_are_judged_as_aws_does() {
        for good in ["a", "My-NLB-1", "a--b", &"x".repeat(32), "internal"] {
            assert_eq!(objection(good), None, "{good}");
        }
        for (bad, why) in [
            ("", "empty"),
            ("-a", "hyphen"),
            ("a-", "hyphen"),
            ("internal-a", "`internal-`"),
            ("a_b", "'_'"),
            ("ä", "'ä'"),
            (&"x".repeat(33), "33 characters"),
        ] {
            assert!(objection(bad).is_some_and(|objection| objection.contains(why)), "{bad}: {:?}", objection(bad));
        }
    }

    proptest! {
        #[test]
        fn any_input_gives_a_valid_name(cluster in ".*", uid in ".*", service in ".*", port: u16) {
            let origin = Origin { cluster: &cluster, uid: &uid, service: &service };
            prop_assert!(is_valid(&origin.load_balancer(&Scheme::Internal)));
            prop_assert!(is_valid(&origin.frontend_group(&VpcId::from("vpc-1"))));
            let group = origin.target_group("lb", &key(port, Protocol::Udp), &Protocol::Udp, &TargetType::Ip, &IpAddressType::Ipv4);
            prop_assert!(is_valid(&group), "{}", group);
            prop_assert!(group.starts_with(&cluster_prefix(&cluster)));
        }

        #[test]
        fn distinct_inputs_give_distinct_names(a in ("[a-c]{0,3}", "[a-c]{0,3}"), b in ("[a-c]{0,3}", "[a-c]{0,3}")) {
            let name = |(cluster, uid): &(String, String)| {
                Origin { cluster, uid, service: "same" }.load_balancer(&Scheme::Internal)
            };
            prop_assert_eq!(a == b, name(&a) == name(&b));
        }
    }
}
