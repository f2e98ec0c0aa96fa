//! One function for each kind of value that a flag takes: text in; the value out, or what is wrong and what to give instead.
//! The caller adds the flag's name and the value.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;
use jiff::SignedDuration;

use crate::aws::types::{Scheme, Tags, TargetType, VpcId};
use crate::nlb::model::PortRange;
use crate::routes::findings::ObjectKey;

/// AWS allows 50 tags on a load balancer; Landfall's own and a Service's must fit beside the default ones.
const TAG_LIMIT: usize = 30;

/// Prefixes of tag keys that say what belongs to whom.
const RESERVED_TAGS: [&str; 4] = ["aws:", "landfall/", "elbv2.k8s.aws/", "kubernetes.io/cluster/"];

/// A length of time like `30s`, `5m` or `1h30m`; at least one second, at most a day.
pub fn duration(text: &str) -> Result<Duration, String> {
    let duration = text
        .parse::<SignedDuration>()
        .map_err(|_| "not a length of time; give numbers with units, like 30s, 5m or 1h30m".to_owned())?;
    let duration = Duration::try_from(duration).map_err(|_| "negative; give a length of time like 30s or 5m".to_owned())?;
    if duration < Duration::from_secs(1) || duration > Duration::from_secs(24 * 3600) {
        return Err("out of range; give at least 1s and at most 24h".to_owned());
    }
    Ok(duration)
}

/// Name of the cluster: it becomes the value of AWS tags, and part of what names are derived from.
///
/// EKS allows 1 to 100 letters, digits, `-` and `_`; kOps names are domains.
pub fn cluster_name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (1..=100).contains(&text.len()) && text.chars().all(fits) && text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Ok(text.to_owned());
    }
    Err("not a cluster name; give 1 to 100 letters, digits, '-', '_' or '.', beginning with a letter or digit".to_owned())
}

/// Id of a VPC: `vpc-` and 8 or 17 hexadecimal digits.
pub fn vpc_id(text: &str) -> Result<VpcId, String> {
    match text.strip_prefix("vpc-") {
        Some(digits) if matches!(digits.len(), 8 | 17) && digits.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')) => {
            Ok(VpcId::from(text))
        }
        _ => Err("not a VPC id; give one like vpc-0123456789abcdef0, or leave it out".to_owned()),
    }
}

/// An AWS region, by its form: which there are is for AWS to say.
pub fn region(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.split('-').collect();
    let of = |part: &str, fits: fn(char) -> bool| !part.is_empty() && part.chars().all(fits);
    let fits = parts.split_last().is_some_and(|(number, words)| {
        words.len() >= 2 && words.iter().all(|word| of(word, |c| c.is_ascii_lowercase())) && of(number, |c| c.is_ascii_digit())
    });
    fits.then(|| text.to_owned()).ok_or_else(|| "not a region; give one like us-west-2".to_owned())
}

/// URL of an AWS endpoint.
pub fn endpoint_url(text: &str) -> Result<String, String> {
    const FIX: &str = "give a URL like http://127.0.0.1:4566";
    let uri: Uri = text.parse().map_err(|error| format!("not a URL ({error}); {FIX}"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(format!("neither http nor https; {FIX}"));
    }
    let Some(authority) = uri.authority().filter(|authority| !authority.host().is_empty()) else {
        return Err(format!("no host; {FIX}"));
    };
    if authority.as_str().contains('@') {
        return Err(
            "holds a user name; give credentials as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role".to_owned()
        );
    }
    if uri.query().is_some() {
        return Err(format!("has a query; {FIX}"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// A load balancer class: a label-like name with an optional prefix (Kubernetes, `Service.spec.loadBalancerClass`).
pub fn load_balancer_class(text: &str) -> Result<String, String> {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name_fits = name.len() <= 63 && edge(name.chars().next()) && edge(name.chars().last()) && name.chars().all(inside);
    if name_fits && prefix.is_none_or(is_dns_subdomain) {
        return Ok(text.to_owned());
    }
    Err("not a load balancer class; give one like landfall/nlb or service.k8s.aws/nlb".to_owned())
}

/// Name of a namespace.
pub fn namespace(text: &str) -> Result<String, String> {
    if is_dns_label(text) {
        return Ok(text.to_owned());
    }
    Err("not the name of a namespace; give at most 63 lower-case letters, digits and '-'".to_owned())
}

/// Name of a namespace, or nothing for all of them.
pub fn namespace_or_all(text: &str) -> Result<String, String> {
    if text.is_empty() { Ok(String::new()) } else { namespace(text) }
}

/// `NAMESPACE/NAME`.
pub fn object(text: &str) -> Result<ObjectKey, String> {
    match text.split_once('/') {
        Some((namespace, name)) if is_dns_label(namespace) && is_dns_subdomain(name) => Ok(ObjectKey::new(namespace, name)),
        _ => Err("not an object; give NAMESPACE/NAME, like ingress-nginx/ingress-nginx-controller".to_owned()),
    }
}

/// An address or host name that a status may show.
pub fn status_address(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.parse::<std::net::IpAddr>().is_ok() || is_dns_subdomain(&text.to_ascii_lowercase()) {
        return Ok(text.to_owned());
    }
    Err("neither an IP address nor a host name; give one like 203.0.113.7 or lb.example.com".to_owned())
}

/// A number of threads.
pub fn workers(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=1024) => Ok(count),
        _ => Err("not a number of threads; give 1 to 1024, or leave it out".to_owned()),
    }
}

/// Name of an object, like a Lease.
pub fn object_name(text: &str) -> Result<String, String> {
    if is_dns_subdomain(text) {
        return Ok(text.to_owned());
    }
    Err("not the name of an object; give lower-case letters, digits, '-' and '.', like landfall-controller".to_owned())
}

/// Name of a process.
pub fn identity(text: &str) -> Result<String, String> {
    if (1..=253).contains(&text.len()) && !text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Ok(text.to_owned());
    }
    Err("not a name; give up to 253 characters without blanks, another for each replica".to_owned())
}

/// `instance` or `ip`.
pub fn target_type(text: &str) -> Result<TargetType, String> {
    match TargetType::from(text) {
        known @ (TargetType::Instance | TargetType::Ip) => Ok(known),
        _ => Err("no target type of a load balancer for pods; give instance or ip".to_owned()),
    }
}

/// `internal` or `internet-facing`.
pub fn scheme(text: &str) -> Result<Scheme, String> {
    match Scheme::from(text) {
        known @ (Scheme::Internal | Scheme::InternetFacing) => Ok(known),
        Scheme::Other(_) => Err("no scheme; give internal or internet-facing".to_owned()),
    }
}

/// Two ports with a dash between them.
pub fn port_range(text: &str) -> Result<PortRange, String> {
    const FIX: &str = "give two ports from 1 to 65535, the lower first, like 30000-32767";
    let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0);
    match text.split_once('-').map(|(first, last)| (port(first), port(last))) {
        Some((Some(first), Some(last))) if first <= last => Ok(PortRange { first, last }),
        _ => Err(format!("not a range of ports; {FIX}")),
    }
}

/// Tags like `team=web,env=prod`. A value may be empty and may contain `=`.
///
/// AWS: keys of 1 to 128 and values of up to 256 characters: letters, digits, blanks and `+ - = . _ : / @`.
pub fn tags(text: &str) -> Result<Tags, String> {
    const FIX: &str = "give key=value pairs with commas between them, like team=web,env=prod";
    let fits = |text: &str| text.chars().all(|c| c.is_alphanumeric() || c == ' ' || "+-=._:/@".contains(c));
    let mut tags = Tags::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or_else(|| format!("{pair:?} has no '='; {FIX}"))?;
        let (key, value) = (key.trim(), value.trim());
        if key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256 {
            return Err(format!("{pair:?} is too long or has no key; keys take 1 to 128 characters, values up to 256"));
        }
        if !fits(key) || !fits(value) {
            return Err(format!(
                "{pair:?} has characters that AWS does not take; use letters, digits, blanks and + - = . _ : / @"
            ));
        }
        if let Some(prefix) = RESERVED_TAGS.iter().find(|prefix| key.to_ascii_lowercase().starts_with(*prefix)) {
            return Err(format!("{key:?} begins with {prefix:?}, which says what belongs to whom; choose another key"));
        }
        if tags.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(format!("{key:?} is given twice; give it once"));
        }
    }
    if tags.len() > TAG_LIMIT {
        return Err(format!("{} tags; give at most {TAG_LIMIT}, AWS allows 50 in all", tags.len()));
    }
    Ok(tags)
}

/// An address to listen on, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenAddress(pub Option<SocketAddr>);

/// `address:port`, `:port` for every address, or nothing.
pub fn listen_address(text: &str) -> Result<ListenAddress, String> {
    if text.is_empty() {
        return Ok(ListenAddress(None));
    }
    let full = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.to_owned() };
    let address =
        full.parse().map_err(|_| "not an address; give one like 0.0.0.0:8080 or [::]:8080, or '' for none".to_owned())?;
    Ok(ListenAddress(Some(address)))
}

/// A log filter as `tracing` reads it.
pub fn log_level(text: &str) -> Result<String, String> {
    match crate::telemetry::filter(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(crate::telemetry::TelemetryError::Filter { reason, .. }) => {
            Err(format!("{reason}; give error, warn, info, debug or trace, or directives like info,landfall::aws=debug"))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// A path that is not empty.
pub fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("empty; give the path of a file, or leave it out".to_owned());
    }
    Ok(PathBuf::from(text))
}

/// RFC 1123 label, lower case.
fn is_dns_label(text: &str) -> bool {
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=63).contains(&text.len()) && text.chars().all(inside) && !text.starts_with('-') && !text.ends_with('-')
}

/// RFC 1123 subdomain as Kubernetes takes it: labels with dots between them.
fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<T: std::fmt::Debug>(parse: fn(&str) -> Result<T, String>, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(parse(text).is_ok(), "{text:?}: {:?}", parse(text));
        }
        for text in bad {
            let problem = parse(text).expect_err(text);
            assert!(problem.contains(';'), "{text:?}: a problem and a fix: {problem}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("1500ms"), Ok(Duration::from_millis(1500)));
        check(duration, &["1s", "24h"], &["", "5", "5 x", "-5m", "0s", "999ms", "25h", "5m ago", "1d"]);
    }

    #[test]
    fn cluster_names() {
        let (long, too_long) = ("a".repeat(100), "a".repeat(101));
        check(cluster_name, &["demo", "My_Cluster-1", "k.example.com", &long], &["", "-a", ".a", "a b", "a/b", "ä", &too_long]);
    }

    #[test]
    fn aws_names() {
        check(
            vpc_id,
            &["vpc-0123456789abcdef0", "vpc-01234567"],
            &["", "vpc-", "vpc-xyz", "0123456789abcdef0", "vpc-0123456789ABCDEF0"],
        );
        check(
            region,
            &["us-west-2", "us-gov-east-1", "eusc-de-east-1"],
            &["", "west", "us-west-2a", "us-west-", "us--2", "US-WEST-2"],
        );
        check(target_type, &["instance", "ip"], &["", "ipp", "lambda", "Instance"]);
        check(scheme, &["internal", "internet-facing"], &["", "public", "Internal"]);
    }

    #[test]
    fn endpoint_urls() {
        assert_eq!(endpoint_url("http://127.0.0.1:4566/").as_deref(), Ok("http://127.0.0.1:4566"));
        let bad = ["", "127.0.0.1:4566", "ftp://x", "/path", "http://", "http://user:secret@x", "http://x?y=1", "http://x y"];
        check(endpoint_url, &["https://elb.example.com/prefix"], &bad);
    }

    #[test]
    fn kubernetes_names() {
        check(
            load_balancer_class,
            &["landfall/nlb", "nlb", "service.k8s.aws/nlb", "A_b.c"],
            &["", "/nlb", "a/", "a/b/c", "A/b", "-a"],
        );
        check(namespace, &["kube-system", "a"], &["", "a.b", "A", "-a", "a-"]);
        check(object_name, &["landfall-controller", "a.b"], &["", "A", "a..b", "a/b"]);
        check(identity, &["pod-1", "host_ü/1"], &["", "a b", "a\n"]);
    }

    #[test]
    fn objects_and_addresses() {
        assert_eq!(object("a/b.c").map(|object| object.to_string()).as_deref(), Ok("a/b.c"));
        check(object, &["ingress-nginx/x"], &["", "a", "/a", "a/", "a/b/c", "A/b"]);
        check(namespace_or_all, &["", "a"], &["a.b"]);
        check(status_address, &["203.0.113.7", "::1", "lb.example.com", " LB.example.com"], &["", "a b", "http://x"]);
        check(workers, &["1", "64"], &["", "0", "1025", "many"]);
    }

    #[test]
    fn port_ranges() {
        assert_eq!(port_range("30000-32767"), Ok(PortRange { first: 30000, last: 32767 }));
        check(port_range, &["80-80"], &["", "80", "0-80", "90-80", "1-65536", "a-b", "-80"]);
    }

    #[test]
    fn tag_lists() {
        let expected: Tags = [("env", "a=b"), ("team", "web shop"), ("x", "")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        assert_eq!(tags("team=web shop, env=a=b,x=,"), Ok(expected));
        let many: Vec<String> = (0..31).map(|n| format!("k{n}=v")).collect();
        let long = format!("{}=v", "k".repeat(129));
        let bad = ["a", "=b", "a=b,a=c", "aws:x=1", "AWS:x=1", "landfall/x=1", "a=b;c", &many.join(","), &long];
        check(tags, &[""], &bad);
    }

    #[test]
    fn listen_addresses() {
        assert_eq!(listen_address(":8080"), Ok(ListenAddress(Some(([0, 0, 0, 0], 8080).into()))));
        assert_eq!(listen_address(""), Ok(ListenAddress(None)));
        check(listen_address, &["127.0.0.1:0", "[::]:80"], &["8080", "localhost:80", "1.2.3.4"]);
    }

    #[test]
    fn log_levels() {
        check(log_level, &["", "debug", "info,landfall::aws=trace"], &["landfall=loud"]);
    }
}
