//! A VPC described, to be put into an account by one call: [`crate::Region::seed`] or `POST /_landfall/seed`.
//!
//! A [`World`] is known to be sound: it is read from JSON or YAML, or made from a [`WorldSpec`], only after everything in it has been checked.
//! `world/seed.rs` puts it into an account. Imports nothing of the crate.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

mod file;
mod seed;

pub use file::{PlacedWorld, WorldFileError, read_worlds};
pub(crate) use seed::seed;

/// What a [`World`] is made of. All texts that refer to something refer to its `name`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorldSpec {
    /// Tells worlds of one account apart; identifiers are derived from it. Seeding a name again adds what is new and changes nothing else.
    pub name: String,
    /// CIDR blocks of the VPC, the primary one first.
    pub cidrs: Vec<Ipv4Net>,
    /// Tags of the VPC.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Whether the VPC has an internet gateway.
    #[serde(default)]
    pub internet_gateway: bool,
    /// Whether the VPC has an IPv6 block, and each subnet a /64 of it. At most 256 subnets then.
    #[serde(default)]
    pub ipv6: bool,
    /// Subnets.
    #[serde(default)]
    pub subnets: Vec<SubnetSpec>,
    /// Security groups, besides the VPC's `default`.
    #[serde(default)]
    pub security_groups: Vec<SecurityGroupSpec>,
    /// Instances.
    #[serde(default)]
    pub instances: Vec<InstanceSpec>,
}

/// A subnet of a [`WorldSpec`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubnetSpec {
    /// Its name, also its `Name` tag.
    pub name: String,
    /// Its availability zone, `us-west-2a`.
    pub zone: String,
    /// Its CIDR block, within one of the VPC.
    pub cidr: Ipv4Net,
    /// Whether its route table leads to the internet gateway.
    #[serde(default)]
    pub public: bool,
    /// Tags, besides `Name`.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// A security group of a [`WorldSpec`]. It lets everything out and nothing in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecurityGroupSpec {
    /// Its group name.
    pub name: String,
    /// Its description.
    #[serde(default)]
    pub description: String,
    /// Tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// An instance of a [`WorldSpec`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceSpec {
    /// Its name, also its `Name` tag.
    pub name: String,
    /// Its id, `i-` and 17 hexadecimal digits; derived from the name when absent.
    #[serde(default)]
    pub id: Option<String>,
    /// The name of its subnet.
    pub subnet: String,
    /// Its primary private address, within the subnet.
    pub address: Ipv4Addr,
    /// Names of its security groups.
    #[serde(default)]
    pub security_groups: Vec<String>,
    /// Tags, besides `Name`.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// A VPC described, known to be sound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WorldSpec", into = "WorldSpec")]
pub struct World(WorldSpec);

/// What [`World::three_zones`] leaves open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorldOptions {
    /// The cluster whose nodes the instances are: their security group has the tag `kubernetes.io/cluster/<name>=owned`.
    pub cluster_name: String,
    /// The region of the three zones.
    pub region: String,
    /// The VPC's primary CIDR, /16; the nodes are in its subnets .1, .2 and .3.
    pub vpc_cidr: Ipv4Net,
    /// Where load balancers get their addresses; a secondary CIDR of the VPC when it is not part of the primary one.
    pub load_balancer_cidr: Ipv4Net,
}

impl Default for WorldOptions {
    fn default() -> Self {
        Self {
            cluster_name: "landfall".to_owned(),
            region: "us-west-2".to_owned(),
            vpc_cidr: Ipv4Net::new_assert(Ipv4Addr::new(10, 20, 0, 0), 16),
            load_balancer_cidr: Ipv4Net::new_assert(Ipv4Addr::new(10, 20, 128, 0), 17),
        }
    }
}

/// What is wrong with a [`WorldSpec`]; each message names the entry and the fix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorldError {
    /// A VPC needs an address range.
    #[error("the world '{0}' has no CIDR block: give at least one in `cidrs`")]
    NoCidr(String),
    /// Two entries of one kind with one name, or with one instance id.
    #[error("{kind} '{name}' appears twice: names are unique within a world")]
    Twice {
        /// `subnet`, `security group`, `instance`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A reference to something that is not there.
    #[error("instance '{instance}' refers to {kind} '{name}', which the world does not have")]
    Unknown {
        /// The instance.
        instance: String,
        /// `subnet` or `security group`.
        kind: &'static str,
        /// What it refers to.
        name: String,
    },
    /// A subnet outside of the VPC, or not between /16 and /28, or with host bits set.
    #[error("subnet '{subnet}': {cidr} is not a block from /16 to /28 within the VPC's `cidrs`")]
    SubnetRange {
        /// The subnet.
        subnet: String,
        /// Its CIDR block.
        cidr: Ipv4Net,
    },
    /// Two subnets that share addresses.
    #[error("subnets '{one}' and '{other}' overlap")]
    Overlap {
        /// The one.
        one: String,
        /// The other.
        other: String,
    },
    /// An instance outside of its subnet, or on an address that another one has.
    #[error("instance '{instance}': address {address} is not in its subnet, reserved there or already given")]
    Address {
        /// The instance.
        instance: String,
        /// Its address.
        address: Ipv4Addr,
    },
    /// An instance id of another form than AWS's.
    #[error("instance '{instance}': id '{id}' is not `i-` and 17 hexadecimal digits")]
    InstanceId {
        /// The instance.
        instance: String,
        /// Its id.
        id: String,
    },
    /// More subnets than a VPC's IPv6 block has room for.
    #[error("the world '{0}' has more than 256 subnets, too many for `ipv6`")]
    TooManyForIpv6(String),
    /// A public subnet in a VPC without a gateway.
    #[error("subnet '{0}' is public: set `internet_gateway` to true")]
    NoGateway(String),
}

impl World {
    /// Checks a description.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn new(spec: WorldSpec) -> Result<Self, WorldError> {
        check(&spec)?;
        Ok(Self(spec))
    }

    /// The description.
    #[must_use]
    pub fn spec(&self) -> &WorldSpec {
        &self.0
    }

    /// A VPC in three zones as an EKS cluster has it: in each zone a private node subnet with one instance (`i-00000000000000001` and so on
    /// at .10), a public subnet for internet-facing load balancers (tag `kubernetes.io/role/elb=1`) and an internal one
    /// (`kubernetes.io/role/internal-elb=1`).
    #[must_use]
    pub fn three_zones(options: WorldOptions) -> Self {
        let WorldOptions { cluster_name, region, vpc_cidr, load_balancer_cidr } = options;
        let mut cidrs = vec![vpc_cidr];
        if !vpc_cidr.contains(&load_balancer_cidr) {
            cidrs.push(load_balancer_cidr);
        }
        let tag = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        let zones: Vec<String> = ["a", "b", "c"].iter().map(|letter| format!("{region}{letter}")).collect();
        let [first, second, _, _] = vpc_cidr.network().octets();
        let node_net = |number: u8, host: u8| Ipv4Addr::new(first, second, number, host);
        // /20 each, or an eighth where there is less room.
        let size = load_balancer_cidr.prefix_len().saturating_add(3).max(20);
        let mut blocks = load_balancer_cidr.subnets(size).into_iter().flatten();

        let mut subnets = Vec::new();
        let mut instances = Vec::new();
        for (number, zone) in (1u8..).zip(&zones) {
            let name = format!("nodes-{zone}");
            let cidr = Ipv4Net::new(node_net(number, 0), 24).unwrap_or(vpc_cidr);
            subnets.push(SubnetSpec { name: name.clone(), zone: zone.clone(), cidr, public: false, tags: BTreeMap::new() });
            instances.push(InstanceSpec {
                name: format!("node-{number}"),
                id: Some(format!("i-{number:017x}")),
                subnet: name,
                address: node_net(number, 10),
                security_groups: vec!["nodes".to_owned()],
                tags: tag(&format!("kubernetes.io/cluster/{cluster_name}"), "owned"),
            });
        }
        for (kind, role, public) in [("public", "elb", true), ("internal", "internal-elb", false)] {
            for (zone, cidr) in zones.iter().zip(&mut blocks) {
                let tags = tag(&format!("kubernetes.io/role/{role}"), "1");
                subnets.push(SubnetSpec { name: format!("{kind}-{zone}"), zone: zone.clone(), cidr, public, tags });
            }
        }
        Self(WorldSpec {
            security_groups: vec![SecurityGroupSpec {
                name: "nodes".to_owned(),
                description: format!("Nodes of {cluster_name}"),
                tags: tag(&format!("kubernetes.io/cluster/{cluster_name}"), "owned"),
            }],
            tags: tag("Name", &cluster_name),
            name: cluster_name,
            cidrs,
            internet_gateway: true,
            ipv6: false,
            subnets,
            instances,
        })
    }
}

impl TryFrom<WorldSpec> for World {
    type Error = WorldError;

    fn try_from(spec: WorldSpec) -> Result<Self, WorldError> {
        Self::new(spec)
    }
}

impl From<World> for WorldSpec {
    fn from(world: World) -> Self {
        world.0
    }
}

/// What [`crate::Region::seed`] made or found: identifiers by the names of the [`WorldSpec`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seeded {
    /// The VPC.
    pub vpc_id: String,
    /// Subnet ids by name.
    pub subnets: BTreeMap<String, String>,
    /// Security-group ids by name.
    pub security_groups: BTreeMap<String, String>,
    /// Instance ids by name.
    pub instances: BTreeMap<String, String>,
}

fn unique<'a>(kind: &'static str, names: impl IntoIterator<Item = &'a str>) -> Result<BTreeSet<&'a str>, WorldError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(WorldError::Twice { kind, name: name.to_owned() });
        }
    }
    Ok(seen)
}

fn check(spec: &WorldSpec) -> Result<(), WorldError> {
    if spec.cidrs.is_empty() {
        return Err(WorldError::NoCidr(spec.name.clone()));
    }
    if spec.ipv6 && spec.subnets.len() > 256 {
        return Err(WorldError::TooManyForIpv6(spec.name.clone()));
    }
    unique("subnet", spec.subnets.iter().map(|subnet| subnet.name.as_str()))?;
    for (at, subnet) in spec.subnets.iter().enumerate() {
        let cidr = subnet.cidr;
        let inside = spec.cidrs.iter().any(|own| own.contains(&cidr));
        if !inside || !(16..=28).contains(&cidr.prefix_len()) || cidr.trunc() != cidr {
            return Err(WorldError::SubnetRange { subnet: subnet.name.clone(), cidr });
        }
        if let Some(other) =
            spec.subnets.iter().skip(at + 1).find(|other| other.cidr.contains(&cidr) || cidr.contains(&other.cidr))
        {
            return Err(WorldError::Overlap { one: subnet.name.clone(), other: other.name.clone() });
        }
        if subnet.public && !spec.internet_gateway {
            return Err(WorldError::NoGateway(subnet.name.clone()));
        }
    }
    let groups = unique("security group", spec.security_groups.iter().map(|group| group.name.as_str()))?;
    unique("instance", spec.instances.iter().map(|instance| instance.name.as_str()))?;
    unique("instance", spec.instances.iter().filter_map(|instance| instance.id.as_deref()))?;
    let mut given = BTreeSet::new();
    for instance in &spec.instances {
        check_instance(instance, spec, &groups)?;
        if !given.insert(instance.address) {
            return Err(WorldError::Address { instance: instance.name.clone(), address: instance.address });
        }
    }
    Ok(())
}

fn check_instance(instance: &InstanceSpec, spec: &WorldSpec, groups: &BTreeSet<&str>) -> Result<(), WorldError> {
    let named = || instance.name.clone();
    let unknown = |kind, name: &str| WorldError::Unknown { instance: named(), kind, name: name.to_owned() };
    let subnet =
        spec.subnets.iter().find(|subnet| subnet.name == instance.subnet).ok_or_else(|| unknown("subnet", &instance.subnet))?;
    if let Some(group) = instance.security_groups.iter().find(|group| !groups.contains(group.as_str())) {
        return Err(unknown("security group", group));
    }
    let offset = u32::from(instance.address).wrapping_sub(u32::from(subnet.cidr.network()));
    if !subnet.cidr.contains(&instance.address) || offset < 4 || instance.address == subnet.cidr.broadcast() {
        return Err(WorldError::Address { instance: named(), address: instance.address });
    }
    let hexadecimal = |digits: &str| digits.len() == 17 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Some(id) = instance.id.as_ref().filter(|id| !id.strip_prefix("i-").is_some_and(hexadecimal)) {
        return Err(WorldError::InstanceId { instance: named(), id: id.clone() });
    }
    Ok(())
}
