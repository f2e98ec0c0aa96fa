//! Host and path → decision. No allocation: what a request costs here is a hash of its host and a walk over its path.

use super::options::PathMatching;
use super::table::{Host, Hosts, Route, RouteTable};
