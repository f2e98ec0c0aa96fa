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
    /// From ACM's `RequestCertificate` to the status `ISSUED`.
    #[serde(with = "seconds")]
    pub certificate_issuance: Duration,
    /// How long a deregistered target still gets new connections, whatever its deregistration delay.
    #[serde(with = "seconds")]
    pub deregistration_propagation: Duration,
    /// How long a listener that was switched to another target group still forwards to the one before.
    #[serde(with = "seconds")]
    pub listener_switch: Duration,
    /// For how long calls that name a new thing do not find it (`LoadBalancerNotFound`, `InvalidGroup.NotFound`).
    #[serde(with = "seconds")]
    pub fresh_ids: Duration,
    /// How old the answer is when a `Describe` names what it wants.
    #[serde(with = "seconds")]
    pub reads_lag: Duration,
    /// How old listings and tags are.
    #[serde(with = "seconds")]
    pub lists_lag: Duration,
    /// How old the index of the Resource Groups Tagging API is: it shows deleted things and misses new ones.
    #[serde(with = "seconds")]
    pub tag_index_lag: Duration,
}

/// Why a duration cannot be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// There is no duration of this name.
    #[error("'{name}' is no duration; there are {}", Durations::names().join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The value is no number of seconds.
    #[error("{name}: '{value}' is not {allowed}")]
    Value {
        /// The duration.
        name: String,
        /// What it should have been set to.
        value: String,
        /// What it can be.
        allowed: &'static str,
    },
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
            certificate_issuance: Duration::ZERO,
            deregistration_propagation: Duration::ZERO,
            listener_switch: Duration::ZERO,
            fresh_ids: Duration::ZERO,
            reads_lag: Duration::ZERO,
            lists_lag: Duration::ZERO,
            tag_index_lag: Duration::ZERO,
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
            certificate_issuance: Duration::from_secs(180),
            deregistration_propagation: Duration::from_secs(150),
            listener_switch: Duration::from_secs(75),
            fresh_ids: Duration::from_secs(1),
            reads_lag: Duration::from_secs(1),
            lists_lag: Duration::from_secs(3),
            tag_index_lag: Duration::from_secs(120),
        }
    }

    /// The durations of a profile: `instant` or `realistic`.
    #[must_use]
    pub fn profile(name: &str) -> Option<Self> {
        match name {
            "instant" => Some(Self::instant()),
            "realistic" => Some(Self::realistic()),
            _ => None,
        }
    }

    /// The names of all durations, as JSON, flags and environment take them.
    #[must_use]
    pub fn names() -> Vec<String> {
        Self::instant().to_map().into_iter().map(|(name, _)| name).collect()
    }

    /// Sets one duration by name: seconds (`2.5`), or `own` where the target group's own setting can be used.
    ///
    /// # Errors
    /// When there is no such duration, or the value is not one.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), DurationError> {
        let mut map = self.to_map();
        let Some(field) = map.get_mut(name) else { return Err(DurationError::Unknown { name: name.to_owned() }) };
        *field = match value.parse::<f64>() {
            // Thresholds are counts.
            Ok(number) if number.fract() == 0.0 && (0.0..4e9).contains(&number) && name == "health_thresholds" => {
                serde_json::Value::from(number as u32)
            }
            Ok(number) if number.is_finite() => serde_json::Value::from(number),
            _ if value == "own" => serde_json::Value::Null,
            _ => serde_json::Value::from(value),
        };
        let allowed = if ["health_interval", "health_thresholds", "deregistration"].contains(&name) {
            "a number of seconds from 0 on (health_thresholds: a count), or 'own' for the target group's own setting"
        } else {
            "a number of seconds from 0 on"
        };
        let wrong = |_| DurationError::Value { name: name.to_owned(), value: value.to_owned(), allowed };
        *self = serde_json::from_value(serde_json::Value::Object(map)).map_err(wrong)?;
        Ok(())
    }

    fn to_map(self) -> serde_json::Map<String, serde_json::Value> {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(map)) => map,
            // A struct of numbers is always an object.
            _ => serde_json::Map::new(),
        }
    }
}

impl Default for Durations {
    fn default() -> Self {
        Self::instant()
    }
}

/// `present` with the durations that a JSON object names (`{"provisioning": 5}`), from a profile on if it names one (`"profile"`). The error
/// names what is wrong.
pub(crate) fn change_durations(
    present: Durations,
    named: &serde_json::Map<String, serde_json::Value>,
) -> Result<Durations, String> {
    let mut changed = match named.get("profile") {
        None => present,
        Some(profile) => profile
            .as_str()
            .and_then(Durations::profile)
            .ok_or_else(|| format!("profile: {profile} is none; there are instant and realistic"))?,
    };
    for (name, value) in named.iter().filter(|(name, _)| *name != "profile") {
        let text = if value.is_null() { "own".to_owned() } else { value.to_string() };
        changed.set(name, &text).map_err(|error| error.to_string())?;
    }
    Ok(changed)
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

    #[test]
    fn each_can_be_set_by_name() {
        let mut durations = Durations::instant();
        for name in Durations::names() {
            durations.set(&name, "7").unwrap();
        }
        let all: Vec<f64> = durations.to_map().values().map(|value| value.as_f64().unwrap()).collect();
        assert!(all.iter().all(|seconds| *seconds == 7.0), "{durations:?}");
        durations.set("deregistration", "own").unwrap();
        assert_eq!(durations.deregistration, None);
        for (name, value, word) in [
            ("provisionning", "1", "there are provisioning"),
            ("registration", "soon", "soon"),
            ("registration", "own", "seconds"),
            ("reads_lag", "-1", "from 0 on"),
        ] {
            let error = durations.set(name, value).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        assert_eq!(durations.registration, Duration::from_secs(7), "a refused value changes nothing");
    }

    #[test]
    fn the_table_of_the_readme_is_that_of_the_profiles() {
        let readme = include_str!("../README.md");
        let table = readme.split("\n## Durations\n").nth(1).unwrap().split("\n## ").next().unwrap();
        let rows: Vec<Vec<&str>> = table
            .lines()
            .filter(|line| line.starts_with("| `"))
            .map(|line| line.split('|').map(|cell| cell.trim().trim_matches('`')).skip(1).take(3).collect())
            .collect();
        let text = |value: &serde_json::Value| value.as_f64().map_or_else(|| "own".to_owned(), |seconds| seconds.to_string());
        let (instant, realistic) = (Durations::instant().to_map(), Durations::realistic().to_map());
        let expected: Vec<Vec<String>> =
            instant.iter().map(|(name, value)| vec![name.clone(), text(value), text(&realistic[name])]).collect();
        assert_eq!(rows, expected);
    }
}
