//! Tags: whose an AWS object is, and what the user wants written on it.
//!
//! Tags are the controller's only state. Ownership tags are on every object from the call that creates it; the user's tags
//! (annotation) lie under the operator's (`--default-tags`), and the keys of both are recorded in [`TAG_KEYS`], so that a later
//! run can take back a tag without ever touching a foreign one. Uses the model, `annotations` and `names::digest`.

use std::collections::BTreeSet;

use super::annotations::{self, Annotations};
use super::codes::{self, Findings, problem, quote};
use crate::aws::types::Tags;
use crate::nlb::model::{Policy, Problem, ServiceKey};

/// Key that names the owning cluster. Shared with AWS's own controller, whose IAM policy conditions on it.
pub const CLUSTER: &str = "elbv2.k8s.aws/cluster";
/// Key that names the owning Service: `<namespace>/<name>`.
pub const SERVICE: &str = "landfall/service";
/// Key that names the object's role: `load-balancer`, `security-group`, `target-group/<key>`, `listener/<key>`, `backend`.
pub const RESOURCE: &str = "landfall/resource";
/// Key that records which tags we set for user and operator; see [`recorded_keys`].
pub const TAG_KEYS: &str = "landfall/tag-keys";
/// Key that records which attributes were set last; see [`super::attributes::attributes_fingerprint`]. Never among the desired
/// tags: it is written after the attributes are.
pub const ATTRIBUTES: &str = "landfall/attributes";

/// Value of [`RESOURCE`] on a load balancer.
pub const LOAD_BALANCER: &str = "load-balancer";
/// Value of [`RESOURCE`] on a managed frontend security group.
pub const SECURITY_GROUP: &str = "security-group";
/// Value of [`RESOURCE`] on the cluster's shared backend security group.
pub const BACKEND: &str = "backend";

/// Limits of AWS (Tagging AWS Resources, "Tag naming limits and requirements"), in characters.
const MAX_TAGS: usize = 50;
const MAX_KEY: usize = 128;
const MAX_VALUE: usize = 256;
/// Our own keys: the five constants above.
const OWN_TAGS: usize = 5;
/// Prefixes of keys that are not for users: AWS's own, Kubernetes' ownership tags, ours.
const RESERVED: &[&str] = &["aws:", "elbv2.k8s.aws/", "landfall/", "kubernetes.io/cluster/"];

/// The Service of this cluster that an object with these tags belongs to.
#[must_use]
pub fn owner(tags: &Tags, cluster: &str) -> Option<ServiceKey> {
    if tags.get(CLUSTER)? != cluster {
        return None;
    }
    let (namespace, name) = tags.get(SERVICE)?.split_once('/')?;
    (!namespace.is_empty() && !name.is_empty() && !name.contains('/'))
        .then(|| ServiceKey { namespace: namespace.to_owned(), name: name.to_owned() })
}

/// Whether an object with these tags is the cluster's shared backend security group.
#[must_use]
pub fn is_backend(tags: &Tags, cluster: &str) -> bool {
    tags.get(CLUSTER).is_some_and(|value| value == cluster) && tags.get(RESOURCE).is_some_and(|value| value == BACKEND)
}

/// The keys that a [`TAG_KEYS`] value records.
#[must_use]
pub fn recorded_keys(value: &str) -> BTreeSet<String> {
    // AWS allows the same characters in keys and values, the separating space among them: hence the escapes.
    let unescape = |key: &str| {
        let mut characters = key.chars();
        let mut plain = String::new();
        while let Some(character) = characters.next() {
            plain.push(match character {
                '@' if characters.next() == Some('s') => ' ',
                other => other,
            });
        }
        plain
    };
    value.split(' ').filter(|key| !key.is_empty()).map(unescape).collect()
}

/// The [`TAG_KEYS`] value that records these keys; `None` if there are none, or if it would be too long for a tag.
fn record<'a>(keys: impl Iterator<Item = &'a String>) -> Option<String> {
    let value = keys.map(|key| key.replace('@', "@@").replace(' ', "@s")).collect::<Vec<_>>().join(" ");
    (!value.is_empty() && value.chars().count() <= MAX_VALUE).then_some(value)
}

/// What AWS or this controller would not accept about tags of a user or operator. `field`: the annotation or flag they are from.
#[must_use]
pub fn objections(field: &str, tags: &Tags) -> Vec<Problem> {
    let allowed = |c: char| c.is_alphanumeric() || (c.is_whitespace() && !c.is_control()) || "_.:/=+-@".contains(c);
    let mut problems = Vec::new();
    for (key, value) in tags {
        let lower = key.to_lowercase();
        let (what, fix) = if let Some(prefix) = RESERVED.iter().find(|prefix| lower.starts_with(**prefix)) {
            (format!("tag {} begins with `{prefix}`, which is reserved", quote(key)), "use another key".to_owned())
        } else if key.is_empty() || key.chars().count() > MAX_KEY {
            (format!("tag key {} has {} characters", quote(key), key.chars().count()), format!("use 1 to {MAX_KEY} characters"))
        } else if value.chars().count() > MAX_VALUE {
            (
                format!("the value of tag {} has {} characters", quote(key), value.chars().count()),
                format!("use at most {MAX_VALUE} characters"),
            )
        } else if let Some(c) = key.chars().chain(value.chars()).find(|c| !allowed(*c)) {
            (
                format!("tag {} contains {c:?}, which AWS does not allow", quote(key)),
                "use letters, digits, spaces and `_ . : / = + - @`".to_owned(),
            )
        } else {
            continue;
        };
        problems.push(problem(codes::INVALID_TAG, field, what, fix));
    }
    problems
}

/// The tags of one Service's objects but for their role.
#[derive(Clone, Debug)]
pub(super) struct ServiceTags(Tags);

impl ServiceTags {
    /// From the annotation and the operator's defaults, which win.
    pub(super) fn new(annotations: &Annotations<'_>, service: &ServiceKey, policy: &Policy, findings: &mut Findings) -> Self {
        let annotation = &annotations::ADDITIONAL_RESOURCE_TAGS;
        let mut tags = annotations.map(annotation, findings).unwrap_or_default();
        findings.problems.extend(objections(&annotation.full_key(), &tags));
        let own = tags.len();
        tags.extend(policy.default_tags.clone());
        if tags.len() > MAX_TAGS - OWN_TAGS {
            findings.refuse(
                codes::TOO_MANY_TAGS,
                annotation.full_key(),
                format!(
                    "{own} tags of the annotation and {} of `--default-tags` make {}, and AWS allows {MAX_TAGS} with {OWN_TAGS} of the controller's",
                    policy.default_tags.len(),
                    tags.len()
                ),
                format!("leave at most {}", MAX_TAGS - OWN_TAGS),
            );
        }
        let mut tags = with_record(tags);
        tags.insert(CLUSTER.to_owned(), policy.cluster_name.clone());
        tags.insert(SERVICE.to_owned(), service.to_string());
        Self(tags)
    }

    /// All tags of the object with this role.
    pub(super) fn of(&self, resource: &str) -> Tags {
        let mut tags = self.0.clone();
        tags.insert(RESOURCE.to_owned(), resource.to_owned());
        tags
    }
}

/// All tags of the shared backend group, which is no Service's.
pub(super) fn backend(policy: &Policy) -> Tags {
    let mut tags = with_record(policy.default_tags.clone());
    tags.insert(CLUSTER.to_owned(), policy.cluster_name.clone());
    tags.insert(RESOURCE.to_owned(), BACKEND.to_owned());
    tags
}

fn with_record(mut tags: Tags) -> Tags {
    if let Some(keys) = record(tags.keys()) {
        tags.insert(TAG_KEYS.to_owned(), keys);
    }
    tags
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_owner_is_told_by_cluster_and_service() {
        let ours = tags(&[(CLUSTER, "demo"), (SERVICE, "default/web")]);
        assert_eq!(owner(&ours, "demo").map(|key| key.to_string()), Some("default/web".to_owned()));
        assert_eq!(owner(&ours, "other"), None);
        assert_eq!(owner(&tags(&[(CLUSTER, "demo")]), "demo"), None, "LBC's objects bear the cluster tag, too");
        for bad in ["web", "/web", "default/", "a/b/c"] {
            assert_eq!(owner(&tags(&[(CLUSTER, "demo"), (SERVICE, bad)]), "demo"), None, "{bad}");
        }
        assert!(is_backend(&tags(&[(CLUSTER, "demo"), (RESOURCE, "backend")]), "demo"));
        assert!(!is_backend(&tags(&[(CLUSTER, "other"), (RESOURCE, "backend")]), "demo"));
    }

    #[test]
    fn a_record_that_is_too_long_is_left_out() {
        let keys: Vec<String> = (0..40).map(|n| format!("key-number-{n}")).collect();
        assert_eq!(record(keys.iter()), None);
        assert_eq!(record(std::iter::empty()), None);
        assert_eq!(record(["b".to_owned(), "c d".to_owned()].iter()), Some("b c@sd".to_owned()));
    }

    #[test]
    fn objections_name_the_tag() {
        let bad = tags(&[
            ("AWS:x", "1"),
            ("landfall/x", "1"),
            ("kubernetes.io/cluster/x", "owned"),
            ("ok", "sm*ile"),
            ("long", &"v".repeat(257)),
            (&"k".repeat(129), ""),
        ]);
        let problems = objections("annotation", &bad);
        assert_eq!(problems.len(), bad.len(), "{problems:#?}");
        assert!(problems.iter().all(|problem| problem.code == "InvalidTag" && problem.field == "annotation"));
        assert!(objections("annotation", &tags(&[("Cost Center", "ä+1@x.y:/=_-")])).is_empty());
    }

    proptest! {
        #[test]
        fn any_recorded_key_is_read_back(keys in prop::collection::btree_set("[a-c@s ]{1,6}", 0..6)) {
            let value = record(keys.iter()).unwrap_or_default();
            prop_assert_eq!(recorded_keys(&value), keys);
        }
    }
}
