//! How long AWS takes for what it does in its own time, as two profiles and settable one by one.
//!
//! Plain data; imports nothing of the crate. The figures of [`Durations::realistic`] are those that AWS support, Terraform's waits and public
//! issue threads report; AWS promises none of them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long things take. In JSON every duration is a number of seconds.
///
/// A change applies to what begins after it: a load balancer that is being provisioned keeps the time it started with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Durations {
    /// From `CreateLoadBalancer` to the state `active`.
    #[serde(with = "seconds")]
    pub provisioning: Duration,
    /// How long `SetSubnets`, `SetSecurityGroups` and `SetIpAddressType` put a load balancer back to `provisioning`.
    #[serde(with = "seconds")]
    pub reprovisioning: Duration,
    /// From the registration of a target in use to its first health check (`Elb.RegistrationInProgress`).
    #[serde(with = "seconds")]
    pub registration: Duration,
    /// Between two health checks of a target; `None`: the target group's own interval.
    #[serde(with = "optional_seconds")]
    pub health_interval: Option<Duration>,
    /// Consecutive results that change a target's health, both ways; `None`: the target group's own thresholds.
    pub health_thresholds: Option<u32>,
    /// How long a target is `draining`; `None`: the target group's `deregistration_delay.timeout_seconds`.
    #[serde(with = "optional_seconds")]
    pub deregistration: Option<Duration>,
    /// How long a load balancer's network interfaces outlive it (and make `DeleteSecurityGroup` answer `DependencyViolation`).
    #[serde(with = "seconds")]
    pub load_balancer_interfaces_linger: Duration,
    /// How long `DeleteTargetGroup` still answers `ResourceInUse` after the last listener of the group went.
    #[serde(with = "seconds")]
    pub target_group_in_use: Duration,
    /// From `CreateLoadBalancer` to the first DNS answer.
    #[serde(with = "seconds")]
    pub dns_propagation: Duration,
}

impl Durations {
    /// Nothing takes time: active, registered, drained and released at the next look; targets are checked at once and every second, one
    /// result decides.
    #[must_use]
    pub fn instant() -> Self {
        Self {
            provisioning: Duration::ZERO,
            reprovisioning: Duration::ZERO,
            registration: Duration::ZERO,
            health_interval: Some(Duration::from_secs(1)),
            health_thresholds: Some(1),
            deregistration: Some(Duration::ZERO),
            load_balancer_interfaces_linger: Duration::ZERO,
            target_group_in_use: Duration::ZERO,
            dns_propagation: Duration::ZERO,
        }
    }

    /// What users of AWS see on an ordinary day.
    #[must_use]
    pub fn realistic() -> Self {
        Self {
            provisioning: Duration::from_secs(150),
            reprovisioning: Duration::from_secs(30),
            registration: Duration::from_secs(180),
            health_interval: None,
            health_thresholds: None,
            deregistration: None,
            load_balancer_interfaces_linger: Duration::from_secs(90),
            target_group_in_use: Duration::from_secs(60),
            dns_propagation: Duration::from_secs(120),
        }
    }
}

impl Default for Durations {
    fn default() -> Self {
        Self::instant()
    }
}

/// Durations as numbers of seconds.
pub(crate) mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(value.as_secs_f64())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(seconds)
            .map_err(|_| de::Error::custom(format!("{seconds} is not a number of seconds from 0 on")))
    }
}

mod optional_seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    struct Seconds(#[serde(with = "super::seconds")] Duration);

    // serde's `with` fixes this signature.
    pub(super) fn serialize<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        value.map(|value| value.as_secs_f64()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<Seconds>::deserialize(deserializer)?.map(|seconds| seconds.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_seconds_and_names_what_is_wrong() {
        let json = serde_json::to_value(Durations::instant()).unwrap();
        assert_eq!(json["health_interval"], 1.0);
        assert_eq!(serde_json::from_value::<Durations>(json).unwrap(), Durations::instant());
        let partial: Durations = serde_json::from_str(r#"{"provisioning": 2.5, "health_interval": null}"#).unwrap();
        assert_eq!(partial.provisioning, Duration::from_millis(2500));
        assert_eq!(partial.health_interval, None);
        assert!(serde_json::from_str::<Durations>(r#"{"provisioning": -1}"#).unwrap_err().to_string().contains("-1"));
        assert!(serde_json::from_str::<Durations>(r#"{"provisionning": 1}"#).unwrap_err().to_string().contains("provisionning"));
    }
}
