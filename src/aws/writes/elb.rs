//! ELBv2: load balancers, target groups, listeners, targets, tags.

use std::collections::BTreeSet;

use aws_sdk_elasticloadbalancingv2::types as sdk;

use super::gone_is_fine;
use crate::aws::client::Aws;
use crate::aws::convert::{Unexpected, elb as convert};
use crate::aws::error::AwsError;
use crate::aws::operation::Operation;
use crate::aws::types::{
    Attributes, HealthCheck, IpAddressType, Listener, ListenerArn, LoadBalancer, LoadBalancerArn, Protocol, Scheme,
    SecurityGroupId, SubnetId, Tags, Target, TargetGroup, TargetGroupArn, TargetType, VpcId,
};

/// A load balancer to be made.
#[derive(Clone, Copy, Debug)]
pub struct LoadBalancerSpec<'a> {
    /// Name, unique in account and region, 32 characters at most.
    pub name: &'a str,
    /// Scheme; can never be changed.
    pub scheme: &'a Scheme,
    /// Address families.
    pub ip_address_type: &'a IpAddressType,
    /// Subnets, one for each zone.
    pub subnets: &'a BTreeSet<SubnetId>,
    /// Security groups; one made without any can never get one.
    pub security_groups: &'a BTreeSet<SecurityGroupId>,
    /// Tags.
    pub tags: &'a Tags,
}

/// A target group to be made. Of these only the health check and the tags can be changed later.
#[derive(Clone, Copy, Debug)]
pub struct TargetGroupSpec<'a> {
    /// Name, unique in account and region, 32 characters at most.
    pub name: &'a str,
    /// Protocol.
    pub protocol: &'a Protocol,
    /// Port for targets registered without one.
    pub port: u16,
    /// What its targets are.
    pub target_type: &'a TargetType,
    /// Address family.
    pub ip_address_type: &'a IpAddressType,
    /// VPC.
    pub vpc: &'a VpcId,
    /// Health check.
    pub health_check: &'a HealthCheck,
    /// Tags.
    pub tags: &'a Tags,
}

impl Aws {
    /// `CreateLoadBalancer`, of type network, tagged in the same call. Idempotent by name and settings: what is answered may
    /// be somebody else's, so its tags are to be read before it is adopted.
    ///
    /// # Errors
    /// Of the call; `DuplicateLoadBalancerName` (stale) when the name is taken with other settings.
    pub async fn create_load_balancer(&self, spec: LoadBalancerSpec<'_>) -> Result<LoadBalancer, AwsError> {
        let operation = Operation::CreateLoadBalancer;
        let request = self
            .elb
            .create_load_balancer()
            .name(spec.name)
            .r#type(sdk::LoadBalancerTypeEnum::Network)
            .scheme(spec.scheme.as_str().into())
            .ip_address_type(spec.ip_address_type.as_str().into())
            .set_subnets(Some(spec.subnets.iter().map(ToString::to_string).collect()))
            .set_security_groups(list(spec.security_groups.iter().map(ToString::to_string)))
            .set_tags(list(convert::to_tags(spec.tags)));
        let answer = self.call(Operation::CreateLoadBalancer, request.send()).await?;
        only(operation, answer.load_balancers(), convert::load_balancer)
    }

    /// `SetSubnets`: all its subnets from now on.
    ///
    /// # Errors
    /// Of the call.
    pub async fn set_subnets(&self, load_balancer: &LoadBalancerArn, subnets: &BTreeSet<SubnetId>) -> Result<(), AwsError> {
        let subnets = subnets.iter().map(ToString::to_string).collect();
        let request = self.elb.set_subnets().load_balancer_arn(load_balancer.as_str()).set_subnets(Some(subnets));
        self.call(Operation::SetSubnets, request.send()).await.map(drop)
    }

    /// `SetSecurityGroups`: all its groups from now on.
    ///
    /// # Errors
    /// Of the call; `InvalidConfigurationRequest` when it was made without any.
    pub async fn set_security_groups(
        &self,
        load_balancer: &LoadBalancerArn,
        security_groups: &BTreeSet<SecurityGroupId>,
    ) -> Result<(), AwsError> {
        let groups = security_groups.iter().map(ToString::to_string).collect();
        let request = self.elb.set_security_groups().load_balancer_arn(load_balancer.as_str()).set_security_groups(Some(groups));
        self.call(Operation::SetSecurityGroups, request.send()).await.map(drop)
    }

    /// `ModifyLoadBalancerAttributes`: sets these, leaves others.
    ///
    /// # Errors
    /// Of the call.
    pub async fn modify_load_balancer_attributes(
        &self,
        load_balancer: &LoadBalancerArn,
        attributes: &Attributes,
    ) -> Result<(), AwsError> {
        let attribute = |(key, value): (&String, &String)| sdk::LoadBalancerAttribute::builder().key(key).value(value).build();
        let attributes = attributes.iter().map(attribute).collect();
        let request = self.elb.modify_load_balancer_attributes().load_balancer_arn(load_balancer.as_str());
        self.call(Operation::ModifyLoadBalancerAttributes, request.set_attributes(Some(attributes)).send()).await.map(drop)
    }

    /// `DeleteLoadBalancer`; its listeners go with it.
    ///
    /// # Errors
    /// Of the call; `OperationNotPermitted` under deletion protection, `ResourceInUse` with an endpoint service.
    pub async fn delete_load_balancer(&self, load_balancer: &LoadBalancerArn) -> Result<(), AwsError> {
        let request = self.elb.delete_load_balancer().load_balancer_arn(load_balancer.as_str());
        gone_is_fine(self.call(Operation::DeleteLoadBalancer, request.send()).await)
    }

    /// `CreateTargetGroup`, tagged in the same call. Idempotent by name and settings, like a load balancer's.
    ///
    /// # Errors
    /// Of the call; `DuplicateTargetGroupName` (stale) when the name is taken with other settings.
    pub async fn create_target_group(&self, spec: TargetGroupSpec<'_>) -> Result<TargetGroup, AwsError> {
        let check = spec.health_check;
        let request = self
            .elb
            .create_target_group()
            .name(spec.name)
            .protocol(spec.protocol.as_str().into())
            .port(i32::from(spec.port))
            .target_type(spec.target_type.as_str().into())
            .ip_address_type(spec.ip_address_type.as_str().into())
            .vpc_id(spec.vpc.as_str())
            .health_check_enabled(true)
            .health_check_protocol(check.protocol.as_str().into())
            .health_check_port(check_port(check))
            .set_health_check_path(check.path.clone())
            .set_matcher(matcher(check))
            .health_check_interval_seconds(check.interval_seconds)
            .health_check_timeout_seconds(check.timeout_seconds)
            .healthy_threshold_count(check.healthy_threshold)
            .unhealthy_threshold_count(check.unhealthy_threshold)
            .set_tags(list(convert::to_tags(spec.tags)));
        let answer = self.call(Operation::CreateTargetGroup, request.send()).await?;
        only(Operation::CreateTargetGroup, answer.target_groups(), convert::target_group)
    }

    /// `ModifyTargetGroup`: the whole health check.
    ///
    /// # Errors
    /// Of the call.
    pub async fn modify_health_check(&self, target_group: &TargetGroupArn, check: &HealthCheck) -> Result<TargetGroup, AwsError> {
        let request = self
            .elb
            .modify_target_group()
            .target_group_arn(target_group.as_str())
            .health_check_enabled(true)
            .health_check_protocol(check.protocol.as_str().into())
            .health_check_port(check_port(check))
            .set_health_check_path(check.path.clone())
            .set_matcher(matcher(check))
            .health_check_interval_seconds(check.interval_seconds)
            .health_check_timeout_seconds(check.timeout_seconds)
            .healthy_threshold_count(check.healthy_threshold)
            .unhealthy_threshold_count(check.unhealthy_threshold);
        let answer = self.call(Operation::ModifyTargetGroup, request.send()).await?;
        only(Operation::ModifyTargetGroup, answer.target_groups(), convert::target_group)
    }

    /// `ModifyTargetGroupAttributes`: sets these, leaves others.
    ///
    /// # Errors
    /// Of the call.
    pub async fn modify_target_group_attributes(
        &self,
        target_group: &TargetGroupArn,
        attributes: &Attributes,
    ) -> Result<(), AwsError> {
        let attribute = |(key, value): (&String, &String)| sdk::TargetGroupAttribute::builder().key(key).value(value).build();
        let attributes = attributes.iter().map(attribute).collect();
        let request = self.elb.modify_target_group_attributes().target_group_arn(target_group.as_str());
        self.call(Operation::ModifyTargetGroupAttributes, request.set_attributes(Some(attributes)).send()).await.map(drop)
    }

    /// `RegisterTargets`, at most 200. Those already registered are left as they are.
    ///
    /// # Errors
    /// Of the call; `InvalidTarget` (busy) when one is not there or not running: none is registered then.
    pub async fn register_targets(&self, target_group: &TargetGroupArn, targets: &BTreeSet<Target>) -> Result<(), AwsError> {
        let targets = targets.iter().map(convert::to_target).collect();
        let request = self.elb.register_targets().target_group_arn(target_group.as_str()).set_targets(Some(targets));
        self.call(Operation::RegisterTargets, request.send()).await.map(drop)
    }

    /// `DeregisterTargets`, at most 200. Those not registered are no error.
    ///
    /// # Errors
    /// Of the call.
    pub async fn deregister_targets(&self, target_group: &TargetGroupArn, targets: &BTreeSet<Target>) -> Result<(), AwsError> {
        let targets = targets.iter().map(convert::to_target).collect();
        let request = self.elb.deregister_targets().target_group_arn(target_group.as_str()).set_targets(Some(targets));
        self.call(Operation::DeregisterTargets, request.send()).await.map(drop)
    }

    /// `DeleteTargetGroup`.
    ///
    /// # Errors
    /// Of the call; `ResourceInUse` (busy) while a listener forwards to it and for a while after.
    pub async fn delete_target_group(&self, target_group: &TargetGroupArn) -> Result<(), AwsError> {
        let request = self.elb.delete_target_group().target_group_arn(target_group.as_str());
        gone_is_fine(self.call(Operation::DeleteTargetGroup, request.send()).await)
    }

    /// `CreateListener`, tagged in the same call: all of the port's traffic goes to `target_group`.
    ///
    /// # Errors
    /// Of the call; `DuplicateListener` (stale) when the port is taken, `TargetGroupAssociationLimit` (busy) while another
    /// load balancer has the target group.
    pub async fn create_listener(
        &self,
        load_balancer: &LoadBalancerArn,
        port: u16,
        protocol: &Protocol,
        target_group: &TargetGroupArn,
        tags: &Tags,
    ) -> Result<Listener, AwsError> {
        let request = self
            .elb
            .create_listener()
            .load_balancer_arn(load_balancer.as_str())
            .port(i32::from(port))
            .protocol(protocol.as_str().into())
            .default_actions(convert::to_forward(target_group))
            .set_tags(list(convert::to_tags(tags)));
        let answer = self.call(Operation::CreateListener, request.send()).await?;
        only(Operation::CreateListener, answer.listeners(), convert::listener)
    }

    /// `ModifyListener`: protocol and target group.
    ///
    /// # Errors
    /// Of the call.
    pub async fn modify_listener(
        &self,
        listener: &ListenerArn,
        port: u16,
        protocol: &Protocol,
        target_group: &TargetGroupArn,
    ) -> Result<Listener, AwsError> {
        let request = self
            .elb
            .modify_listener()
            .listener_arn(listener.as_str())
            .port(i32::from(port))
            .protocol(protocol.as_str().into())
            .default_actions(convert::to_forward(target_group));
        let answer = self.call(Operation::ModifyListener, request.send()).await?;
        only(Operation::ModifyListener, answer.listeners(), convert::listener)
    }

    /// `DeleteListener`.
    ///
    /// # Errors
    /// Of the call.
    pub async fn delete_listener(&self, listener: &ListenerArn) -> Result<(), AwsError> {
        let request = self.elb.delete_listener().listener_arn(listener.as_str());
        gone_is_fine(self.call(Operation::DeleteListener, request.send()).await)
    }

    /// `AddTags` on one load balancer, target group or listener: AWS takes one at a time, whatever the parameter's shape.
    ///
    /// # Errors
    /// Of the call.
    pub async fn add_tags(&self, arn: &str, tags: &Tags) -> Result<(), AwsError> {
        let request = self.elb.add_tags().resource_arns(arn).set_tags(Some(convert::to_tags(tags)));
        self.call(Operation::AddTags, request.send()).await.map(drop)
    }

    /// `RemoveTags` on one load balancer, target group or listener.
    ///
    /// # Errors
    /// Of the call.
    pub async fn remove_tags(&self, arn: &str, keys: &BTreeSet<String>) -> Result<(), AwsError> {
        let request = self.elb.remove_tags().resource_arns(arn).set_tag_keys(Some(keys.iter().cloned().collect()));
        self.call(Operation::RemoveTags, request.send()).await.map(drop)
    }
}

/// A list parameter, left out when empty: the Query protocol would send an empty value, which AWS refuses.
fn list<T>(items: impl IntoIterator<Item = T>) -> Option<Vec<T>> {
    let items: Vec<T> = items.into_iter().collect();
    (!items.is_empty()).then_some(items)
}

fn check_port(check: &HealthCheck) -> String {
    check.port.map_or_else(|| convert::TRAFFIC_PORT.to_owned(), |port| port.to_string())
}

fn matcher(check: &HealthCheck) -> Option<sdk::Matcher> {
    check.success_codes.as_ref().map(|codes| sdk::Matcher::builder().http_code(codes).build())
}

/// The one object that a create or modify answers with.
fn only<S, T>(operation: Operation, shown: &[S], read: impl Fn(&S) -> Result<T, Unexpected>) -> Result<T, AwsError> {
    let first = shown.first().ok_or_else(|| AwsError::unexpected(operation, "the answer names no object"))?;
    read(first).map_err(|error| AwsError::unexpected(operation, error.to_string()))
}
