//! Amazon Web Services: load balancers (ELBv2) and their network (EC2). The only files that name `aws_sdk_*`.
//!
//! [`Aws`] is the one handle: `reads.rs` and `writes.rs` give it one method per API call, `convert.rs` turns the SDK's
//! answers into [`types`], and `call.rs` is the way every call takes:
//!
//! ```text
//! write gate ─▶ throttle (a token per call) ─▶ SDK (retries) ─▶ attempts (meter, trace, gate) ─▶ the wire
//!                                                 │
//!                                                 └─▶ error, codes: AWS's code → our class
//! ```
//!
//! Imports `error` and `clock`, nothing else of the crate. Everything above speaks in [`types`] and knows no SDK.

mod attempts;
mod call;
mod client;
mod codes;
mod convert;
mod error;
mod meter;
mod operation;
mod reads;
mod throttle;
pub mod types;
mod writes;

#[cfg(test)]
mod policy_test;
#[cfg(test)]
pub(crate) mod test_server;

pub use client::{Aws, AwsSettings};
pub use error::AwsError;
pub use meter::Meter;
pub use operation::{OPERATIONS, Operation};
pub use reads::SecurityGroupFilter;
pub use throttle::Priority;
pub use writes::{LoadBalancerSpec, TargetGroupSpec};
