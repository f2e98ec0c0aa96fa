//! The PROXY protocol header (versions 1 and 2) that a load balancer puts before a connection's first byte.
//!
//! Pure: bytes → [`Header`]. `connection` reads the bytes and decides whose headers are believed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Longest header of version 1, its line end included.
pub const V1_LIMIT: usize = 107;

/// Longest header of version 2: 16 bytes, and what follows them.
pub const V2_LIMIT: usize = 16 + 4096;

const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// The sender speaks for itself (a health check), or does not know the client: the connection's own addresses count.
    Local,
    /// A connection of somebody else.
    Proxied {
        /// The client.
        source: SocketAddr,
        /// What the client connected to.
        destination: SocketAddr,
    },
}

/// Not a PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Neither version's first bytes.
    #[error("no PROXY header")]
    Missing,
    /// Version 1 does not keep to its form.
    #[error("malformed PROXY v1 header")]
    V1,
    /// Version 2 does not keep to its form.
    #[error("malformed PROXY v2 header")]
    V2,
    /// Longer than is read ([`V1_LIMIT`], [`V2_LIMIT`]).
    #[error("PROXY header too long")]
    TooLong,
}

/// Reads a header at the start of `bytes`: it and its length, or none if more bytes are needed.
///
/// # Errors
/// No further byte could make it a header.
pub fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, Malformed> {
    let starts = |signature: &[u8]| bytes.iter().zip(signature).all(|(have, want)| have == want);
    if starts(V2_SIGNATURE) {
        if bytes.len() < V2_SIGNATURE.len() { Ok(None) } else { v2(bytes) }
    } else if starts(b"PROXY ") {
        v1(bytes)
    } else {
        Err(Malformed::Missing)
    }
}

fn v1(bytes: &[u8]) -> Result<Option<(Header, usize)>, Malformed> {
    let Some(end) = bytes.iter().take(V1_LIMIT).position(|byte| *byte == b'\n') else {
        return if bytes.len() < V1_LIMIT { Ok(None) } else { Err(Malformed::TooLong) };
    };
    let line = bytes.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(Malformed::V1)?;
    let line = std::str::from_utf8(line).map_err(|_| Malformed::V1)?;
    let header = line.strip_prefix("PROXY ").and_then(v1_addresses).ok_or(Malformed::V1)?;
    Ok(Some((header, end + 1)))
}

fn v1_addresses(text: &str) -> Option<Header> {
    if text == "UNKNOWN" || text.starts_with("UNKNOWN ") {
        return Some(Header::Local);
    }
    let mut words = text.split(' ');
    let family = words.next()?;
    let mut address = || {
        let text = words.next()?;
        match family {
            "TCP4" => Ipv4Addr::from_str(text).ok().map(IpAddr::V4),
            "TCP6" => Ipv6Addr::from_str(text).ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let (source, destination) = (address()?, address()?);
    let (source_port, destination_port) = (port(words.next()?)?, port(words.next()?)?);
    if words.next().is_some() {
        return None;
    }
    Some(Header::Proxied {
        source: SocketAddr::new(source, source_port),
        destination: SocketAddr::new(destination, destination_port),
    })
}

/// Decimal, without sign and leading zeros.
fn port(text: &str) -> Option<u16> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

fn v2(bytes: &[u8]) -> Result<Option<(Header, usize)>, Malformed> {
    let Some(fixed) = bytes.first_chunk::<16>() else { return Ok(None) };
    let [.., command, family, high, low] = *fixed;
    let length = 16 + usize::from(u16::from_be_bytes([high, low]));
    if command >> 4 != 2 || command & 0xf > 1 {
        return Err(Malformed::V2);
    }
    if length > V2_LIMIT {
        return Err(Malformed::TooLong);
    }
    // Addresses first; what follows them (TLVs) is skipped.
    let Some(rest) = bytes.get(16..length) else { return Ok(None) };
    let header = match (command & 0xf, family >> 4) {
        (0, _) | (_, 0 | 3) => Header::Local,
        (_, 1) => v2_addresses::<4, 12>(rest)?,
        (_, 2) => v2_addresses::<16, 36>(rest)?,
        _ => return Err(Malformed::V2),
    };
    Ok(Some((header, length)))
}

/// Two addresses of `A` bytes, and two ports: `N` bytes.
fn v2_addresses<const A: usize, const N: usize>(bytes: &[u8]) -> Result<Header, Malformed>
where
    IpAddr: From<[u8; A]>,
{
    let block: &[u8; N] = bytes.first_chunk().ok_or(Malformed::V2)?;
    let (addresses, ports) = block.split_at(2 * A);
    let (source, destination) = addresses.split_at(A);
    let address = |bytes: &[u8]| <[u8; A]>::try_from(bytes).map(IpAddr::from).map_err(|_| Malformed::V2);
    let [a, b, c, d] = *ports else { return Err(Malformed::V2) };
    Ok(Header::Proxied {
        source: SocketAddr::new(address(source)?, u16::from_be_bytes([a, b])),
        destination: SocketAddr::new(address(destination)?, u16::from_be_bytes([c, d])),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn proxied(source: &str, destination: &str) -> Header {
        Header::Proxied { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
    }

    /// A v2 header around `rest`.
    fn v2_bytes(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [V2_SIGNATURE, &[command, family], &length, rest].concat()
    }

    const V4: &[u8] = &[192, 0, 2, 1, 10, 20, 0, 9, 0xc3, 0x50, 0x01, 0xbb];

    #[test]
    fn version_1_is_read() {
        let four = b"PROXY TCP4 192.0.2.1 10.20.0.9 50000 443\r\nGET /";
        assert_eq!(parse(four), Ok(Some((proxied("192.0.2.1:50000", "10.20.0.9:443"), 42))));
        let six = b"PROXY TCP6 2001:db8::1 2001:db8::2 50000 443\r\n";
        assert_eq!(parse(six), Ok(Some((proxied("[2001:db8::1]:50000", "[2001:db8::2]:443"), six.len()))));
        assert_eq!(parse(b"PROXY UNKNOWN\r\n"), Ok(Some((Header::Local, 15))));
        assert_eq!(parse(b"PROXY UNKNOWN ff:: fe:: 1 2\r\n"), Ok(Some((Header::Local, 29))));
        let longest = "PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535".to_owned() + &" ".repeat(48) + "\r\n";
        assert_eq!(longest.len(), V1_LIMIT);
        assert_eq!(parse(longest.as_bytes()), Ok(Some((Header::Local, V1_LIMIT))));
    }

    #[test]
    fn version_2_is_read_and_its_tlvs_are_skipped() {
        let expected = proxied("192.0.2.1:50000", "10.20.0.9:443");
        assert_eq!(parse(&v2_bytes(0x21, 0x11, V4)), Ok(Some((expected, 28))));
        let with_tlv = v2_bytes(0x21, 0x11, &[V4, &[0xea, 0, 3, 1, 2, 3]].concat());
        assert_eq!(parse(&[with_tlv.as_slice(), b"GET"].concat()), Ok(Some((expected, 34))));
        let mut six = [0_u8; 36];
        six[15] = 1;
        six[31] = 2;
        six[33] = 80;
        assert_eq!(parse(&v2_bytes(0x21, 0x21, &six)), Ok(Some((proxied("[::1]:80", "[::2]:0"), 52))));
    }

    #[test]
    fn health_checks_speak_for_themselves() {
        assert_eq!(parse(&v2_bytes(0x20, 0x00, b"")), Ok(Some((Header::Local, 16))));
        assert_eq!(parse(&v2_bytes(0x20, 0x11, V4)), Ok(Some((Header::Local, 28))), "LOCAL: addresses do not count");
        assert_eq!(parse(&v2_bytes(0x21, 0x00, b"")), Ok(Some((Header::Local, 16))));
        assert_eq!(parse(&v2_bytes(0x21, 0x31, &[0; 216])), Ok(Some((Header::Local, 232))), "unix");
    }

    #[test]
    fn what_is_cut_short_waits_for_more() {
        for whole in [b"PROXY TCP4 192.0.2.1 10.20.0.9 50000 443\r\n".to_vec(), v2_bytes(0x21, 0x11, V4)] {
            for cut in 0..whole.len() {
                assert_eq!(parse(&whole[..cut]), Ok(None), "{cut} bytes");
            }
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for (bytes, error) in [
            (&b"GET / HTTP/1.1\r\n"[..], Malformed::Missing),
            (b"PROXZ", Malformed::Missing),
            (b"PROXY TCP4 192.0.2.1 10.20.0.9 50000 443\n", Malformed::V1),
            (b"PROXY TCP4 192.0.2.1 10.20.0.9 50000\r\n", Malformed::V1),
            (b"PROXY TCP4 192.0.2.1 10.20.0.9 50000 443 x\r\n", Malformed::V1),
            (b"PROXY TCP4  192.0.2.1 10.20.0.9 50000 443\r\n", Malformed::V1),
            (b"PROXY TCP4 ::1 ::2 50000 443\r\n", Malformed::V1),
            (b"PROXY TCP4 192.0.2.1 10.20.0.9 65536 443\r\n", Malformed::V1),
            (b"PROXY TCP4 192.0.2.1 10.20.0.9 +1 443\r\n", Malformed::V1),
            (b"PROXY TCP4 192.0.2.1 10.20.0.9 01 443\r\n", Malformed::V1),
            (b"PROXY UDP4 192.0.2.1 10.20.0.9 1 443\r\n", Malformed::V1),
            (&[b'P', b'R', b'O', b'X', b'Y', b' ', 0xff, b'\r', b'\n'], Malformed::V1),
            (&v2_bytes(0x31, 0x11, V4), Malformed::V2),
            (&v2_bytes(0x22, 0x11, V4), Malformed::V2),
            (&v2_bytes(0x21, 0x41, V4), Malformed::V2),
            (&v2_bytes(0x21, 0x11, &V4[..11]), Malformed::V2),
            (&v2_bytes(0x21, 0x21, &[0; 35]), Malformed::V2),
            (&v2_bytes(0x21, 0x11, &[0; 4097]), Malformed::TooLong),
        ] {
            assert_eq!(parse(bytes), Err(error), "{:?}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(parse(&[b"PROXY ".as_slice(), &[b'x'; 200]].concat()), Err(Malformed::TooLong));
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_without_panic(start in 0_usize..4, rest in proptest::collection::vec(any::<u8>(), 0..300)) {
            let prefix: &[u8] = [&b""[..], b"PROXY ", b"PROXY TCP4 ", V2_SIGNATURE][start];
            let bytes = [prefix, &rest].concat();
            if let Ok(Some((_, length))) = parse(&bytes) {
                prop_assert!(length <= bytes.len());
                prop_assert_eq!(parse(&bytes[..length]).map(|found| found.map(|(_, length)| length)), Ok(Some(length)));
            }
        }
    }
}
