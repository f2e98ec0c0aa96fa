//! Health check of the Service's target groups: defaults as LBC has them, then the annotations, within AWS's bounds.
//!
//! One check for all groups of a Service. With `instance` targets and `externalTrafficPolicy: Local` it asks kube-proxy on the
//! Service's health-check node port, which knows whether the node has an endpoint (kube-proxy's `/healthz` of the Service).

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::annotations::{self, Annotations};
use super::attributes::PROXY_PROTOCOL;
use super::codes::{self, Findings, quote};
use super::listeners::{ListenerPort, target_port};
use crate::aws::types::{Attributes, HealthCheck, HealthCheckProtocol, Protocol, TargetType};

/// Longest path (ELBv2 API reference, CreateTargetGroup: HealthCheckPath).
const MAX_PATH: usize = 1024;
/// Codes that a Network Load Balancer can accept (ELBv2 API reference, Matcher).
const CODES: std::ops::RangeInclusive<u16> = 200..=599;
const DEFAULT_CODES: &str = "200-399";

/// The port on which kube-proxy answers for this Service on each node, if it does.
pub(super) fn health_check_node_port(service: &Service, target_type: &TargetType) -> Option<u16> {
    let spec = service.spec.as_ref()?;
    let local = spec.external_traffic_policy.as_deref() == Some("Local");
    let port = u16::try_from(spec.health_check_node_port?).ok().filter(|port| *port != 0)?;
    (local && *target_type == TargetType::Instance).then_some(port)
}

/// The health check; problems leave the default in place, as the Service is refused anyway.
pub(super) fn check(
    service: &Service,
    target_type: &TargetType,
    annotations: &Annotations<'_>,
    findings: &mut Findings,
) -> HealthCheck {
    let local = health_check_node_port(service, target_type);
    let protocol = match annotations.choice(&annotations::HEALTHCHECK_PROTOCOL, findings) {
        Some("http") => HealthCheckProtocol::Http,
        Some("https") => HealthCheckProtocol::Https,
        None if local.is_some() => HealthCheckProtocol::Http,
        _ => HealthCheckProtocol::Tcp,
    };
    let port = match annotations.text(&annotations::HEALTHCHECK_PORT) {
        Some(text) => port(service, target_type, text, findings),
        None => local,
    };
    let threshold = if local.is_some() { 2 } else { 3 };
    let healthy = annotations.integer(&annotations::HEALTHCHECK_HEALTHY_THRESHOLD, findings);
    let unhealthy = annotations.integer(&annotations::HEALTHCHECK_UNHEALTHY_THRESHOLD, findings);
    let interval_seconds = annotations.integer(&annotations::HEALTHCHECK_INTERVAL, findings).unwrap_or(10);
    let timeout = annotations.integer(&annotations::HEALTHCHECK_TIMEOUT, findings);
    if let Some(timeout) = timeout.filter(|timeout| *timeout > interval_seconds) {
        findings.refuse(
            codes::INVALID_ANNOTATION,
            annotations::HEALTHCHECK_TIMEOUT.full_key(),
            format!("{timeout} is longer than the interval of {interval_seconds} seconds"),
            format!("use at most the interval, or raise `{}`", annotations::HEALTHCHECK_INTERVAL.full_key()),
        );
    }
    let timeout_seconds = timeout.unwrap_or(if local.is_some() { 6 } else { 10 }).min(interval_seconds);
    let default_path = if local.is_some() { "/healthz" } else { "/" };
    let path = path(annotations, findings).unwrap_or_else(|| default_path.to_owned());
    let success_codes = success_codes(annotations, findings).unwrap_or_else(|| DEFAULT_CODES.to_owned());

    let is_http = protocol != HealthCheckProtocol::Tcp;
    if !is_http {
        for annotation in [&annotations::HEALTHCHECK_PATH, &annotations::HEALTHCHECK_SUCCESS_CODES] {
            if annotations.text(annotation).is_some() {
                findings.tell(
                    codes::ANNOTATION_IGNORED,
                    annotation.full_key(),
                    "it has no effect on a TCP check",
                    format!("set `{}` to `http`, or remove it", annotations::HEALTHCHECK_PROTOCOL.full_key()),
                );
            }
        }
    }
    HealthCheck {
        protocol,
        port,
        path: is_http.then_some(path),
        success_codes: is_http.then_some(success_codes),
        interval_seconds,
        timeout_seconds,
        healthy_threshold: healthy.unwrap_or(threshold),
        unhealthy_threshold: unhealthy.unwrap_or(threshold),
    }
}

/// Tells of checks that are likely to fail though they are what was asked for.
pub(super) fn warn(check: &HealthCheck, attributes: &Attributes, listeners: &[ListenerPort<'_>], findings: &mut Findings) {
    if check.port.is_some() {
        return;
    }
    let field = annotations::HEALTHCHECK_PORT.full_key();
    for listener in listeners.iter().filter(|listener| listener.protocol == Protocol::Udp) {
        findings.tell(
            codes::UDP_HEALTH_CHECK,
            &field,
            format!("AWS checks the targets of UDP {} by TCP on the same port, which must accept connections", listener.port),
            "name a TCP port that tells their health",
        );
    }
    let is_http = check.protocol != HealthCheckProtocol::Tcp;
    if is_http && attributes.get(PROXY_PROTOCOL).is_some_and(|value| value == "true") {
        findings.tell(
            codes::PROXY_PROTOCOL_HEALTH_CHECK,
            &field,
            "health checks on the traffic port begin with a PROXY protocol header, too",
            "name another port, or make sure that the targets understand it",
        );
    }
}

/// `Some` number of a port, or `None` for the port of traffic.
fn port(service: &Service, target_type: &TargetType, text: &str, findings: &mut Findings) -> Option<u16> {
    if text == "traffic-port" {
        return None;
    }
    if let Ok(number) = text.parse::<u16>()
        && number > 0
    {
        return Some(number);
    }
    let mut ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    let named = ports.find(|port| !text.is_empty() && port.name.as_deref() == Some(text));
    let (what, fix) = match named {
        None => {
            let what = format!("{} is neither a port number nor the name of a port of the Service", quote(text));
            (what, "use `traffic-port`, a number from 1 to 65535, or a name from `spec.ports`")
        }
        Some(port) if *target_type == TargetType::Ip => match target_port(port) {
            IntOrString::Int(number) if (1..=65535).contains(&number) => return u16::try_from(number).ok(),
            _ => (format!("port {text:?} of the Service has no numeric targetPort"), "use a number"),
        },
        Some(port) => match port.node_port.and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0) {
            Some(number) => return Some(number),
            None => (format!("port {text:?} of the Service has no node port"), "use a number"),
        },
    };
    findings.refuse(codes::INVALID_ANNOTATION, annotations::HEALTHCHECK_PORT.full_key(), what, fix);
    None
}

fn path(annotations: &Annotations<'_>, findings: &mut Findings) -> Option<String> {
    let text = annotations.text(&annotations::HEALTHCHECK_PATH)?;
    if text.starts_with('/') && text.chars().count() <= MAX_PATH {
        return Some(text.to_owned());
    }
    findings.refuse(
        codes::INVALID_ANNOTATION,
        annotations::HEALTHCHECK_PATH.full_key(),
        format!("{} is not a path", quote(text)),
        format!("begin with `/`, and use at most {MAX_PATH} characters"),
    );
    None
}

fn success_codes(annotations: &Annotations<'_>, findings: &mut Findings) -> Option<String> {
    let text = annotations.text(&annotations::HEALTHCHECK_SUCCESS_CODES)?;
    let code = |text: &str| text.parse::<u16>().ok().filter(|code| CODES.contains(code));
    let is_item = |item: &str| match item.split_once('-') {
        None => code(item).is_some(),
        Some((first, last)) => matches!((code(first), code(last)), (Some(first), Some(last)) if first <= last),
    };
    if text.split(',').all(is_item) {
        return Some(text.to_owned());
    }
    findings.refuse(
        codes::INVALID_ANNOTATION,
        annotations::HEALTHCHECK_SUCCESS_CODES.full_key(),
        format!("{} is not allowed", quote(text)),
        "use codes from 200 to 599 separated by commas, or a range such as `200-299`",
    );
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nlb::build::fixtures::{build_service, built, problems, rejected};

    fn key(name: &str, value: &str) -> String {
        format!("service.beta.kubernetes.io/aws-load-balancer-{name}: '{value}'")
    }

    fn of(annotations: &[String]) -> HealthCheck {
        let desired = built(&annotations.join("\n    "));
        desired.target_groups.into_values().next().unwrap().health_check
    }

    const LOCAL: &str = "
spec: {externalTrafficPolicy: Local, healthCheckNodePort: 32000, ports: [{name: web, port: 80, nodePort: 30080}]}";

    #[test]
    fn by_default_targets_are_checked_by_tcp() {
        let check = of(&[]);
        assert_eq!((check.protocol, check.port, check.path, check.success_codes), (HealthCheckProtocol::Tcp, None, None, None));
        assert_eq!((check.interval_seconds, check.timeout_seconds), (10, 10));
        assert_eq!((check.healthy_threshold, check.unhealthy_threshold), (3, 3));
    }

    #[test]
    fn with_policy_local_kube_proxy_is_asked() {
        let desired = build_service(LOCAL).unwrap();
        let check = &desired.target_groups.values().next().unwrap().health_check;
        assert_eq!((&check.protocol, check.port), (&HealthCheckProtocol::Http, Some(32000)));
        assert_eq!((check.path.as_deref(), check.success_codes.as_deref()), (Some("/healthz"), Some("200-399")));
        assert_eq!((check.interval_seconds, check.timeout_seconds), (10, 6));
        assert_eq!((check.healthy_threshold, check.unhealthy_threshold), (2, 2));
    }

    #[test]
    fn annotations_override_one_by_one() {
        let check = of(&[
            key("healthcheck-protocol", "HTTPS"),
            key("healthcheck-port", "web"),
            key("healthcheck-path", "/up"),
            key("healthcheck-success-codes", "200,204,300-301"),
            key("healthcheck-interval", "30"),
            key("healthcheck-timeout", "5"),
            key("healthcheck-healthy-threshold", "4"),
            key("healthcheck-unhealthy-threshold", "5"),
        ]);
        assert_eq!((check.protocol, check.port), (HealthCheckProtocol::Https, Some(30080)));
        assert_eq!((check.path.as_deref(), check.success_codes.as_deref()), (Some("/up"), Some("200,204,300-301")));
        assert_eq!((check.interval_seconds, check.timeout_seconds), (30, 5));
        assert_eq!((check.healthy_threshold, check.unhealthy_threshold), (4, 5));
        assert_eq!(of(&[key("healthcheck-port", "8080")]).port, Some(8080));
        assert_eq!(of(&[key("healthcheck-port", "traffic-port")]).port, None);
    }

    #[test]
    fn the_timeout_never_exceeds_the_interval() {
        assert_eq!(of(&[key("healthcheck-interval", "5")]).timeout_seconds, 5);
        let rejection = rejected(&key("healthcheck-timeout", "11"));
        assert!(rejection.to_string().contains("longer than the interval of 10 seconds"), "{rejection}");
    }

    #[test]
    fn bad_values_are_refused() {
        for (name, value) in [
            ("healthcheck-port", "0"),
            ("healthcheck-port", "65536"),
            ("healthcheck-port", ""),
            ("healthcheck-port", "nope"),
            ("healthcheck-path", "up"),
            ("healthcheck-success-codes", "200-"),
            ("healthcheck-success-codes", "299-200"),
            ("healthcheck-success-codes", "199"),
            ("healthcheck-success-codes", "200, 201"),
            ("healthcheck-protocol", "udp"),
        ] {
            assert_eq!(problems(&key(name, value)), ["InvalidAnnotation"], "{name}={value}");
        }
        assert_eq!(problems(&key("healthcheck-path", &format!("/{}", "x".repeat(1024)))), ["InvalidAnnotation"]);
    }

    #[test]
    fn checks_that_may_mislead_are_told() {
        let codes = |annotations: &[String]| {
            built(&annotations.join("\n    ")).notices.iter().map(|notice| notice.code).collect::<Vec<_>>()
        };
        assert_eq!(codes(&[key("healthcheck-path", "/up")]), ["AnnotationIgnored"]);
        let proxied = [key("proxy-protocol", "*"), key("healthcheck-protocol", "http")];
        assert_eq!(codes(&proxied), ["ProxyProtocolHealthCheck"]);
        let udp = build_service("spec: {ports: [{port: 53, nodePort: 30053, protocol: UDP}]}").unwrap();
        assert_eq!(udp.notices.iter().map(|notice| notice.code).collect::<Vec<_>>(), ["UdpHealthCheck"]);
    }
}
