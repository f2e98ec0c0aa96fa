//! What a controller has to survive, by the numbers F1 to F28 of the fault model: one test for each that an emulator can show, named after it.
//!
//! `fault_model/time.rs` has what comes with time alone, `fault_model/calls.rs` what a caller meets on the wire, `fault_model/traffic.rs` what
//! connections meet.

mod calls;
mod time;
mod traffic;
