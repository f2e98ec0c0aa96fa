//! What holds for all of ELBv2: tags (TAG-*), unknown and missing parameters, limits.

use crate::testing::{Kit, all, first};

fn tags(count: usize) -> Vec<(String, String)> {
    (0..count)
        .flat_map(|at| {
            let at = at + 1;
            [(format!("Tags.member.{at}.Key"), format!("key-{at}")), (format!("Tags.member.{at}.Value"), "v".to_owned())]
        })
        .collect()
}

fn borrow(pairs: &[(String, String)]) -> Vec<(&str, &str)> {
    pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

#[test]
fn tags_are_written_one_resource_at_a_time_and_read_for_twenty() {
    let kit = Kit::instant();
    let (balancer, group) = (kit.load_balancer("web", &[]), kit.target_group("web", &[]));
    let listener = kit.listener(&balancer, "80", &group);
    for arn in [&balancer, &group, &listener] {
        let add = [("ResourceArns.member.1", arn.as_str()), ("Tags.member.1.Key", "a"), ("Tags.member.1.Value", "1")];
        kit.elb("AddTags", &add).unwrap();
    }
    let both =
        [("ResourceArns.member.1", balancer.as_str()), ("ResourceArns.member.2", group.as_str()), ("Tags.member.1.Key", "a")];
    let refused = kit.elb("AddTags", &both).unwrap_err();
    assert_eq!(
        (refused.code.as_str(), refused.message.as_str()),
        ("ValidationError", "Only one resource can be tagged at a time")
    );

    let read = [("ResourceArns.member.1", group.as_str()), ("ResourceArns.member.2", listener.as_str())];
    let xml = kit.elb("DescribeTags", &read).unwrap();
    assert_eq!(
        (all(&xml, "ResourceArn"), all(&xml, "Value")),
        (vec![group.clone(), listener], vec!["1".to_owned(), "1".to_owned()])
    );
    let names: Vec<String> = (1..=21).map(|at| format!("ResourceArns.member.{at}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), group.as_str())).collect();
    assert_eq!(kit.elb_error("DescribeTags", &many), "ValidationError");

    let gone = balancer.replace("web", "gone");
    assert_eq!(kit.elb_error("DescribeTags", &[("ResourceArns.member.1", &gone)]), "LoadBalancerNotFound");
    assert_eq!(kit.elb_error("DescribeTags", &[("ResourceArns.member.1", "nonsense")]), "ValidationError");
    kit.elb("RemoveTags", &[("ResourceArns.member.1", &balancer), ("TagKeys.member.1", "a"), ("TagKeys.member.2", "absent")])
        .unwrap();
    assert!(kit.region.load_balancers()[0].tags.is_empty());
}

#[test]
fn fifty_tags_no_duplicates_no_reserved_keys() {
    let kit = Kit::instant();
    let subnet = kit.subnet("public-a");
    let create = |more: &[(String, String)]| {
        let mut parameters = vec![("Name", "web"), ("Type", "network"), ("Subnets.member.1", subnet)];
        parameters.extend(borrow(more));
        kit.elb("CreateLoadBalancer", &parameters).map_err(|error| error.code)
    };
    let pair = |at: usize, key: &str| (format!("Tags.member.{at}.Key"), key.to_owned());
    assert_eq!(create(&tags(51)).unwrap_err(), "TooManyTags");
    assert_eq!(create(&[pair(1, "a"), pair(2, "a")]).unwrap_err(), "DuplicateTagKeys");
    assert_eq!(create(&[pair(1, "aws:a")]).unwrap_err(), "ValidationError");
    assert_eq!(create(&[pair(1, "a<b")]).unwrap_err(), "ValidationError");
    let arn = first(&create(&tags(50)).unwrap(), "LoadBalancerArn");
    let add = |key: &str| {
        let parameters = [("ResourceArns.member.1", arn.as_str()), ("Tags.member.1.Key", key), ("Tags.member.1.Value", "new")];
        kit.elb("AddTags", &parameters).map_err(|error| error.code)
    };
    assert_eq!(add("one-more").unwrap_err(), "TooManyTags");
    add("key-7").expect("another value for a present key");
    assert_eq!(kit.region.load_balancers()[0].tags["key-7"], "new");
}

#[test]
fn nothing_is_silently_ignored() {
    let kit = Kit::instant();
    assert_eq!(kit.elb_error("CreateEverything", &[]), "InvalidAction");
    let unknown = kit.elb("DescribeLoadBalancers", &[("Namez.member.1", "x")]).unwrap_err();
    assert!(unknown.code == "ValidationError" && unknown.message.contains("Namez.member.1"), "{unknown}");
    let missing = kit.elb("DeleteListener", &[]).unwrap_err();
    assert!(missing.code == "ValidationError" && missing.message.contains("ListenerArn"), "{missing}");
    let ill_typed = kit.elb("DescribeLoadBalancers", &[("PageSize", "many")]).unwrap_err();
    assert!(ill_typed.code == "ValidationError" && ill_typed.message.contains("PageSize"), "{ill_typed}");
}

#[test]
fn limits_are_told() {
    let kit = Kit::instant();
    let xml = kit.elb("DescribeAccountLimits", &[("PageSize", "400")]).unwrap();
    let limits: Vec<(String, String)> = all(&xml, "Name").into_iter().zip(all(&xml, "Max")).collect();
    assert!(limits.contains(&("network-load-balancers".to_owned(), "50".to_owned())), "{limits:?}");
}
