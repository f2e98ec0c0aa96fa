//! Where the addresses of a VPC are on this machine: `10.20.0.0/16=127.20.0.0/16` for machines on which they cannot be bound.
//!
//! Plain data; imports nothing of the crate. The API speaks of VPC addresses only; sockets, probes and DNS answers go through the map
//! (`dataplane.rs`, `health.rs`, `lib.rs` for DNS).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;

/// Pairs of equally large address ranges: in a VPC, and where they are on this machine. Empty: every address is itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressMap(Vec<(IpNet, IpNet)>);

/// Why a text is not an [`AddressMap`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressMapError {
    /// No two CIDR blocks with an equals sign between them.
    #[error("'{0}' is not VPC-CIDR=LOCAL-CIDR, for example 10.20.0.0/16=127.20.0.0/16")]
    NotAPair(String),
    /// Blocks of different size or family.
    #[error("{0} and {1} are not equally large: each address of the one needs its own in the other")]
    Unequal(IpNet, IpNet),
    /// A block shares addresses with another one on its side.
    #[error("{0} and {1} overlap: each address can be mapped once only")]
    Overlap(IpNet, IpNet),
}

impl FromStr for AddressMap {
    type Err = AddressMapError;

    /// Reads `10.20.0.0/16=127.20.0.0/16`, several with commas between them.
    fn from_str(text: &str) -> Result<Self, AddressMapError> {
        let mut pairs: Vec<(IpNet, IpNet)> = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let wrong = || AddressMapError::NotAPair(part.to_owned());
            let (vpc, local) = part.split_once('=').ok_or_else(wrong)?;
            let read = |text: &str| text.trim().parse::<IpNet>().map(|net| net.trunc()).map_err(|_| wrong());
            let (vpc, local) = (read(vpc)?, read(local)?);
            if (vpc.prefix_len(), vpc.addr().is_ipv4()) != (local.prefix_len(), local.addr().is_ipv4()) {
                return Err(AddressMapError::Unequal(vpc, local));
            }
            let overlap = |one: IpNet, other: IpNet| one.contains(&other) || other.contains(&one);
            for (other_vpc, other_local) in &pairs {
                for (one, other) in [(vpc, *other_vpc), (local, *other_local)] {
                    if overlap(one, other) {
                        return Err(AddressMapError::Overlap(one, other));
                    }
                }
            }
            pairs.push((vpc, local));
        }
        Ok(Self(pairs))
    }
}

impl std::fmt::Display for AddressMap {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pairs: Vec<String> = self.0.iter().map(|(vpc, local)| format!("{vpc}={local}")).collect();
        out.write_str(&pairs.join(","))
    }
}

impl AddressMap {
    /// Where a VPC's address is on this machine.
    #[must_use]
    pub fn to_local(&self, address: IpAddr) -> IpAddr {
        self.0.iter().find_map(|(vpc, local)| moved(address, vpc, local)).unwrap_or(address)
    }

    /// The VPC's address that an address of this machine stands for.
    #[must_use]
    pub fn to_vpc(&self, address: IpAddr) -> IpAddr {
        self.0.iter().find_map(|(vpc, local)| moved(address, local, vpc)).unwrap_or(address)
    }

    /// The blocks in which the addresses of a VPC's block may be met on this machine: at least those, perhaps more.
    pub(crate) fn blocks_to_local(&self, block: IpNet) -> impl Iterator<Item = IpNet> {
        let mapped = self.0.iter().filter_map(move |(vpc, local)| {
            if block.contains(vpc) {
                return Some(*local);
            }
            let address = vpc.contains(&block).then(|| moved(block.network(), vpc, local)).flatten()?;
            IpNet::new(address, block.prefix_len()).ok()
        });
        std::iter::once(block).chain(mapped)
    }
}

/// `address` of block `from` at its place in block `to`; `None` when it is not of `from`.
fn moved(address: IpAddr, from: &IpNet, to: &IpNet) -> Option<IpAddr> {
    if !from.contains(&address) {
        return None;
    }
    match (address, from.hostmask(), to.network()) {
        (IpAddr::V4(address), IpAddr::V4(host), IpAddr::V4(net)) => {
            Some(Ipv4Addr::from(u32::from(address) & u32::from(host) | u32::from(net)).into())
        }
        (IpAddr::V6(address), IpAddr::V6(host), IpAddr::V6(net)) => {
            Some(Ipv6Addr::from(u128::from(address) & u128::from(host) | u128::from(net)).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_keep_their_place_in_the_block() {
        let map: AddressMap = "10.20.0.0/16=127.20.0.0/16, 10.21.128.0/17=127.30.0.0/17,fd00::/64=fd01::/64".parse().unwrap();
        for (vpc, local) in [("10.20.3.4", "127.20.3.4"), ("10.21.129.5", "127.30.1.5"), ("fd00::7", "fd01::7")] {
            assert_eq!((map.to_local(ip(vpc)), map.to_vpc(ip(local))), (ip(local), ip(vpc)));
        }
        assert_eq!(map.to_local(ip("10.21.127.5")), ip("10.21.127.5"));
        assert_eq!(map.to_string().parse::<AddressMap>().unwrap(), map);
        assert_eq!(AddressMap::default().to_local(ip("10.20.3.4")), ip("10.20.3.4"));
    }

    #[test]
    fn blocks_are_found_where_their_addresses_are() {
        let map: AddressMap = "10.20.0.0/16=127.20.0.0/16".parse().unwrap();
        let local = |block: &str| map.blocks_to_local(block.parse().unwrap()).map(|net| net.to_string()).collect::<Vec<_>>();
        assert_eq!(local("10.20.5.0/24"), ["10.20.5.0/24", "127.20.5.0/24"]);
        assert_eq!(local("10.0.0.0/8"), ["10.0.0.0/8", "127.20.0.0/16"]);
        assert_eq!(local("192.0.2.0/24"), ["192.0.2.0/24"]);
    }

    #[test]
    fn what_is_no_map_is_refused_and_named() {
        let error = |text: &str| text.parse::<AddressMap>().unwrap_err().to_string();
        assert!(error("10.20.0.0/16").contains("'10.20.0.0/16'"));
        assert!(error("10.20.0.0/16=localhost").contains("VPC-CIDR=LOCAL-CIDR"));
        assert!(error("10.20.0.0/16=127.20.0.0/17").contains("equally large"));
        assert!(error("10.20.0.0/16=::/16").contains("equally large"));
        assert!(error("10.0.0.0/16=127.20.0.0/16,10.1.0.0/16=127.20.0.0/16").contains("overlap"));
    }
}
