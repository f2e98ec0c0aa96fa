//! Ingress, Service, EndpointSlice, Secret → [`RouteTable`]; [`RouteTable`] × request → decision.
//!
//! Pure: no client, no runtime, no clock, no environment. `ingress` feeds it from watches and publishes the table; `proxy`
//! reads published tables only.
//!
//! ```text
//! objects ─▶ compile ─▶ table (+ findings, reported on the objects)        render: all of it, as text or JSON
//!                         └─ lookup: host, path ─▶ Decision                explain: the same, rule by rule, in words
//! ```

pub mod certificates;

pub mod compile;

pub mod explain;

pub mod findings;

pub mod lookup;

pub mod options;

pub mod render;

pub mod table;

pub use table::RouteTable;
