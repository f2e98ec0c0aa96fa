//! EC2: security groups, subnets, routes, instances, network interfaces.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::Filter;
use ipnet::Ipv4Net;

use super::{all_of, every_page, in_batches, readable};
use crate::aws::client::Aws;
use crate::aws::convert::ec2 as convert;
use crate::aws::error::AwsError;
use crate::aws::operation::Operation;
use crate::aws::types::{Instance, InstanceId, SecurityGroup, SecurityGroupId, Subnet, SubnetId, VpcId};

/// Largest page of an EC2 listing with filters.
const PAGE: i32 = 1000;
/// Largest page of route tables.
const ROUTE_TABLE_PAGE: i32 = 100;
/// Values that one filter takes.
const BATCH: usize = 200;

/// Which security groups to read. All are filters, so one that is gone is just not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecurityGroupFilter {
    /// Those with this tag.
    Tagged {
        /// In this VPC.
        vpc: VpcId,
        /// The tag's key.
        key: String,
        /// Its value.
        value: String,
    },
    /// Those with one of these ids, whatever their VPC.
    Ids(BTreeSet<SecurityGroupId>),
    /// Those whose tag `Name` is one of these.
    NameTags {
        /// In this VPC.
        vpc: VpcId,
        /// Values of the tag.
        names: BTreeSet<String>,
    },
    /// Those with an ingress rule that admits members of `to`.
    Referring {
        /// In this VPC.
        vpc: VpcId,
        /// The group referred to.
        to: SecurityGroupId,
    },
}

impl SecurityGroupFilter {
    /// The filter that all values share, and the one whose values may be too many for one call.
    fn filters(&self) -> (Option<Filter>, String, Vec<String>) {
        let in_vpc = |vpc: &VpcId| Some(filter("vpc-id", [vpc.to_string()]));
        match self {
            Self::Tagged { vpc, key, value } => (in_vpc(vpc), format!("tag:{key}"), vec![value.clone()]),
            Self::Ids(ids) => (None, "group-id".to_owned(), ids.iter().map(ToString::to_string).collect()),
            Self::NameTags { vpc, names } => (in_vpc(vpc), "tag:Name".to_owned(), names.iter().cloned().collect()),
            Self::Referring { vpc, to } => (in_vpc(vpc), "ip-permission.group-id".to_owned(), vec![to.to_string()]),
        }
    }
}

impl Aws {
    /// Security groups with their tags and ingress rules, sorted by id. No ids or names: none, without a call.
    ///
    /// # Errors
    /// Of the call.
    pub async fn security_groups(&self, which: &SecurityGroupFilter) -> Result<Vec<SecurityGroup>, AwsError> {
        let operation = Operation::DescribeSecurityGroups;
        let (common, name, values) = which.filters();
        let (common, name) = (&common, name.as_str());
        let shown = in_batches(&values, BATCH, |batch| {
            let filters: Vec<Filter> = common.iter().cloned().chain([filter(name, batch)]).collect();
            async move {
                let filters = &filters;
                every_page(operation, |token| async move {
                    let request = self.ec2.describe_security_groups().set_filters(Some(filters.clone())).max_results(PAGE);
                    let page = self.call(Operation::DescribeSecurityGroups, request.set_next_token(token).send()).await?;
                    Ok((page.security_groups.unwrap_or_default(), page.next_token))
                })
                .await
            }
        })
        .await?;
        let mut all = all_of(operation, &shown, convert::security_group)?;
        all.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(all)
    }

    /// All subnets of a VPC that have IPv4 addresses, sorted by id.
    ///
    /// # Errors
    /// Of the call.
    pub async fn subnets(&self, vpc: &VpcId) -> Result<Vec<Subnet>, AwsError> {
        let mut shown = every_page(Operation::DescribeSubnets, |token| async move {
            let request = self.ec2.describe_subnets().filters(filter("vpc-id", [vpc.to_string()])).max_results(PAGE);
            let page = self.call(Operation::DescribeSubnets, request.set_next_token(token).send()).await?;
            Ok((page.subnets.unwrap_or_default(), page.next_token))
        })
        .await?;
        shown.retain(convert::has_ipv4);
        let mut all = all_of(Operation::DescribeSubnets, &shown, convert::subnet)?;
        all.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(all)
    }

    /// Those of a VPC's `subnets` whose route table, their own or else the VPC's main one, leads to an internet gateway.
    ///
    /// # Errors
    /// Of the call.
    pub async fn public_subnets(&self, vpc: &VpcId, subnets: &[Subnet]) -> Result<BTreeSet<SubnetId>, AwsError> {
        let tables = every_page(Operation::DescribeRouteTables, |token| async move {
            let request = self.ec2.describe_route_tables().filters(filter("vpc-id", [vpc.to_string()]));
            let request = request.max_results(ROUTE_TABLE_PAGE).set_next_token(token);
            let page = self.call(Operation::DescribeRouteTables, request.send()).await?;
            Ok((page.route_tables.unwrap_or_default(), page.next_token))
        })
        .await?;
        Ok(convert::public_subnets(&tables, subnets.iter().map(|subnet| &subnet.id)))
    }

    /// IPv4 CIDRs of a VPC, sorted.
    ///
    /// # Errors
    /// Of the call; `InvalidVpcIDNotFound` when there is no such VPC in the region.
    pub async fn vpc_cidrs(&self, vpc: &VpcId) -> Result<Vec<Ipv4Net>, AwsError> {
        let request = self.ec2.describe_vpcs().vpc_ids(vpc.as_str());
        let answer = self.call(Operation::DescribeVpcs, request.send()).await?;
        let cidrs = all_of(Operation::DescribeVpcs, answer.vpcs(), convert::vpc_cidrs)?;
        cidrs
            .into_iter()
            .next()
            .ok_or_else(|| AwsError::unexpected(Operation::DescribeVpcs, format!("{vpc} is not in the answer")))
    }

    /// Those instances of `ids` that exist and are not terminated, sorted by id.
    ///
    /// # Errors
    /// Of the call; never because one is gone.
    pub async fn instances(&self, ids: &[InstanceId]) -> Result<Vec<Instance>, AwsError> {
        let shown = in_batches(ids, BATCH, |batch| async move {
            let wanted = &filter("instance-id", batch.iter().map(ToString::to_string));
            every_page(Operation::DescribeInstances, |token| async move {
                let request = self.ec2.describe_instances().filters(wanted.clone()).max_results(PAGE);
                let page = self.call(Operation::DescribeInstances, request.set_next_token(token).send()).await?;
                let instances = page.reservations.unwrap_or_default().into_iter().flat_map(|r| r.instances.unwrap_or_default());
                Ok((instances.collect(), page.next_token))
            })
            .await
        })
        .await?;
        let alive: Vec<_> = shown.into_iter().filter(convert::is_alive).collect();
        // One node whose interface is just being attached must not hide the others.
        let mut all = readable(&alive, convert::instance);
        all.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(all)
    }

    /// Those of `groups` that some network interface is a member of: they cannot be deleted yet.
    ///
    /// # Errors
    /// Of the call.
    pub async fn groups_in_use(&self, groups: &[SecurityGroupId]) -> Result<BTreeSet<SecurityGroupId>, AwsError> {
        let shown = in_batches(groups, BATCH, |batch| async move {
            let wanted = &filter("group-id", batch.iter().map(ToString::to_string));
            every_page(Operation::DescribeNetworkInterfaces, |token| async move {
                let request = self.ec2.describe_network_interfaces().filters(wanted.clone()).max_results(PAGE);
                let page = self.call(Operation::DescribeNetworkInterfaces, request.set_next_token(token).send()).await?;
                Ok((page.network_interfaces.unwrap_or_default(), page.next_token))
            })
            .await
        })
        .await?;
        let members: BTreeSet<SecurityGroupId> =
            shown.iter().flat_map(|interface| convert::group_ids(interface.groups())).collect();
        Ok(groups.iter().filter(|group| members.contains(group)).cloned().collect())
    }
}

fn filter(name: &str, values: impl IntoIterator<Item = String>) -> Filter {
    Filter::builder().name(name).set_values(Some(values.into_iter().collect())).build()
}

#[cfg(test)]
mod tests {
    use crate::aws::test_server::script;

    use super::*;

    fn page(id: &str, next: &str) -> (u16, String) {
        let group = format!("<item><groupId>{id}</groupId><groupName>n</groupName><vpcId>vpc-1</vpcId></item>");
        let list = format!("<securityGroupInfo>{group}</securityGroupInfo>{next}");
        (200, format!("<DescribeSecurityGroupsResponse>{list}</DescribeSecurityGroupsResponse>"))
    }

    #[tokio::test]
    async fn groups_are_filtered_by_aws_and_every_page_is_read() {
        let script = script(vec![page("sg-2", "<nextToken>t2</nextToken>"), page("sg-1", "")], |_| false).await;
        let which = SecurityGroupFilter::Tagged { vpc: "vpc-1".into(), key: "k".into(), value: "v".into() };
        let found = script.aws.security_groups(&which).await.unwrap();
        assert_eq!(found.iter().map(|group| group.id.as_str()).collect::<Vec<_>>(), ["sg-1", "sg-2"]);
        let requests = script.requests.lock().unwrap();
        for parameter in ["Filter.1.Name=vpc-id", "Filter.1.Value.1=vpc-1", "Filter.2.Name=tag%3Ak", "Filter.2.Value.1=v"] {
            assert!(requests.iter().all(|request| request.contains(parameter)), "{parameter}: {requests:?}");
        }
        assert!(requests[1].contains("NextToken=t2"), "{}", requests[1]);
    }

    #[tokio::test]
    async fn more_ids_than_a_filter_takes_are_asked_for_in_several_calls_and_none_in_no_call() {
        let script = script(vec![page("sg-1", "")], |_| false).await;
        let ids = (0..201).map(|number| SecurityGroupId::from(format!("sg-{number:04}"))).collect();
        script.aws.security_groups(&SecurityGroupFilter::Ids(ids)).await.unwrap();
        assert_eq!(script.meter.total(), 2);
        assert!(script.aws.security_groups(&SecurityGroupFilter::Ids(BTreeSet::new())).await.unwrap().is_empty());
        assert_eq!(script.meter.total(), 2);
    }
}
