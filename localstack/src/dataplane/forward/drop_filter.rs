//! Lets the kernel drop the connection attempts of clients that may not get through, so that they see no answer instead of an open
//! connection.
//!
//! A classic BPF program on the listening socket (Linux, no privilege needed). It may let too much through where it cannot be exact:
//! `connection.rs` looks again. Imports `socket2`.

use tokio::net::TcpListener;

use crate::address_map::AddressMap;
use crate::firewall::Sources;

/// Makes a listener drop packets from all but these clients.
#[cfg(target_os = "linux")]
pub(super) fn attach(listener: &TcpListener, clients: &Sources, addresses: &AddressMap) {
    if !listener.local_addr().is_ok_and(|address| address.is_ipv4()) {
        return;
    }
    let program = match clients {
        Sources::Any => linux::accept_all(),
        Sources::Only(blocks) => {
            let local: Vec<_> = blocks.iter().flat_map(|block| addresses.blocks_to_local(*block)).collect();
            linux::accept(&local)
        }
    };
    if let Err(error) = socket2::SockRef::from(listener).attach_filter(&program) {
        tracing::debug!(%error, "refused clients will see a connection without an answer instead of none");
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn attach(_: &TcpListener, _: &Sources, _: &AddressMap) {}

#[cfg(target_os = "linux")]
mod linux {
    use ipnet::{IpNet, Ipv4Net};
    use socket2::SockFilter;

    // Instructions of classic BPF (Linux, Documentation/networking/filter.rst).
    const LOAD_WORD: u16 = 0x20;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const COPY_TO_X: u16 = 0x07;
    const COPY_FROM_X: u16 = 0x87;
    const RETURN: u16 = 0x06;

    /// Offsets from here on count from the network header (SKF_NET_OFF, -0x100000).
    const NETWORK_HEADER: u32 = 0xfff0_0000;
    const SOURCE_V4: u32 = NETWORK_HEADER + 12;

    /// The kernel's limit is 4,096 instructions; a block takes four.
    const MOST_BLOCKS: usize = 1000;

    const fn accept_packet() -> SockFilter {
        SockFilter::new(RETURN, 0, 0, u32::MAX)
    }

    pub(super) fn accept_all() -> Vec<SockFilter> {
        vec![accept_packet()]
    }

    /// Drops packets whose IPv4 source is in none of the blocks.
    pub(super) fn accept(blocks: &[IpNet]) -> Vec<SockFilter> {
        let blocks: Vec<Ipv4Net> =
            blocks.iter().filter_map(|block| if let IpNet::V4(block) = block { Some(*block) } else { None }).collect();
        if blocks.len() > MOST_BLOCKS {
            return accept_all();
        }
        let mut program = vec![SockFilter::new(LOAD_WORD, 0, 0, SOURCE_V4), SockFilter::new(COPY_TO_X, 0, 0, 0)];
        for block in blocks {
            program.extend([
                SockFilter::new(COPY_FROM_X, 0, 0, 0),
                SockFilter::new(AND, 0, 0, block.netmask().into()),
                SockFilter::new(JUMP_IF_EQUAL, 0, 1, block.network().into()),
                accept_packet(),
            ]);
        }
        program.push(SockFilter::new(RETURN, 0, 0, 0));
        program
    }
}
