//! The PROXY header: whatever stands first on a connection.

use super::super::proxy_protocol::{Header, V1_LIMIT, V2_LIMIT, parse};
use super::{Target, Verdict, fuzz};
use proptest::prelude::*;

#[test]
fn fuzz_proxy_protocol() {
    let v2 = |rest: &[u8]| [b"\r\n\r\n\0\r\nQUIT\n", rest].concat();
    let text = [
        "PROXY TCP4 192.0.2.1 10.20.0.9 50000 443\r\nGET / HTTP/1.1\r\n\r\n",
        "PROXY TCP6 2001:db8::1 ::ffff:10.0.0.1 0 65535\r\n",
        "PROXY UNKNOWN\r\n",
        "PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n\x16\x03\x01",
    ];
    let mut seeds: Vec<Vec<u8>> = text.iter().map(|text| text.as_bytes().to_vec()).collect();
    seeds.push(v2(b"\x21\x11\0\x0c\xc0\0\x02\x01\x0a\x14\0\x09\xc3\x50\x01\xbbGET /"));
    seeds.push(v2(b"\x21\x11\0\x13\xc0\0\x02\x01\x0a\x14\0\x09\xc3\x50\x01\xbb\xea\0\x04\x01\x02\x03\x04\x16\x03"));
    seeds.push(v2(&[&b"\x21\x21\0\x24"[..], &[0x20; 36]].concat()));
    seeds.push(v2(&[&b"\x21\x31\0\xd8"[..], &[0; 216]].concat()));
    seeds.push(v2(b"\x20\0\0\0"));
    fuzz(Target {
        name: "proxy_protocol",
        verdicts: &["local", "proxied", "incomplete", "refused"],
        seeds,
        words: &[b"PROXY ", b"TCP4 ", b"TCP6 ", b"UNKNOWN", b"65536", b"00", b"+1", b"::1", b"\r\n\r\n\0\r\nQUIT\n", b"\x21\x11"],
        run,
    });
}

fn run(bytes: &[u8]) -> Verdict {
    let with = |more: &[u8]| parse(&[bytes, more].concat());
    let (header, length) = match parse(bytes) {
        Err(error) => {
            for more in [&b"x"[..], b"\r\n", b"\0\0\0\0"] {
                prop_assert_eq!(with(more), Err(error), "what is refused stays refused");
            }
            return Ok("refused");
        }
        Ok(None) => {
            prop_assert!(bytes.len() < V2_LIMIT, "no end of waiting");
            prop_assert!(bytes.first() != Some(&b'P') || bytes.len() < V1_LIMIT, "no end of waiting");
            return Ok("incomplete");
        }
        Ok(Some(found)) => found,
    };
    let limit = if bytes[0] == b'P' { V1_LIMIT } else { V2_LIMIT };
    prop_assert!(length <= bytes.len().min(limit));
    let cuts = (0..length).filter(|cut| *cut < 128 || *cut == length - 1);
    for cut in cuts {
        prop_assert_eq!(parse(&bytes[..cut]), Ok(None), "the first {} bytes wait for more", cut);
    }
    prop_assert_eq!(parse(&bytes[..length]), Ok(Some((header, length))), "what follows plays no part");
    prop_assert_eq!(with(b"more"), Ok(Some((header, length))), "what follows plays no part");
    let Header::Proxied { source, destination } = header else { return Ok("local") };
    if bytes[0] == b'P' {
        // There is one way to write the ports; the addresses are std's to read.
        let line = std::str::from_utf8(&bytes[..length]).unwrap();
        let ports = format!(" {} {}\r\n", source.port(), destination.port());
        prop_assert!(line.ends_with(&ports), "{:?} is not the end of {:?}", ports, line);
        let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
        prop_assert_eq!(line.split(' ').nth(1), Some(family));
        prop_assert_eq!(line.split(' ').count(), 6);
    }
    prop_assert_eq!(source.is_ipv4(), destination.is_ipv4());
    Ok("proxied")
}
