//! The health check of a target group: defaults, ranges, which settings go together.
//!
//! Imports `model`, `query`, `error`. Defaults are those of network load balancers (`CreateTargetGroup`, API reference); ranges of numbers
//! are in the action table.

use super::placement::configuration;
use crate::error::ApiError;
use crate::health::probe::Matcher;
use crate::model::balancing::{CheckProtocol, HealthCheck, TargetKind};
use crate::query::Params;

/// The health check that a call describes; `present` is the group's own when it is being modified.
pub(super) fn read(params: &Params, kind: TargetKind, present: Option<&HealthCheck>) -> Result<HealthCheck, ApiError> {
    if params.truth("HealthCheckEnabled") == Some(false) {
        return Err(ApiError::validation(
            "Health checks cannot be disabled for target groups with target type instance, ip or alb",
        ));
    }
    let protocol = match params.text("HealthCheckProtocol") {
        None if kind == TargetKind::Alb => present.map_or(CheckProtocol::Http, |check| check.protocol),
        None => present.map_or(CheckProtocol::Tcp, |check| check.protocol),
        Some("TCP") if kind == TargetKind::Alb => {
            return Err(configuration("Health checks of target groups with target type alb have protocol HTTP or HTTPS"));
        }
        Some("TCP") => CheckProtocol::Tcp,
        Some("HTTP") => CheckProtocol::Http,
        Some("HTTPS") => CheckProtocol::Https,
        Some(other) => {
            let message =
                format!("Health check protocol '{other}' is not supported for target groups of a network load balancer");
            return Err(configuration(&format!("{message}: use TCP, HTTP or HTTPS")));
        }
    };
    // Settings that only HTTP has do not survive a change of the protocol.
    let kept = present.filter(|check| check.protocol == protocol);
    let (path, matcher) = if protocol == CheckProtocol::Tcp {
        for http_only in ["HealthCheckPath", "Matcher.HttpCode"] {
            if params.has(http_only) {
                return Err(ApiError::validation(format!("{http_only} is not supported for health checks with protocol TCP")));
            }
        }
        (None, None)
    } else {
        let setting = |name: &str, kept: Option<&String>, default: &str| {
            Some(params.text(name).or(kept.map(String::as_str)).unwrap_or(default).to_owned())
        };
        let path = setting("HealthCheckPath", kept.and_then(|check| check.path.as_ref()), "/");
        let matcher = setting("Matcher.HttpCode", kept.and_then(|check| check.matcher.as_ref()), "200-399");
        (path, matcher)
    };
    check_path(path.as_deref())?;
    check_codes(matcher.as_deref())?;
    let number = |name: &str, kept: Option<u32>, default: u32| {
        params.number(name).and_then(|number| u32::try_from(number).ok()).or(kept).unwrap_or(default)
    };
    let default_timeout = if protocol == CheckProtocol::Http { 6 } else { 10 };
    let check = HealthCheck {
        protocol,
        port: match params.text("HealthCheckPort") {
            Some(text) => read_port(text)?,
            None => present.and_then(|check| check.port),
        },
        path,
        matcher,
        interval: number("HealthCheckIntervalSeconds", present.map(|check| check.interval), 30),
        timeout: number("HealthCheckTimeoutSeconds", present.map(|check| check.timeout), default_timeout),
        healthy: number("HealthyThresholdCount", present.map(|check| check.healthy), 5),
        unhealthy: number("UnhealthyThresholdCount", present.map(|check| check.unhealthy), 2),
    };
    if check.timeout > check.interval {
        let message = format!(
            "Health check timeout '{}' must not be greater than the interval '{}' (HealthCheckTimeoutSeconds, HealthCheckIntervalSeconds)",
            check.timeout, check.interval
        );
        return Err(ApiError::validation(message));
    }
    Ok(check)
}

fn read_port(text: &str) -> Result<Option<u16>, ApiError> {
    match text.parse::<u16>() {
        Ok(port) if port > 0 => Ok(Some(port)),
        _ if text == "traffic-port" => Ok(None),
        _ => {
            let message =
                format!("Health check port '{text}' is not valid: it must be 'traffic-port' or a number from 1 to 65535");
            Err(ApiError::validation(message))
        }
    }
}

fn check_path(path: Option<&str>) -> Result<(), ApiError> {
    match path {
        Some(path) if !path.starts_with('/') || path.len() > 1024 || path.contains(char::is_whitespace) => {
            let message =
                format!("Health check path '{path}' must begin with a '/', contain no spaces and have at most 1024 characters");
            Err(ApiError::validation(message))
        }
        _ => Ok(()),
    }
}

fn check_codes(codes: Option<&str>) -> Result<(), ApiError> {
    let Some(codes) = codes else { return Ok(()) };
    match Matcher::parse(codes) {
        Ok(_) => Ok(()),
        Err(error) => Err(ApiError::validation(format!("Health check matcher HTTP code '{codes}' is not valid: {error}"))),
    }
}
