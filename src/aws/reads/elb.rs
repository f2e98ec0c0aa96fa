//! ELBv2: load balancers, target groups, listeners, health, tags, attributes.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_elasticloadbalancingv2::types as sdk;

use super::{all_of, every_page, readable, without_gone};
use crate::aws::client::Aws;
use crate::aws::convert::elb as convert;
use crate::aws::error::AwsError;
use crate::aws::operation::Operation;
use crate::aws::types::{Attributes, Listener, LoadBalancer, LoadBalancerArn, Tags, TargetGroup, TargetGroupArn, Targets};

/// Largest page of an ELBv2 listing.
const PAGE: i32 = 400;
/// ARNs or names that one call takes.
const BATCH: usize = 20;

impl Aws {
    /// All Network Load Balancers of the account and region, other people's too, sorted by name.
    ///
    /// # Errors
    /// Of the call.
    pub async fn load_balancers(&self) -> Result<Vec<LoadBalancer>, AwsError> {
        let shown = every_page(Operation::DescribeLoadBalancers, |marker| async move {
            let request = self.elb.describe_load_balancers().page_size(PAGE).set_marker(marker);
            let page = self.call(Operation::DescribeLoadBalancers, request.send()).await?;
            Ok((page.load_balancers.unwrap_or_default(), page.next_marker))
        })
        .await?;
        let network: Vec<_> = shown.into_iter().filter(is_network).collect();
        let mut all = readable(&network, convert::load_balancer);
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// Those load balancers of `arns` that exist, sorted by name.
    ///
    /// # Errors
    /// Of the call; never because one is gone.
    pub async fn load_balancers_by_arn(&self, arns: &[LoadBalancerArn]) -> Result<Vec<LoadBalancer>, AwsError> {
        let shown = without_gone(arns, BATCH, |batch| async move {
            let arns = batch.iter().map(ToString::to_string).collect();
            let request = self.elb.describe_load_balancers().set_load_balancer_arns(Some(arns));
            let answer = self.call(Operation::DescribeLoadBalancers, request.send()).await?;
            Ok(answer.load_balancers.unwrap_or_default())
        })
        .await?;
        asked_load_balancers(&shown, |found| arns.contains(&found.arn))
    }

    /// Those Network Load Balancers with one of `names` that exist, sorted by name.
    ///
    /// # Errors
    /// Of the call; never because one does not exist.
    pub async fn load_balancers_by_name(&self, names: &[String]) -> Result<Vec<LoadBalancer>, AwsError> {
        let shown = without_gone(names, BATCH, |batch| async move {
            let request = self.elb.describe_load_balancers().set_names(Some(batch));
            let answer = self.call(Operation::DescribeLoadBalancers, request.send()).await?;
            Ok(answer.load_balancers.unwrap_or_default())
        })
        .await?;
        asked_load_balancers(&shown, |found| names.contains(&found.name))
    }

    /// All target groups of the account and region but those of Lambda functions, other people's too, sorted by name.
    ///
    /// # Errors
    /// Of the call.
    pub async fn target_groups(&self) -> Result<Vec<TargetGroup>, AwsError> {
        let shown = every_page(Operation::DescribeTargetGroups, |marker| async move {
            let request = self.elb.describe_target_groups().page_size(PAGE).set_marker(marker);
            let page = self.call(Operation::DescribeTargetGroups, request.send()).await?;
            Ok((page.target_groups.unwrap_or_default(), page.next_marker))
        })
        .await?;
        let expressible: Vec<_> = shown.into_iter().filter(convert::has_targets_with_ports).collect();
        let mut all = readable(&expressible, convert::target_group);
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// Those target groups of `arns` that exist, sorted by name.
    ///
    /// # Errors
    /// Of the call; never because one is gone.
    pub async fn target_groups_by_arn(&self, arns: &[TargetGroupArn]) -> Result<Vec<TargetGroup>, AwsError> {
        let shown = without_gone(arns, BATCH, |batch| async move {
            let arns = batch.iter().map(ToString::to_string).collect();
            let request = self.elb.describe_target_groups().set_target_group_arns(Some(arns));
            let answer = self.call(Operation::DescribeTargetGroups, request.send()).await?;
            Ok(answer.target_groups.unwrap_or_default())
        })
        .await?;
        asked_target_groups(&shown, |found| arns.contains(&found.arn))
    }

    /// Those target groups with one of `names` that exist, sorted by name.
    ///
    /// # Errors
    /// Of the call; never because one does not exist.
    pub async fn target_groups_by_name(&self, names: &[String]) -> Result<Vec<TargetGroup>, AwsError> {
        let shown = without_gone(names, BATCH, |batch| async move {
            let request = self.elb.describe_target_groups().set_names(Some(batch));
            let answer = self.call(Operation::DescribeTargetGroups, request.send()).await?;
            Ok(answer.target_groups.unwrap_or_default())
        })
        .await?;
        asked_target_groups(&shown, |found| names.contains(&found.name))
    }

    /// All listeners of a load balancer, sorted by port.
    ///
    /// # Errors
    /// Of the call; `LoadBalancerNotFound` when it is gone.
    pub async fn listeners(&self, load_balancer: &LoadBalancerArn) -> Result<Vec<Listener>, AwsError> {
        let shown = every_page(Operation::DescribeListeners, |marker| async move {
            let request = self.elb.describe_listeners().load_balancer_arn(load_balancer.as_str()).page_size(PAGE);
            let page = self.call(Operation::DescribeListeners, request.set_marker(marker).send()).await?;
            Ok((page.listeners.unwrap_or_default(), page.next_marker))
        })
        .await?;
        let mut all = all_of(Operation::DescribeListeners, &shown, convert::listener)?;
        all.sort_by_key(|listener| listener.port);
        Ok(all)
    }

    /// All targets of a group with their health, draining ones included.
    ///
    /// # Errors
    /// Of the call; `TargetGroupNotFound` when it is gone, `HealthUnavailable` (transient) when AWS does not know.
    pub async fn target_health(&self, target_group: &TargetGroupArn) -> Result<Targets, AwsError> {
        let request = self.elb.describe_target_health().target_group_arn(target_group.as_str());
        let answer = self.call(Operation::DescribeTargetHealth, request.send()).await?;
        let targets = all_of(Operation::DescribeTargetHealth, answer.target_health_descriptions(), convert::target_health)?;
        Ok(targets.into_iter().collect())
    }

    /// Tags of those load balancers, target groups and listeners of `arns` that exist, by ARN.
    ///
    /// # Errors
    /// Of the call; never because one is gone.
    pub async fn tags(&self, arns: &[String]) -> Result<BTreeMap<String, Tags>, AwsError> {
        let shown = without_gone(arns, BATCH, |batch| async move {
            let request = self.elb.describe_tags().set_resource_arns(Some(batch));
            let answer = self.call(Operation::DescribeTags, request.send()).await?;
            Ok(answer.tag_descriptions.unwrap_or_default())
        })
        .await?;
        let asked: BTreeSet<&str> = arns.iter().map(String::as_str).collect();
        let of = |shown: &sdk::TagDescription| {
            let arn = shown.resource_arn().filter(|arn| asked.contains(arn))?;
            Some((arn.to_owned(), convert::tags(shown.tags())))
        };
        Ok(shown.iter().filter_map(of).collect())
    }

    /// All attributes of a load balancer.
    ///
    /// # Errors
    /// Of the call; `LoadBalancerNotFound` when it is gone.
    pub async fn load_balancer_attributes(&self, load_balancer: &LoadBalancerArn) -> Result<Attributes, AwsError> {
        let request = self.elb.describe_load_balancer_attributes().load_balancer_arn(load_balancer.as_str());
        let answer = self.call(Operation::DescribeLoadBalancerAttributes, request.send()).await?;
        Ok(attributes(answer.attributes().iter().map(|attribute| (attribute.key(), attribute.value()))))
    }

    /// All attributes of a target group.
    ///
    /// # Errors
    /// Of the call; `TargetGroupNotFound` when it is gone.
    pub async fn target_group_attributes(&self, target_group: &TargetGroupArn) -> Result<Attributes, AwsError> {
        let request = self.elb.describe_target_group_attributes().target_group_arn(target_group.as_str());
        let answer = self.call(Operation::DescribeTargetGroupAttributes, request.send()).await?;
        Ok(attributes(answer.attributes().iter().map(|attribute| (attribute.key(), attribute.value()))))
    }
}

fn is_network(of: &sdk::LoadBalancer) -> bool {
    of.r#type() == Some(&sdk::LoadBalancerTypeEnum::Network)
}

/// Right after a change AWS may answer with others than were asked for: those are no answer.
fn asked_load_balancers(
    shown: &[sdk::LoadBalancer],
    asked: impl Fn(&LoadBalancer) -> bool,
) -> Result<Vec<LoadBalancer>, AwsError> {
    let network: Vec<_> = shown.iter().filter(|of| is_network(of)).cloned().collect();
    let mut all = all_of(Operation::DescribeLoadBalancers, &network, convert::load_balancer)?;
    all.retain(asked);
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

fn asked_target_groups(shown: &[sdk::TargetGroup], asked: impl Fn(&TargetGroup) -> bool) -> Result<Vec<TargetGroup>, AwsError> {
    let expressible: Vec<_> = shown.iter().filter(|of| convert::has_targets_with_ports(of)).cloned().collect();
    let mut all = all_of(Operation::DescribeTargetGroups, &expressible, convert::target_group)?;
    all.retain(asked);
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

fn attributes<'a>(of: impl Iterator<Item = (Option<&'a str>, Option<&'a str>)>) -> Attributes {
    of.filter_map(|(key, value)| Some((key?.to_owned(), value.unwrap_or_default().to_owned()))).collect()
}
