//! Calls per second of one core, beside moto: the same calls, over as many connections, to accounts that hold the same.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::client::{Client, ELB, first};
use super::median;
use super::report::{Goal, Report};
use super::server::Server;

const CONNECTIONS: usize = 4;
const ROUNDS: usize = 3;
const TIME: Duration = Duration::from_millis(1500);

const LOAD_BALANCERS: usize = 10;
const TARGET_GROUPS: usize = 50;
const TARGETS_OF_EACH: usize = 10;

/// What is called; the mix is all of them in turn.
#[derive(Clone, Copy)]
enum Work {
    DescribeLoadBalancers,
    DescribeTargetGroups,
    DescribeTargetHealth,
    DescribeTags,
    RegisterTargets,
    CreateAndDeleteTargetGroup,
}

impl Work {
    const ALL: [Self; 6] = [
        Self::DescribeLoadBalancers,
        Self::DescribeTargetGroups,
        Self::DescribeTargetHealth,
        Self::DescribeTags,
        Self::RegisterTargets,
        Self::CreateAndDeleteTargetGroup,
    ];

    fn name(self) -> String {
        match self {
            Self::DescribeLoadBalancers => format!("`DescribeLoadBalancers`, all {LOAD_BALANCERS}"),
            Self::DescribeTargetGroups => format!("`DescribeTargetGroups`, all {TARGET_GROUPS}"),
            Self::DescribeTargetHealth => format!("`DescribeTargetHealth`, {TARGETS_OF_EACH} targets"),
            Self::DescribeTags => "`DescribeTags` of 1".to_owned(),
            Self::RegisterTargets => format!("`RegisterTargets`, {TARGETS_OF_EACH} of them"),
            Self::CreateAndDeleteTargetGroup => "`CreateTargetGroup`, `DeleteTargetGroup`".to_owned(),
        }
    }
}

pub async fn measure(report: &mut Report, binary: &Path, moto: &str) {
    report.table(&["calls per second of one core", "landfall-localstack", "moto", "ratio", "at least"]);
    let servers = [Server::emulator(binary, &[]), Server::moto(moto)];
    let accounts = [Arc::new(Account::fill(&servers[0]).await), Arc::new(Account::fill(&servers[1]).await)];
    for work in Work::ALL.map(Some).into_iter().chain([None]) {
        let works = work.map_or(Work::ALL.to_vec(), |work| vec![work]);
        let mut rates = [Vec::new(), Vec::new()];
        for round in 0..ROUNDS {
            let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
            for server in order {
                rates[server].push(accounts[server].rate(&servers[server], &works).await);
            }
        }
        let [ours, other] = rates.map(median);
        match work {
            Some(work) => report.comparison(&work.name(), ours, other, None),
            None => report.comparison("all of these in turn", ours, other, Some(Goal::AtLeast(20.0))),
        }
    }
}

/// What is in a server, for the calls to be about.
struct Account {
    client: Client,
    vpc: String,
    balancer: String,
    group: String,
}

impl Account {
    async fn fill(server: &Server) -> Self {
        let client = Client::new(server.endpoint());
        let vpc = first(&client.call("ec2", "CreateVpc", &[("CidrBlock", "10.20.0.0/16")]).await, "vpcId");
        let subnet = [("VpcId", vpc.as_str()), ("CidrBlock", "10.20.1.0/24"), ("AvailabilityZone", "us-east-1a")];
        let subnet = first(&client.call("ec2", "CreateSubnet", &subnet).await, "subnetId");
        let mut account = Self { client, vpc, balancer: String::new(), group: String::new() };
        for number in 0..LOAD_BALANCERS {
            let name = format!("balancer-{number}");
            let create = [
                ("Name", name.as_str()),
                ("Type", "network"),
                ("Scheme", "internal"),
                ("Subnets.member.1", &subnet),
                ("Tags.member.1.Key", "owner"),
                ("Tags.member.1.Value", "bench"),
            ];
            account.balancer = first(&account.client.call(ELB, "CreateLoadBalancer", &create).await, "LoadBalancerArn");
        }
        for number in 0..TARGET_GROUPS {
            account.group = account.create_group(&format!("group-{number}")).await;
            account.register().await;
        }
        account
    }

    async fn create_group(&self, name: &str) -> String {
        let create = [("Name", name), ("Protocol", "TCP"), ("Port", "8080"), ("VpcId", &self.vpc), ("TargetType", "ip")];
        first(&self.client.call(ELB, "CreateTargetGroup", &create).await, "TargetGroupArn")
    }

    async fn register(&self) {
        let targets: Vec<(String, String)> = (0..TARGETS_OF_EACH)
            .map(|target| (format!("Targets.member.{}.Id", target + 1), format!("10.20.1.{}", 100 + target)))
            .collect();
        let mut fields = vec![("TargetGroupArn", self.group.as_str())];
        fields.extend(targets.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        self.client.call(ELB, "RegisterTargets", &fields).await;
    }

    /// Does the work over and over on all connections for a while; how many calls that is for each second of processor time.
    async fn rate(self: &Arc<Self>, server: &Server, works: &[Work]) -> f64 {
        let before = server.processor_time();
        let until = Instant::now() + TIME;
        let mut workers = JoinSet::new();
        for worker in 0..CONNECTIONS {
            let (account, works) = (Arc::clone(self), works.to_vec());
            workers.spawn(async move {
                let (mut calls, mut turns) = (0, works.iter().cycle());
                while Instant::now() < until {
                    calls += account.work(*turns.next().expect("work"), worker).await;
                }
                calls
            });
        }
        let calls: u32 = workers.join_all().await.iter().sum();
        f64::from(calls) / (server.processor_time() - before)
    }

    /// Makes the calls of some work; how many these are.
    async fn work(&self, work: Work, worker: usize) -> u32 {
        match work {
            Work::DescribeLoadBalancers => drop(self.client.call(ELB, "DescribeLoadBalancers", &[]).await),
            Work::DescribeTargetGroups => drop(self.client.call(ELB, "DescribeTargetGroups", &[]).await),
            Work::DescribeTargetHealth => {
                drop(self.client.call(ELB, "DescribeTargetHealth", &[("TargetGroupArn", &self.group)]).await);
            }
            Work::DescribeTags => {
                drop(self.client.call(ELB, "DescribeTags", &[("ResourceArns.member.1", &self.balancer)]).await);
            }
            Work::RegisterTargets => self.register().await,
            Work::CreateAndDeleteTargetGroup => {
                let arn = self.create_group(&format!("passing-{worker}")).await;
                self.client.call(ELB, "DeleteTargetGroup", &[("TargetGroupArn", &arn)]).await;
                return 2;
            }
        }
        1
    }
}
