//! Many clients at once: the journal tells in which order their calls took effect, and a call that is held up holds up no other.
//!
//! That no lock is held over an await is clippy's part (`await_holding_lock`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use fastrand::Rng;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::client::{Client, ELB};
use crate::server::aws::SERVICES;
use crate::testing::all;
use crate::{Durations, Emulator, Entry, Fault, Options, Outcome, Rule, Seeded, World, WorldOptions};

const CLIENTS: u64 = 64;
const CALLS: usize = 50_000;
/// Most clients share one account; the others must not be seen there.
const ACCOUNTS: [&str; 2] = ["111122223333", "444455556666"];
const REGION: &str = "us-west-2";
/// How long a condition is waited for before the test has failed.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_replayed_one_at_a_time_gives_the_same_answers_and_the_same_state() {
    let emulator = Emulator::start(quiet()).await.unwrap();
    emulator.clock().freeze();
    let worlds = ACCOUNTS.map(|account| emulator.region(account, REGION).seed(&World::three_zones(WorldOptions::default())));
    let beginning = emulator.save().unwrap();

    let clients = (0..CLIENTS).map(|seed| {
        let account = usize::from(seed % 8 == 0);
        let (endpoint, world) = (emulator.endpoint(), worlds[account].clone());
        tokio::spawn(async move {
            let caller = Caller::new(&endpoint, seed, ACCOUNTS[account], world).await;
            caller.work(CALLS.div_ceil(usize::try_from(CLIENTS).unwrap())).await
        })
    });
    let mut answers = HashMap::new();
    for client in clients.collect::<Vec<_>>() {
        answers.extend(client.await.unwrap());
    }
    let journal = emulator.journal().entries();
    assert!(journal.len() >= CALLS && journal.len() == answers.len(), "{} entries, {} answers", journal.len(), answers.len());
    every_action_has_come_through_and_been_refused(&journal);

    let twin = Emulator::start(quiet()).await.unwrap();
    twin.clock().freeze();
    twin.restore(&beginning).unwrap();
    for entry in &journal {
        let parameters: Vec<(&str, &str)> =
            entry.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let again = twin.region(&entry.account, &entry.region).call(&entry.service, &entry.action, &parameters);
        let service = SERVICES.iter().find(|service| service.name == entry.service).unwrap();
        let again = again.unwrap_or_else(|error| service.failure(&error, ""));
        assert_eq!(without_id(&again), without_id(&answers[&entry.request_id]), "{entry:?}");
    }
    for (entry, again) in journal.iter().zip(twin.journal().entries()) {
        assert_eq!((entry.sequence, &entry.result), (again.sequence, &again.result), "{entry:?}");
    }
    let states = [emulator, twin].map(|emulator| serde_json::from_str::<Value>(&emulator.save().unwrap()).unwrap());
    assert_eq!(difference(&states[0], &states[1]), None);
}

#[tokio::test]
async fn a_call_that_is_held_up_holds_up_no_other() {
    let emulator = Emulator::start(quiet()).await.unwrap();
    let region = emulator.region(ACCOUNTS[0], REGION);
    let vpc = region.seed(&World::three_zones(WorldOptions::default())).vpc_id;
    let create = |name: &str| format!("Action=CreateTargetGroup&Name={name}&Protocol=TCP&Port=80&VpcId={vpc}");
    let long = Duration::from_secs(3600);
    let faults = [("hangs", Fault::Hang(long)), ("waits", Fault::Delay(long)), ("waits-too", Fault::DelayBetween(long, long))];
    let held = faults.map(|(name, fault)| {
        let parameter = Some(("Name".to_owned(), name.to_owned()));
        emulator.faults().add(Rule { parameter, ..Rule::on("CreateTargetGroup", fault) });
        let (client, call) = (Client::new(&emulator), create(name));
        tokio::spawn(async move { client.call(ELB, ACCOUNTS[0], &call).await.map(|answer| answer.status) })
    });
    let client = Client::new(&emulator);
    let all_held = async {
        while client.admin("GET", "/_landfall/faults", "").await.1.as_array().unwrap().iter().any(|rule| rule["fired"] == 0) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, all_held).await.expect("three calls are held up");

    let others = async {
        for call in [&create("free"), "Action=DescribeTargetGroups", "Action=DescribeLoadBalancers"] {
            assert_eq!(client.call(ELB, ACCOUNTS[0], call).await.unwrap().status, 200, "{call}");
        }
    };
    tokio::time::timeout(PATIENCE, others).await.expect("all others are answered");
    let groups: Vec<String> = region.target_groups().into_iter().map(|group| group.name).collect();
    assert_eq!(groups, ["free"]);
    assert!(held.iter().all(|call| !call.is_finished()));
    emulator.stop().await;
    for call in held {
        assert_eq!(tokio::time::timeout(PATIENCE, call).await.expect("closed").unwrap(), None);
    }
}

/// Nothing happens but by calls: no target gets as far as its first health check.
fn quiet() -> Options {
    Options { durations: Durations { registration: Duration::from_secs(3600), ..Durations::instant() }, ..Options::default() }
}

/// Every action was called so often that it has changed something and that clients have been in each other's way.
fn every_action_has_come_through_and_been_refused(journal: &[Entry]) {
    let mut results: BTreeMap<&str, BTreeSet<bool>> = BTreeMap::new();
    for entry in journal {
        results.entry(&entry.action).or_default().insert(entry.result == Outcome::Ok);
    }
    assert!(results.len() >= 30, "{:?}", results.keys());
    for (action, results) in results {
        let harmless = ["AllocateAddress", "DescribeAddresses", "DescribeSecurityGroups"].contains(&action);
        assert!(results.contains(&true) && (harmless || results.contains(&false)), "{action}: {results:?}");
    }
}

/// An answer without its request id, which is each call's own.
fn without_id(answer: &str) -> String {
    let mut parts = answer.split("equestI");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(part.split_once('<').map_or(part, |(_, behind)| behind));
    }
    out
}

/// Where two documents first differ, and how.
fn difference(one: &Value, other: &Value) -> Option<String> {
    match (one, other) {
        (Value::Object(ones), Value::Object(others)) => {
            let keys: BTreeSet<&String> = ones.keys().chain(others.keys()).collect();
            keys.into_iter().find_map(|key| {
                let (one, other) = (ones.get(key).unwrap_or(&Value::Null), others.get(key).unwrap_or(&Value::Null));
                difference(one, other).map(|what| format!("/{key}{what}"))
            })
        }
        (Value::Array(ones), Value::Array(others)) if ones.len() == others.len() => ones
            .iter()
            .zip(others)
            .enumerate()
            .find_map(|(index, (one, other))| difference(one, other).map(|what| format!("/{index}{what}"))),
        _ => (one != other).then(|| format!(": {one} and {other}")),
    }
}

/// What a call is: its service, and its form fields with the action.
type Fields = (&'static str, Vec<(&'static str, String)>);

/// One client, with what it has heard of from the emulator's answers: things of its own and of others, some of them gone.
struct Caller {
    connection: BufReader<TcpStream>,
    random: Rng,
    account: &'static str,
    world: Seeded,
    heard: BTreeMap<&'static str, Vec<String>>,
}

/// Elements of answers that name things.
const NAMING: [&str; 5] = ["LoadBalancerArn", "TargetGroupArn", "ListenerArn", "groupId", "allocationId"];

impl Caller {
    async fn new(endpoint: &str, seed: u64, account: &'static str, world: Seeded) -> Self {
        let stream = TcpStream::connect(endpoint.trim_start_matches("http://")).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { connection: BufReader::new(stream), random: Rng::with_seed(seed), account, world, heard: BTreeMap::new() }
    }

    /// Makes so many calls; the answers by their request ids.
    async fn work(mut self, calls: usize) -> Vec<(String, String)> {
        let mut answers = Vec::with_capacity(calls);
        for _ in 0..calls {
            let (service, fields) = self.choose();
            let (id, answer) = self.call(service, &fields).await;
            for kind in NAMING {
                let heard = self.heard.entry(kind).or_default();
                heard.extend(all(&answer, kind));
                // The newest are most likely still there.
                heard.drain(..heard.len().saturating_sub(8));
            }
            answers.push((id, answer));
        }
        answers
    }

    /// One call over its connection; the answer with its request id. HTTP by hand: without optimisation a client of many headers and
    /// states costs more than the emulator does.
    async fn call(&mut self, service: &str, fields: &[(&str, String)]) -> (String, String) {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = format!(
            "POST / HTTP/1.1\r\nhost: aws\r\nauthorization: Credential={}/20260101/{REGION}/{service}/aws4_request\r\ncontent-length: {}\r\n\r\n{body}",
            self.account,
            body.len()
        );
        self.connection.write_all(request.as_bytes()).await.unwrap();
        let (mut length, mut id) = (0, None);
        loop {
            let mut line = String::new();
            assert!(self.connection.read_line(&mut line).await.unwrap() > 0, "an answer");
            match line.trim_end().split_once(": ") {
                Some(("content-length", value)) => length = value.parse().unwrap(),
                Some(("x-amzn-requestid", value)) => id = Some(value.to_owned()),
                None if line == "\r\n" => break,
                _ => {}
            }
        }
        let mut answer = vec![0; length];
        self.connection.read_exact(&mut answer).await.unwrap();
        (id.expect("a request id"), String::from_utf8(answer).unwrap())
    }

    /// Something of this kind that it has heard of; something that nobody has, if there is none.
    fn some(&mut self, kind: &'static str) -> String {
        let heard = self.heard.entry(kind).or_default();
        self.random.choice(heard.iter()).cloned().unwrap_or_else(|| format!("no-{kind}"))
    }

    /// One of few names, which all clients share.
    fn name(&mut self) -> String {
        format!("name-{}", self.random.u8(..12))
    }

    fn subnet(&mut self) -> String {
        let zone = self.random.choice(["a", "b", "c"]).unwrap_or_default();
        self.world.subnets[&format!("public-{REGION}{zone}")].clone()
    }

    /// A call to make.
    fn choose(&mut self) -> Fields {
        let one_of =
            |random: &mut Rng, values: &[&str]| random.choice(values).map(|value| (*value).to_owned()).unwrap_or_default();
        let tagged = if self.random.bool() { "LoadBalancerArn" } else { "TargetGroupArn" };
        let (elb, ec2) = (|fields| (ELB, fields), |fields| ("ec2", fields));
        let action = |name: &str| ("Action", name.to_owned());
        match self.random.u8(..36) {
            0 | 1 => elb(vec![
                action("CreateLoadBalancer"),
                ("Name", self.name()),
                ("Type", "network".to_owned()),
                ("Subnets.member.1", self.subnet()),
            ]),
            2 => elb(vec![action("DeleteLoadBalancer"), ("LoadBalancerArn", self.some("LoadBalancerArn"))]),
            3 | 4 => elb(vec![
                action("CreateTargetGroup"),
                ("Name", self.name()),
                ("Protocol", "TCP".to_owned()),
                ("Port", one_of(&mut self.random, &["80", "81"])),
                ("TargetType", "ip".to_owned()),
                ("VpcId", self.world.vpc_id.clone()),
                ("Tags.member.1.Key", "k".to_owned()),
                ("Tags.member.1.Value", self.name()),
            ]),
            5 => elb(vec![action("DeleteTargetGroup"), ("TargetGroupArn", self.some("TargetGroupArn"))]),
            6 | 7 => elb(vec![
                action("CreateListener"),
                ("LoadBalancerArn", self.some("LoadBalancerArn")),
                ("Protocol", "TCP".to_owned()),
                ("Port", one_of(&mut self.random, &["80", "81", "82"])),
                ("DefaultActions.member.1.Type", "forward".to_owned()),
                ("DefaultActions.member.1.TargetGroupArn", self.some("TargetGroupArn")),
            ]),
            8 => elb(vec![action("DeleteListener"), ("ListenerArn", self.some("ListenerArn"))]),
            9 => elb(vec![
                action("ModifyListener"),
                ("ListenerArn", self.some("ListenerArn")),
                ("Port", one_of(&mut self.random, &["80", "81", "82"])),
                ("DefaultActions.member.1.Type", "forward".to_owned()),
                ("DefaultActions.member.1.TargetGroupArn", self.some("TargetGroupArn")),
            ]),
            10..=13 => {
                let name = if self.random.u8(..3) > 0 { "RegisterTargets" } else { "DeregisterTargets" };
                let group = self.some("TargetGroupArn");
                let mut address = || format!("10.20.1.{}", self.random.u8(10..20));
                let targets = [("Targets.member.1.Id", address()), ("Targets.member.2.Id", address())];
                elb([vec![action(name), ("TargetGroupArn", group)], targets.to_vec()].concat())
            }
            14 => elb(vec![
                action("ModifyTargetGroup"),
                ("TargetGroupArn", self.some("TargetGroupArn")),
                ("HealthCheckPort", one_of(&mut self.random, &["traffic-port", "9000"])),
            ]),
            15 => elb(vec![
                action("ModifyTargetGroupAttributes"),
                ("TargetGroupArn", self.some("TargetGroupArn")),
                ("Attributes.member.1.Key", "deregistration_delay.timeout_seconds".to_owned()),
                ("Attributes.member.1.Value", one_of(&mut self.random, &["0", "30", "300"])),
            ]),
            16 => elb(vec![
                action("ModifyLoadBalancerAttributes"),
                ("LoadBalancerArn", self.some("LoadBalancerArn")),
                ("Attributes.member.1.Key", "deletion_protection.enabled".to_owned()),
                ("Attributes.member.1.Value", one_of(&mut self.random, &["true", "false", "false"])),
            ]),
            17 => elb(vec![
                action("SetSubnets"),
                ("LoadBalancerArn", self.some("LoadBalancerArn")),
                ("Subnets.member.1", self.subnet()),
                ("Subnets.member.2", self.subnet()),
            ]),
            18 | 19 => elb(vec![
                action("AddTags"),
                ("ResourceArns.member.1", self.some(tagged)),
                ("Tags.member.1.Key", self.name()),
                ("Tags.member.1.Value", self.name()),
            ]),
            20 => {
                elb(vec![action("RemoveTags"), ("ResourceArns.member.1", self.some(tagged)), ("TagKeys.member.1", self.name())])
            }
            21 => elb(vec![action("DescribeTags"), ("ResourceArns.member.1", self.some(tagged))]),
            22 => elb(vec![action("DescribeLoadBalancers"), ("Names.member.1", self.name())]),
            23 => elb(vec![action("DescribeLoadBalancers"), ("PageSize", "5".to_owned())]),
            24 => elb(vec![action("DescribeTargetGroups"), ("Names.member.1", self.name())]),
            25 => elb(vec![action("DescribeTargetGroups"), ("LoadBalancerArn", self.some("LoadBalancerArn"))]),
            26 => elb(vec![action("DescribeTargetHealth"), ("TargetGroupArn", self.some("TargetGroupArn"))]),
            27 => elb(vec![action("DescribeListeners"), ("LoadBalancerArn", self.some("LoadBalancerArn"))]),
            28 => elb(vec![action("DescribeTargetGroupAttributes"), ("TargetGroupArn", self.some("TargetGroupArn"))]),
            29 => ec2(vec![
                action("CreateSecurityGroup"),
                ("GroupName", self.name()),
                ("GroupDescription", "d".to_owned()),
                ("VpcId", self.world.vpc_id.clone()),
            ]),
            30 => ec2(vec![action("DeleteSecurityGroup"), ("GroupId", self.some("groupId"))]),
            31 => ec2(vec![
                action(if self.random.bool() { "AuthorizeSecurityGroupIngress" } else { "RevokeSecurityGroupIngress" }),
                ("GroupId", self.some("groupId")),
                ("IpPermissions.1.IpProtocol", "tcp".to_owned()),
                ("IpPermissions.1.FromPort", "80".to_owned()),
                ("IpPermissions.1.ToPort", "80".to_owned()),
                ("IpPermissions.1.IpRanges.1.CidrIp", format!("10.{}.0.0/16", self.random.u8(..3))),
            ]),
            32 => ec2(vec![
                action("CreateTags"),
                ("ResourceId.1", self.some("groupId")),
                ("Tag.1.Key", "k".to_owned()),
                ("Tag.1.Value", self.name()),
            ]),
            33 => ec2(vec![
                action("DescribeSecurityGroups"),
                ("Filter.1.Name", "group-name".to_owned()),
                ("Filter.1.Value.1", self.name()),
            ]),
            34 if self.random.bool() => ec2(vec![action("AllocateAddress"), ("Domain", "vpc".to_owned())]),
            34 => ec2(vec![action("ReleaseAddress"), ("AllocationId", self.some("allocationId"))]),
            _ => ec2(vec![action("DescribeAddresses")]),
        }
    }
}
