//! The running proxy, from outside.

mod basics;

mod bodies;

mod clients;

mod endpoints;

mod forwarding;

mod http2;

mod limits;

mod protocol;

mod smuggling;

mod upstreams;
