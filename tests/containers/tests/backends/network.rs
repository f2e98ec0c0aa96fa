//! A VPC by plain EC2 calls, so that every back end can take it; each check has its own account and range of addresses.

use std::net::IpAddr;

use landfall_test_containers::{Answer, Aws, Client};

pub(crate) const ELB: &str = "elasticloadbalancing";

/// A VPC 10.20.N.0/24 with two subnets, and who calls.
pub(crate) struct Network {
    pub(crate) client: Client,
    pub(crate) vpc: String,
    subnets: [String; 2],
    number: u8,
}

/// The text of an element that has to be there.
#[track_caller]
pub(crate) fn text(answer: &Answer, element: &str) -> String {
    answer.text(element).unwrap_or_else(|| panic!("no {element} in {}: {}", answer.status, answer.body)).to_owned()
}

impl Network {
    /// `number` is one check's own.
    pub(crate) async fn new(aws: &Aws, number: u8) -> Self {
        let client = aws.client().expect("unsigned calls").of_account(&format!("{number:012}"));
        let ask = async |action: &str, parameters: &[(&str, &str)]| client.query("ec2", action, parameters).await.unwrap();
        let vpc = text(&ask("CreateVpc", &[("CidrBlock", &format!("10.20.{number}.0/24"))]).await, "vpcId");
        let mut subnets = Vec::new();
        for (zone, block) in [("us-east-1a", 0), ("us-east-1b", 128)] {
            let cidr = format!("10.20.{number}.{block}/25");
            let create = [("VpcId", vpc.as_str()), ("CidrBlock", &cidr), ("AvailabilityZone", zone)];
            subnets.push(text(&ask("CreateSubnet", &create).await, "subnetId"));
        }
        let subnets = subnets.try_into().expect("two");
        Self { client, vpc, subnets, number }
    }

    pub(crate) async fn elb(&self, action: &str, parameters: &[(&str, &str)]) -> Answer {
        self.client.query(ELB, action, parameters).await.unwrap()
    }

    /// The answer to the creation of an internal network load balancer in both subnets.
    pub(crate) async fn load_balancer(&self) -> Answer {
        let name = format!("check-{}", self.number);
        let [one, two] = &self.subnets;
        let subnets = [("Subnets.member.1", one.as_str()), ("Subnets.member.2", two)];
        let rest = [("Name", name.as_str()), ("Type", "network"), ("Scheme", "internal")];
        self.elb("CreateLoadBalancer", &[rest.as_slice(), &subnets].concat()).await
    }

    /// The ARN of a group for addresses.
    pub(crate) async fn target_group(&self) -> String {
        let name = format!("check-{}", self.number);
        let create = [("Name", name.as_str()), ("Protocol", "TCP"), ("Port", "9000"), ("VpcId", &self.vpc), ("TargetType", "ip")];
        text(&self.elb("CreateTargetGroup", &create).await, "TargetGroupArn")
    }

    /// The ARN of a listener on TCP 8080 that forwards there.
    pub(crate) async fn listener(&self, load_balancer: &str, target_group: &str) -> String {
        let action = [("DefaultActions.member.1.Type", "forward"), ("DefaultActions.member.1.TargetGroupArn", target_group)];
        let create = [("LoadBalancerArn", load_balancer), ("Protocol", "TCP"), ("Port", "8080")];
        text(&self.elb("CreateListener", &[create.as_slice(), &action].concat()).await, "ListenerArn")
    }

    /// An address of the VPC's first subnet.
    pub(crate) fn address(&self, host: u8) -> IpAddr {
        [10, 20, self.number, host].into()
    }

    /// The load balancer's address in one of its zones.
    pub(crate) async fn load_balancer_address(&self) -> IpAddr {
        let filter = [("Filter.1.Name", "subnet-id"), ("Filter.1.Value.1", self.subnets[0].as_str())];
        let interfaces = self.client.query("ec2", "DescribeNetworkInterfaces", &filter).await.unwrap();
        text(&interfaces, "privateIpAddress").parse().unwrap()
    }

    pub(crate) async fn delete(&self, action: &str, name: &str, arn: &str) {
        let answer = self.elb(action, &[(name, arn)]).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
}
