//! Whose a container is: a label names the process that started it, so that another one can tell that nobody needs it any more.
//!
//! Pure but for [`Owner::this_process`] and [`Owner::lives`], which look into `/proc`. Imports nothing of the crate.

use std::fmt;
use std::fs;
use std::str::FromStr;

/// A process is alone with its number only together with the moment of its start, in its process namespace, since this boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// Boot and process namespace, as Linux names them; empty where there is no `/proc`.
    place: String,
    process: u32,
    /// In clock ticks since boot; 0 where there is no `/proc`.
    started: u64,
}

/// What [`Owner::from_str`] makes of a label that is none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoOwner;

impl Owner {
    /// This one.
    pub(crate) fn this_process() -> Self {
        let process = std::process::id();
        Self { place: place().unwrap_or_default(), process, started: started(process).unwrap_or_default() }
    }

    /// Whether it still runs; `None` when that cannot be told from here: it is of another machine or namespace.
    pub(crate) fn lives(&self) -> Option<bool> {
        let here = !self.place.is_empty() && place().as_ref() == Some(&self.place);
        here.then(|| started(self.process) == Some(self.started))
    }
}

fn place() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    let namespace: String = namespace.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
    Some(format!("{}.{namespace}", boot.trim()))
}

/// Field 22 of its `stat`, counted behind the command's name, which may have blanks and brackets in it. A process that has ended and has
/// not been waited for does not live.
fn started(process: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?;
    if state == "Z" || state == "X" { None } else { fields.nth(18)?.parse().ok() }
}

impl fmt::Display for Owner {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}/{}", self.place, self.process, self.started)
    }
}

impl FromStr for Owner {
    type Err = NoOwner;

    fn from_str(text: &str) -> Result<Self, NoOwner> {
        let mut parts = text.split('/');
        let (Some(place), Some(process), Some(started), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(NoOwner);
        };
        let process = process.parse().map_err(|_| NoOwner)?;
        let started = started.parse().map_err(|_| NoOwner)?;
        Ok(Self { place: place.to_owned(), process, started })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_read_as_it_was_written() {
        let owner = Owner::this_process();
        assert_eq!(owner.to_string().parse(), Ok(owner));
        for wrong in ["", "a/b/c", "boot/1", "boot/1/2/3"] {
            assert_eq!(wrong.parse::<Owner>(), Err(NoOwner), "{wrong}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_lives_until_it_ends() {
        let this = Owner::this_process();
        assert_eq!(this.lives(), Some(true));
        // The number is in use again, by a process that started later.
        assert_eq!(Owner { started: this.started + 1, ..this.clone() }.lives(), Some(false));
        assert_eq!(Owner { place: "another boot".to_owned(), ..this }.lives(), None);
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let its = Owner { process: child.id(), started: started(child.id()).unwrap(), ..this };
        assert_eq!(its.lives(), Some(true));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(its.lives(), Some(false));
    }
}
