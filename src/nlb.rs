//! Service → Network Load Balancer. The listing is the algorithm; `reconcile` calls the stages in order.
//!
//! ```text
//! gather ─Inputs─▶ build ─Desired─┐                      pending  what AWS is busy with, polled in batches
//!                                 ├▶ diff ─Plan─▶ apply  sweep    what others changed, put right
//! observe ─────────Observed───────┘        └▶ report     shared   what all Services share
//! ```
//!
//! Pure: `model`, `ownership`, `build`, `diff`, `report`. May import `aws`, `kubernetes`, `telemetry`, `clock`, `error`.

pub mod model;

pub mod ownership;

pub mod build;

pub mod gather;

pub mod observe;

pub mod diff;

pub mod apply;

pub mod report;

pub mod metrics;

pub mod pending;

pub mod reconcile;

pub mod shared;

pub mod sweep;

pub mod triggers;
