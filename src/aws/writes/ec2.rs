//! EC2: security groups, their rules and tags.

use std::collections::BTreeSet;

use aws_sdk_ec2::types as sdk;

use super::gone_is_fine;
use crate::aws::client::Aws;
use crate::aws::convert::ec2 as convert;
use crate::aws::error::AwsError;
use crate::aws::operation::Operation;
use crate::aws::types::{Rule, SecurityGroupId, Tags, VpcId};

impl Aws {
    /// `CreateSecurityGroup`, tagged in the same call. Not idempotent: after a lost answer the SDK's own repetition ends as
    /// `InvalidGroupDuplicate`.
    ///
    /// # Errors
    /// Of the call; `InvalidGroupDuplicate` (stale) when the VPC has a group of that name.
    pub async fn create_security_group(
        &self,
        name: &str,
        description: &str,
        vpc: &VpcId,
        tags: &Tags,
    ) -> Result<SecurityGroupId, AwsError> {
        let tagged = (!tags.is_empty()).then(|| {
            let builder = sdk::TagSpecification::builder().resource_type(sdk::ResourceType::SecurityGroup);
            vec![builder.set_tags(Some(convert::to_tags(tags))).build()]
        });
        let request = self.ec2.create_security_group().group_name(name).description(description).vpc_id(vpc.as_str());
        let answer = self.call(Operation::CreateSecurityGroup, request.set_tag_specifications(tagged).send()).await?;
        convert::created_group(answer.group_id())
            .map_err(|error| AwsError::unexpected(Operation::CreateSecurityGroup, error.to_string()))
    }

    /// `DeleteSecurityGroup`.
    ///
    /// # Errors
    /// Of the call; `DependencyViolation` (busy) while an interface or another group's rule refers to it.
    pub async fn delete_security_group(&self, group: &SecurityGroupId) -> Result<(), AwsError> {
        let request = self.ec2.delete_security_group().group_id(group.as_str());
        gone_is_fine(self.call(Operation::DeleteSecurityGroup, request.send()).await)
    }

    /// `AuthorizeSecurityGroupIngress`: adds all rules or, on error, none.
    ///
    /// # Errors
    /// Of the call; `InvalidPermissionDuplicate` (stale) when one is there already,
    /// `RulesPerSecurityGroupLimitExceeded` (quota).
    pub async fn authorize_ingress(&self, group: &SecurityGroupId, rules: &BTreeSet<Rule>) -> Result<(), AwsError> {
        let permissions = rules.iter().map(convert::to_permission).collect();
        let request = self.ec2.authorize_security_group_ingress().group_id(group.as_str());
        self.call(Operation::AuthorizeSecurityGroupIngress, request.set_ip_permissions(Some(permissions)).send()).await.map(drop)
    }

    /// `RevokeSecurityGroupIngress`: removes all rules or, on error, none. Descriptions are no part of a rule's identity.
    ///
    /// # Errors
    /// Of the call; `InvalidPermissionNotFound` (stale) when one is not there (in a default VPC that is no error).
    pub async fn revoke_ingress(&self, group: &SecurityGroupId, rules: &BTreeSet<Rule>) -> Result<(), AwsError> {
        let undescribed = |rule: &Rule| convert::to_permission(&Rule { description: String::new(), ..rule.clone() });
        let permissions = rules.iter().map(undescribed).collect();
        let request = self.ec2.revoke_security_group_ingress().group_id(group.as_str());
        self.call(Operation::RevokeSecurityGroupIngress, request.set_ip_permissions(Some(permissions)).send()).await.map(drop)
    }

    /// `CreateTags` on one security group: sets these, leaves others.
    ///
    /// # Errors
    /// Of the call.
    pub async fn create_tags(&self, group: &SecurityGroupId, tags: &Tags) -> Result<(), AwsError> {
        let request = self.ec2.create_tags().resources(group.as_str()).set_tags(Some(convert::to_tags(tags)));
        self.call(Operation::CreateTags, request.send()).await.map(drop)
    }

    /// `DeleteTags` on one security group, whatever their values.
    ///
    /// # Errors
    /// Of the call.
    pub async fn delete_tags(&self, group: &SecurityGroupId, keys: &BTreeSet<String>) -> Result<(), AwsError> {
        let tags = keys.iter().map(|key| sdk::Tag::builder().key(key).build()).collect();
        let request = self.ec2.delete_tags().resources(group.as_str()).set_tags(Some(tags));
        self.call(Operation::DeleteTags, request.send()).await.map(drop)
    }
}
