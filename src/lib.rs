//! Landfall: the way into a Kubernetes cluster on AWS.
//!
//! A Service of type LoadBalancer becomes an AWS Network Load Balancer. One way through:
//!
//! ```text
//! watch ─keys─▶ queue ─▶ gather ─Inputs─▶ build ─Desired─┐
//! (kubernetes)           (stores + AWS facts)  (pure)    ├─▶ diff ─Plan─▶ apply ─Outcome─▶ report
//!                        observe ─────────Observed───────┘  (pure)        (AWS writes)     (status, events)
//!                        (AWS reads, one inventory)
//! ```
//!
//! Behind one of these load balancers the data plane serves Ingresses:
//!
//! ```text
//! watch ─▶ feed ─objects─▶ compile ─▶ RouteTable ═(published whole)═▶ proxy ─▶ endpoints
//! (ingress)                (routes, pure)   └─findings─▶ events, status
//! ```
//!
//! Modules in dependency order: each uses only those above it in this list (`tests/it/architecture.rs` checks that).

pub mod error;

pub mod clock;

pub mod telemetry;

pub mod admin;

pub mod aws;

pub mod kubernetes;

pub mod nlb;

pub mod routes;

pub mod proxy;

pub mod ingress;

pub mod config;

pub mod cli;
