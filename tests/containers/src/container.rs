//! One container for as long as its value lives. Its port is on loopback only.
//!
//! A process that is killed removes nothing. So each container has a label with its owner, and each start removes first what dead owners
//! left. Imports `docker.rs`, `owner.rs`.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use jiff::{SignedDuration, Timestamp};

use crate::docker::{DockerError, docker, docker_with};
use crate::owner::Owner;

const OWNER: &str = "landfall.test.owner";
const STARTED: &str = "landfall.test.started";
/// After so long nobody needs a container any more whose owner cannot be looked at: it is of another machine or process namespace that uses
/// the same engine.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);

/// A running container; dropping it removes it.
#[derive(Debug)]
pub struct Container {
    id: String,
    removed: bool,
}

/// What to start.
pub(crate) struct Recipe<'a> {
    pub(crate) image: &'a str,
    /// Where the program listens inside.
    pub(crate) port: u16,
    /// Not seen among arguments; `docker inspect` shows them.
    pub(crate) environment: Vec<(&'a str, &'a str)>,
}

impl Container {
    /// Removes what dead owners left, then starts one. Its program may not be listening yet.
    pub(crate) async fn start(recipe: &Recipe<'_>) -> Result<Self, DockerError> {
        sweep().await?;
        let owner = format!("{OWNER}={}", Owner::this_process());
        let started = format!("{STARTED}={}", Timestamp::now().as_second());
        let published = format!("127.0.0.1::{}", recipe.port);
        let mut arguments = vec!["create", "--label", &owner, "--label", &started, "--publish", &published];
        for (name, _) in &recipe.environment {
            arguments.extend(["--env", name]);
        }
        arguments.push(recipe.image);
        // First created, then started: whatever the start fails of, there is something by now that removes it.
        let id = docker_with(&arguments, &recipe.environment).await?;
        let container = Self { id, removed: false };
        docker(&["start", &container.id]).await?;
        Ok(container)
    }

    /// Its id, for `docker inspect` and the like.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where a port of its program is on this machine.
    ///
    /// # Errors
    /// When the port is not published, or the container has ended.
    pub async fn address(&self, port: u16) -> Result<SocketAddr, DockerError> {
        let answer = docker(&["port", &self.id, &format!("{port}/tcp")]).await?;
        let first = answer.lines().next().unwrap_or_default();
        first.parse().map_err(|_| DockerError::Refused {
            command: format!("port {}", self.id),
            message: format!("port {port} is not published; it answered '{answer}'"),
        })
    }

    /// A field of `docker inspect`, by its template: `{{.State.Running}}`.
    ///
    /// # Errors
    /// When there is no such field, or the container is gone.
    pub async fn inspect(&self, template: &str) -> Result<String, DockerError> {
        docker(&["inspect", "--format", template, &self.id]).await
    }

    /// What its program wrote last, to both outputs.
    pub(crate) async fn last_words(&self) -> String {
        let mut command = tokio::process::Command::new("docker");
        let output = command.args(["logs", "--tail", "20", &self.id]).stdin(Stdio::null()).output().await;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        output.map_or_else(|error| error.to_string(), |output| text(&output.stdout) + &text(&output.stderr))
    }

    /// Removes it; as dropping does, without blocking the runtime.
    ///
    /// # Errors
    /// When the engine does not.
    pub async fn remove(mut self) -> Result<(), DockerError> {
        self.removed = true;
        docker(&["rm", "--force", "--volumes", &self.id]).await.map(drop)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if self.removed {
            return;
        }
        let mut command = Command::new("docker");
        command.args(["rm", "--force", "--volumes", &self.id]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // The next start tries again.
        let _ = command.status();
    }
}

/// Removes containers of owners that do not live any more.
async fn sweep() -> Result<(), DockerError> {
    let format = format!("{{{{.ID}}}} {{{{.Label \"{STARTED}\"}}}} {{{{.Label \"{OWNER}\"}}}}");
    let filter = format!("label={OWNER}");
    let listed = docker(&["ps", "--all", "--no-trunc", "--filter", &filter, "--format", &format]).await?;
    for id in left_behind(&listed, Timestamp::now(), Owner::lives) {
        match docker(&["rm", "--force", "--volumes", id]).await {
            // Another process sweeps, too.
            Err(DockerError::Refused { message, .. })
                if message.contains("No such container") || message.contains("in progress") => {}
            other => drop(other?),
        }
    }
    Ok(())
}

/// The ids, in lines of `ID STARTED OWNER`, of what nobody needs any more.
fn left_behind(listed: &str, now: Timestamp, lives: impl Fn(&Owner) -> Option<bool>) -> Vec<&str> {
    let is_left = |started: &str, owner: &str| {
        let lives = owner.parse().ok().and_then(|owner| lives(&owner));
        lives.map_or_else(
            || {
                let started = started.parse().ok().and_then(|second| Timestamp::from_second(second).ok());
                started.is_none_or(|started| now.duration_since(started) > LONGEST)
            },
            |lives| !lives,
        )
    };
    let lines = listed.lines().filter_map(|line| {
        let (id, rest) = line.split_once(' ')?;
        let (started, owner) = rest.split_once(' ')?;
        is_left(started, owner).then_some(id)
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_containers_of_the_dead_are_left_behind() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let lives = |owner: &Owner| match owner.to_string().as_str() {
            "here/1/10" => Some(true),
            "here/2/10" => Some(false),
            _ => None,
        };
        let listed =
            "a 999000 here/1/10\nb 999000 here/2/10\nc 999000 elsewhere/2/10\nd 900000 elsewhere/2/10\ne 1 here/1/10\nf x /1/0\n";
        assert_eq!(left_behind(listed, now, lives), ["b", "d", "f"]);
        assert!(left_behind("", now, lives).is_empty());
    }
}
