//! One account in one region by hand: what a test or a person does to AWS, and what there is to see, as plain structs.
//!
//! Imports `shared`, `model`, `server::aws` for calls. Everything here can also be had over HTTP: by the AWS API, or under `/_landfall/`.

use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::model::State;
use crate::model::balancing::{Health, TargetKey};
use crate::model::quotas::Quotas;
use crate::server::aws;
use crate::shared::Shared;
use crate::world::{self, Seeded, World};

mod overview;
mod summary;

pub use summary::{
    InterfaceSummary, ListenerSummary, LoadBalancerSummary, RuleSummary, SecurityGroupSummary, Snapshot, TargetGroupSummary,
    TargetSummary, ZoneSummary,
};

/// An account in a region of a running emulator. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Region {
    shared: Arc<Shared>,
    state: Arc<Mutex<State>>,
}

/// A target's health as set by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetHealth {
    /// `initial`, `Elb.InitialHealthChecking`.
    Initial,
    /// `healthy`.
    Healthy,
    /// `unhealthy`, `Target.FailedHealthChecks`.
    Unhealthy,
    /// `unavailable`, `Elb.InternalError`.
    Unavailable,
    /// Back to real health checks, from the start.
    Probed,
}

/// What was asked by hand about something that is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no {kind} '{name}' in this account and region")]
pub struct NotFound {
    /// `load balancer`, `target group` or `target`.
    pub kind: &'static str,
    /// Its ARN, or the target's id and port.
    pub name: String,
}

impl Region {
    pub(crate) fn new(shared: Arc<Shared>, state: Arc<Mutex<State>>) -> Self {
        Self { shared, state }
    }

    fn look<R>(&self, work: impl FnOnce(&State) -> R) -> R {
        self.shared.with(&self.state, |state, _, _| work(state))
    }

    /// Puts a VPC and what is in it into the account. Doing it again changes nothing and tells the same identifiers.
    pub fn seed(&self, world: &World) -> Seeded {
        self.shared.with(&self.state, |state, now, _| world::seed(state, world, now))
    }

    /// Makes one call of the AWS API as another client of the account would, and returns the XML of its answer. It stands in the journal
    /// with the user agent [`BY_HAND`]; neither faults nor lag apply to it.
    ///
    /// `service` is `elasticloadbalancing`, `ec2` or `sts`; `parameters` are form fields: `("Tags.member.1.Key", "a")`.
    ///
    /// # Errors
    /// What AWS would answer.
    pub fn call(&self, service: &str, action: &str, parameters: &[(&str, &str)]) -> Result<String, ApiError> {
        aws::by_hand(&self.shared, &self.state, service, action, parameters)
    }

    /// Lets a load balancer fail: its state is `failed` with this reason from now on.
    ///
    /// # Errors
    /// When there is no such load balancer.
    pub fn fail_load_balancer(&self, arn: &str, reason: &str) -> Result<(), NotFound> {
        self.shared.with(&self.state, |state, _, _| {
            let balancer = state.balancing.load_balancers.get_mut(arn);
            let balancer = balancer.ok_or_else(|| NotFound { kind: "load balancer", name: arn.to_owned() })?;
            balancer.failure = Some(reason.to_owned());
            Ok(())
        })
    }

    /// Sets a target's health; it keeps it, without health checks, until it is set to [`TargetHealth::Probed`], or begins anew (registered
    /// again, or its group put to use again).
    ///
    /// # Errors
    /// When there is no such group or target.
    pub fn set_target_health(&self, target_group: &str, id: &str, port: u16, health: TargetHealth) -> Result<(), NotFound> {
        self.shared.with(&self.state, |state, now, durations| {
            let group = state.balancing.target_groups.get_mut(target_group);
            let group = group.ok_or_else(|| NotFound { kind: "target group", name: target_group.to_owned() })?;
            let key = TargetKey { id: id.to_owned(), port };
            let target = group.targets.get_mut(&key).ok_or_else(|| NotFound { kind: "target", name: format!("{id}:{port}") })?;
            target.pinned = true;
            target.health = match health {
                TargetHealth::Initial => Health::Checking,
                TargetHealth::Healthy => Health::Healthy,
                TargetHealth::Unhealthy => Health::Unhealthy {
                    reason: "Target.FailedHealthChecks".to_owned(),
                    description: "Health checks failed".to_owned(),
                },
                TargetHealth::Unavailable => Health::Unavailable,
                TargetHealth::Probed => {
                    state.start_target(target_group, &key, now, durations);
                    return Ok(());
                }
            };
            state.dirty = true;
            Ok(())
        })
    }

    /// How much of everything the account may have in the region.
    #[must_use]
    pub fn quotas(&self) -> Quotas {
        self.look(|state| state.quotas)
    }

    /// Sets how much of everything the account may have in the region; what there is already stays.
    pub fn set_quotas(&self, quotas: Quotas) {
        self.shared.with(&self.state, |state, _, _| state.quotas = quotas);
    }

    /// The load balancers, by ARN.
    #[must_use]
    pub fn load_balancers(&self) -> Vec<LoadBalancerSummary> {
        self.look(summary::load_balancers)
    }

    /// The target groups, by ARN.
    #[must_use]
    pub fn target_groups(&self) -> Vec<TargetGroupSummary> {
        self.look(summary::target_groups)
    }

    /// The listeners, by ARN.
    #[must_use]
    pub fn listeners(&self) -> Vec<ListenerSummary> {
        self.look(summary::listeners)
    }

    /// The targets of a group, draining ones included; empty for a group that is not there.
    #[must_use]
    pub fn targets(&self, target_group: &str) -> Vec<TargetSummary> {
        self.look(|state| summary::targets(state, target_group))
    }

    /// The security groups, by id.
    #[must_use]
    pub fn security_groups(&self) -> Vec<SecurityGroupSummary> {
        self.look(summary::security_groups)
    }

    /// The network interfaces, by id.
    #[must_use]
    pub fn interfaces(&self) -> Vec<InterfaceSummary> {
        self.look(summary::interfaces)
    }

    /// What the page shows; see [`overview::overview`].
    pub(crate) fn overview(&self, matching: &str, limit: usize) -> overview::Overview {
        self.look(|state| overview::overview(state, matching, limit))
    }

    /// The first targets of a group, and how many there are.
    pub(crate) fn first_targets(&self, target_group: &str, limit: usize) -> overview::Listing<TargetSummary> {
        self.look(|state| overview::targets(state, target_group, limit))
    }

    /// All of the above at one moment.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.look(summary::snapshot)
    }
}

/// The user agent of calls made by [`Region::call`].
pub const BY_HAND: &str = "landfall-localstack/by-hand";
