//! `landfall plan` tells what the controller would do, and does nothing.

use std::path::PathBuf;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::support::aws::controller_writes;
use crate::support::controller::{Controller, command};
use crate::support::world::{HTTP, World};

pub fn trials() -> Vec<Trial> {
    crate::trials!("plan_command":
        a_service_that_is_not_there_yet,
        a_change_that_the_controller_has_not_seen,
        what_all_services_share,
        bad_input_and_unknown_services,
    )
}

/// Runs `landfall plan`; exit code, standard output, standard error.
async fn plan(world: &World, arguments: &[&str]) -> (i32, String, String) {
    let output = command(world)
        .args(["plan", "--load-balancer-class", &world.class])
        .args(arguments)
        .output()
        .await
        .expect("landfall runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("an exit code"), text(output.stdout), text(output.stderr))
}

/// Names of the actions of the only Service's plan in `-o json`, and of the plan for what all Services share.
fn planned(text: &str) -> [Vec<String>; 2] {
    let json: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let plans = json["plans"].as_array().unwrap_or_else(|| panic!("no plans in {text}"));
    assert_eq!((plans.len(), &plans[1]["subject"]), (2, &Value::from("shared")), "{text}");
    let actions = [0, 1].map(|number| steps(&plans[number], text));
    assert_eq!(json["changes"], Value::from(actions.iter().map(Vec::len).sum::<usize>()), "{text}");
    actions
}

fn steps(plan: &Value, text: &str) -> Vec<String> {
    let steps = plan["steps"].as_array().unwrap();
    assert!(steps.iter().all(|step| !step["reason"].as_str().unwrap().is_empty()), "each step has a reason: {text}");
    steps.iter().map(|step| step["action"].as_str().unwrap_or_else(|| panic!("no action in {step}")).to_owned()).collect()
}

fn manifest(world: &World, name: &str, annotations: &str) -> PathBuf {
    let path = world.workdir.join(format!("{name}.yaml"));
    let text = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: beside}}\n---\napiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\n  \
         namespace: {}\n  annotations: {{{annotations}}}\nspec:\n  type: LoadBalancer\n  loadBalancerClass: {}\n  ports: [{{port: 80, \
         targetPort: 8080}}]\n  selector: {{app: web}}\n",
        world.namespace, world.class
    );
    std::fs::write(&path, text).unwrap();
    path
}

async fn a_service_that_is_not_there_yet(world: World) {
    let file = manifest(&world, "web", "");
    let file = file.to_str().unwrap();
    let (code, text, errors) = plan(&world, &["-f", file]).await;
    assert_eq!(code, 2, "{text}{errors}");
    let backend = format!("+ create security-group/{}", backend_group(&world));
    for line in [
        "+ create security-group/",
        "+ create target-group/",
        "… waits for the cluster's backend security group",
        "shared by all Services",
        &backend,
        "… opens the nodes for that group when it is there",
    ] {
        assert!(text.contains(line), "{line:?} is missing in:\n{text}");
    }
    let (code, json, errors) = plan(&world, &["-f", file, "-o", "json"]).await;
    assert_eq!(code, 2, "{json}{errors}");
    let [service, shared] = planned(&json);
    assert!(service.contains(&"CreateTargetGroup".to_owned()), "{json}");
    assert_eq!(shared, ["CreateSecurityGroup"], "{json}");

    // Where another Service is served already, all is there that a plan needs.
    let controller = Controller::start(&world, "a", &[]);
    world.create_service("first", HTTP).await;
    world.host_name("first").await;
    let mark = world.mark();
    let (code, text, errors) = plan(&world, &["-f", file]).await;
    assert_eq!(code, 2, "{text}{errors}");
    for line in ["+ create load-balancer/", "+ create listener TCP/80", "+ register"] {
        assert!(text.contains(line), "{line:?} is missing in:\n{text}");
    }
    let (_, pods, _) = plan(
        &world,
        &["-f", manifest(&world, "pods", "service.beta.kubernetes.io/aws-load-balancer-nlb-target-type: ip").to_str().unwrap()],
    )
    .await;
    assert!(pods.contains("TCP to ip targets, port 8080"), "{pods}");
    assert_eq!(controller_writes(&world.calls_since(mark)), Vec::<String>::new(), "a plan writes nothing");
    assert!(world.services().get_opt("web").await.unwrap().is_none());
    controller.stop().await;
}

async fn a_change_that_the_controller_has_not_seen(world: World) {
    let controller = Controller::start(&world, "a", &[]);
    world.create_service("web", HTTP).await;
    world.host_name("web").await;
    world.quiet(0, std::time::Duration::from_secs(1)).await;
    controller.stop().await;

    let mark = world.mark();
    let target = format!("svc/{}/web", world.namespace);
    let (code, text, errors) = plan(&world, &[&target]).await;
    assert_eq!((code, text.contains("nothing to do")), (0, true), "{text}{errors}");
    let (code, json, _) = plan(&world, &[&target, "-o", "json"]).await;
    assert_eq!((code, planned(&json)), (0, [Vec::new(), Vec::new()]));

    world.annotate("web", "healthcheck-path", Some("/ready")).await;
    world.annotate("web", "healthcheck-protocol", Some("http")).await;
    let (code, text, errors) = plan(&world, &[&target]).await;
    assert_eq!(code, 2, "{text}{errors}");
    let group = world.target_group().name;
    let steps: Vec<&str> = text.lines().filter(|line| line.starts_with("  ")).collect();
    assert_eq!(steps.len(), 1, "exactly that change:\n{text}");
    assert!(text.ends_with("shared by all Services\nPlan: nothing to do.\n"), "{text}");
    assert!(steps[0].starts_with(&format!("  ~ modify target-group/{group}")), "{text}");
    let (code, json, _) = plan(&world, &[&target, "-o", "json"]).await;
    assert_eq!((code, planned(&json)), (2, [vec!["ModifyHealthCheck".to_owned()], Vec::new()]));

    // All of ours, and one that is about to go.
    world.delete_service("web").await;
    let (code, text, _) = plan(&world, &[]).await;
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("- delete load-balancer/") && text.contains("- delete target-group/"), "{text}");
    assert_eq!(controller_writes(&world.calls_since(mark)), Vec::<String>::new(), "plans write nothing");
    let controller = Controller::start(&world, "b", &[]);
    world.gone("web").await;
    controller.stop().await;
}

async fn what_all_services_share(world: World) {
    let controller = Controller::start(&world, "a", &[]);
    world.create_service("web", HTTP).await;
    world.host_name("web").await;
    world.quiet(0, std::time::Duration::from_secs(1)).await;
    controller.stop().await;

    // Only these differ: somebody took the rule away that lets the load balancer reach the nodes.
    let nodes = world.node_group();
    let ours = nodes.rules.iter().find(|rule| world.load_balancer().security_groups.contains(&rule.peer)).expect("our rule");
    world.ec2("RevokeSecurityGroupIngress", &[("GroupId", &nodes.id), ("SecurityGroupRuleId.1", &ours.id)]);
    let mark = world.mark();
    let target = format!("svc/{}/web", world.namespace);
    for arguments in [vec![], vec![target.as_str()]] {
        let (code, text, errors) = plan(&world, &arguments).await;
        assert_eq!(code, 2, "{text}{errors}");
        let (service, shared) = text.split_once("shared by all Services\n").expect("their part");
        assert!(service.ends_with("Plan: nothing to do.\n"), "{text}");
        assert!(shared.starts_with("  + authorize security-group/nodes: tcp/30000-32767 from "), "{text}");
        assert!(shared.ends_with("Plan: 1 to add, 0 to change, 0 to remove.\n"), "{text}");
    }
    let (code, json, _) = plan(&world, &["-o", "json"]).await;
    assert_eq!((code, planned(&json)), (2, [Vec::new(), vec!["AuthorizeIngress".to_owned()]]));

    let controller = Controller::start(&world, "b", &[]);
    world.shows("the rule", nodes.rules.len(), |world| world.node_group().rules.len()).await;
    controller.stop().await;
    let (code, text, errors) = plan(&world, &[]).await;
    assert_eq!(code, 0, "{text}{errors}");

    // Without Services they go, once no load balancer needs them any more.
    world.delete_service("web").await;
    let (code, text, _) = plan(&world, &[]).await;
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("  - delete load-balancer/"), "{text}");
    assert!(text.ends_with("shared by all Services\nPlan: nothing to do.\n"), "{text}");
    assert_eq!(controller_writes(&world.calls_since(mark)), ["AuthorizeSecurityGroupIngress"], "only the controller writes");
    let controller = Controller::start(&world, "c", &[]);
    world.gone("web").await;
    controller.stop().await;
    let left = world.ec2_group(&backend_group(&world));
    world.ec2_tag(&left, "elbv2.k8s.aws/cluster", Some(&world.cluster_name));
    world.ec2_tag(&left, "landfall/resource", Some("backend"));
    let (code, text, _) = plan(&world, &[]).await;
    assert_eq!(code, 2, "{text}");
    assert!(text.contains(&format!("  - delete security-group/{}  (no Service needs it)", backend_group(&world))), "{text}");
}

/// Name of the group that all load balancers of this world's cluster are in.
fn backend_group(world: &World) -> String {
    landfall::nlb::build::names::backend_group(&world.cluster_name)
}

async fn bad_input_and_unknown_services(world: World) {
    let file = manifest(&world, "bad", "service.beta.kubernetes.io/aws-load-balancer-sheme: internal");
    let file = file.to_str().unwrap();
    let (code, text, _) = plan(&world, &["-f", file]).await;
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("UnknownAnnotation") && text.contains("aws-load-balancer-scheme"), "{text}");
    let (code, json, _) = plan(&world, &["-f", file, "-o", "json"]).await;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, json["rejected"][0]["problems"][0]["code"].as_str()), (1, Some("UnknownAnnotation")), "{json}");

    let (code, text, errors) = plan(&world, &[&format!("svc/{}/nobody", world.namespace)]).await;
    assert_eq!((code, text.as_str()), (1, ""));
    assert!(errors.contains(&format!("no Service {}/nobody", world.namespace)), "{errors}");
    let (code, _, errors) = plan(&world, &["-f", "/nonexistent.yaml"]).await;
    assert!(code == 1 && errors.contains("/nonexistent.yaml"), "{code}: {errors}");
    let empty = world.workdir.join("empty.yaml");
    std::fs::write(&empty, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n").unwrap();
    let (code, _, errors) = plan(&world, &["-f", empty.to_str().unwrap()]).await;
    assert!(code == 1 && errors.contains("no object of kind Service"), "{code}: {errors}");

    // Nobody listens there: the cause is told, not only that there was one.
    let unreachable = world.workdir.join("unreachable");
    let text = "apiVersion: v1\nkind: Config\ncurrent-context: here\n\
                clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\n\
                contexts: [{name: here, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {}}]\n";
    std::fs::write(&unreachable, text).unwrap();
    let (code, _, errors) = plan(&world, &["--kubeconfig", unreachable.to_str().unwrap()]).await;
    assert!(code == 1 && errors.contains("the API server did not answer") && errors.contains("refused"), "{code}: {errors}");
}
