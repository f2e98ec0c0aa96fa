//! The header fields that tell an endpoint who asks: whatever a client writes into its own.
//!
//! An input is a line of letters, each of which sets something, and then header fields, line by line. See [`super::super::fuzz`].

use std::net::IpAddr;

use http::header::{CONNECTION, CONTENT_LENGTH, FORWARDED, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use proptest::prelude::*;

use super::super::client::{Client, parse_address};
use super::super::fuzz::{Target, Verdict, fuzz};
use super::super::guard::head::is_host;
use super::super::testing::Plan;
use super::headers::{X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PROTO, to_endpoint};
use super::identity::identify;

const PEER: &str = "192.0.2.1";

#[test]
fn fuzz_forwarded() {
    let seeds = [
        "\nX-Forwarded-For: 6.6.6.6\nx-forwarded-for: 192.0.2.9\nX-Real-IP: 6.6.6.6\nX-Forwarded-Proto: https",
        "f\nX-Forwarded-For: 6.6.6.6, 10.0.0.1\nX-Forwarded-Host: evil.example\nX-Forwarded-Port: 1",
        "ft\nX-Forwarded-For: 6.6.6.6:80 , [2001:db8::1]:443,10.0.0.1\nX-Forwarded-Host: b.example, c\nX-Forwarded-Proto: HTTPS, http",
        "ftc\nX-Forwarded-For: unknown, 10.0.0.1\nX-Forwarded-Port: 65536\nX-Forwarded-Proto: ftp\nX-Forwarded-Host: a@b",
        "ftps\nX-Forwarded-For: 6.6.6.6\nForwarded: for=6.6.6.6;proto=https",
        "u\nx_forwarded_for: 6.6.6.6\nX_Real_IP: 6.6.6.6\nConnection: x-real-ip, X-Forwarded-For\nTE: trailers, deflate",
        "s2\nCookie: a\ncookie: b\nConnection: host, cookie\nX-Original-Forwarded-For: 6.6.6.6\nX-Scheme: https\nProxy: evil",
    ];
    fuzz(Target {
        name: "forwarded",
        verdicts: &["believed", "not believed"],
        seeds: seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect(),
        words: &[
            b"ft\n",
            b"\nX-Forwarded-For: ",
            b"\nX-Real-IP: ",
            b"\nX-Forwarded-Proto: https",
            b"\nX-Forwarded-Host: ",
            b"\nHost: ",
            b"\nConnection: ",
            b"\nx_forwarded_for: ",
            b"\nForwarded: ",
            b"6.6.6.6",
            b"10.0.0.1",
            b"[::1]:80",
            b"::ffff:10.0.0.1",
            b"%lo",
            b"65536",
            b", ",
            b"X-Forwarded-Proto",
            b"http",
        ],
        run,
    });
}

fn run(bytes: &[u8]) -> Verdict {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let letters = lines.next().unwrap_or_default();
    let is = |letter| letters.contains(&letter);
    let mut headers = HeaderMap::new();
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&line[..colon]), value) {
            headers.append(name, value);
        }
    }
    let mut plan = Plan::to(&[]);
    let global = &mut plan.global;
    global.use_forwarded_headers = is(b'f');
    global.compute_full_forwarded_for = is(b'c');
    global.use_proxy_protocol = is(b'p');
    global.drop_underscore_headers = !is(b'u');
    global.proxy_real_ip_cidrs = vec!["10.0.0.0/8".parse().unwrap()];
    if is(b't') {
        global.proxy_real_ip_cidrs.push(format!("{PEER}/32").parse().unwrap());
    }
    let peer: IpAddr = PEER.parse().unwrap();
    let client = Client::new(plan.worker(), peer, peer, 8080, is(b's'));
    let own = HeaderValue::from_static("a.example");
    let identity = identify(&client, &headers, own.clone(), &plan.global);
    let version = if is(b'2') { Version::HTTP_2 } else { Version::HTTP_11 };
    let given = headers;
    let mut head = Vec::new();
    let sized = to_endpoint(&mut head, (&given, version), &identity, b"", &plan.global, false);
    let headers = read(&head);

    // One each, whatever came; nothing of one connection; the request's own host.
    for name in ["x-real-ip", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-scheme"] {
        prop_assert_eq!(headers.get_all(name).iter().count(), 1, "{}", name);
    }
    prop_assert_eq!(headers.get_all(HOST).iter().collect::<Vec<_>>(), [&own]);
    prop_assert_eq!(sized, given.contains_key(CONTENT_LENGTH));
    for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "expect", "proxy"] {
        prop_assert!(!headers.contains_key(name), "{} passes", name);
    }
    prop_assert!(headers.get("te").is_none_or(|te| te == "trailers"));
    let underscore = headers.keys().find(|name| name.as_str().contains('_'));
    prop_assert!(is(b'u') || underscore.is_none(), "{:?} passes", underscore);
    // What is told of a client's claims is what it claimed.
    for (original, claimed) in [("x-original-forwarded-for", X_FORWARDED_FOR), ("x-original-forwarded-host", X_FORWARDED_HOST)] {
        let named = given
            .get_all(CONNECTION)
            .iter()
            .any(|value| value.as_bytes().to_ascii_lowercase().windows(11).any(|at| at == b"x-forwarded"));
        prop_assert!(named || headers.contains_key(original) == has_text(&given, &claimed), "{}", original);
    }
    let scheme = headers[X_FORWARDED_PROTO].clone();
    prop_assert!(scheme == "http" || scheme == "https");
    prop_assert_eq!((&headers["x-scheme"], &headers["x-forwarded-scheme"]), (&scheme, &scheme));
    let real_ip = parse_address(headers["x-real-ip"].to_str().unwrap());
    prop_assert_eq!(real_ip, Some(identity.address), "an address");
    prop_assert!(is_host(headers[X_FORWARDED_HOST].as_bytes()));
    prop_assert!(headers[X_FORWARDED_PORT].to_str().unwrap().parse::<u16>().is_ok());

    if !(is(b'f') && is(b't')) {
        prop_assert_eq!(real_ip, Some(peer));
        prop_assert_eq!(&headers[X_FORWARDED_FOR], PEER);
        prop_assert_eq!(&scheme, if is(b's') { "https" } else { "http" });
        prop_assert_eq!(&headers[X_FORWARDED_HOST], &own);
        prop_assert_eq!(&headers[X_FORWARDED_PORT], if is(b's') { "443" } else { "8080" });
        prop_assert!(!headers.contains_key(FORWARDED), "a claim that nobody has checked");
        return Ok("not believed");
    }
    if is(b'p') {
        prop_assert_eq!(real_ip, Some(peer), "the PROXY header has told");
    }
    let list = headers[X_FORWARDED_FOR].to_str().unwrap();
    prop_assert!(is(b'c') || parse_address(list) == real_ip, "one address: {}", list);
    Ok("believed")
}

/// What an endpoint reads.
fn read(head: &[u8]) -> HeaderMap {
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let whole = [head, b"\r\n"].concat();
    let Ok(httparse::Status::Complete((length, fields))) = httparse::parse_headers(&whole, &mut fields) else {
        panic!("not a head: {:?}", String::from_utf8_lossy(head));
    };
    assert_eq!(length, whole.len(), "nothing follows the fields");
    let field =
        |field: &httparse::Header<'_>| (field.name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(field.value).unwrap());
    fields.iter().map(field).fold(HeaderMap::new(), |mut headers, (name, value)| {
        headers.append(name, value);
        headers
    })
}

/// Whether the field is there, with a value that can be passed on as text.
fn has_text(headers: &HeaderMap, name: &HeaderName) -> bool {
    let all = headers.get_all(name).iter().collect::<Vec<_>>();
    match *name == X_FORWARDED_FOR {
        true => all.iter().any(|value| value.to_str().is_ok()),
        false => !all.is_empty(),
    }
}
