//! One line of the access log, in ingress-nginx's default format (`log-format-upstream`), which people parse.
//!
//! Pure: what is known of a request → bytes. Without `std::fmt`, which would be a tenth of what a request costs besides system calls.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::routes::table::Backend;

/// What the line is made of.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub remote_addr: IpAddr,
    /// Escaped already, as are the next four; empty where there is none.
    pub remote_user: &'a [u8],
    pub time_local: &'a str,
    pub request: &'a [u8],
    pub status: u16,
    pub body_bytes_sent: u64,
    pub referer: &'a [u8],
    pub user_agent: &'a [u8],
    pub request_length: u64,
    pub request_time: Duration,
    pub upstream_name: UpstreamName<'a>,
    pub attempts: &'a [Attempt],
    pub request_id: &'a [u8],
}

/// `$proxy_upstream_name`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum UpstreamName<'a> {
    /// The request did not get so far.
    None,
    /// No rule matched, and there is nobody for that.
    Default,
    /// `namespace-service-port`.
    Backend(&'a Backend),
}

impl UpstreamName<'_> {
    fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::None => {}
            Self::Default => out.extend_from_slice(b"upstream-default-backend"),
            Self::Backend(Backend { namespace, service, port, .. }) => {
                out.extend_from_slice(namespace.as_bytes());
                out.push(b'-');
                out.extend_from_slice(service.as_bytes());
                out.push(b'-');
                out.extend_from_slice(port.as_bytes());
            }
        }
    }
}

/// One endpoint that was tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    pub address: SocketAddr,
    /// Bytes of the response's body.
    pub length: u64,
    pub took: Duration,
    /// None before the response's head came; nginx writes `-`.
    pub status: Option<u16>,
}

impl Line<'_> {
    /// Appends it, with the line's end.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        address(out, self.remote_addr);
        out.extend_from_slice(b" - ");
        out.extend_from_slice(or_dash(self.remote_user));
        out.extend_from_slice(b" [");
        out.extend_from_slice(self.time_local.as_bytes());
        out.extend_from_slice(b"] \"");
        out.extend_from_slice(self.request);
        out.extend_from_slice(b"\" ");
        three_digits(out, self.status.into());
        out.push(b' ');
        number(out, self.body_bytes_sent);
        out.extend_from_slice(b" \"");
        out.extend_from_slice(or_dash(self.referer));
        out.extend_from_slice(b"\" \"");
        out.extend_from_slice(or_dash(self.user_agent));
        out.extend_from_slice(b"\" ");
        number(out, self.request_length);
        out.push(b' ');
        seconds(out, self.request_time);
        out.extend_from_slice(b" [");
        self.upstream_name.write(out);
        out.extend_from_slice(b"] [] ");
        self.list(out, |out, attempt| endpoint(out, attempt.address));
        out.push(b' ');
        self.list(out, |out, attempt| number(out, attempt.length));
        out.push(b' ');
        self.list(out, |out, attempt| seconds(out, attempt.took));
        out.push(b' ');
        self.list(out, |out, attempt| match attempt.status {
            Some(status) => three_digits(out, status.into()),
            None => out.push(b'-'),
        });
        out.push(b' ');
        out.extend_from_slice(or_dash(self.request_id));
        out.push(b'\n');
    }

    fn list(&self, out: &mut Vec<u8>, write: impl Fn(&mut Vec<u8>, &Attempt)) {
        for (at, attempt) in self.attempts.iter().enumerate() {
            if at > 0 {
                out.extend_from_slice(b", ");
            }
            write(out, attempt);
        }
        if self.attempts.is_empty() {
            out.push(b'-');
        }
    }
}

fn or_dash(text: &[u8]) -> &[u8] {
    if text.is_empty() { b"-" } else { text }
}

fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Of a number below 1,000.
fn three_digits(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&[100, 10, 1].map(|place| b'0' + u8::try_from(value / place % 10).unwrap_or(0)));
}

/// `0.042`.
fn seconds(out: &mut Vec<u8>, time: Duration) {
    number(out, time.as_secs());
    out.push(b'.');
    three_digits(out, time.subsec_millis());
}

fn address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => {
            for (at, octet) in v4.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                number(out, octet.into());
            }
        }
        // A write to a `Vec` cannot fail.
        IpAddr::V6(v6) => drop(write!(out, "{v6}")),
    }
}

fn endpoint(out: &mut Vec<u8>, endpoint: SocketAddr) {
    match endpoint {
        SocketAddr::V4(v4) => {
            address(out, (*v4.ip()).into());
            out.push(b':');
            number(out, v4.port().into());
        }
        SocketAddr::V6(v6) => drop(write!(out, "{v6}")),
    }
}

/// As nginx escapes: `"`, `\`, and what is not printable ASCII as `\xHH`.
pub(crate) fn escape(text: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | ..b' ' | 0x7f..)) {
        let (plain, others) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, behind)) = others.split_first() else { break };
        let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or(b'0');
        out.extend_from_slice(&[b'\\', b'x', digit(byte >> 4), digit(byte & 0xf)]);
        rest = behind;
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::table::Endpoints;

    fn line<'a>(backend: &'a Backend, attempts: &'a [Attempt]) -> Line<'a> {
        Line {
            remote_addr: "192.0.2.1".parse().unwrap(),
            remote_user: b"",
            time_local: "25/Nov/2026:20:39:00 +0000",
            request: b"GET /a?b HTTP/1.1",
            status: 200,
            body_bytes_sent: 612,
            referer: b"",
            user_agent: b"curl/8.1",
            request_length: 81,
            request_time: Duration::from_micros(1_042_999),
            upstream_name: UpstreamName::Backend(backend),
            attempts,
            request_id: b"0123456789abcdef0123456789abcdef",
        }
    }

    #[test]
    fn a_line_is_what_ingress_nginx_writes() {
        let attempt = |address: &str, status| Attempt {
            address: address.parse().unwrap(),
            length: 612,
            took: Duration::from_millis(41),
            status,
        };
        let backend = Backend {
            namespace: "default".into(),
            service: "web".into(),
            port: "80".into(),
            endpoints: Endpoints::Addresses([].into()),
        };
        for (attempts, expected) in [
            (vec![attempt("10.0.0.7:8080", Some(200))], "10.0.0.7:8080 612 0.041 200"),
            (vec![attempt("[2001:db8::7]:8080", Some(99))], "[2001:db8::7]:8080 612 0.041 099"),
            (
                vec![attempt("10.0.0.7:8080", Some(502)), attempt("10.0.0.8:8080", None)],
                "10.0.0.7:8080, 10.0.0.8:8080 612, 612 0.041, 0.041 502, -",
            ),
            (vec![], "- - - -"),
        ] {
            let mut out = Vec::new();
            line(&backend, &attempts).write(&mut out);
            let expected = format!(
                "192.0.2.1 - - [25/Nov/2026:20:39:00 +0000] \"GET /a?b HTTP/1.1\" 200 612 \"-\" \"curl/8.1\" 81 1.042 \
                 [default-web-80] [] {expected} 0123456789abcdef0123456789abcdef\n"
            );
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn addresses_are_written_as_everywhere() {
        for text in ["0.0.0.0", "192.0.2.255", "255.10.1.100", "2001:db8::1", "::"] {
            let mut out = Vec::new();
            address(&mut out, text.parse().unwrap());
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn what_would_break_a_line_is_escaped() {
        let mut out = Vec::new();
        escape(b"a \"b\" \\ \r\n\x7f\xc3\xa4~", &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), r"a \x22b\x22 \x5C \x0D\x0A\x7F\xC3\xA4~");
    }
}
