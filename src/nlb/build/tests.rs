//! `build` as a whole: typical Services as snapshots, and what holds for any input.

use std::sync::{Arc, LazyLock};

use k8s_openapi::api::discovery::v1::EndpointSlice;
use proptest::prelude::*;

use super::annotations::{PREFIX, TABLE};
use super::fixtures::{build_service, inputs, rejected, slice, yaml};
use super::*;

/// The sample of the Kubernetes documentation: no class, no annotation.
const TUTORIAL: &str = "
metadata: {name: my-service}
spec:
  clusterIP: 10.0.171.239
  selector: {app.kubernetes.io/name: MyApp}
  ports: [{protocol: TCP, port: 80, targetPort: 9376, nodePort: 31234}]";

/// What the ingress-nginx project's manifest for AWS has, as the API server completes it.
const INGRESS_NGINX: &str = "
metadata:
  namespace: ingress-nginx
  name: ingress-nginx-controller
  annotations:
    service.beta.kubernetes.io/aws-load-balancer-backend-protocol: tcp
    service.beta.kubernetes.io/aws-load-balancer-cross-zone-load-balancing-enabled: 'true'
    service.beta.kubernetes.io/aws-load-balancer-type: nlb
spec:
  externalTrafficPolicy: Local
  healthCheckNodePort: 32100
  ipFamilies: [IPv4]
  ports:
  - {appProtocol: http, name: http, port: 80, protocol: TCP, targetPort: http, nodePort: 31080}
  - {appProtocol: https, name: https, port: 443, protocol: TCP, targetPort: https, nodePort: 31443}";

const IP_TARGETS: &str = "
metadata:
  annotations:
    service.beta.kubernetes.io/aws-load-balancer-nlb-target-type: ip
    service.beta.kubernetes.io/aws-load-balancer-healthcheck-protocol: http
    service.beta.kubernetes.io/aws-load-balancer-healthcheck-port: '8081'
    service.beta.kubernetes.io/aws-load-balancer-healthcheck-path: /ready
    service.beta.kubernetes.io/aws-load-balancer-healthcheck-interval: '5'
    service.beta.kubernetes.io/aws-load-balancer-target-group-attributes: deregistration_delay.timeout_seconds=30
    service.beta.kubernetes.io/aws-load-balancer-additional-resource-tags: Cost Center=42
spec: {ports: [{name: web, port: 80, targetPort: http}]}";

#[test]
fn the_tutorials_service() {
    insta::assert_json_snapshot!(build_service(TUTORIAL).unwrap());
}

#[test]
fn ingress_nginx() {
    insta::assert_json_snapshot!(build_service(INGRESS_NGINX).unwrap());
}

#[test]
fn ip_targets_with_health_check() {
    insta::assert_json_snapshot!(build_service(IP_TARGETS).unwrap());
}

#[test]
fn default_tags_are_on_everything_and_win() {
    let mut inputs = inputs(IP_TARGETS);
    let mut policy = (*inputs.policy).clone();
    policy.default_tags = fixtures::tags(&[("Cost Center", "1"), ("team", "x")]);
    inputs.policy = Arc::new(policy);
    let desired = build(&inputs).unwrap();
    let all = [&desired.load_balancer.unwrap().tags, &desired.security_group.unwrap().tags]
        .into_iter()
        .chain(desired.listeners.values().map(|listener| &listener.tags))
        .chain(desired.target_groups.values().map(|group| &group.tags))
        .cloned()
        .collect::<Vec<_>>();
    assert_eq!(all.len(), 4);
    for tags in all {
        assert_eq!(tags["Cost Center"], "1");
        assert_eq!(tags["team"], "x");
        assert_eq!(tags::recorded_keys(&tags[tags::TAG_KEYS]), ["Cost Center", "team"].map(str::to_owned).into());
        assert_eq!(tags::owner(&tags, "demo").unwrap().to_string(), "default/web");
    }
}

#[test]
fn tags_beyond_the_limit_are_refused() {
    let tags = |count: usize| {
        let pairs = (0..count).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
        format!("service.beta.kubernetes.io/aws-load-balancer-additional-resource-tags: '{pairs}'")
    };
    fixtures::built(&tags(45));
    assert_eq!(fixtures::problems(&tags(46)), ["TooManyTags"]);
    assert_eq!(
        fixtures::problems("service.beta.kubernetes.io/aws-load-balancer-additional-resource-tags: aws:x=1"),
        ["InvalidTag"]
    );
}

#[test]
fn fields_without_effect_are_told_of() {
    let yaml = "spec: {loadBalancerIP: 192.0.2.1, sessionAffinity: ClientIP, ports: [{port: 80, nodePort: 30080}]}";
    let notices = build_service(yaml).unwrap().notices;
    let fields: Vec<&str> = notices.iter().map(|notice| notice.field.as_str()).collect();
    assert_eq!(fields, ["spec.loadBalancerIP", "spec.sessionAffinity"]);
    assert!(notices.iter().all(|notice| notice.code == "FieldIgnored"));
}

#[test]
fn without_a_vpc_nothing_can_be_built() {
    let mut inputs = inputs(TUTORIAL);
    inputs.network = Arc::default();
    assert_eq!(build(&inputs).unwrap_err().problems[0].code, "UnknownVpc");
}

#[test]
fn lookups_are_what_annotations_name() {
    let service =
        inputs("metadata: {annotations: {service.beta.kubernetes.io/aws-load-balancer-security-groups: 'sg-1, Web , sg-1'}}")
            .service;
    assert_eq!(lookups(&service, &inputs(TUTORIAL).policy).security_groups, ["Web", "sg-1"].map(str::to_owned).into());
    assert_eq!(lookups(&inputs(TUTORIAL).service, &inputs(TUTORIAL).policy), Lookups::default());
}

#[test]
fn problems_of_all_parts_are_found_in_one_pass() {
    let annotations = [
        ("scheme", "public"),
        ("name", "-"),
        ("attributes", "x=y"),
        ("healthcheck-port", "nope"),
        ("subnets", "nope"),
        ("security-groups", "nope"),
        ("additional-resource-tags", "aws:a=b"),
    ];
    let lines = annotations.map(|(name, value)| format!("{PREFIX}aws-load-balancer-{name}: '{value}'")).join("\n    ");
    let mut fields: Vec<String> = rejected(&lines).problems.iter().map(|problem| problem.field.replace(PREFIX, "")).collect();
    fields.sort_unstable();
    let mut expected = annotations.map(|(name, _)| format!("aws-load-balancer-{name}"));
    expected.sort_unstable();
    assert_eq!(fields, expected);
}

#[test]
fn huge_annotations_give_short_messages() {
    let huge = "x=y,".repeat(60_000);
    for key in ["attributes", "name", "scheme", "healthcheck-port", "additional-resource-tags", "subnets", "security-groups"] {
        let mut inputs = ONE_PORT.clone();
        let annotations = [(format!("{PREFIX}aws-load-balancer-{key}"), format!("{huge}{}", "z".repeat(20_000)))];
        Arc::make_mut(&mut inputs.service).metadata.annotations = Some(annotations.into());
        let rejection = build(&inputs).unwrap_err();
        assert!(rejection.problems.len() <= 50 && rejection.to_string().len() < 50 * 500, "{key}");
    }
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-z=,0-9\\\\./-]{0,12}",
        prop::sample::select(vec!["true", "ip", "instance", "nlb", "internal", "http", "*", "80", "web", "traffic-port"])
            .prop_map(str::to_owned),
        any::<i64>().prop_map(|number| number.to_string()),
    ]
}

/// Inputs that the properties vary; parsed once, for that takes longer than all that is tested.
static ONE_PORT: LazyLock<Inputs> = LazyLock::new(|| inputs("spec: {ports: [{name: web, port: 80, nodePort: 30080}]}"));
static CROWDED: LazyLock<[Inputs; 2]> = LazyLock::new(|| [INGRESS_NGINX, IP_TARGETS].map(crowded));

/// Inputs with several of everything: nodes of one instance, odd nodes, two slices, six subnets in one zone.
fn crowded(service: &str) -> Inputs {
    let mut inputs = inputs(service);
    let mut second: EndpointSlice = slice();
    second.endpoints = yaml("[{addresses: [10.20.2.12]}, {addresses: [10.20.9.9], zone: us-west-2x}]");
    inputs.endpoint_slices.push(Arc::new(second));
    for n in 0..12 {
        let instance = if n % 3 == 0 { "odd" } else { "i-0e" };
        inputs.nodes.push(Arc::new(fixtures::node(&format!("extra-{n}"), 'e', instance)));
    }
    let both_roles = [("kubernetes.io/role/elb", ""), ("kubernetes.io/role/internal-elb", "")];
    let spare = (0..6).map(|n| fixtures::subnet(&format!("subnet-spare-{n}"), 'd', &both_roles));
    Arc::make_mut(&mut inputs.network).subnets.extend(spare);
    inputs
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn any_annotation_is_accepted_or_refused_with_a_known_code(
        pairs in prop::collection::vec((prop::sample::select(TABLE.to_vec()), "[a-z.]{0,3}", value()), 0..6),
        port in prop_oneof![Just(80), any::<i32>()],
    ) {
        let mut inputs = ONE_PORT.clone();
        let service = Arc::make_mut(&mut inputs.service);
        let annotations = pairs.into_iter().map(|(annotation, suffix, value)| {
            (format!("{PREFIX}{}{suffix}", annotation.key), value)
        });
        service.metadata.annotations = Some(annotations.collect());
        if let Some(ports) = service.spec.as_mut().and_then(|spec| spec.ports.as_mut()) {
            ports[0].port = port;
        }
        match build(&inputs) {
            Ok(desired) => {
                prop_assert!(desired.load_balancer.is_some_and(|load_balancer| !load_balancer.security_groups.is_empty()));
            }
            Err(rejection) => {
                prop_assert!(!rejection.problems.is_empty());
                for problem in rejection.problems {
                    prop_assert!(CODES.iter().any(|(code, _)| *code == problem.code));
                    prop_assert!(!problem.field.is_empty() && !problem.message.is_empty() && !problem.fix.is_empty());
                }
            }
        }
    }

    #[test]
    fn order_of_what_is_read_does_not_matter(seed in any::<u64>()) {
        for ordered in CROWDED.iter() {
            let mut shuffled = ordered.clone();
            shuffle(&mut shuffled.nodes, seed);
            shuffle(&mut shuffled.endpoint_slices, seed);
            shuffle(&mut Arc::make_mut(&mut shuffled.network).subnets, seed);
            prop_assert_eq!(build(ordered), build(&shuffled));
        }
    }
}

/// A permutation that depends on the seed.
fn shuffle<T>(items: &mut [T], mut seed: u64) {
    for at in (1..items.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let other = usize::try_from(seed >> 33).unwrap_or_default() % (at + 1);
        items.swap(at, other);
    }
}
