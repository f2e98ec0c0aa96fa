//! AWS by hand: calls as another client of the account would make them, and the one load balancer of a test with one Service.

use std::time::Duration;

use landfall_localstack::{Entry, ListenerSummary, LoadBalancerSummary, SecurityGroupSummary, TargetGroupSummary};

use super::wait;
use super::world::World;

impl World {
    /// An ELBv2 call by hand.
    pub fn elb(&self, action: &str, parameters: &[(&str, &str)]) -> String {
        self.region().call("elasticloadbalancing", action, parameters).expect("AWS accepts the call by hand")
    }

    /// An EC2 call by hand.
    pub fn ec2(&self, action: &str, parameters: &[(&str, &str)]) -> String {
        self.region().call("ec2", action, parameters).expect("AWS accepts the call by hand")
    }

    /// Sets or (with `None`) removes a tag of an EC2 object by hand.
    pub fn ec2_tag(&self, id: &str, key: &str, value: Option<&str>) {
        match value {
            Some(value) => self.ec2("CreateTags", &[("ResourceId.1", id), ("Tag.1.Key", key), ("Tag.1.Value", value)]),
            None => self.ec2("DeleteTags", &[("ResourceId.1", id), ("Tag.1.Key", key)]),
        };
    }

    /// A security group made by hand; its id.
    pub fn ec2_group(&self, name: &str) -> String {
        let parameters = [("GroupName", name), ("GroupDescription", "by hand"), ("VpcId", self.vpc_id.as_str())];
        self.ec2("CreateSecurityGroup", &parameters);
        self.region().security_groups().into_iter().find(|group| group.name == name).expect("the group").id
    }

    /// The only load balancer.
    pub fn load_balancer(&self) -> LoadBalancerSummary {
        only(self.region().load_balancers())
    }

    /// The only target group.
    pub fn target_group(&self) -> TargetGroupSummary {
        only(self.region().target_groups())
    }

    /// The only listener.
    pub fn listener(&self) -> ListenerSummary {
        only(self.region().listeners())
    }

    /// The managed group of the only Service: ours, and in use by its load balancer, but not the cluster's shared one.
    pub fn frontend_group(&self) -> SecurityGroupSummary {
        let ours = |group: &SecurityGroupSummary| group.tags.contains_key("landfall/service");
        only(self.region().security_groups().into_iter().filter(ours).collect())
    }

    /// The security group of the nodes.
    pub fn node_group(&self) -> SecurityGroupSummary {
        only(self.region().security_groups().into_iter().filter(|group| group.name == "nodes").collect())
    }

    /// `id:port` of the targets of a group that do not drain, sorted.
    pub fn serving(&self, target_group: &str) -> Vec<String> {
        let targets = self.region().targets(target_group).into_iter().filter(|target| target.state != "draining");
        let mut serving: Vec<String> = targets.map(|target| format!("{}:{}", target.id, target.port)).collect();
        serving.sort_unstable();
        serving
    }

    /// Waits until `look` gives what is expected.
    pub async fn shows<T: PartialEq + std::fmt::Debug>(&self, what: &str, expected: T, look: impl Fn(&Self) -> T) {
        wait::until(what, async || {
            let seen = look(self);
            if seen == expected { Ok(()) } else { Err(format!("{seen:?} instead of {expected:?}")) }
        })
        .await;
        // The effect of a call is seen a moment before the call is in the journal: a mark set now must not be before it.
        self.quiet(self.mark(), Duration::from_millis(150)).await;
    }

    /// Waits until faults have hit so many calls of this action since the mark; their request ids.
    pub async fn refused(&self, mark: u64, action: &str, count: usize) -> Vec<String> {
        wait::until(&format!("{count} refusals of {action}"), async || {
            let calls = self.calls_since(mark).into_iter().filter(|call| call.action == action && call.fault.is_some());
            let ids: Vec<String> = calls.map(|call| call.request_id).collect();
            if ids.len() >= count { Ok(ids) } else { Err(ids) }
        })
        .await
    }
}

/// The element of a list of one.
pub fn only<T: std::fmt::Debug>(list: Vec<T>) -> T {
    assert_eq!(list.len(), 1, "exactly one of {list:?}");
    list.into_iter().next().expect("one")
}

/// The calls among these that somebody else than the test made and that can change something.
pub fn controller_writes(entries: &[Entry]) -> Vec<String> {
    let ours = entries.iter().filter(|entry| entry.write && entry.user_agent != landfall_localstack::BY_HAND);
    ours.map(|entry| entry.action.clone()).collect()
}
