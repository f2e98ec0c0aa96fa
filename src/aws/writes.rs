//! What is changed in AWS: one method for each call, each with the whole payload.
//!
//! Deletes of what is gone are `Ok`: that is what was wanted. Anything else that is not as it was read (`…NotFound`,
//! `…Duplicate`) is [`Class::Stale`](crate::error::Class::Stale): the caller observes anew. Neighbours: `elb.rs` and `ec2.rs` here have the methods,
//! `call.rs` sends, `convert.rs` reads what a create answers.

mod ec2;
mod elb;

pub use elb::{LoadBalancerSpec, TargetGroupSpec};

use super::error::AwsError;

/// The result of a delete.
fn gone_is_fine<T>(result: Result<T, AwsError>) -> Result<(), AwsError> {
    match result {
        Err(error) if !error.is_gone() => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::aws::operation::Operation;
    use crate::aws::test_server::{gone, script};
    use crate::aws::types::{HealthCheck, HealthCheckProtocol, IpAddressType, Protocol, Rule, RuleSource, Tags, TargetType};

    fn tags() -> Tags {
        [("elb/cluster".to_owned(), "c".to_owned())].into()
    }

    fn assert_sent(request: &str, parameters: &[&str]) {
        for parameter in parameters {
            assert!(request.contains(parameter), "{parameter} is missing in {request}");
        }
    }

    #[tokio::test]
    async fn a_target_group_is_made_with_its_check_and_its_tags_in_one_call() {
        let group = "<member><TargetGroupArn>tg</TargetGroupArn><TargetGroupName>n</TargetGroupName><Protocol>TCP</Protocol>\
                     <Port>80</Port><TargetType>ip</TargetType><HealthCheckProtocol>HTTP</HealthCheckProtocol>\
                     <HealthCheckPort>traffic-port</HealthCheckPort><HealthCheckIntervalSeconds>10</HealthCheckIntervalSeconds>\
                     <HealthCheckTimeoutSeconds>6</HealthCheckTimeoutSeconds><HealthyThresholdCount>3</HealthyThresholdCount>\
                     <UnhealthyThresholdCount>2</UnhealthyThresholdCount><HealthCheckPath>/up</HealthCheckPath>\
                     <Matcher><HttpCode>200-399</HttpCode></Matcher></member>";
        let result = format!("<CreateTargetGroupResult><TargetGroups>{group}</TargetGroups></CreateTargetGroupResult>");
        let answer = format!("<CreateTargetGroupResponse>{result}</CreateTargetGroupResponse>");
        let script = script(vec![(200, answer)], |_| true).await;
        let check = HealthCheck {
            protocol: HealthCheckProtocol::Http,
            port: None,
            path: Some("/up".into()),
            success_codes: Some("200-399".into()),
            interval_seconds: 10,
            timeout_seconds: 6,
            healthy_threshold: 3,
            unhealthy_threshold: 2,
        };
        let (vpc, tags) = ("vpc-1".into(), tags());
        let made = script.aws.create_target_group(TargetGroupSpec {
            name: "n",
            protocol: &Protocol::Tcp,
            port: 80,
            target_type: &TargetType::Ip,
            ip_address_type: &IpAddressType::Ipv4,
            vpc: &vpc,
            health_check: &check,
            tags: &tags,
        });
        assert_eq!(made.await.unwrap().health_check, check, "what was asked for is what is read back");
        let requests = script.requests.lock().unwrap();
        assert_sent(
            &requests[0],
            &[
                "Action=CreateTargetGroup",
                "HealthCheckPort=traffic-port",
                "HealthCheckPath=%2Fup",
                "Matcher.HttpCode=200-399",
                "Tags.member.1.Key=elb%2Fcluster",
            ],
        );
    }

    #[tokio::test]
    async fn a_security_group_is_tagged_as_it_is_made_and_rules_are_revoked_without_their_descriptions() {
        let created = "<CreateSecurityGroupResponse><groupId>sg-1</groupId></CreateSecurityGroupResponse>";
        let authorized = "<AuthorizeSecurityGroupIngressResponse><return>true</return></AuthorizeSecurityGroupIngressResponse>";
        let revoked = "<RevokeSecurityGroupIngressResponse><return>true</return></RevokeSecurityGroupIngressResponse>";
        let answers = [created, authorized, revoked].map(|body| (200, body.to_owned()));
        let script = script(answers.into(), |_| true).await;
        let group = script.aws.create_security_group("n", "d", &"vpc-1".into(), &tags()).await.unwrap();
        let source = RuleSource::SecurityGroup("sg-2".into());
        let rule = Rule { protocol: "tcp".into(), from_port: 30000, to_port: 32767, source, description: "cluster c".into() };
        let rules = BTreeSet::from([rule]);
        script.aws.authorize_ingress(&group, &rules).await.unwrap();
        script.aws.revoke_ingress(&group, &rules).await.unwrap();
        let requests = script.requests.lock().unwrap();
        let tag = ["TagSpecification.1.ResourceType=security-group", "TagSpecification.1.Tag.1.Key=elb%2Fcluster"];
        assert_sent(&requests[0], &tag);
        let permission = ["GroupId=sg-1", "IpPermissions.1.FromPort=30000", "IpPermissions.1.Groups.1.GroupId=sg-2"];
        assert_sent(&requests[1], &permission);
        assert_sent(&requests[1], &["IpPermissions.1.Groups.1.Description=cluster%20c"]);
        assert_sent(&requests[2], &permission);
        assert!(!requests[2].contains("Description"), "{}", requests[2]);
    }

    #[tokio::test]
    async fn an_answer_that_names_nothing_is_unexpected() {
        let script = script(vec![(200, "<CreateSecurityGroupResponse/>".to_owned())], |_| true).await;
        let error = script.aws.create_security_group("n", "d", &"vpc-1".into(), &tags()).await.unwrap_err();
        assert_eq!(error.code, "UnexpectedAnswer");
        assert!(error.message.contains("new security group"), "{error}");
    }

    #[test]
    fn only_being_gone_makes_a_failed_delete_fine() {
        let gone = gone(Operation::DeleteTargetGroup);
        let busy = AwsError { code: "ResourceInUse".into(), ..gone.clone() };
        assert_eq!(gone_is_fine::<()>(Err(gone)), Ok(()));
        assert_eq!(gone_is_fine::<()>(Err(busy.clone())), Err(busy));
    }
}
