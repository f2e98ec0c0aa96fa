//! Starts a process inside a network namespace, optionally with mounts and a host name of its own.
//!
//! The work between fork and exec needs code in the child, which safe Rust has no hook for. So the child is this same executable,
//! asked to be a launcher by its first argument: it moves itself and becomes the program by `exec`, keeping its process id.
//! Used by [`crate::kubelet`] and [`crate::nodes`]; imports nothing of this crate.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Stdio, exit};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::sethostname;

/// The first argument that turns this executable into a launcher.
const COMMAND: &str = "landfall-launch";

/// The exit code when the program could not be started (a shell's code for "found but not executable").
const NOT_STARTED: i32 = 126;

/// The surroundings of a process.
#[derive(Debug, Default, Clone)]
pub(crate) struct Launch {
    /// Network namespace to enter, by its file.
    pub(crate) network: Option<PathBuf>,
    /// Host name, in a UTS namespace of its own.
    pub(crate) hostname: Option<String>,
    /// Folders to bind (source, destination; both exist), in a mount namespace of its own.
    pub(crate) binds: Vec<(PathBuf, PathBuf)>,
    /// Working folder.
    pub(crate) directory: Option<PathBuf>,
}

impl Launch {
    /// The command that starts `program` there: own process group, no input, killed when dropped.
    ///
    /// # Errors
    /// When this executable's own path cannot be read.
    pub(crate) fn command<A: AsRef<OsStr>>(
        &self,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
    ) -> io::Result<tokio::process::Command> {
        let mut command = tokio::process::Command::new(std::env::current_exe()?);
        command.arg(COMMAND);
        for (option, value) in [
            ("network", self.network.as_deref().map(Path::as_os_str)),
            ("hostname", self.hostname.as_deref().map(OsStr::new)),
            ("directory", self.directory.as_deref().map(Path::as_os_str)),
        ] {
            if let Some(value) = value {
                command.arg(option).arg(value);
            }
        }
        for (source, destination) in &self.binds {
            command.arg("bind").arg(source).arg(destination);
        }
        command.arg("program").arg(program).args(arguments);
        command.stdin(Stdio::null()).process_group(0).kill_on_drop(true);
        Ok(command)
    }
}

/// Becomes the asked-for process when this executable was started as a launcher; otherwise returns at once.
///
/// [`crate::enter_namespaces`] calls it. A program calls it by itself only if it wants to look at its arguments before that.
pub fn run_launcher_if_asked() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == COMMAND) {
        let Err(problem) = launch(arguments);
        eprintln!("cannot start the process: {problem}");
        exit(NOT_STARTED);
    }
}

fn launch(mut arguments: impl Iterator<Item = OsString>) -> Result<std::convert::Infallible, io::Error> {
    let mut mounts_are_private = false;
    while let Some(option) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| io::Error::other(format!("{} lacks its value", option.display())));
        match option.to_str() {
            Some("network") => setns(File::open(value()?)?, CloneFlags::CLONE_NEWNET)?,
            Some("hostname") => {
                unshare(CloneFlags::CLONE_NEWUTS)?;
                sethostname(value()?)?;
            }
            Some("directory") => std::env::set_current_dir(value()?)?,
            Some("bind") => {
                if !mounts_are_private {
                    unshare(CloneFlags::CLONE_NEWNS)?;
                    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
                    mounts_are_private = true;
                }
                let (source, destination) = (value()?, value()?);
                mount(Some(Path::new(&source)), Path::new(&destination), None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
            }
            Some("program") => {
                let program = value()?;
                let problem = std::process::Command::new(&program).args(arguments).exec();
                return Err(io::Error::new(problem.kind(), format!("{}: {problem}", program.display())));
            }
            _ => return Err(io::Error::other(format!("unknown launcher option {}", option.display()))),
        }
    }
    Err(io::Error::other("no program given"))
}
