//! What a caller meets on the wire: lag, throttling, lost answers, refused credentials, colleagues, values nobody knows yet.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::testing::{all, first};
use crate::tests::client::{Client, ELB};
use crate::{Conditions, Durations, Edit, Emulator, Fault, Options, Policy, Region, Rule, Seeded, World, WorldOptions};

const KEY: &str = "111122223333";

struct Wire {
    emulator: Emulator,
    region: Region,
    seeded: Seeded,
    client: Client,
}

impl Wire {
    /// With a clock that stands still: only the test lets time pass.
    async fn new() -> Self {
        let emulator = Emulator::start(Options::default()).await.unwrap();
        let region = emulator.region(KEY, "us-west-2");
        let seeded = region.seed(&World::three_zones(WorldOptions::default()));
        emulator.clock().freeze();
        let client = Client::new(&emulator);
        Self { emulator, region, seeded, client }
    }

    /// Status and body of a call.
    async fn call(&self, service: &str, fields: &[(&str, &str)]) -> (u16, String) {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let answer = self.client.call(service, KEY, &body).await.expect("an answer");
        (answer.status, answer.body)
    }

    /// The error code of a call, empty for success.
    async fn code(&self, service: &str, fields: &[(&str, &str)]) -> String {
        let (status, body) = self.call(service, fields).await;
        if status == 200 { String::new() } else { first(&body, "Code") }
    }

    async fn create(&self, name: &str) -> String {
        let subnet = self.seeded.subnets["public-us-west-2a"].as_str();
        let fields = [("Action", "CreateLoadBalancer"), ("Name", name), ("Type", "network"), ("Subnets.member.1", subnet)];
        first(&self.call(ELB, &fields).await.1, "LoadBalancerArn")
    }

    async fn create_group(&self, name: &str) -> String {
        let vpc = self.seeded.vpc_id.as_str();
        let fields = [("Action", "CreateSecurityGroup"), ("GroupName", name), ("GroupDescription", "d"), ("VpcId", vpc)];
        first(&self.call("ec2", &fields).await.1, "groupId")
    }

    fn advance(&self, seconds: u64) {
        self.emulator.clock().advance(Duration::from_secs(seconds));
    }

    fn rule(&self, rule: Rule) {
        self.emulator.faults().try_add(rule).unwrap();
    }
}

#[tokio::test]
async fn f15_fresh_ids_are_not_found_for_a_while() {
    let wire = Wire::new().await;
    wire.emulator.set_durations(Durations { fresh_ids: Duration::from_secs(20), ..Durations::instant() });
    let (arn, group) = (wire.create("web").await, wire.create_group("web").await);
    let describe = [("Action", "DescribeLoadBalancers"), ("LoadBalancerArns.member.1", arn.as_str())];
    let tag = [("Action", "AddTags"), ("ResourceArns.member.1", arn.as_str()), ("Tags.member.1.Key", "k")];
    let permission = [
        ("IpPermissions.1.IpProtocol", "tcp"),
        ("IpPermissions.1.FromPort", "80"),
        ("IpPermissions.1.ToPort", "80"),
        ("IpPermissions.1.IpRanges.1.CidrIp", "10.0.0.0/8"),
    ];
    let authorize = [&[("Action", "AuthorizeSecurityGroupIngress"), ("GroupId", group.as_str())][..], &permission].concat();
    wire.advance(19);
    assert_eq!(wire.code(ELB, &describe).await, "LoadBalancerNotFound");
    assert_eq!(wire.code(ELB, &tag).await, "LoadBalancerNotFound");
    assert_eq!(wire.code("ec2", &authorize).await, "InvalidGroup.NotFound");
    assert_eq!(
        all(&wire.call(ELB, &[("Action", "DescribeLoadBalancers")]).await.1, "LoadBalancerArn"),
        std::slice::from_ref(&arn)
    );
    wire.advance(2);
    for (service, fields) in [(ELB, &describe[..]), (ELB, &tag), ("ec2", &authorize)] {
        assert_eq!(wire.code(service, fields).await, "");
    }
}

#[tokio::test]
async fn f15_a_describe_can_answer_from_the_past() {
    let wire = Wire::new().await;
    let arn = wire.create("web").await;
    wire.emulator.set_durations(Durations { reads_lag: Duration::from_secs(5), ..Durations::instant() });
    wire.advance(60);
    let protect = [
        ("Action", "ModifyLoadBalancerAttributes"),
        ("LoadBalancerArn", arn.as_str()),
        ("Attributes.member.1.Key", "deletion_protection.enabled"),
        ("Attributes.member.1.Value", "true"),
    ];
    assert_eq!(wire.code(ELB, &protect).await, "");
    let describe = [("Action", "DescribeLoadBalancerAttributes"), ("LoadBalancerArn", arn.as_str())];
    let protected =
        async || wire.call(ELB, &describe).await.1.contains("<Key>deletion_protection.enabled</Key><Value>true</Value>");
    wire.advance(4);
    assert!(!protected().await);
    wire.advance(2);
    assert!(protected().await);
}

#[tokio::test]
async fn f16_lists_and_tags_lag_both_ways() {
    let wire = Wire::new().await;
    wire.emulator.set_durations(Durations { lists_lag: Duration::from_secs(30), ..Durations::instant() });
    let listed = async || all(&wire.call(ELB, &[("Action", "DescribeLoadBalancers")]).await.1, "LoadBalancerName");
    let arn = wire.create("web").await;
    assert!(listed().await.is_empty(), "a new one is missing");
    let named = [("Action", "DescribeLoadBalancers"), ("Names.member.1", "web")];
    assert_eq!(wire.code(ELB, &named).await, "", "though it can be found by name");
    wire.advance(31);
    assert_eq!(listed().await, ["web"]);
    wire.call(ELB, &[("Action", "AddTags"), ("ResourceArns.member.1", arn.as_str()), ("Tags.member.1.Key", "k")]).await;
    let tags = [("Action", "DescribeTags"), ("ResourceArns.member.1", arn.as_str())];
    assert!(!wire.call(ELB, &tags).await.1.contains("<Key>k</Key>"));
    wire.advance(31);
    assert!(wire.call(ELB, &tags).await.1.contains("<Key>k</Key>"));
    wire.call(ELB, &[("Action", "DeleteLoadBalancer"), ("LoadBalancerArn", arn.as_str())]).await;
    assert_eq!(listed().await, ["web"], "a deleted one is still listed");
    wire.advance(31);
    assert!(listed().await.is_empty());
}

#[tokio::test]
async fn f16_a_stale_read_on_purpose_shows_the_past_once() {
    let wire = Wire::new().await;
    wire.rule(Rule { nth: Some(1), ..Rule::on("DescribeSecurityGroups", Fault::StaleRead(Duration::from_secs(10))) });
    wire.advance(60);
    let group = wire.create_group("web").await;
    wire.advance(5);
    let listed = async || all(&wire.call("ec2", &[("Action", "DescribeSecurityGroups")]).await.1, "groupId").contains(&group);
    assert!(!listed().await && listed().await);
    let faults: Vec<Option<String>> = wire.emulator.journal().entries().into_iter().map(|entry| entry.fault).collect();
    assert_eq!(faults[1..], [Some("stale_read 10 s".to_owned()), None]);
}

#[tokio::test]
async fn f19_each_action_of_an_account_has_a_token_bucket() {
    let wire = Wire::new().await;
    let conditions = Conditions { sets: vec!["aws-like".to_owned()], ..Conditions::default() };
    wire.emulator.set_conditions(conditions).unwrap();
    let vpcs = [("Action", "DescribeVpcs")];
    for _ in 0..100 {
        assert_eq!(wire.code("ec2", &vpcs).await, "");
    }
    let (status, body) = wire.call("ec2", &vpcs).await;
    assert_eq!((status, first(&body, "Code").as_str()), (503, "RequestLimitExceeded"));
    assert_eq!(wire.code("ec2", &[("Action", "DescribeSubnets")]).await, "", "another action has its own");
    let other = wire.client.call("ec2", "444455556666", "Action=DescribeVpcs").await.unwrap();
    assert_eq!(other.status, 200, "and so has another account");
    wire.advance(1);
    let through = async || {
        let mut through = 0;
        while wire.code("ec2", &vpcs).await.is_empty() {
            through += 1;
        }
        through
    };
    assert_eq!(through().await, 20, "twenty come back each second");
    for _ in 0..20 {
        wire.call(ELB, &[("Action", "RegisterTargets"), ("TargetGroupArn", "x"), ("Targets.member.1.Id", "y")]).await;
    }
    let (status, body) = wire.call(ELB, &[("Action", "RegisterTargets")]).await;
    assert_eq!((status, first(&body, "Code").as_str()), (400, "Throttling"));
}

#[tokio::test]
async fn f22_a_write_is_applied_though_its_caller_saw_an_error() {
    let wire = Wire::new().await;
    let exists = |name: &str| wire.region.security_groups().iter().any(|group| group.name == name);
    let vpc = wire.seeded.vpc_id.as_str();
    let error = Fault::ErrorAfter { code: "InternalError".to_owned(), status: 500, message: "x".to_owned() };
    for (name, fault) in [("dropped", Fault::DropAfter), ("truncated", Fault::Truncate), ("refused", error)] {
        wire.rule(Rule { times: Some(1), ..Rule::on("CreateSecurityGroup", fault) });
        let body = format!("Action=CreateSecurityGroup&GroupName={name}&GroupDescription=d&VpcId={vpc}");
        let answer = wire.client.call("ec2", KEY, &body).await;
        assert!(answer.is_none_or(|answer| answer.status == 500) && exists(name), "{name}");
        let again = wire.client.call("ec2", KEY, &body).await.unwrap();
        assert_eq!(first(&again.body, "Code"), "InvalidGroup.Duplicate");
    }
}

#[tokio::test]
async fn f24_somebody_else_edits() {
    let wire = Wire::new().await;
    let edit = |action: &str, parameters: &[(&str, &str)], after| {
        let parameters: BTreeMap<String, String> =
            parameters.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Fault::Edit(Edit { service: ELB.to_owned(), action: action.to_owned(), parameters, after: Duration::from_secs(after) })
    };
    let tag =
        [("ResourceArns.member.1", "{LoadBalancerArn}"), ("Tags.member.1.Key", "theirs"), ("Tags.member.1.Value", "of {Name}")];
    wire.rule(Rule { nth: Some(2), ..Rule::on("CreateLoadBalancer", edit("AddTags", &tag, 0)) });
    let delete = edit("DeleteLoadBalancer", &[("LoadBalancerArn", "{LoadBalancerArn}")], 30);
    wire.rule(Rule { nth: Some(2), ..Rule::on("CreateLoadBalancer", delete) });
    wire.create("a").await;
    wire.create("b").await;
    let tags: Vec<BTreeMap<String, String>> = wire.region.load_balancers().into_iter().map(|balancer| balancer.tags).collect();
    assert_eq!(tags, [BTreeMap::new(), BTreeMap::from([("theirs".to_owned(), "of b".to_owned())])]);
    let from = wire.emulator.journal().next_sequence();
    wire.advance(31);
    let deleted = |entry: &crate::Entry| entry.action == "DeleteLoadBalancer" && entry.user_agent == crate::BY_HAND;
    wire.emulator.journal().wait_for(from, deleted, Duration::from_secs(10)).await.expect("the edit");
    let left: Vec<String> = wire.region.load_balancers().into_iter().map(|balancer| balancer.name).collect();
    assert_eq!(left, ["a"]);
    let faults: Vec<Option<String>> = wire.emulator.journal().entries().into_iter().map(|entry| entry.fault).collect();
    assert!(faults.contains(&Some("edit AddTags, edit DeleteLoadBalancer".to_owned())), "{faults:?}");
}

#[tokio::test]
async fn f26_health_can_be_unavailable() {
    let wire = Wire::new().await;
    let group = [
        ("Action", "CreateTargetGroup"),
        ("Name", "web"),
        ("Protocol", "TCP"),
        ("Port", "80"),
        ("TargetType", "ip"),
        ("VpcId", wire.seeded.vpc_id.as_str()),
    ];
    let arn = first(&wire.call(ELB, &group).await.1, "TargetGroupArn");
    wire.call(ELB, &[("Action", "RegisterTargets"), ("TargetGroupArn", arn.as_str()), ("Targets.member.1.Id", "10.20.1.77")])
        .await;
    let health = [("Action", "DescribeTargetHealth"), ("TargetGroupArn", arn.as_str())];
    let replace = Fault::Replace { element: "State".to_owned(), text: "unavailable".to_owned() };
    wire.rule(Rule { times: Some(1), ..Rule::on("DescribeTargetHealth", replace) });
    assert_eq!(first(&wire.call(ELB, &health).await.1, "State"), "unavailable");
    let error = Fault::Error { code: "HealthUnavailable".to_owned(), status: 500, message: "Health is unavailable".to_owned() };
    wire.rule(Rule { times: Some(1), ..Rule::on("DescribeTargetHealth", error) });
    assert_eq!(wire.code(ELB, &health).await, "HealthUnavailable");
    assert_eq!(first(&wire.call(ELB, &health).await.1, "State"), "unused");
}

#[tokio::test]
async fn f27_credentials_expire_lack_an_action_or_come_from_a_wrong_clock() {
    let wire = Wire::new().await;
    let (elb, vpcs) = ([("Action", "DescribeLoadBalancers")], [("Action", "DescribeVpcs")]);
    for (fault, of_elb, of_ec2) in [
        (Fault::ExpiredToken, "ExpiredToken", "RequestExpired"),
        (Fault::Denied, "AccessDenied", "UnauthorizedOperation"),
        (Fault::ClockSkew, "SignatureDoesNotMatch", "RequestExpired"),
    ] {
        wire.rule(Rule::on("*", fault));
        assert_eq!((wire.code(ELB, &elb).await.as_str(), wire.code("ec2", &vpcs).await.as_str()), (of_elb, of_ec2));
        wire.emulator.faults().clear();
    }
    let only_elb = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "elasticloadbalancing:Describe*", "Resource": "*"}}"#;
    wire.emulator.enforce(Some(Policy::from_json(only_elb).unwrap()), Some(KEY));
    assert_eq!((wire.code(ELB, &elb).await.as_str(), wire.code("ec2", &vpcs).await.as_str()), ("", "UnauthorizedOperation"));
    assert_eq!(wire.emulator.journal().entries().pop().unwrap().fault.as_deref(), Some("policy"));
    assert_eq!(
        wire.client.call("ec2", "444455556666", "Action=DescribeVpcs").await.unwrap().status,
        200,
        "another account is free"
    );
    wire.region.call("ec2", "DescribeVpcs", &[]).expect("and so is what is done by hand");
    wire.emulator.enforce(None, None);
    assert_eq!(wire.code("ec2", &vpcs).await, "");
}

#[tokio::test]
async fn f28_answers_can_hold_values_that_nobody_knows_yet() {
    let wire = Wire::new().await;
    wire.create("web").await;
    wire.rule(Rule::on(
        "DescribeLoadBalancers",
        Fault::Replace { element: "Code".to_owned(), text: "hibernating & more".to_owned() },
    ));
    let (status, body) = wire.call(ELB, &[("Action", "DescribeLoadBalancers")]).await;
    assert_eq!((status, first(&body, "Code").as_str()), (200, "hibernating &amp; more"));
}
