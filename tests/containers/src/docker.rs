//! The `docker` command. It knows where the engine is (`DOCKER_HOST`, contexts), how to log in to registries, and every engine's version of
//! the API; podman's command takes the same arguments.
//!
//! Imports nothing of the crate.

use std::ffi::OsStr;
use std::process::Stdio;

use tokio::process::Command;

/// Why a `docker` command failed.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    /// There is no such program.
    #[error("cannot run docker: {0}")]
    NotThere(std::io::Error),
    /// It said no.
    #[error("docker {command}: {message}")]
    Refused {
        /// Its arguments.
        command: String,
        /// What it wrote to stderr.
        message: String,
    },
}

/// Runs `docker ARGUMENT…` and returns what it wrote to stdout, without blanks around it.
///
/// # Errors
/// When there is no `docker`, or its status is not 0.
pub async fn docker<A: AsRef<OsStr>>(arguments: &[A]) -> Result<String, DockerError> {
    docker_with(arguments, &[]).await
}

/// The same, with variables that are not to be seen among the arguments.
pub(crate) async fn docker_with<A: AsRef<OsStr>>(arguments: &[A], environment: &[(&str, &str)]) -> Result<String, DockerError> {
    let mut command = Command::new("docker");
    command.args(arguments).envs(environment.iter().copied()).stdin(Stdio::null());
    let output = command.output().await.map_err(DockerError::NotThere)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let command: Vec<_> = arguments.iter().map(|argument| argument.as_ref().to_string_lossy()).collect();
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(DockerError::Refused { command: command.join(" "), message })
}
