//! Attributes of VPCs, subnets and the account.
//!
//! Imports `network` for the kinds of resources.

use super::network::{SUBNETS, VPCS};
use crate::error::ApiError;
use crate::service::{Action, Call};
use crate::xml::Xml;

pub(super) const ACTIONS: &[Action] = &[
    Action {
        name: "DescribeVpcAttribute",
        parameters: &["VpcId!", "Attribute:enableDnsSupport|enableDnsHostnames!", "DryRun:bool"],
        run: describe_vpc,
    },
    Action {
        name: "ModifyVpcAttribute",
        parameters: &["VpcId!", "EnableDnsSupport.Value:bool", "EnableDnsHostnames.Value:bool"],
        run: modify_vpc,
    },
    Action { name: "ModifySubnetAttribute", parameters: &["SubnetId!", "MapPublicIpOnLaunch.Value:bool!"], run: modify_subnet },
    Action {
        name: "DescribeAccountAttributes",
        parameters: &["AttributeName.#:supported-platforms|default-vpc", "DryRun:bool"],
        run: describe_account,
    },
];

fn describe_vpc(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let id = call.params.required("VpcId");
    let vpc = call.state.network.vpcs.get(id).ok_or_else(|| VPCS.no(id))?;
    let attribute = call.params.required("Attribute");
    let value = if attribute == "enableDnsSupport" { vpc.dns_support } else { vpc.dns_hostnames };
    out.text("vpcId", id);
    out.within(attribute, |xml| xml.text("value", value));
    Ok(())
}

fn modify_vpc(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let params = call.params;
    let id = params.required("VpcId");
    let vpc = call.state.network.vpcs.get_mut(id).ok_or_else(|| VPCS.no(id))?;
    let (support, hostnames) = (params.truth("EnableDnsSupport.Value"), params.truth("EnableDnsHostnames.Value"));
    match (support, hostnames) {
        (None, None) => return Err(ApiError::new("MissingParameter", "The request must contain one attribute")),
        // "To modify the DNS hostnames and DNS support attributes at the same time, use two calls" (API reference).
        (Some(_), Some(_)) => {
            return Err(ApiError::new("InvalidParameterCombination", "Only one attribute can be modified at a time"));
        }
        (Some(support), None) => vpc.dns_support = support,
        (None, Some(true)) if !vpc.dns_support => {
            let message = format!("DNS hostnames need DNS support, which is disabled for {id} (enableDnsSupport)");
            return Err(ApiError::new("InvalidParameterCombination", message));
        }
        (None, Some(hostnames)) => vpc.dns_hostnames = hostnames,
    }
    out.text("return", true);
    Ok(())
}

fn modify_subnet(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let id = call.params.required("SubnetId");
    let subnet = call.state.network.subnets.get_mut(id).ok_or_else(|| SUBNETS.no(id))?;
    subnet.map_public_ip = call.params.truth("MapPublicIpOnLaunch.Value") == Some(true);
    out.text("return", true);
    Ok(())
}

fn describe_account(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let asked = call.params.texts("AttributeName");
    // These accounts have no default VPC and never had EC2-Classic.
    let known = [("default-vpc", "none"), ("supported-platforms", "VPC")];
    let wanted = known.into_iter().filter(|(name, _)| asked.is_empty() || asked.contains(name));
    out.list("accountAttributeSet", wanted, |xml, (name, value)| {
        xml.text("attributeName", name);
        xml.list("attributeValueSet", [value], |xml, value| xml.text("attributeValue", value));
    });
    Ok(())
}
