//! Watches → route table → data plane, and what is told about it.
//!
//! ```text
//! watches ─▶ feed ─(routes: compile)─▶ table ─▶ proxy
//!              └─what was published─▶ leader ─▶ status   addresses of the Ingresses that are live
//!                                             └▶ report   events for what is wrong or ignored
//! ```
//!
//! `metrics` shows what was published last.
//!
//! May import `routes`, `proxy`, `kubernetes`, `telemetry`, `clock`, `error`.

pub mod certificate;

pub mod feed;

pub mod published;

pub mod status;

pub mod report;

pub mod leader;

pub mod metrics;
