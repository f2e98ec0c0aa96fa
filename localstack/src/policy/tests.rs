use super::*;
use crate::testing::Kit;

const OWNED: &str = r#"{
  "Version": "2012-10-17",
  "Statement": [
    {"Effect": "Allow", "Action": ["elasticloadbalancing:Describe*", "ec2:Describe*"], "Resource": "*"},
    {"Sid": "Vpc", "Effect": "Allow", "Action": "ec2:CreateSecurityGroup", "Resource": "arn:aws:ec2:*:*:vpc/*"},
    {"Sid": "Group", "Effect": "Allow", "Action": "ec2:CreateSecurityGroup", "Resource": "arn:aws:ec2:*:*:security-group/*",
     "Condition": {"Null": {"aws:RequestTag/owner": "false"}}},
    {"Sid": "TagNewGroup", "Effect": "Allow", "Action": "ec2:CreateTags", "Resource": "arn:aws:ec2:*:*:security-group/*",
     "Condition": {"StringEquals": {"ec2:CreateAction": "CreateSecurityGroup"}, "Null": {"aws:RequestTag/owner": "false"}}},
    {"Sid": "DeleteOwn", "Effect": "Allow", "Action": "ec2:DeleteSecurityGroup", "Resource": "*",
     "Condition": {"StringLike": {"aws:ResourceTag/owner": ["me", "us-*"]}}},
    {"Sid": "Create", "Effect": "Allow", "Action": "elasticloadbalancing:Create*", "Resource": "*",
     "Condition": {"Null": {"aws:RequestTag/owner": "false"}}},
    {"Sid": "TagNew", "Effect": "Allow", "Action": "elasticloadbalancing:AddTags",
     "Resource": ["arn:aws:elasticloadbalancing:*:*:loadbalancer/net/*/*", "arn:aws:elasticloadbalancing:*:*:targetgroup/*/*"],
     "Condition": {"StringEquals": {"elasticloadbalancing:CreateAction": ["CreateLoadBalancer", "CreateTargetGroup"]}}},
    {"Sid": "ChangeOwn", "Effect": "Allow", "Action": "elasticloadbalancing:*", "Resource": "*",
     "Condition": {"StringEquals": {"aws:ResourceTag/owner": "me"}}},
    {"Sid": "Never", "Effect": "Deny", "Action": "elasticloadbalancing:SetSubnets", "Resource": "*"}
  ]
}"#;

/// Whether a policy allows a call; the message of the refusal if not.
fn ask(kit: &Kit, policy: &Policy, service: &str, action: &str, parameters: &[(&str, &str)]) -> Result<(), String> {
    let mut form: Form = parameters.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    form.insert("Action".to_owned(), action.to_owned());
    let state = kit.shared.account(crate::testing::ACCOUNT, crate::testing::REGION);
    let refusal = kit.shared.with(&state, |state, _, _| policy.refusal(service, &form, state, "test"));
    refusal.map_or(Ok(()), |error| Err(format!("{} {}", error.code, error.message)))
}

#[test]
fn f27_every_part_of_a_call_has_to_be_allowed() {
    let (kit, policy) = (Kit::instant(), Policy::from_json(OWNED).unwrap());
    let elb = |action: &str, parameters: &[(&str, &str)]| ask(&kit, &policy, "elasticloadbalancing", action, parameters);
    let ec2 = |action: &str, parameters: &[(&str, &str)]| ask(&kit, &policy, "ec2", action, parameters);
    let tag = [("Tags.member.1.Key", "owner"), ("Tags.member.1.Value", "me")];
    let with_tag = |more: &[(&'static str, &'static str)]| -> Vec<(&str, &str)> { [more, &tag].concat() };

    assert_eq!(elb("DescribeLoadBalancers", &[]), Ok(()));
    let refusal = elb("CreateLoadBalancer", &[("Name", "web")]).unwrap_err();
    assert!(refusal.starts_with("AccessDenied ") && refusal.contains("elasticloadbalancing:CreateLoadBalancer on resource: arn:aws:elasticloadbalancing:us-west-2:111122223333:loadbalancer/net/web/*"), "{refusal}");
    assert_eq!(elb("CreateLoadBalancer", &with_tag(&[("Name", "web")])), Ok(()));
    assert_eq!(elb("CreateTargetGroup", &with_tag(&[("Name", "web")])), Ok(()));
    let (own, foreign) = (kit.load_balancer("own", &tag), kit.load_balancer("foreign", &[]));
    let refusal = elb("CreateListener", &[("LoadBalancerArn", &own), tag[0], tag[1]]).unwrap_err();
    assert!(
        refusal.contains("AddTags") && refusal.contains(":listener/net/own/"),
        "tags are asked for on what is created: {refusal}"
    );
    assert_eq!(elb("DeleteLoadBalancer", &[("LoadBalancerArn", &own)]), Ok(()));
    assert!(elb("DeleteLoadBalancer", &[("LoadBalancerArn", &foreign)]).is_err());
    assert!(
        elb(
            "DeleteLoadBalancer",
            &[("LoadBalancerArn", "arn:aws:elasticloadbalancing:us-west-2:111122223333:loadbalancer/net/x/1")]
        )
        .is_err()
    );
    assert!(elb("SetSubnets", &[("LoadBalancerArn", &own)]).is_err(), "a denial wins over what allows");

    let vpc = kit.seeded.vpc_id.as_str();
    let specified = [
        ("TagSpecification.1.ResourceType", "security-group"),
        ("TagSpecification.1.Tag.1.Key", "owner"),
        ("TagSpecification.1.Tag.1.Value", "us-1"),
    ];
    assert!(ec2("CreateSecurityGroup", &[("VpcId", vpc)]).unwrap_err().starts_with("UnauthorizedOperation "));
    let create = [&[("VpcId", vpc), ("GroupName", "a"), ("GroupDescription", "a")][..], &specified].concat();
    assert_eq!(ec2("CreateSecurityGroup", &create), Ok(()));
    let own = crate::testing::first(&kit.ec2("CreateSecurityGroup", &create).unwrap(), "groupId");
    assert_eq!(ec2("DeleteSecurityGroup", &[("GroupId", &own)]), Ok(()));
    assert!(ec2("DeleteSecurityGroup", &[("GroupId", &kit.security_group("other"))]).is_err());
    assert!(
        ec2("CreateTags", &[("ResourceId.1", &own), ("Tag.1.Key", "owner"), ("Tag.1.Value", "me")]).is_err(),
        "only at creation"
    );
    assert_eq!(ask(&kit, &policy, "sts", "GetCallerIdentity", &[]), Ok(()));
}

#[test]
fn operators_treat_missing_keys_as_iam_does() {
    let holds = |operator: &str, value: &str, own: Option<&[&str]>| {
        let json = format!(r#"{{"{operator}": {{"aws:tagkeys": {value}}}}}"#);
        let condition: condition::Condition = serde_json::from_str(&json).unwrap();
        condition.check().unwrap();
        let own = own.map(|own| ("aws:TagKeys".to_owned(), own.iter().map(|&text| text.to_owned()).collect()));
        condition.holds(&own.into_iter().collect())
    };
    for (operator, value, own, expected) in [
        ("StringEquals", r#"["a", "b"]"#, Some(&["b"][..]), true),
        ("StringEquals", r#""a""#, Some(&["A"]), false),
        ("StringEqualsIgnoreCase", r#""a""#, Some(&["A"]), true),
        ("StringEquals", r#""a""#, None, false),
        ("StringEqualsIfExists", r#""a""#, None, true),
        ("StringNotEquals", r#""a""#, None, true),
        ("StringNotEquals", r#""a""#, Some(&["a"]), false),
        ("StringLike", r#""a*""#, Some(&["abc"]), true),
        ("StringNotLike", r#""a*""#, Some(&["abc"]), false),
        ("Null", "true", None, true),
        ("Null", r#""false""#, Some(&["a"]), true),
        ("Null", r#""true""#, Some(&["a"]), false),
        ("ForAnyValue:StringEquals", r#""a""#, Some(&["b", "a"]), true),
        ("ForAllValues:StringEquals", r#""a""#, Some(&["b", "a"]), false),
        ("ForAllValues:StringEquals", r#""a""#, None, true),
    ] {
        assert_eq!(holds(operator, value, own), expected, "{operator} {value} on {own:?}");
    }
}

#[test]
fn what_is_not_enforced_is_refused() {
    let statement = |text: &str| format!(r#"{{"Version": "2012-10-17", "Statement": [{text}]}}"#);
    for (document, words) in [
        (r#"{"Version": "2008-10-17", "Statement": []}"#.to_owned(), "2012-10-17"),
        (statement(r#"{"Effect": "Allow", "Action": "*"}"#), "statement 1 needs either Resource"),
        (statement(r#"{"Effect": "Allow", "Resource": "*", "Sid": "A"}"#), "A needs either Action"),
        (statement(r#"{"Effect": "Maybe", "Action": "*", "Resource": "*"}"#), "Maybe"),
        (statement(r#"{"Effect": "Allow", "Action": "*", "Resource": "*", "Principal": "*"}"#), "Principal"),
        (statement(r#"{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"IpAddress": {}}}"#), "IpAddress"),
        (
            statement(r#"{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"Null": {"aws:Via": "true"}}}"#),
            "aws:Via",
        ),
    ] {
        let error = Policy::from_json(&document).unwrap_err().to_string();
        assert!(error.contains(words), "{document}: {error}");
    }
}
