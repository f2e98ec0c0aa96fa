//! What may be touched: only what bears the ownership tags. A name alone proves nothing, for AWS answers a create with
//! whatever has that name (`CreateLoadBalancer` is idempotent by name).

use crate::aws::types::Tags;
use crate::nlb::build::tags;
use crate::nlb::model::{Problem, ServiceKey};

/// Code: somebody else's object has a name that we need.
pub(super) const NAME_TAKEN: &str = "NameTaken";
/// Code: an object of ours would have to be replaced under the same name.
pub(super) const IMMUTABLE_CHANGE: &str = "ImmutableChange";

/// The annotation that names the load balancer.
pub(super) const NAME: &str = "service.beta.kubernetes.io/aws-load-balancer-name";
/// The annotation that names security groups of the user's own.
pub(super) const SECURITY_GROUPS: &str = "service.beta.kubernetes.io/aws-load-balancer-security-groups";
/// The annotation that names subnets.
pub(super) const SUBNETS: &str = "service.beta.kubernetes.io/aws-load-balancer-subnets";

/// So many tags of a foreign object are shown.
const SHOWN_TAGS: usize = 6;

/// Whose objects a plan may change.
pub(super) struct Owner<'a> {
    /// Value of the cluster tag.
    pub(super) cluster: &'a str,
    /// Value of the Service tag.
    pub(super) service: &'a ServiceKey,
}

impl Owner<'_> {
    /// Whether an object with these tags is this Service's.
    pub(super) fn owns(&self, tags: &Tags) -> bool {
        tags::owner(tags, self.cluster).as_ref() == Some(self.service)
    }
}

/// The conflict over an object, such as `load balancer "web"`, that is not ours.
pub(super) fn name_taken(field: &str, object: &str, tags: &Tags, fix: &str) -> Problem {
    let mut shown: Vec<String> = tags.iter().take(SHOWN_TAGS).map(|(key, value)| format!("{key}={value}")).collect();
    if tags.len() > SHOWN_TAGS {
        shown.push(format!("and {} more", tags.len() - SHOWN_TAGS));
    }
    let tags = if shown.is_empty() { "it has no tags".to_owned() } else { format!("its tags are {}", shown.join(", ")) };
    Problem {
        code: NAME_TAKEN,
        field: field.to_owned(),
        message: format!("{object} exists and is not this Service's ({tags})"),
        fix: fix.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nlb::build::annotations::TABLE;

    #[test]
    fn problems_point_at_annotations_that_exist() {
        for field in [NAME, SECURITY_GROUPS, SUBNETS] {
            assert!(TABLE.iter().any(|annotation| annotation.full_key() == field), "{field}");
        }
    }
}
