//! From a command line and surroundings to settings, and the errors on the way.

use std::collections::BTreeMap;

use clap::{CommandFactory, Parser};

use super::*;
use crate::cli::{Cli, Command};

/// Surroundings with these variables and files.
fn resolve(arguments: &[&str], surroundings: &[(&str, &str)]) -> Result<ControllerSettings, String> {
    let all = ["landfall", "controller"].into_iter().chain(arguments.iter().copied());
    let flags = match Cli::try_parse_from(all).map_err(|error| error.to_string())?.command {
        Command::Controller(controller) => controller.flags,
        other => panic!("{other:?}"),
    };
    let known: BTreeMap<String, String> = surroundings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let environment = Environment {
        variable: &|name| known.get(name).cloned(),
        file: &|path| known.get(path.to_str().unwrap()).cloned(),
        unique: 0xab,
    };
    ControllerSettings::resolve(flags, &environment).map_err(|error| error.to_string())
}

const NAME: &str = "--cluster-name=demo";

#[test]
fn the_defaults_are_those_of_the_manual() {
    let settings = resolve(&[NAME], &[]).unwrap();
    let expected = json!({
        "admin-address": "0.0.0.0:8080",
        "aws-endpoint-url": null,
        "aws-region": null,
        "claim-classless": false,
        "cluster-name": "demo",
        "default-scheme": "internal",
        "default-tags": {},
        "default-target-type": "instance",
        "identity": "landfall-000000ab",
        "kubeconfig": null,
        "leader-elect": true,
        "leader-election-id": "landfall-controller",
        "leader-election-lease-duration": "15s",
        "leader-election-namespace": "kube-system",
        "leader-election-renew-deadline": "10s",
        "leader-election-retry-period": "2s",
        "load-balancer-class": ["landfall/nlb"],
        "log-format": "text",
        "log-level": "info",
        "node-port-range": "30000-32767",
        "publish-hostname": "active",
        "sweep-interval": "240s",
        "vpc-id": null,
        "watch-namespace": null,
    });
    assert_eq!(settings.describe(), expected);
}

#[test]
fn the_description_has_every_flag() {
    let described = resolve(&[NAME], &[]).unwrap().describe();
    let described: BTreeSet<&str> = described.as_object().unwrap().keys().map(String::as_str).collect();
    let command = Cli::command();
    let flags = command.find_subcommand("controller").unwrap().get_arguments().filter_map(|flag| flag.get_long());
    assert_eq!(described, flags.collect());
}

#[test]
fn flags_become_settings() {
    let arguments = [
        NAME,
        "--load-balancer-class=landfall/nlb",
        "--load-balancer-class=service.k8s.aws/nlb",
        "--claim-classless",
        "--default-target-type=ip",
        "--default-scheme=internet-facing",
        "--default-tags=team=web",
        "--node-port-range=31000-31999",
        "--admin-address=",
        "--sweep-interval=30s",
        "--publish-hostname=created",
        "--leader-elect=false",
        "--log-format=json",
        "--aws-endpoint-url=http://127.0.0.1:4566",
    ];
    let settings = resolve(&arguments, &[]).unwrap();
    let shared = &settings.shared;
    assert_eq!(shared.load_balancer_classes.iter().collect::<Vec<_>>(), ["landfall/nlb", "service.k8s.aws/nlb"]);
    assert!(shared.claim_classless);
    assert_eq!((settings.admin_address, settings.election.clone()), (None, None));
    assert_eq!((settings.sweep_interval, settings.publish_hostname), (Duration::from_secs(30), PublishHostname::Created));
    assert_eq!(shared.log_format, LogFormat::Json);
    let policy = Policy {
        cluster_name: "demo".into(),
        default_target_type: TargetType::Ip,
        default_scheme: Scheme::InternetFacing,
        default_tags: [("team".to_owned(), "web".to_owned())].into(),
        node_port_range: PortRange { first: 31000, last: 31999 },
    };
    assert_eq!(shared.policy(), policy);
}

#[test]
fn the_region_comes_from_the_flag_before_the_environment() {
    let region = |arguments: &[&str], environment: &[(&str, &str)]| resolve(arguments, environment).map(|s| s.shared.aws_region);
    let both = [("AWS_REGION", "eu-west-1"), ("AWS_DEFAULT_REGION", "eu-west-3")];
    assert_eq!(region(&[NAME, "--aws-region=us-west-2"], &both), Ok(Some("us-west-2".into())));
    assert_eq!(region(&[NAME], &both), Ok(Some("eu-west-1".into())));
    assert_eq!(region(&[NAME], &[("AWS_REGION", " "), both[1]]), Ok(Some("eu-west-3".into())));
    let error = region(&[NAME], &[("AWS_REGION", "Frankfurt")]).unwrap_err();
    assert_eq!(error, "--aws-region \"Frankfurt\": not a region; give one like us-west-2");
}

#[test]
fn a_pod_knows_its_name_and_namespace() {
    let pod = [("POD_NAME", "landfall-abc"), ("HOSTNAME", "node-1"), (POD_NAMESPACE_FILE, "landfall-system\n")];
    let settings = resolve(&[NAME], &pod).unwrap();
    let election = settings.election.unwrap();
    assert_eq!((election.identity.as_str(), election.namespace.as_str()), ("landfall-abc", "landfall-system"));
    let settings = resolve(&[NAME, "--identity=me", "--leader-election-namespace=other"], &pod).unwrap();
    let election = settings.election.unwrap();
    assert_eq!((election.identity.as_str(), election.namespace.as_str()), ("me", "other"));
    assert_eq!(resolve(&[NAME], &[("HOSTNAME", "laptop")]).unwrap().identity, "laptop-000000ab");
    assert_eq!(resolve(&[NAME], &[(HOST_NAME_FILE, "laptop\n")]).unwrap().identity, "laptop-000000ab");
}

#[test]
fn errors_name_flag_value_and_fix() {
    let table: [(&[&str], &[&str]); 6] = [
        (&[], &["--cluster-name <NAME>"]),
        (&["--cluster-name=a/b"], &["'a/b'", "--cluster-name <NAME>", "give 1 to 100 letters"]),
        (&[NAME, "--sweep-interval=5"], &["'5'", "--sweep-interval <DURATION>", "like 30s, 5m or 1h30m"]),
        (&[NAME, "--default-target-type=ipp"], &["'ipp'", "--default-target-type <TYPE>", "give instance or ip"]),
        (
            &[NAME, "--leader-election-renew-deadline=15s"],
            &["--leader-election-renew-deadline \"15s\"", "shorter than --leader-election-lease-duration (15s)"],
        ),
        (
            &[NAME, "--leader-election-retry-period=6s"],
            &["--leader-election-retry-period \"6s\"", "at most half of --leader-election-renew-deadline (10s)"],
        ),
    ];
    for (arguments, words) in table {
        let error = resolve(arguments, &[]).unwrap_err();
        for word in words {
            assert!(error.contains(word), "{word} is not in: {error}");
        }
    }
}
