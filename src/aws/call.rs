//! The one way of a call: gate, throttle, SDK, error. Every read and write of this module goes through [`Aws::call`].

use std::error::Error;
use std::future::Future;

use aws_sdk_elasticloadbalancingv2::config::http::HttpResponse;
use aws_sdk_elasticloadbalancingv2::error::{ProvideErrorMetadata, SdkError};

use super::client::Aws;
use super::error::AwsError;
use super::operation::Operation;
use super::throttle::Priority;

impl Aws {
    /// Waits for a token as long as the operation's priority allows, then sends.
    ///
    /// # Errors
    /// `NotLeader`, `Throttled` (nothing was sent), or what AWS or the network said.
    pub(super) async fn call<T, E>(
        &self,
        operation: Operation,
        send: impl Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send,
    ) -> Result<T, AwsError>
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let priority = match (operation.is_write(), self.background) {
            (true, _) => Priority::Write,
            (false, false) => Priority::Read,
            (false, true) => Priority::Sweep,
        };
        if operation.is_write() && self.gate.as_ref().is_some_and(|gate| !gate()) {
            return Err(AwsError::not_leader(operation.iam_action()));
        }
        match self.throttle.admit(operation, priority).await {
            Ok(wait) if wait.is_zero() => {}
            Ok(wait) => self.meter.waited(operation, wait),
            Err(wait) => return Err(AwsError::throttled(operation, wait)),
        }
        send.await.map_err(|error| AwsError::from_sdk(operation, &error))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use aws_credential_types::credential_fn::provide_credentials_fn;
    use aws_credential_types::provider::SharedCredentialsProvider;
    use aws_credential_types::provider::error::CredentialsError;

    use super::*;
    use crate::aws::meter::Meter;
    use crate::aws::test_server::{config, credentials, elb_error, script};
    use crate::aws::throttle::Throttle;
    use crate::aws::types::{LoadBalancerArn, Protocol, Tags, TargetGroupArn};
    use crate::error::Class;

    fn html() -> (u16, String) {
        (500, "<html><body>500</body></html>".to_owned())
    }

    /// Work runs in spawned tasks, so the methods' futures must be `Send`: this compiles or does not.
    #[allow(dead_code, clippy::large_futures)]
    fn futures_are_send(aws: &Aws) {
        fn send<T: Send>(_: T) {}
        send(aws.load_balancers());
        send(aws.load_balancers_by_name(&[]));
        send(aws.tags(&[]));
        send(aws.instances(&[]));
        send(aws.security_groups(&crate::aws::SecurityGroupFilter::Ids(BTreeSet::new())));
        send(aws.vpc_of_instance_metadata());
        send(Aws::connect(&crate::aws::AwsSettings::default(), Meter::default()));
    }

    #[tokio::test]
    async fn an_error_has_awss_code_and_words_and_request_id() {
        let script = script(vec![elb_error(400, "DuplicateListener")], |_| true).await;
        let (balancer, group) = (LoadBalancerArn::from("lb"), TargetGroupArn::from("tg"));
        let error = script.aws.create_listener(&balancer, 80, &Protocol::Tcp, &group, &Tags::new()).await.unwrap_err();
        assert_eq!(error.to_string(), "elasticloadbalancing:CreateListener: DuplicateListener: said AWS");
        assert_eq!((error.class, error.request_id.as_deref()), (Class::Stale, Some("r-1")));
        assert_eq!(script.meter.count(Operation::CreateListener, "DuplicateListener"), 1);
        let requests = script.requests.lock().unwrap();
        assert!(!requests[0].contains("Tags"), "an empty list is not sent: {}", requests[0]);
    }

    #[tokio::test]
    async fn a_dotted_code_of_ec2_is_told_apart() {
        let body = "<Response><Errors><Error><Code>InvalidGroup.NotFound</Code><Message>gone</Message></Error></Errors>\
                    <RequestID>r</RequestID></Response>";
        let script = script(vec![(400, body.to_owned())], |_| true).await;
        let group = "sg-1".into();
        let error = script.aws.revoke_ingress(&group, &BTreeSet::new()).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.class), ("InvalidGroupNotFound", Class::Stale));
        assert_eq!(script.aws.delete_security_group(&group).await, Ok(()), "a delete of what is gone is done");
    }

    #[tokio::test]
    async fn a_throttled_call_is_tried_three_times_and_slows_the_next_one_down() {
        let script = script(vec![elb_error(400, "Throttling")], |_| true).await;
        let group = TargetGroupArn::from("tg");
        let error = script.aws.register_targets(&group, &BTreeSet::new()).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.class), ("Throttling", Class::Throttled));
        assert_eq!(script.meter.total(), 3);
        let held_back = script.aws.register_targets(&group, &BTreeSet::new()).await.unwrap_err();
        assert_eq!(held_back.code, "Throttled");
        assert!(held_back.retry_after.is_some());
        assert_eq!(script.meter.total(), 3, "nothing was sent");
    }

    #[tokio::test]
    async fn a_5xx_is_tried_four_times_whatever_its_body() {
        let script = script(vec![html()], |_| true).await;
        let error = script.aws.delete_target_group(&"tg".into()).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.class), ("UnexpectedAnswer", Class::Transient));
        assert_eq!(script.requests.lock().unwrap().len(), 4);
        assert_eq!(script.meter.count(Operation::DeleteTargetGroup, "UnexpectedAnswer"), 4);
    }

    #[tokio::test]
    async fn an_answer_that_is_cut_off_is_an_error_worth_another_try() {
        // The SDK itself reads this as "no listeners".
        let cut = "<DescribeListenersResponse><DescribeListenersResult><Listeners>";
        let script = script(vec![(200, cut.to_owned())], |_| true).await;
        let error = script.aws.listeners(&"lb".into()).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.class), ("UnexpectedAnswer", Class::Transient));
        assert!(error.message.contains("cut off"), "{error}");
    }

    #[tokio::test]
    async fn a_closed_gate_holds_writes_back_and_lets_reads_pass() {
        let script = script(vec![elb_error(400, "LoadBalancerNotFound")], |_| false).await;
        let error = script.aws.delete_load_balancer(&"lb".into()).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.class), ("NotLeader", Class::Stale));
        assert_eq!(script.meter.total(), 0);
        let error = script.aws.listeners(&"lb".into()).await.unwrap_err();
        assert_eq!(error.code, "LoadBalancerNotFound");
    }

    #[tokio::test]
    async fn a_gate_that_closes_stops_the_sdks_own_repetitions() {
        let script = script(vec![html()], |requests| requests < 2).await;
        let error = script.aws.delete_load_balancer(&"lb".into()).await.unwrap_err();
        assert_eq!(error.code, "NotLeader");
        assert_eq!(script.requests.lock().unwrap().len(), 2);
        assert_eq!(script.meter.total(), 2, "what was held back is no attempt");
    }

    #[tokio::test]
    async fn pages_are_asked_for_by_marker_and_only_network_load_balancers_are_shown() {
        let balancer = |name: &str, kind: &str| {
            format!(
                "<member><LoadBalancerArn>arn-{name}</LoadBalancerArn><LoadBalancerName>{name}</LoadBalancerName>\
                 <DNSName>{name}.example</DNSName><Scheme>internal</Scheme><VpcId>vpc-1</VpcId><Type>{kind}</Type>\
                 <State><Code>active</Code></State></member>"
            )
        };
        let page = |members: &[String], next: &str| {
            let result = format!("<LoadBalancers>{}</LoadBalancers>{next}", members.concat());
            let result = format!("<DescribeLoadBalancersResult>{result}</DescribeLoadBalancersResult>");
            (200, format!("<DescribeLoadBalancersResponse>{result}</DescribeLoadBalancersResponse>"))
        };
        let first = page(&[balancer("b", "network"), balancer("c", "application")], "<NextMarker>m2</NextMarker>");
        let script = script(vec![first, page(&[balancer("a", "network")], "")], |_| false).await;
        let names: Vec<_> = script.aws.load_balancers().await.unwrap().into_iter().map(|balancer| balancer.name).collect();
        assert_eq!(names, ["a", "b"]);
        let requests = script.requests.lock().unwrap();
        assert_eq!(requests.len(), 2);
        assert!(requests[0].contains("PageSize=400") && !requests[0].contains("Marker"), "{}", requests[0]);
        assert!(requests[1].contains("Marker=m2"), "{}", requests[1]);
        assert_eq!(script.meter.count(Operation::DescribeLoadBalancers, "ok"), 2);
    }

    #[tokio::test]
    async fn an_answer_about_others_than_asked_is_no_answer() {
        let body = "<DescribeTagsResponse><DescribeTagsResult><TagDescriptions><member><ResourceArn>other</ResourceArn>\
                    <Tags><member><Key>k</Key><Value>v</Value></member></Tags></member></TagDescriptions></DescribeTagsResult>\
                    </DescribeTagsResponse>";
        let script = script(vec![(200, body.to_owned())], |_| true).await;
        assert!(script.aws.tags(&["mine".to_owned()]).await.unwrap().is_empty());
        assert_eq!(script.aws.tags(&["other".to_owned()]).await.unwrap()["other"]["k"], "v");
    }

    #[tokio::test]
    async fn missing_credentials_and_an_unreachable_endpoint_are_told_apart() {
        let nothing = provide_credentials_fn(|| async { Err(CredentialsError::not_loaded("nothing")) });
        let nowhere = "http://127.0.0.1:1";
        for (credentials, code, class) in [
            (SharedCredentialsProvider::new(nothing), "NoCredentials", Class::Permission),
            (credentials(), "AwsUnreachable", Class::Transient),
        ] {
            let aws = Aws::assemble(config(nowhere, credentials), Meter::default(), Arc::new(Throttle::default()), None);
            let error = aws.listeners(&"lb".into()).await.unwrap_err();
            assert_eq!((error.code.as_str(), error.class), (code, class), "{error}");
        }
    }
}
