//! What the tests stand on: the shared cluster (`fixture`), a test's own world (`world`), a controller process
//! (`controller`), a cable to pull (`proxy`), what AWS holds in words that can be compared (`picture`), and waiting for conditions
//! (`wait`); for traffic, pods to send it to (`workload`); what the AWS SDK asks besides AWS (`answers`); objects that no API
//! server has seen (`table`), served by a proxy in this process (`serving`);
//! what the controller wrote to Kubernetes (`audit`).

pub mod answers;
pub mod audit;
pub mod aws;
pub mod controller;
pub mod data_plane;
pub mod fixture;
pub mod picture;
pub mod proxy;
pub mod rights;
pub mod serving;
pub mod table;
pub mod wait;
pub mod workload;
pub mod world;

/// Names a test's function: `trial!(reconcile, a_service_gets_an_nlb)`.
#[macro_export]
macro_rules! trials {
    ($group:literal: $($test:ident),* $(,)?) => {
        vec![$($crate::support::fixture::trial(concat!($group, "::", stringify!($test)), |world| Box::pin($test(world)))),*]
    };
}

/// The same for tests that change what all tests share: each runs alone.
#[macro_export]
macro_rules! trials_alone {
    ($group:literal: $($test:ident),* $(,)?) => {
        vec![$($crate::support::fixture::trial_alone(concat!($group, "::", stringify!($test)), |world| Box::pin($test(world)))),*]
    };
}
