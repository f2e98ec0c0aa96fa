//! The permissions of an Authorize or Revoke call, as rules.
//!
//! Imports `model`, `query`, `error`. A permission names one protocol and port range and any number of peers; each peer is one rule.

use ipnet::{Ipv4Net, Ipv6Net};

use super::prefix_lists;
use crate::error::ApiError;
use crate::model::network::{Network, Peer, SecurityGroup, Traffic};
use crate::query::Params;

/// Parameters of `AuthorizeSecurityGroupIngress` and `…Egress`.
pub(super) const AUTHORIZE: &[&str] = &[
    "GroupId!",
    "IpProtocol",
    "FromPort:int",
    "ToPort:int",
    "CidrIp",
    "IpPermissions.#.IpProtocol",
    "IpPermissions.#.FromPort:int",
    "IpPermissions.#.ToPort:int",
    "IpPermissions.#.IpRanges.#.CidrIp",
    "IpPermissions.#.IpRanges.#.Description",
    "IpPermissions.#.Ipv6Ranges.#.CidrIpv6",
    "IpPermissions.#.Ipv6Ranges.#.Description",
    "IpPermissions.#.Groups.#.GroupId",
    "IpPermissions.#.Groups.#.UserId",
    "IpPermissions.#.Groups.#.Description",
    "IpPermissions.#.PrefixListIds.#.PrefixListId",
    "IpPermissions.#.PrefixListIds.#.Description",
    "TagSpecification.#.ResourceType",
    "TagSpecification.#.Tag.#.Key",
    "TagSpecification.#.Tag.#.Value",
    "DryRun:bool",
];

/// Parameters of `RevokeSecurityGroupIngress` and `…Egress`.
pub(super) const REVOKE: &[&str] = &[
    "GroupId!",
    "SecurityGroupRuleId.#",
    "IpProtocol",
    "FromPort:int",
    "ToPort:int",
    "CidrIp",
    "IpPermissions.#.IpProtocol",
    "IpPermissions.#.FromPort:int",
    "IpPermissions.#.ToPort:int",
    "IpPermissions.#.IpRanges.#.CidrIp",
    "IpPermissions.#.IpRanges.#.Description",
    "IpPermissions.#.Ipv6Ranges.#.CidrIpv6",
    "IpPermissions.#.Ipv6Ranges.#.Description",
    "IpPermissions.#.Groups.#.GroupId",
    "IpPermissions.#.Groups.#.UserId",
    "IpPermissions.#.Groups.#.Description",
    "IpPermissions.#.PrefixListIds.#.PrefixListId",
    "IpPermissions.#.PrefixListIds.#.Description",
    "DryRun:bool",
];

/// One rule as asked for.
pub(super) struct Asked {
    pub(super) traffic: Traffic,
    pub(super) description: Option<String>,
}

/// Reads the permissions of a call, or its single one in the older, flat spelling.
pub(super) fn read(params: &Params, network: &Network, group: &SecurityGroup) -> Result<Vec<Asked>, ApiError> {
    let mut asked = Vec::new();
    for permission in params.items("IpPermissions") {
        let (protocol, ports) = read_ports(permission)?;
        let before = asked.len();
        for range in permission.items("IpRanges") {
            asked.push(rule(&protocol, ports, Peer::V4(read_v4(range.required("CidrIp"))?), range)?);
        }
        for range in permission.items("Ipv6Ranges") {
            asked.push(rule(&protocol, ports, Peer::V6(read_v6(range.required("CidrIpv6"))?), range)?);
        }
        for peer in permission.items("Groups") {
            asked.push(rule(&protocol, ports, read_group(peer.required("GroupId"), network, group)?, peer)?);
        }
        for list in permission.items("PrefixListIds") {
            asked.push(rule(&protocol, ports, read_prefix_list(list.required("PrefixListId"), network)?, list)?);
        }
        if asked.len() == before {
            return Err(ApiError::new(
                "InvalidParameterCombination",
                "A permission needs a peer: IpRanges, Ipv6Ranges, Groups or PrefixListIds",
            ));
        }
    }
    if params.has("IpProtocol") || params.has("CidrIp") {
        let (protocol, ports) = read_ports(params)?;
        let cidr = params
            .text("CidrIp")
            .ok_or_else(|| ApiError::new("MissingParameter", "The request must contain the parameter CidrIp"))?;
        asked.push(Asked { traffic: Traffic { protocol, ports, peer: Peer::V4(read_v4(cidr)?) }, description: None });
    }
    Ok(asked)
}

fn rule(protocol: &str, ports: Option<(i64, i64)>, peer: Peer, described: &Params) -> Result<Asked, ApiError> {
    let description = described.text("Description").map(check_description).transpose()?;
    Ok(Asked { traffic: Traffic { protocol: protocol.to_owned(), ports, peer }, description })
}

/// Checks a description of a rule or group: up to 255 characters of the set that EC2 allows.
pub(super) fn check_description(text: &str) -> Result<String, ApiError> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || " ._-:/()#,@[]+=&;{}!$*".contains(letter);
    if text.chars().count() > 255 || !text.chars().all(fits) {
        return Err(ApiError::parameter_value(format!(
            "Invalid description '{text}'. Valid descriptions are strings less than 256 characters from the following set: a-zA-Z0-9. _-:/()#,@[]+=&;{{}}!$*"
        )));
    }
    Ok(text.to_owned())
}

/// Reads `IpProtocol`, `FromPort` and `ToPort` of a permission or a rule.
pub(super) fn read_ports(params: &Params) -> Result<(String, Option<(i64, i64)>), ApiError> {
    let protocol = match params.required("IpProtocol").to_ascii_lowercase().as_str() {
        "" => return Err(ApiError::new("MissingParameter", "The request must contain the parameter IpProtocol")),
        "tcp" | "6" => "tcp".to_owned(),
        "udp" | "17" => "udp".to_owned(),
        "icmp" | "1" => "icmp".to_owned(),
        "icmpv6" | "58" => "icmpv6".to_owned(),
        "-1" | "all" => "-1".to_owned(),
        number if number.parse::<u8>().is_ok() => number.to_owned(),
        other => return Err(ApiError::parameter_value(format!("Invalid value '{other}' for IP protocol. Unknown protocol."))),
    };
    let (from, to) = (params.number("FromPort"), params.number("ToPort"));
    let ports = match protocol.as_str() {
        "tcp" | "udp" => {
            let (Some(from), Some(to)) = (from, to) else {
                return Err(ApiError::parameter_value(format!("Protocol {protocol} needs FromPort and ToPort")));
            };
            if !(0..=65535).contains(&from) || !(from..=65535).contains(&to) {
                let message = format!("Invalid port range {from} to {to}: ports are from 0 to 65535, FromPort not above ToPort");
                return Err(ApiError::parameter_value(message));
            }
            Some((from, to))
        }
        "icmp" | "icmpv6" => Some((from.unwrap_or(-1), to.unwrap_or(-1))),
        // For all protocols and for other numbers AWS allows all traffic whatever ports are given.
        _ => None,
    };
    Ok((protocol, ports))
}

/// An IPv4 CIDR; AWS drops host bits silently.
pub(super) fn read_v4(text: &str) -> Result<Ipv4Net, ApiError> {
    text.parse::<Ipv4Net>()
        .map(|cidr| cidr.trunc())
        .map_err(|_| ApiError::parameter_value(format!("CIDR block {text} is malformed")))
}

/// An IPv6 CIDR; AWS drops host bits silently.
pub(super) fn read_v6(text: &str) -> Result<Ipv6Net, ApiError> {
    text.parse::<Ipv6Net>()
        .map(|cidr| cidr.trunc())
        .map_err(|_| ApiError::parameter_value(format!("CIDR block {text} is malformed")))
}

/// A prefix list as the peer of a rule.
pub(super) fn read_prefix_list(id: &str, network: &Network) -> Result<Peer, ApiError> {
    network.prefix_lists.get(id).map(|list| Peer::PrefixList(list.id.clone())).ok_or_else(|| prefix_lists::KIND.no(id))
}

/// A group as the peer of a rule of another group of the same VPC.
pub(super) fn read_group(id: &str, network: &Network, group: &SecurityGroup) -> Result<Peer, ApiError> {
    match network.security_groups.get(id) {
        Some(peer) if peer.vpc_id == group.vpc_id => Ok(Peer::Group(id.to_owned())),
        Some(_) => {
            let message = format!("You have specified two resources that belong to different networks: {id} and {}", group.id);
            Err(ApiError::new("InvalidGroup.NotFound", message))
        }
        None => Err(ApiError::new("InvalidGroup.NotFound", format!("The security group '{id}' does not exist"))),
    }
}
