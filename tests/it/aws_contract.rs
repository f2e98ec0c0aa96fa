//! The real AWS SDK between controller and emulator: where it finds endpoint, region and credentials, and how it reads an account
//! that others fill.
//!
//! The access key id is the emulator's account: a call that arrives in the right account was made with the right credentials.

use std::process::Output;

use libtest_mimic::Trial;
use serde_json::json;

use crate::support::answers::{Answers, Request};
use crate::support::controller::{Controller, command};
use crate::support::world::{HTTP, REGION, World, actions, writes};

pub fn trials() -> Vec<Trial> {
    crate::trials!("aws_contract":
        endpoint_region_and_credentials_come_from_the_environment,
        credentials_come_from_a_profile,
        credentials_come_from_pod_identity,
        credentials_come_from_a_web_identity,
        an_instance_tells_region_credentials_and_vpc,
        without_credentials_the_error_says_so,
        a_crowded_account_is_read_in_pages_and_left_alone,
    )
}

const EXPIRES: &str = "2099-01-01T00:00:00Z";

/// Runs `landfall plan` for one Service, without the variables in `without` and with those in `with`.
async fn plan(world: &World, without: &[&str], with: &[(&str, &str)]) -> Output {
    world.create_service("web", HTTP).await;
    let mut command = command(world);
    command.args(["plan", &format!("svc/{}/web", world.namespace), "--load-balancer-class", &world.class]);
    without.iter().for_each(|name| {
        command.env_remove(name);
    });
    command.envs(with.iter().copied()).output().await.expect("landfall runs")
}

/// What `plan` must come to: it would create something, and every call was made in the world's account and region.
fn expect_planned(world: &World, output: &Output) {
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    let calls = world.calls_since(0);
    assert!(actions(&calls).contains(&"DescribeLoadBalancers".to_owned()), "{:?}", actions(&calls));
    for call in calls {
        assert_eq!((call.account.as_str(), call.region.as_str()), (world.account.as_str(), REGION), "{}", call.action);
        assert!(call.user_agent.contains("app/landfall"), "{}", call.user_agent);
    }
}

const KEYS: [&str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];

async fn endpoint_region_and_credentials_come_from_the_environment(world: World) {
    let endpoint = world.emulator.endpoint();
    let output = plan(&world, &["LANDFALL_AWS_ENDPOINT_URL"], &[("AWS_ENDPOINT_URL", &endpoint)]).await;
    expect_planned(&world, &output);
}

async fn credentials_come_from_a_profile(world: World) {
    let (credentials, config) = (world.workdir.join("credentials"), world.workdir.join("config"));
    let keys = format!("[team]\naws_access_key_id = {}\naws_secret_access_key = test\n", world.account);
    std::fs::write(&credentials, keys).expect("written");
    std::fs::write(&config, format!("[profile team]\nregion = {REGION}\n")).expect("written");
    let (credentials, config) = (credentials.display().to_string(), config.display().to_string());
    let with = [("AWS_PROFILE", "team"), ("AWS_SHARED_CREDENTIALS_FILE", &*credentials), ("AWS_CONFIG_FILE", &*config)];
    let output = plan(&world, &[KEYS[0], KEYS[1], "AWS_REGION"], &with).await;
    expect_planned(&world, &output);
}

/// EKS Pod Identity: an agent on the node gives credentials to whoever shows the pod's token.
async fn credentials_come_from_pod_identity(world: World) {
    let account = world.account.clone();
    let agent = Answers::serve(move |request| match (request.line.as_str(), request.header("authorization")) {
        ("GET /v1/credentials", "the pod's token") => {
            let keys = json!({"AccessKeyId": account, "SecretAccessKey": "s", "Token": "t", "Expiration": EXPIRES});
            (200, keys.to_string())
        }
        _ => (401, json!({"message": format!("{request:?}")}).to_string()),
    })
    .await;
    let token = world.workdir.join("token");
    std::fs::write(&token, "the pod's token").expect("written");
    let (token, url) = (token.display().to_string(), format!("{}/v1/credentials", agent.url));
    let with = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", &*url), ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &*token)];
    let output = plan(&world, &KEYS, &with).await;
    expect_planned(&world, &output);
}

/// IRSA: STS gives credentials for the ServiceAccount's token.
async fn credentials_come_from_a_web_identity(world: World) {
    let account = world.account.clone();
    let sts = Answers::serve(move |request| {
        let asked = ["Action=AssumeRoleWithWebIdentity", "WebIdentityToken=jwt", "role%2Flandfall"];
        if !asked.iter().all(|part| request.body.contains(part)) {
            return (400, format!("{request:?}"));
        }
        let answer = format!(
            "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleWithWebIdentityResult>\
             <AssumedRoleUser><AssumedRoleId>A:s</AssumedRoleId><Arn>arn:aws:sts::{account}:assumed-role/landfall/s</Arn></AssumedRoleUser>\
             <Credentials><AccessKeyId>{account}</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>\
             <Expiration>{EXPIRES}</Expiration></Credentials></AssumeRoleWithWebIdentityResult>\
             <ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></AssumeRoleWithWebIdentityResponse>"
        );
        (200, answer)
    })
    .await;
    let token = world.workdir.join("token");
    std::fs::write(&token, "jwt").expect("written");
    let token = token.display().to_string();
    let with = [
        ("AWS_ENDPOINT_URL_STS", &*sts.url),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", &*token),
        ("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/landfall"),
    ];
    let output = plan(&world, &KEYS, &with).await;
    expect_planned(&world, &output);
}

/// IMDSv2: nothing is answered without a session token.
async fn an_instance_tells_region_credentials_and_vpc(world: World) {
    let (account, vpc) = (world.account.clone(), world.vpc_id.clone());
    let instance = Answers::serve(move |request: &Request| {
        if request.line == "PUT /latest/api/token" {
            return (200, "session".to_owned());
        }
        if request.header("x-aws-ec2-metadata-token") != "session" {
            return (401, String::new());
        }
        let keys = json!({"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": account, "SecretAccessKey": "s", "Token": "t",
            "LastUpdated": "2026-01-01T00:00:00Z", "Expiration": EXPIRES});
        match request.line.strip_prefix("GET /latest/meta-data/").unwrap_or_default() {
            "placement/region" => (200, REGION.to_owned()),
            "iam/security-credentials/" => (200, "node".to_owned()),
            "iam/security-credentials/node" => (200, keys.to_string()),
            "mac" => (200, "0e:00:00:00:00:01".to_owned()),
            "network/interfaces/macs/0e:00:00:00:00:01/vpc-id" => (200, vpc.clone()),
            _ => (404, String::new()),
        }
    })
    .await;
    let without = [KEYS[0], KEYS[1], "AWS_REGION", "LANDFALL_VPC_ID", "AWS_EC2_METADATA_DISABLED"];
    let output = plan(&world, &without, &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &instance.url)]).await;
    expect_planned(&world, &output);
}

async fn without_credentials_the_error_says_so(world: World) {
    let output = plan(&world, &KEYS, &[]).await;
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("credentials"), "{message}");
    assert_eq!(actions(&world.calls_since(0)), Vec::<String>::new());
}

/// Others' target groups fill more than a page; none of their tags is read, and nothing of theirs is touched.
async fn a_crowded_account_is_read_in_pages_and_left_alone(world: World) {
    const OTHERS: usize = 450;
    let region = world.region();
    for number in 0..OTHERS {
        let name = format!("others-{number:03}");
        let parameters = [("Name", &*name), ("Protocol", "TCP"), ("Port", "80"), ("VpcId", &*world.vpc_id)];
        region.call("elasticloadbalancing", "CreateTargetGroup", &parameters).expect("created");
    }
    let others: Vec<_> = region.target_groups();
    let mark = world.mark();
    let controller = Controller::start(&world, "a", &[]);
    world.create_service("web", HTTP).await;
    world.host_name("web").await;
    world.delete_service("web").await;
    world.gone("web").await;
    let calls = world.calls_since(mark);
    let pages = calls.iter().filter(|call| call.action == "DescribeTargetGroups" && call.parameters.contains_key("Marker"));
    assert!(pages.count() > 0, "the second page was read: {:?}", actions(&calls));
    let (theirs, ours): (Vec<_>, Vec<_>) = calls
        .iter()
        .flat_map(|call| call.parameters.values())
        .filter(|value| value.contains(":targetgroup/"))
        .partition(|value| value.contains("/others-"));
    assert!(theirs.is_empty() && !ours.is_empty(), "asked of others: {theirs:?}");
    assert!(!writes(&calls).is_empty());
    assert_eq!(region.target_groups(), others);
    controller.stop().await;
}
