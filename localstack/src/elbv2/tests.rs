//! The rules of ELBv2, by their ids in the reference (`emulator.md` §2.1-2.7).

mod ipv6;
mod listeners;
mod load_balancers;
mod quotas;
mod rules;
mod shared_rules;
mod target_groups;
mod targets;
mod tls;
