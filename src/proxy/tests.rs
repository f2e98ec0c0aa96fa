//! The running proxy, from outside.

mod basics;

mod bodies;

mod clients;

mod forwarding;

mod protocol;

mod smuggling;

mod upstreams;
