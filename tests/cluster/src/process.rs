//! A long-lived part of the control plane as a child process with its output in a file. Used by [`crate::control_plane`] and
//! [`crate::nodes`].

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::error::Error;

/// How many lines of a dead program's output its error shows.
const TAIL_LINES: usize = 20;

/// A running program.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with its output in `<logs>/<name>.log`.
    pub(crate) fn start(name: &str, mut command: Command, logs: &Path) -> Result<Self, Error> {
        let log = logs.join(format!("{name}.log"));
        let output = File::create(&log).map_err(Error::io(format!("create {}", log.display())))?;
        let errors = output.try_clone().map_err(Error::io(format!("duplicate {}", log.display())))?;
        let child = command.stdout(output).stderr(errors).spawn().map_err(Error::io(format!("start {name}")))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Fails with the program's last words if it has ended.
    pub(crate) fn check(&mut self) -> Result<(), Error> {
        match self.child.try_wait().map_err(Error::io(format!("wait for {}", self.name)))? {
            None => Ok(()),
            Some(status) => {
                let tail = tail(&self.log);
                Err(Error::Ended { program: self.name.clone(), status: status.to_string(), log: self.log.clone(), tail })
            }
        }
    }

    /// Sends a signal; a program that has ended already gets none.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Error> {
        let Some(pid) = self.child.id() else { return Ok(()) };
        let sent = kill(Pid::from_raw(pid.cast_signed()), signal);
        sent.map_err(|source| Error::Io { action: format!("send {signal} to {}", self.name), source: source.into() })
    }

    /// Asks the program to end, and kills it if it has not within `patience`.
    pub(crate) async fn stop(mut self, patience: Duration) {
        // It may be suspended; and an error only means that it has ended.
        let _ = self.signal(Signal::SIGTERM).and_then(|()| self.signal(Signal::SIGCONT));
        if timeout(patience, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

fn tail(log: &Path) -> String {
    let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(TAIL_LINES)..).unwrap_or_default().join("\n")
}
