//! Addresses, routes and network namespaces: the VPC, its nodes and their pods, made with the `ip` command.
//!
//! ```text
//!  VPC namespace (this program, control plane, AWS emulator): 10.20.0.2, load balancers' addresses are local here
//!    │ v1  169.254.1.1/30                         (one veth pair for each node N)
//!    │ eth0 169.254.1.2/30
//!  node-1: 10.20.1.10 on lo; kube-proxy's rules; default route to the VPC
//!    │ p2  (one veth pair for each pod, named by the last byte of its address … )
//!    │ eth0
//!  pod: 10.20.1.130/32, default route to the node
//! ```
//! Uses nothing of this crate but [`crate::nodes::Node`]'s fields. The plan of addresses is that of the AWS emulator's standard world.

use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, thread};

use nix::sched::{CloneFlags, setns};

use crate::nodes::Node;

/// Where `ip netns` keeps its namespaces.
pub(crate) const NAMESPACES: &str = "/run/netns";

/// The VPC namespace's own address: API server, AWS emulator, DNS.
pub const VPC_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 2);

/// The range of ClusterIPs.
pub const SERVICE_RANGE: &str = "10.0.0.0/16";

/// Ranges that are wholly local to the VPC namespace, so that any program there may bind any of their addresses: control plane,
/// load-balancer subnets of the standard world, and a reserve for the worlds of tests. They hold no node, pod or ClusterIP.
const VPC_LOCAL_RANGES: [&str; 3] = ["10.20.0.0/24", "10.20.128.0/17", "10.64.0.0/10"];

/// A network command that failed.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// `ip` or `iptables` refused something; its own words are in `message`.
    #[error("cannot make {what}: {message}")]
    Refused {
        /// What was being made.
        what: String,
        /// What the command printed, and its arguments.
        message: String,
    },
    /// The command could not be run, or a kernel setting not be written.
    #[error("cannot make {what}: {source}")]
    Io {
        /// What was being made.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
}

/// Brings up the VPC namespace: [`VPC_ADDRESS`], the local ranges, forwarding between nodes.
pub(crate) fn prepare_vpc() -> Result<(), NetworkError> {
    let mut lines = vec!["link set lo up".to_owned(), format!("address add {VPC_ADDRESS}/32 dev lo")];
    lines.extend(VPC_LOCAL_RANGES.map(|range| format!("route add local {range} dev lo")));
    batch("the VPC network", None, &lines)?;
    forward_packets("the VPC network")
}

/// Creates a node's namespace and connects it with the VPC.
pub(crate) fn add_node(node: &Node) -> Result<(), NetworkError> {
    let (what, number) = (format!("the network of {}", node.name), node.number);
    ip(&what, &["netns", "add", &node.name])?;
    let name = &node.name;
    let subnet = node.subnet();
    batch(
        &what,
        None,
        &[
            format!("link add v{number} type veth peer name eth0 netns {name}"),
            format!("address add 169.254.{number}.1/30 dev v{number}"),
            format!("link set v{number} up"),
        ],
    )?;
    batch(
        &what,
        Some(name),
        &[
            "link set lo up".into(),
            format!("address add {}/32 dev lo", node.address),
            format!("address add 169.254.{number}.2/30 dev eth0"),
        ],
    )?;
    connect_node(node)?;
    let mut routes = vec![format!("route add {subnet} via 169.254.{number}.2 src {VPC_ADDRESS}")];
    if number == 1 {
        // The VPC itself has no kube-proxy: whoever dials a ClusterIP from here (the API server's webhooks, a person) goes by node 1.
        routes.push(format!("route add {SERVICE_RANGE} via 169.254.{number}.2 src {VPC_ADDRESS}"));
    }
    batch(&what, None, &routes)?;
    in_namespace(name, move || forward_packets(&what))
}

/// Takes the node's link down: to everybody else the node, its pods and node ports are silent.
pub(crate) fn cut_node(node: &Node) -> Result<(), NetworkError> {
    ip(&format!("the cut of {}", node.name), &["-n", &node.name, "link", "set", "eth0", "down"])
}

/// Takes the node's link up, and adds the route that went with it.
pub(crate) fn connect_node(node: &Node) -> Result<(), NetworkError> {
    let (what, number) = (format!("the link of {}", node.name), node.number);
    let default = format!("route replace default via 169.254.{number}.1 src {}", node.address);
    batch(&what, Some(&node.name), &["link set eth0 up".into(), default])
}

/// Creates a pod's namespace with its address and connects it with its node. Returns the namespace's file.
pub(crate) fn add_pod(node: &Node, address: Ipv4Addr) -> Result<PathBuf, NetworkError> {
    let (what, namespace, link) = (format!("the network of pod {address}"), pod_namespace(address), pod_link(address));
    ip(&what, &["netns", "add", &namespace])?;
    let gateway = node.address;
    batch(
        &what,
        Some(&node.name),
        &[
            format!("link add {link} type veth peer name eth0 netns {namespace}"),
            format!("link set {link} up"),
            format!("route add {address}/32 dev {link} src {gateway}"),
        ],
    )?;
    batch(
        &what,
        Some(&namespace),
        &[
            "link set lo up".into(),
            format!("address add {address}/32 dev eth0"),
            "link set eth0 up".into(),
            format!("route add {gateway} dev eth0 src {address}"),
            format!("route add default via {gateway} src {address}"),
        ],
    )?;
    Ok(pod_namespace_file(address))
}

/// Removes what [`add_pod`] made, or the part of it that was made.
pub(crate) fn remove_pod(node: &Node, address: Ipv4Addr) -> Result<(), NetworkError> {
    let what = format!("the removal of pod {address}'s network");
    // The link goes first: a process that still lives in the namespace would keep it, and with it the route.
    let link = ip(&what, &["-n", &node.name, "link", "delete", &pod_link(address)]);
    let namespace = ip(&what, &["netns", "delete", &pod_namespace(address)]);
    link.and(namespace)
}

/// The file of a network namespace, for `setns`.
pub(crate) fn namespace_file(name: &str) -> PathBuf {
    Path::new(NAMESPACES).join(name)
}

/// Moves the calling thread into a network namespace, for good: only for threads that are made for it.
pub(crate) fn move_thread(namespace: &Path) -> io::Result<()> {
    Ok(setns(fs::File::open(namespace)?, CloneFlags::CLONE_NEWNET)?)
}

/// Drops what `client` sends to a port of the VPC's own address, or stops doing so.
pub(crate) fn refuse_packets(refuse: bool, client: Ipv4Addr, port: u16) -> Result<(), NetworkError> {
    let (change, client, server, port) =
        (if refuse { "--insert" } else { "--delete" }, client.to_string(), VPC_ADDRESS.to_string(), port.to_string());
    let rule = ["INPUT", "--source", &client, "--destination", &server, "--protocol", "tcp", "--dport", &port, "--jump", "DROP"];
    run("iptables", &format!("the cut of {client}"), &[&["--wait", change], &rule[..]].concat(), "")
}

/// Host names everywhere inside are asked at `server` (port 53).
pub(crate) fn use_resolver(server: std::net::IpAddr, workdir: &Path) -> io::Result<()> {
    let content = format!("nameserver {server}\noptions timeout:2 attempts:2\n");
    // Where systemd-resolved rules, the file is a link into /run (mostly `../run/…`), a private and empty tmpfs here.
    let link = fs::read_link("/etc/resolv.conf").unwrap_or_default();
    let target = Path::new("/").join(link.strip_prefix("..").unwrap_or(&link));
    if target.starts_with("/run") {
        fs::create_dir_all(target.parent().unwrap_or(Path::new("/run")))?;
        return fs::write(target, content);
    }
    let source = workdir.join("resolv.conf");
    fs::write(&source, content)?;
    nix::mount::mount(Some(&source), "/etc/resolv.conf", None::<&str>, nix::mount::MsFlags::MS_BIND, None::<&str>)?;
    Ok(())
}

/// The file of a pod's network namespace.
pub(crate) fn pod_namespace_file(address: Ipv4Addr) -> PathBuf {
    namespace_file(&pod_namespace(address))
}

fn pod_namespace(address: Ipv4Addr) -> String {
    format!("pod-{address}")
}

/// An interface name has 15 characters at most; within a node the last byte of the address tells pods apart.
fn pod_link(address: Ipv4Addr) -> String {
    let [.., last] = address.octets();
    format!("pod{last}")
}

/// Makes the calling thread's namespace a router that trusts its routes (no reverse-path filter) and redirects nobody.
fn forward_packets(what: &str) -> Result<(), NetworkError> {
    for (setting, value) in [
        ("ip_forward", "1"),
        ("conf/all/rp_filter", "0"),
        ("conf/default/rp_filter", "0"),
        ("conf/all/send_redirects", "0"),
        ("conf/default/send_redirects", "0"),
    ] {
        fs::write(format!("/proc/sys/net/ipv4/{setting}"), value)
            .map_err(|source| NetworkError::Io { what: format!("{what} (sysctl net.ipv4.{setting})"), source })?;
    }
    Ok(())
}

/// Runs `work` on a thread of its own inside the namespace.
fn in_namespace<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> Result<T, NetworkError> + Send + 'static,
) -> Result<T, NetworkError> {
    let failed = |source| NetworkError::Io { what: format!("a thread in {name}"), source };
    let file = namespace_file(name);
    let thread = thread::Builder::new().spawn(move || move_thread(&file).map(|()| work())).map_err(failed)?;
    thread.join().map_err(|_| failed(io::Error::other("it panicked")))?.map_err(failed)?
}

fn ip(what: &str, arguments: &[&str]) -> Result<(), NetworkError> {
    run("ip", what, arguments, "")
}

fn batch(what: &str, namespace: Option<&str>, lines: &[String]) -> Result<(), NetworkError> {
    let mut arguments = namespace.map_or(vec![], |name| vec!["-n", name]);
    arguments.extend(["-batch", "-"]);
    run("ip", what, &arguments, &(lines.join("\n") + "\n"))
}

fn run(program: &str, what: &str, arguments: &[&str], input: &str) -> Result<(), NetworkError> {
    let failed = |source| NetworkError::Io { what: what.to_owned(), source };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // `ip` without -batch reads nothing, and a broken pipe then is no news.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let message = format!("{} ({program} {})", String::from_utf8_lossy(&output.stderr).trim(), arguments.join(" "));
    Err(NetworkError::Refused { what: what.to_owned(), message })
}
