//! The handle: both clients, connected once, with one throttle, one meter and one write gate.
//!
//! Neighbours: `call.rs` (the way of a call), `attempts.rs` (the interceptor installed here).

use std::sync::Arc;
use std::time::Duration;

use aws_config::imds;
use aws_config::meta::region::RegionProviderChain;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use hyper::Uri;

use super::attempts::Attempts;
use super::error::AwsError;
use super::meter::Meter;
use super::throttle::Throttle;
use super::types::VpcId;

/// Asked before every write; `false` holds it back.
pub(super) type WriteGate = Arc<dyn Fn() -> bool + Send + Sync>;

/// A call with all its attempts.
const OPERATION_LIMIT: Duration = Duration::from_secs(30);
/// One attempt: the SDK by itself would wait for a silent peer for ever.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(10);
/// Attempts on network errors and 5xx; throttled calls have fewer (`attempts.rs`).
const ATTEMPTS: u32 = 4;

/// How AWS is reached, as far as flags say.
#[derive(Clone, Debug)]
pub struct AwsSettings {
    /// `--aws-region`; else environment, profile, instance metadata.
    pub region: Option<String>,
    /// `--aws-endpoint-url`; else environment, profile, AWS itself.
    pub endpoint_url: Option<String>,
    /// Goes into the user agent, which CloudTrail shows.
    pub app_name: String,
}

impl Default for AwsSettings {
    fn default() -> Self {
        Self { region: None, endpoint_url: None, app_name: "landfall".to_owned() }
    }
}

/// AWS in one account and region. Clones share connections, throttle and meter.
#[derive(Clone)]
pub struct Aws {
    pub(super) elb: aws_sdk_elasticloadbalancingv2::Client,
    pub(super) ec2: aws_sdk_ec2::Client,
    pub(super) throttle: Arc<Throttle>,
    pub(super) meter: Meter,
    pub(super) gate: Option<WriteGate>,
    /// Reads are a sweep's.
    pub(super) background: bool,
    config: SdkConfig,
}

impl Aws {
    /// Finds region and credentials (flag, environment, profile, web identity, container, instance metadata: the standard
    /// chain) and makes the clients. No call is made but to the instance metadata service, when nothing else tells the region.
    ///
    /// # Errors
    /// `NoRegion` and `InvalidSetting`; missing credentials show with the first call.
    pub async fn connect(settings: &AwsSettings, meter: Meter) -> Result<Self, AwsError> {
        let app_name = AppName::new(settings.app_name.clone())
            .map_err(|_| AwsError::invalid_setting(format!("app name `{}`: use letters, digits and -._", settings.app_name)))?;
        let region = RegionProviderChain::first_try(settings.region.clone().map(Region::new))
            .or_default_provider()
            .region()
            .await
            .ok_or_else(AwsError::no_region)?;
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .region(region)
            .app_name(app_name)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(
                TimeoutConfig::builder().operation_timeout(OPERATION_LIMIT).operation_attempt_timeout(ATTEMPT_LIMIT).build(),
            );
        if let Some(url) = &settings.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        let config = loader.load().await;
        if let Some(url) = config.endpoint_url().filter(|url| !is_endpoint(url)) {
            let example = "http://127.0.0.1:4566";
            let message = format!("AWS endpoint `{url}`: give --aws-endpoint-url (or AWS_ENDPOINT_URL) a URL such as {example}");
            return Err(AwsError::invalid_setting(message));
        }
        Ok(Self::assemble(config, meter, Arc::new(Throttle::default()), None))
    }

    /// Clients as `config` says.
    pub(super) fn assemble(config: SdkConfig, meter: Meter, throttle: Arc<Throttle>, gate: Option<WriteGate>) -> Self {
        let attempts = || Attempts { meter: meter.clone(), throttle: throttle.clone(), gate: gate.clone() };
        let elb = aws_sdk_elasticloadbalancingv2::config::Builder::from(&config).interceptor(attempts()).build();
        let ec2 = aws_sdk_ec2::config::Builder::from(&config).interceptor(attempts()).build();
        Self {
            elb: aws_sdk_elasticloadbalancingv2::Client::from_conf(elb),
            ec2: aws_sdk_ec2::Client::from_conf(ec2),
            throttle,
            meter,
            gate,
            background: false,
            config,
        }
    }

    /// The same with a gate that is asked before every write and again before each attempt of it: `false` (another replica
    /// leads) makes the call fail as `NotLeader` without being sent.
    #[must_use]
    pub fn with_write_gate(self, gate: Arc<dyn Fn() -> bool + Send + Sync>) -> Self {
        let assembled = Self::assemble(self.config, self.meter, self.throttle, Some(gate));
        Self { background: self.background, ..assembled }
    }

    /// The same for a sweep: its reads come after everybody else's ([`super::Priority::Sweep`]).
    #[must_use]
    pub fn in_background(&self) -> Self {
        Self { background: true, ..self.clone() }
    }

    /// The region in use.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.config.region().map(Region::as_ref)
    }

    /// The VPC of the instance that this runs on, by the instance metadata service: for when `--vpc-id` is absent.
    ///
    /// `None` off EC2, and in a pod that cannot reach the service (IMDSv2 needs a hop limit of 2).
    pub async fn vpc_of_instance_metadata(&self) -> Option<VpcId> {
        let metadata = imds::Client::builder()
            .max_attempts(2)
            .connect_timeout(Duration::from_secs(1))
            .read_timeout(Duration::from_secs(1))
            .build();
        match vpc_of(&metadata).await {
            Ok(vpc) => Some(VpcId::from(vpc)),
            Err(error) => {
                tracing::debug!(%error, "the instance metadata service tells no VPC");
                None
            }
        }
    }
}

/// Whether the SDK can use it: it would panic on an empty URL and fail each call on one without scheme and host.
fn is_endpoint(url: &str) -> bool {
    url.parse::<Uri>().is_ok_and(|url| matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some())
}

/// The VPC of the primary network interface.
async fn vpc_of(metadata: &imds::Client) -> Result<String, imds::client::error::ImdsError> {
    let mac = metadata.get("/latest/meta-data/mac").await?;
    let path = format!("/latest/meta-data/network/interfaces/macs/{}/vpc-id", mac.as_ref());
    Ok(metadata.get(path).await?.as_ref().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(endpoint: &str) -> AwsSettings {
        AwsSettings { region: Some("eu-west-1".into()), endpoint_url: Some(endpoint.into()), ..AwsSettings::default() }
    }

    #[tokio::test]
    async fn an_endpoint_needs_scheme_and_host() {
        for bad in ["", "localhost:4566", "not a url", "ftp://host", "/path"] {
            let error = Aws::connect(&settings(bad), Meter::default()).await.err().unwrap();
            assert_eq!(error.code, "InvalidSetting", "{bad}");
            assert!(error.to_string().contains("--aws-endpoint-url"), "{error}");
        }
        let aws = Aws::connect(&settings("http://127.0.0.1:4566"), Meter::default()).await.unwrap();
        assert_eq!(aws.region(), Some("eu-west-1"));
    }

    #[tokio::test]
    async fn an_app_name_is_checked() {
        let settings = AwsSettings { app_name: "land fall".into(), ..settings("http://127.0.0.1:4566") };
        assert_eq!(Aws::connect(&settings, Meter::default()).await.err().unwrap().code, "InvalidSetting");
    }
}
