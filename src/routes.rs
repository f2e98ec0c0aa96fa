//! Ingress, Service, EndpointSlice, Secret → [`RouteTable`]; [`RouteTable`] × request → decision.
//!
//! Pure: no client, no runtime, no clock, no environment. `ingress` feeds it from watches and publishes the table; `proxy`
//! reads published tables only.
//!
//! ```text
//! objects ─▶ compile ─▶ table (+ findings, reported on the objects)
//!                         └─ lookup: host, path ─▶ Decision     explain: the same, rule by rule, in words
//! ```

pub mod certificates;

pub mod compile;

pub mod findings;

pub mod lookup;

pub mod options;

pub mod table;

pub use table::RouteTable;
