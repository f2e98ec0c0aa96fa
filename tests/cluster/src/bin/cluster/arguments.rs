//! What `landfall-cluster` can be asked for. Parsed by clap; imports only the library's types.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use landfall_localstack::Durations;
use landfall_test_cluster::Program;

/// A Kubernetes cluster with three nodes in an emulated AWS, in private namespaces of this machine, without root or containers.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) task: Task,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Start everything, run COMMAND inside, end everything; the exit code is COMMAND's.
    Run(Run),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// Run PATH where a pod asks for image NAME (a whole reference, or its last part without the tag). Repeatable.
    #[arg(long = "image", value_name = "NAME=PATH", value_parser = image)]
    pub(crate) images: Vec<(String, Program)>,
    /// Name of the cluster, in the kubeconfig and in AWS's tags.
    #[arg(long, default_value = "demo")]
    pub(crate) cluster_name: String,
    /// Folder for logs, pods' output and the kubeconfig; created, and kept. [default: a temporary one, removed at the end]
    #[arg(long)]
    pub(crate) workdir: Option<PathBuf>,
    /// Folder of the control plane's programs. [default: what tools/kubernetes/build.sh prints]
    #[arg(long)]
    pub(crate) binaries: Option<PathBuf>,
    /// How long AWS takes for what it does.
    #[arg(long, value_enum, default_value_t = Pace::Instant)]
    pub(crate) durations: Pace,
    /// Write the API server's audit log to WORKDIR/logs/audit.log.
    #[arg(long)]
    pub(crate) audit: bool,
    /// Stay until SIGTERM or Ctrl-C, after COMMAND, if there is one, has succeeded. WORKDIR/enter.sh leads inside.
    #[arg(long)]
    pub(crate) keep: bool,
    /// The command to run inside, with KUBECONFIG, kubectl on the PATH, and AWS's endpoint, region and credentials.
    #[arg(last = true, required_unless_present = "keep")]
    pub(crate) command: Vec<String>,
}

/// How fast the emulated AWS is.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Pace {
    /// At once.
    Instant,
    /// As slowly as AWS: a load balancer takes minutes.
    Realistic,
}

impl From<Pace> for Durations {
    fn from(pace: Pace) -> Self {
        match pace {
            Pace::Instant => Self::instant(),
            Pace::Realistic => Self::realistic(),
        }
    }
}

fn image(text: &str) -> Result<(String, Program), String> {
    let (name, path) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or("write NAME=PATH")?;
    let path = std::fs::canonicalize(path).map_err(|problem| format!("{path}: {problem}; build the program first"))?;
    Ok((name.to_owned(), Program::new(path)))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn an_image_is_a_name_and_an_existing_path() {
        assert_eq!(image("a/b:1=/bin/sh").unwrap().0, "a/b:1");
        assert!(image("sh").is_err());
        assert!(image("=/bin/sh").is_err());
        assert!(image("a=/nowhere/b").unwrap_err().contains("/nowhere/b"));
    }

    #[test]
    fn there_is_a_command_or_a_reason_to_stay() {
        let parse = |words: &[&str]| Arguments::try_parse_from([&["landfall-cluster", "run"], words].concat());
        assert!(parse(&[]).is_err());
        assert!(parse(&["--keep"]).is_ok());
        let Task::Run(run) = parse(&["--keep", "--", "kubectl", "get", "--raw", "/"]).unwrap().task;
        assert_eq!(run.command, ["kubectl", "get", "--raw", "/"]);
    }
}
