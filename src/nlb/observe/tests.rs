use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use landfall_localstack::{DataPlane, Emulator, Options, World, WorldOptions};

use super::*;
use crate::aws::types::{IpAddressType, Scheme};
use crate::aws::{LoadBalancerSpec, test_server};
use crate::error::Class;
use crate::nlb::build::fixtures::policy;

fn error(class: Class, retry_after: Option<Duration>) -> AwsError {
    AwsError { retry_after, ..test_server::error("elasticloadbalancing:DescribeListeners", "SaidTheTest", class) }
}

#[tokio::test(start_paused = true)]
async fn a_read_that_the_throttle_holds_back_waits_for_its_turn_and_any_other_failure_is_an_answer() {
    let (start, turn) = (tokio::time::Instant::now(), Duration::from_secs(2));
    let calls = AtomicU32::new(0);
    let answer = patiently(async || match calls.fetch_add(1, Ordering::Relaxed) {
        0..3 => Err(error(Class::Throttled, Some(turn))),
        _ => Ok("listeners"),
    });
    assert_eq!(answer.await.unwrap(), "listeners");
    assert_eq!((calls.into_inner(), start.elapsed()), (4, turn * 3));
    for class in [Class::Throttled, Class::Transient, Class::Permission] {
        let calls = AtomicU32::new(0);
        let answer = patiently(async || {
            calls.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(error(class, None))
        });
        assert_eq!(answer.await.unwrap_err().class, class);
        assert_eq!(calls.into_inner(), 1);
    }
}

/// An AWS with one load balancer of this name that bears the tags of `shop/web`. Returns an observer in its VPC, too.
async fn with_load_balancer(name: &str) -> (Emulator, Aws, Observer) {
    let options = Options { listen: ([127, 0, 0, 1], 0).into(), data_plane: DataPlane::Off, ..Options::default() };
    let emulator = Emulator::start(options).await.unwrap();
    let (account, cluster) = ("123456789012", policy().cluster_name);
    let world = World::three_zones(WorldOptions { cluster_name: cluster.clone(), ..WorldOptions::default() });
    let seeded = emulator.region(account, test_server::REGION).seed(&world);
    let aws = test_server::client(&emulator.endpoint(), account);
    let subnet = seeded.subnets.iter().find(|(name, _)| name.starts_with("internal-")).unwrap().1;
    let spec = LoadBalancerSpec {
        name,
        scheme: &Scheme::Internal,
        ip_address_type: &IpAddressType::Ipv4,
        subnets: &[subnet.as_str().into()].into(),
        security_groups: &BTreeSet::new(),
        tags: &own_tags(&cluster),
    };
    aws.create_load_balancer(spec).await.unwrap();
    let observer = Observer::new(aws.clone(), seeded.vpc_id.as_str().into(), cluster);
    (emulator, aws, observer)
}

fn own_tags(cluster: &str) -> BTreeMap<String, String> {
    [(tags::CLUSTER, cluster), (tags::SERVICE, "shop/web")].map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

fn web() -> ServiceKey {
    ServiceKey { namespace: "shop".to_owned(), name: "web".to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_another_vpc_is_another_clusters_whatever_its_tags_say() {
    let cluster = policy().cluster_name;
    let name = format!("{}web", names::cluster_prefix(&cluster));
    let (_emulator, aws, here) = with_load_balancer(&name).await;
    let elsewhere = Observer::new(aws, "vpc-elsewhere".into(), cluster.clone());
    for (observer, owned) in [(&here, 1), (&elsewhere, 0)] {
        let observed = observer.observe(&web(), None, None).await.unwrap();
        assert_eq!((observed.load_balancers.len(), observer.inventory().owners().len()), (owned, owned));
    }
    // Whoever wants just that name is told that it is taken.
    let observed = elsewhere.observe(&web(), Some(&name), None).await.unwrap();
    assert_eq!(tags::owner(&observed.load_balancers[&name].tags, &cluster), None);
    assert!(!elsewhere.inventory().owns_something(&web()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_create_answers_with_is_adopted_only_with_the_tags_it_was_asked_for() {
    let (emulator, aws, observer) = with_load_balancer("chosen").await;
    let found = aws.load_balancers().await.unwrap().remove(0);
    let own = own_tags(&policy().cluster_name);
    observer.recognize(&found, &own).await.unwrap();
    let mut theirs = own;
    theirs.insert(tags::SERVICE.to_owned(), "shop/other".to_owned());
    let error = observer.recognize(&found, &theirs).await.unwrap_err();
    assert_eq!((error.code.as_str(), error.class), ("DuplicateLoadBalancerName", Class::Stale));
    // A name of our own making costs no call.
    let mark = emulator.journal().next_sequence();
    let made = LoadBalancer { name: format!("{}web", names::cluster_prefix(&policy().cluster_name)), ..found };
    observer.recognize(&made, &theirs).await.unwrap();
    assert_eq!(emulator.journal().next_sequence(), mark);
}
