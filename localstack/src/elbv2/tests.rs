//! The rules of ELBv2, by their ids in the reference (`emulator.md` §2.1-2.7).

mod listeners;
mod load_balancers;
mod shared_rules;
mod target_groups;
mod targets;
