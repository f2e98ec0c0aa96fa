use landfall_localstack::{DataPlane, Emulator, Options, World, WorldOptions};
use serde_json::json;

use super::*;
use crate::aws::test_server;
use crate::kubernetes::watch::listed;
use crate::nlb::build::fixtures::policy;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_missing_is_looked_for_again() {
    let options = Options { listen: ([127, 0, 0, 1], 0).into(), data_plane: DataPlane::Off, ..Options::default() };
    let emulator = Emulator::start(options).await.unwrap();
    let account = "123456789012";
    let world = World::three_zones(WorldOptions::default());
    let vpc: VpcId = emulator.region(account, test_server::REGION).seed(&world).vpc_id.as_str().into();
    let aws = test_server::client(&emulator.endpoint(), account);
    let cluster = Cluster { services: listed([]), endpoint_slices: Slices::new(listed([])), nodes: listed([]) };
    let gatherer = Gatherer::new(cluster, aws.clone(), vpc.clone(), Arc::new(policy()));
    let service: Service = serde_json::from_value(json!({
        "metadata": {"namespace": "shop", "name": "web",
            "annotations": {"service.beta.kubernetes.io/aws-load-balancer-security-groups": "their-own"}},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
    }))
    .unwrap();
    let (key, service) = (ServiceKey::of(&service).unwrap(), Arc::new(service));
    let found = async || gatherer.gather(&key, service.clone(), None).await.unwrap().network.security_groups.len();
    assert_eq!(found().await, 0);
    let tags = [("Name".to_owned(), "their-own".to_owned())].into();
    aws.create_security_group("their-own", "made meanwhile", &vpc, &tags).await.unwrap();
    assert_eq!(found().await, 1, "a name that nothing bore is asked for again");

    // Subnets are read anew after a rejection, but not after each of many.
    gatherer.doubt_facts();
    assert!(gatherer.zones().is_empty());
    found().await;
    gatherer.doubt_facts();
    assert!(!gatherer.zones().is_empty());
}
