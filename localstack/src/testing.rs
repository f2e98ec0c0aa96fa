//! What the unit tests share: an account without a server, calls by name, and the texts of an answer's elements.

use std::sync::Arc;
use std::time::Duration;

use crate::durations::Durations;
use crate::error::ApiError;
use crate::model::State;
use crate::region::Region;
use crate::shared::Shared;
use crate::world::{Seeded, World, WorldOptions};

pub(crate) const ACCOUNT: &str = "111122223333";
pub(crate) const REGION: &str = "us-west-2";

/// An account with the standard VPC. Nothing runs: time passes by [`Kit::advance`] only, and no health check is made.
pub(crate) struct Kit {
    pub(crate) shared: Arc<Shared>,
    pub(crate) region: Region,
    pub(crate) seeded: Seeded,
}

impl Kit {
    pub(crate) fn new(durations: Durations) -> Self {
        let shared = Arc::new(Shared::new(durations, 7));
        let region = Region::new(Arc::clone(&shared), shared.account(ACCOUNT, REGION));
        let seeded = region.seed(&World::three_zones(WorldOptions::default()));
        Self { shared, region, seeded }
    }

    pub(crate) fn instant() -> Self {
        Self::new(Durations::instant())
    }

    /// Looks at the state itself.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        let state = self.shared.account(ACCOUNT, REGION);
        self.shared.with(&state, |state, _, _| look(state))
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.shared.clock.advance(Duration::from_secs(seconds));
    }

    pub(crate) fn elb(&self, action: &str, parameters: &[(&str, &str)]) -> Result<String, ApiError> {
        self.region.call("elasticloadbalancing", action, parameters)
    }

    pub(crate) fn ec2(&self, action: &str, parameters: &[(&str, &str)]) -> Result<String, ApiError> {
        self.region.call("ec2", action, parameters)
    }

    /// A call of any service; what it answers, as JSON.
    pub(crate) fn json(&self, service: &str, action: &str, parameters: &[(&str, &str)]) -> Result<serde_json::Value, ApiError> {
        let text = self.region.call(service, action, parameters)?;
        Ok(serde_json::from_str(&text).expect("JSON"))
    }

    /// The code of the error that a call of ELBv2 has to give.
    pub(crate) fn elb_error(&self, action: &str, parameters: &[(&str, &str)]) -> String {
        self.elb(action, parameters).expect_err(action).code
    }

    /// The code of the error that a call of EC2 has to give.
    pub(crate) fn ec2_error(&self, action: &str, parameters: &[(&str, &str)]) -> String {
        self.ec2(action, parameters).expect_err(action).code
    }

    /// The id of a subnet of the standard VPC: `nodes-a`, `public-a`, `internal-c`.
    pub(crate) fn subnet(&self, kind_and_zone: &str) -> &str {
        let (kind, zone) = kind_and_zone.split_once('-').expect("kind-zone");
        &self.seeded.subnets[&format!("{kind}-{REGION}{zone}")]
    }

    /// Creates a network load balancer in public subnet a, more parameters as given; its ARN.
    pub(crate) fn load_balancer(&self, name: &str, more: &[(&str, &str)]) -> String {
        let mut parameters = vec![("Name", name), ("Type", "network")];
        if !more.iter().any(|(key, _)| key.starts_with("Subnet")) {
            parameters.push(("Subnets.member.1", self.subnet("public-a")));
        }
        parameters.extend(more);
        first(&self.elb("CreateLoadBalancer", &parameters).expect("a load balancer"), "LoadBalancerArn")
    }

    /// Creates a TCP target group, more parameters as given; its ARN.
    pub(crate) fn target_group(&self, name: &str, more: &[(&str, &str)]) -> String {
        let mut parameters = vec![("Name", name), ("Port", "8080"), ("VpcId", self.seeded.vpc_id.as_str())];
        if !more.iter().any(|(key, _)| *key == "Protocol") {
            parameters.push(("Protocol", "TCP"));
        }
        parameters.extend(more);
        first(&self.elb("CreateTargetGroup", &parameters).expect("a target group"), "TargetGroupArn")
    }

    /// Creates a TCP listener that forwards to the group; its ARN.
    pub(crate) fn listener(&self, load_balancer: &str, port: &str, group: &str) -> String {
        first(&self.elb("CreateListener", &listener(load_balancer, port, group)).expect("a listener"), "ListenerArn")
    }

    /// Creates a security group; its id.
    pub(crate) fn security_group(&self, name: &str) -> String {
        let parameters = [("GroupName", name), ("GroupDescription", "test"), ("VpcId", self.seeded.vpc_id.as_str())];
        first(&self.ec2("CreateSecurityGroup", &parameters).expect("a security group"), "groupId")
    }

    /// The states and reasons of a group's targets, in order.
    pub(crate) fn health(&self, group: &str) -> Vec<(String, String)> {
        self.region.targets(group).into_iter().map(|target| (target.state, target.reason)).collect()
    }
}

/// Parameters of `CreateListener` for a TCP listener.
pub(crate) fn listener<'a>(load_balancer: &'a str, port: &'a str, group: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("LoadBalancerArn", load_balancer),
        ("Protocol", "TCP"),
        ("Port", port),
        ("DefaultActions.member.1.Type", "forward"),
        ("DefaultActions.member.1.TargetGroupArn", group),
    ]
}

/// The texts of all elements of this name, in document order.
pub(crate) fn all(xml: &str, element: &str) -> Vec<String> {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    xml.split(&open).skip(1).filter_map(|rest| rest.split(&close).next()).map(str::to_owned).collect()
}

/// The text of the first element of this name.
pub(crate) fn first(xml: &str, element: &str) -> String {
    all(xml, element).into_iter().next().unwrap_or_else(|| panic!("no <{element}> in {xml}"))
}
