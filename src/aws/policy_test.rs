//! The IAM policy allows exactly the calls that this module makes. Tests only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::operation::OPERATIONS;

/// What ELB itself asks EC2 with the caller's rights, in calls that we do make: see
/// <https://github.com/kubernetes-sigs/aws-load-balancer-controller/issues/3917> (security groups) and
/// <https://github.com/kubernetes-sigs/aws-load-balancer-controller/issues/1453> (creation of a load balancer).
const IMPLIED: [&str; 3] = ["ec2:DescribeAccountAttributes", "ec2:DescribeInternetGateways", "ec2:GetSecurityGroupsForVpc"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// Calls found in the source: the IAM action of each request builder, and the operation it is sent as.
fn calls_in_the_source() -> BTreeMap<String, BTreeSet<String>> {
    let mut files = Vec::new();
    sources(&root().join("src/aws"), &mut files);
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files.iter().filter(|file| !file.ends_with("policy_test.rs")) {
        let text: String = std::fs::read_to_string(file).unwrap().split_whitespace().collect();
        for (client, service) in [("self.elb.", "elasticloadbalancing"), ("self.ec2.", "ec2")] {
            for (at, _) in text.match_indices(client) {
                let rest = &text[at + client.len()..];
                let builder = &rest[..rest.find("()").unwrap()];
                let name: String = builder.split('_').map(|word| word[..1].to_uppercase() + &word[1..]).collect();
                // The builder is made before it is sent.
                let sent = rest.split_once("self.call(Operation::").unwrap().1;
                let sent_as = sent[..sent.find(',').unwrap()].to_owned();
                found.entry(format!("{service}:{name}")).or_default().insert(sent_as);
            }
        }
    }
    found
}

fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().map(|item| item.as_str().unwrap().to_owned()).collect(),
        one => vec![one.as_str().unwrap().to_owned()],
    }
}

fn policy() -> Value {
    serde_json::from_str(&std::fs::read_to_string(root().join("deploy/iam-policy.json")).unwrap()).unwrap()
}

#[test]
fn every_request_is_sent_as_the_operation_it_is() {
    for (action, sent_as) in calls_in_the_source() {
        let name = action.split_once(':').unwrap().1.to_owned();
        assert_eq!(sent_as, BTreeSet::from([name]), "{action} is throttled as another operation");
    }
}

#[test]
fn the_policy_allows_exactly_the_calls_in_the_source() {
    let in_source: BTreeSet<String> = calls_in_the_source().into_keys().collect();
    let in_table: BTreeSet<String> = OPERATIONS.iter().map(|action| (*action).to_owned()).collect();
    let allowed: BTreeSet<String> =
        policy()["Statement"].as_array().unwrap().iter().flat_map(|statement| strings(&statement["Action"])).collect();
    assert_eq!(in_source, in_table, "src/aws/operation.rs against the calls in src/aws");
    let needed: BTreeSet<String> = in_table.into_iter().chain(IMPLIED.map(ToOwned::to_owned)).collect();
    assert_eq!(allowed, needed, "deploy/iam-policy.json against src/aws/operation.rs");
}

/// Whatever it uses, the emulator enforces: so tests can hold the controller to it.
#[test]
fn the_emulator_can_enforce_the_policy() {
    landfall_localstack::Policy::from_json(&policy().to_string()).unwrap();
}

/// Nothing that is not ours may be changed: every statement that changes something has a condition on the cluster tag, but
/// for the rules of node security groups, which other tools make, the VPC that a new group is put into, and listeners: one that
/// somebody made by hand on a load balancer of ours bears no tag.
#[test]
fn every_change_is_bound_to_the_cluster_tag() {
    for statement in policy()["Statement"].as_array().unwrap() {
        let actions = strings(&statement["Action"]);
        let sid = statement["Sid"].as_str().unwrap();
        assert_eq!(statement["Effect"], "Allow", "{sid}");
        let reads = actions.iter().all(|action| action.contains(":Describe") || action.contains(":Get"));
        if reads || ["CreateSecurityGroupInVpc", "NodeSecurityGroupRules"].contains(&sid) {
            continue;
        }
        if sid == "ChangeListeners" {
            assert_eq!(strings(&statement["Resource"]), ["arn:aws:elasticloadbalancing:*:*:listener/net/*/*/*"]);
            assert!(actions.iter().all(|action| action.ends_with("Listener")), "{actions:?}");
            continue;
        }
        let conditions = statement["Condition"]["Null"].as_object().unwrap();
        let bound = ["aws:RequestTag/elbv2.k8s.aws/cluster", "aws:ResourceTag/elbv2.k8s.aws/cluster"]
            .iter()
            .any(|key| conditions.get(*key).is_some_and(|value| value == "false"));
        assert!(bound, "{sid}");
    }
}
