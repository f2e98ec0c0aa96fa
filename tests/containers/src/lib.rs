//! An AWS for a test, from wherever: one enum of back ends, what each of them can do, and no container left behind.
//!
//! ```text
//! text ─▶ Backend ─▶ Aws::start ─┬─ in process: landfall-localstack
//!                                ├─ container  ─▶ docker ─▶ owner (labels, sweep)
//!                                └─ elsewhere: an endpoint, AWS
//! test × Aws ─▶ Capabilities::lacking ─▶ run it, or `skipped: lacks X` ─▶ Matrix
//! ```
//!
//! A test says which [`Capability`]s it needs and is run on every [`Aws`] that has them. `tests/backends/` does so and is the example;
//! docs/how-to/emulator-in-a-container.md is the guide.

mod aws;
mod backend;
mod capability;
mod client;
mod container;
mod docker;
mod matrix;
mod owner;
mod settings;

pub use aws::{Aws, StartError};
pub use backend::{Backend, BackendError};
pub use capability::{Capabilities, Capability};
pub use client::{Answer, Client, ClientError};
pub use container::Container;
pub use docker::{DockerError, docker};
pub use matrix::{Matrix, Outcome};
pub use settings::{Settings, SettingsError};
