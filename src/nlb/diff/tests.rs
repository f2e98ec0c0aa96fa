//! Tests of `diff`: each rule by itself, the printed plans, and convergence of arbitrary histories on a model of AWS.

mod convergence;
mod fixture;
mod load_balancers;
mod settings;
mod shared;
mod simulate;
mod snapshots;
mod target_groups;
