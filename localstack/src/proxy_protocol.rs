//! PROXY protocol version 2 as network load balancers write it.
//!
//! Pure. A header always holds the same number of bytes: addresses, a CRC-32C of the whole header, padding (observed; the format is the
//! PROXY protocol's specification, §2.2). The data plane sends it before a client's bytes, `health/probe.rs` before its own.

use std::net::{IpAddr, SocketAddr};

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const PROXY: u8 = 0x21;
const LOCAL: u8 = 0x20;

const TYPE_CRC32C: u8 = 0x03;
const TYPE_NOOP: u8 = 0x04;

/// What follows the fixed part of a header, for IPv4 and for health checks (observed).
const LENGTH: usize = 84;

/// What follows the fixed part of a header with IPv6 addresses: the same padding and checksum after 24 bytes more of addresses.
const LENGTH_V6: usize = LENGTH + 24;

/// The header of a client's flow. `datagrams`: UDP instead of TCP.
pub(crate) fn header(client: SocketAddr, listener: SocketAddr, datagrams: bool) -> Vec<u8> {
    let protocol = if datagrams { 0x2 } else { 0x1 };
    let mut addresses = Vec::with_capacity(36);
    let (family, length) = match (client.ip(), listener.ip()) {
        (IpAddr::V4(client), IpAddr::V4(listener)) => {
            addresses.extend(client.octets());
            addresses.extend(listener.octets());
            (0x10, LENGTH)
        }
        (client, listener) => {
            for ip in [client, listener] {
                let ip = match ip {
                    IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                    IpAddr::V6(ip) => ip,
                };
                addresses.extend(ip.octets());
            }
            (0x20, LENGTH_V6)
        }
    };
    addresses.extend(client.port().to_be_bytes());
    addresses.extend(listener.port().to_be_bytes());
    sealed(PROXY, family | protocol, &addresses, length)
}

/// The header of a health check, which is about no client: no addresses, though the family says IPv4 (observed).
pub(crate) fn health_check() -> Vec<u8> {
    sealed(LOCAL, 0x11, &[], LENGTH)
}

fn sealed(command: u8, family: u8, addresses: &[u8], length: usize) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.extend([command, family]);
    header.extend(two_bytes(length));
    header.extend(addresses);
    let checksum_at = header.len() + 3;
    header.extend([TYPE_CRC32C, 0, 4, 0, 0, 0, 0, TYPE_NOOP]);
    let padding = (SIGNATURE.len() + 4 + length).saturating_sub(header.len() + 2);
    header.extend(two_bytes(padding));
    header.resize(header.len() + padding, 0);
    // Over the whole header, with zeros in the checksum's own place (§2.2.3).
    let checksum = crc32c(&header);
    if let Some(place) = header.get_mut(checksum_at..checksum_at + 4) {
        place.copy_from_slice(&checksum.to_be_bytes());
    }
    header
}

fn two_bytes(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}

/// CRC-32C (Castagnoli), bit by bit: a header is a hundred bytes, once for each connection.
fn crc32c(bytes: &[u8]) -> u32 {
    let of_byte = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 })
    };
    !bytes.iter().fold(u32::MAX, of_byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_crc32c() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    /// A health check's header as somebody captured it from a real load balancer (kubernetes/kubernetes#57250), checksum included.
    #[test]
    fn a_health_check_is_what_was_observed() {
        let mut captured =
            b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a\x20\x11\x00\x54\x03\x00\x04\xbc\xe5\x95\x1f\x04\x00\x4a".to_vec();
        captured.resize(100, 0);
        assert_eq!(health_check(), captured);
    }

    #[test]
    fn a_header_names_both_ends_and_is_padded() {
        let (client, listener) = ("192.0.2.7:1025".parse().unwrap(), "10.20.128.4:443".parse().unwrap());
        let tcp = header(client, listener, false);
        assert_eq!((tcp.len(), &tcp[12..16]), (100, &[0x21, 0x11, 0, 84][..]));
        assert_eq!(tcp[16..28], [192, 0, 2, 7, 10, 20, 128, 4, 4, 1, 1, 187]);
        assert_eq!((&tcp[28..31], &tcp[35..38]), (&[3, 0, 4][..], &[4, 0, 62][..]));
        assert_eq!(header(client, listener, true)[13], 0x12);
        let six = header("[2001:db8::1]:1".parse().unwrap(), "[2001:db8::2]:258".parse().unwrap(), false);
        assert_eq!((six.len(), &six[12..16], &six[50..52]), (124, &[0x21, 0x21, 0, 108][..], &[1, 2][..]));
    }
}
