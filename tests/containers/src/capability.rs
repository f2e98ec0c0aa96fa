//! What a back end can do, so that a test can say what it needs.
//!
//! Plain data; imports nothing of the crate. Which back end has what: `aws.rs`.

use std::collections::BTreeSet;
use std::fmt;

/// Something that not every AWS can do for a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// Calls are answered without a valid signature: [`crate::Client`] can make them.
    UnsignedCalls,
    /// `/_localstack/health` answers.
    LocalStackHealth,
    /// What is not there is refused with AWS's error for it.
    UnknownIsRefused,
    /// Network load balancers are AWS's: `net/` ARNs, states, idempotent creation.
    NetworkLoadBalancers,
    /// Certificates of ACM.
    Acm,
    /// `GetResources` of Resource Groups Tagging finds what has a tag.
    Tagging,
    /// A VPC with all that is in it is made by one request (`/_landfall/seed`).
    Seed,
    /// The clock can be moved (`/_landfall/clock`).
    Clock,
    /// Chosen calls can be spoilt (`/_landfall/faults`).
    Faults,
    /// Every call is recorded (`/_landfall/journal`).
    Journal,
    /// Listeners carry traffic, at addresses that this machine reaches ([`crate::Aws::reach`]).
    DataPlane,
    /// It is in a container of ours ([`crate::Aws::container`]).
    Container,
}

impl fmt::Display for Capability {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::UnsignedCalls => "unsigned calls",
            Self::LocalStackHealth => "/_localstack/health",
            Self::UnknownIsRefused => "refusal of what is unknown",
            Self::NetworkLoadBalancers => "AWS's network load balancers",
            Self::Acm => "ACM",
            Self::Tagging => "tagging",
            Self::Seed => "seed",
            Self::Clock => "clock",
            Self::Faults => "faults",
            Self::Journal => "journal",
            Self::DataPlane => "data plane",
            Self::Container => "container",
        })
    }
}

/// All that one AWS can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(BTreeSet<Capability>);

impl Capabilities {
    /// Whether it can do this.
    #[must_use]
    pub fn has(&self, capability: Capability) -> bool {
        self.0.contains(&capability)
    }

    /// The first of what a test needs that it cannot do.
    #[must_use]
    pub fn lacking(&self, needs: &[Capability]) -> Option<Capability> {
        needs.iter().copied().find(|need| !self.has(*need))
    }

    /// With another one.
    #[must_use]
    pub fn with(mut self, capability: Capability) -> Self {
        self.0.insert(capability);
        self
    }
}

impl<const N: usize> From<[Capability; N]> for Capabilities {
    fn from(capabilities: [Capability; N]) -> Self {
        Self(BTreeSet::from(capabilities))
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, capability) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            write!(out, "{comma}{capability}")?;
        }
        Ok(())
    }
}
