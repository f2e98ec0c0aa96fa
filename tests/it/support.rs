//! What the tests stand on: the shared cluster (`fixture`), a test's own world (`world`), a controller process
//! (`controller`), and waiting for conditions (`wait`).

pub mod controller;
pub mod fixture;
pub mod wait;
pub mod world;

/// Names a test's function: `trial!(reconcile, a_service_gets_an_nlb)`.
#[macro_export]
macro_rules! trials {
    ($group:literal: $($test:ident),* $(,)?) => {
        vec![$($crate::support::fixture::trial(concat!($group, "::", stringify!($test)), |world| Box::pin($test(world)))),*]
    };
}
