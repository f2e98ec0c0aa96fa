//! Private user, mount, network and process-id namespaces for the whole program, so that nothing needs root and nothing outlives it.
//!
//! Three processes of the same program take part. The one that was started stays outside as a *supervisor*: it forwards signals and
//! passes the exit code on. Its child is the *init* (process 1) of the new namespaces: it prepares mounts and the VPC's network, then
//! reaps orphans. The init's child is the *program* itself, which returns from [`enter_namespaces`]. Whichever of them dies, even by
//! `kill -9`, the kernel ends everything inside.
//!
//! Uses [`crate::network`] for addresses and [`crate::launcher`] (the same executable is started again as a launcher).

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, exit};
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, path::Path};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, alarm, getgid, getpid, getppid, getuid};

use crate::{launcher, network};

/// Carries the init's process id, as seen from outside, to the processes inside. Its presence alone proves nothing (commands started
/// inside inherit it): the stage also depends on the place in the process tree.
const MARKER: &str = "LANDFALL_CLUSTER_INIT";

/// Seconds that the program gets after a forwarded SIGTERM or SIGINT before everything is killed.
const PATIENCE_SECONDS: u32 = 20;

static INSIDE: AtomicBool = AtomicBool::new(false);

/// Why the private namespaces could not be made, and what helps.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// `unshare(2)` was refused.
    #[error(
        "the kernel refuses private namespaces ({0}); allow them with `sysctl -w user.max_user_namespaces=10000` and, where these \
         settings exist, `kernel.unprivileged_userns_clone=1` and `kernel.apparmor_restrict_unprivileged_userns=0`; inside a \
         container start it with --privileged"
    )]
    Forbidden(#[source] nix::Error),
    /// A thread was started before; the kernel gives new namespaces to single-threaded programs only.
    #[error("enter_namespaces() found {0} threads: call it first thing in main, before any thread or runtime is started")]
    Threads(usize),
    /// A command that the cluster needs is not installed.
    #[error("missing: the command `{tool}` ({source}); install the package {package}")]
    MissingTool {
        /// The command.
        tool: &'static str,
        /// Debian's name of the package that has it.
        package: &'static str,
        /// Why it could not be started.
        source: io::Error,
    },
    /// A step of the preparation failed.
    #[error("cannot {action} in the private namespaces: {source}")]
    Prepare {
        /// The step.
        action: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The VPC's addresses or routes could not be set.
    #[error(transparent)]
    Network(#[from] network::NetworkError),
}

/// Moves the whole program into private namespaces by starting it again inside, and returns only there.
///
/// To be called first thing in `main`, before any thread. Also serves as the launcher of pods' processes (see
/// [`crate::run_launcher_if_asked`]), so a program that calls this needs nothing else. On return 10.20.0.2 is an address of this
/// namespace (the "VPC"), `/run` is a private tmpfs and `/proc` shows only the processes inside. The program's signals keep their
/// default actions; SIGTERM, SIGINT and SIGHUP sent to the process that the user started arrive here.
///
/// # Errors
/// [`NamespaceError`] names what is missing or forbidden and the fix. It may come from the process outside or from the init; in both
/// cases the caller should print it and exit with a failure.
pub fn enter_namespaces() -> Result<(), NamespaceError> {
    launcher::run_launcher_if_asked();
    match variable(MARKER) {
        Some(_) if getpid().as_raw() == 1 => become_init().map(|never| match never {}),
        Some(_) if getppid().as_raw() == 1 => {
            unblock_signals()?;
            INSIDE.store(true, Ordering::Relaxed);
            Ok(())
        }
        _ => become_supervisor().map(|never| match never {}),
    }
}

/// Whether this program went through [`enter_namespaces`].
pub(crate) fn inside() -> bool {
    INSIDE.load(Ordering::Relaxed)
}

/// The process id, as seen from outside, of the init whose namespaces these are: what `nsenter --target` takes. `None` outside.
pub fn init_process() -> Option<u32> {
    inside().then(|| variable(MARKER)?.to_str()?.parse().ok()).flatten()
}

/// Makes a command's environment that of a program outside: started inside a cluster, it may then make a cluster of its own.
pub fn hide_marker(command: &mut tokio::process::Command) {
    command.env_remove(MARKER);
}

fn become_supervisor() -> Result<Infallible, NamespaceError> {
    check_tool("ip", "-V", "iproute2")?;
    check_tool("iptables", "--version", "iptables")?;
    let threads = fs::read_dir("/proc/self/task").map_err(prepare("read /proc/self/task"))?.count();
    if threads != 1 {
        return Err(NamespaceError::Threads(threads));
    }
    let (user, group) = (getuid(), getgid());
    let namespaces = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWPID;
    unshare(namespaces).map_err(NamespaceError::Forbidden)?;
    // An ordinary user may map only itself, and its groups only after giving up setgroups(2).
    fs::write("/proc/self/setgroups", "deny").map_err(prepare("write /proc/self/setgroups"))?;
    fs::write("/proc/self/uid_map", format!("0 {user} 1")).map_err(prepare("write /proc/self/uid_map"))?;
    fs::write("/proc/self/gid_map", format!("0 {group} 1")).map_err(prepare("write /proc/self/gid_map"))?;
    // The value is set anew by the init, which knows its own process id.
    start_again_and_supervise("outside")
}

fn become_init() -> Result<Infallible, NamespaceError> {
    // The supervisor is this process's parent: when it is killed, so is everything inside.
    set_pdeathsig(Signal::SIGKILL)
        .map_err(|source| NamespaceError::Prepare { action: "tie itself to its parent".into(), source: source.into() })?;
    // /proc is still the one of outside, so it tells the process id that outside knows.
    let outside = fs::read_link("/proc/self").map_err(prepare("read the link /proc/self"))?;
    let none = None::<&str>;
    let act = |action: &str, result: nix::Result<()>| result.map_err(|source| prepare(action)(source.into()));
    act("make mounts private", mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none))?;
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    act("mount /proc", mount(Some("proc"), "/proc", Some("proc"), quiet | MsFlags::MS_NOEXEC, none))?;
    // Network namespaces, xtables' lock and pods' secrets live below /run.
    act("mount a tmpfs on /run", mount(Some("tmpfs"), "/run", Some("tmpfs"), quiet, Some("mode=0755")))?;
    fs::create_dir_all(network::NAMESPACES).map_err(prepare("create /run/netns"))?;
    network::prepare_vpc()?;
    start_again_and_supervise(outside)
}

/// Starts this executable with the same arguments and the marker set, and stays as its guardian until it ends.
fn start_again_and_supervise(marker: impl Into<OsString>) -> Result<Infallible, NamespaceError> {
    // Blocked before the child exists, so that no signal is lost in between; the program unblocks them.
    supervised_signals().thread_block().map_err(|source| prepare("block signals")(source.into()))?;
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    // Not /proc/self/exe itself: the link would be followed in the child's own /proc.
    let executable = std::env::current_exe().map_err(prepare("find its own executable"))?;
    let child = Command::new(executable)
        .arg0(name)
        .args(arguments)
        .env(MARKER, marker.into())
        .env("PATH", search_path())
        .spawn()
        .map_err(prepare("start itself again"))?;
    supervise(Pid::from_raw(child.id().cast_signed()))
}

/// Waits for `child`, reaping every other child too, and exits as it did. Forwards signals; a program that ignores them is killed.
fn supervise(child: Pid) -> Result<Infallible, NamespaceError> {
    let signals = supervised_signals();
    loop {
        match signals.wait().map_err(|source| prepare("wait for signals")(source.into()))? {
            Signal::SIGCHLD => reap(child),
            Signal::SIGALRM => drop(kill(child, Signal::SIGKILL)),
            signal => {
                // A failure means that the child is gone: SIGCHLD follows.
                let _ = kill(child, signal);
                alarm::set(PATIENCE_SECONDS);
            }
        }
    }
}

fn reap(child: Pid) {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == child => exit(code),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => exit(128 + signal as i32),
            Ok(WaitStatus::StillAlive) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

fn supervised_signals() -> SigSet {
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGCHLD, Signal::SIGALRM].into_iter().collect()
}

fn unblock_signals() -> Result<(), NamespaceError> {
    supervised_signals().thread_unblock().map_err(|source| prepare("unblock signals")(source.into()))
}

fn check_tool(tool: &'static str, argument: &str, package: &'static str) -> Result<(), NamespaceError> {
    let output = Command::new(tool).arg(argument).env("PATH", search_path()).output();
    output.map(drop).map_err(|source| NamespaceError::MissingTool { tool, package, source })
}

/// The search path for commands inside: `first`, then the program's own.
pub fn search_path_after(first: &Path) -> OsString {
    let mut path = OsString::from(first);
    path.push(":");
    path.push(search_path());
    path
}

/// The caller's search path and the folders of administration commands, which ordinary users often lack.
fn search_path() -> OsString {
    let mut path = variable("PATH").unwrap_or_default();
    for folder in ["/usr/sbin", "/sbin"] {
        if !std::env::split_paths(&path).any(|known| known == Path::new(folder)) {
            path.push(":");
            path.push(folder);
        }
    }
    path
}

#[expect(clippy::disallowed_methods, reason = "the marker and PATH come from the environment, and only this function reads it")]
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

fn prepare(action: &str) -> impl FnOnce(io::Error) -> NamespaceError {
    move |source| NamespaceError::Prepare { action: action.to_owned(), source }
}
