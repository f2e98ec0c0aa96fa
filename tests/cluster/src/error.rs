//! What can go wrong when a cluster starts. Imports nothing of this crate but the errors of its parts.

use std::io;
use std::path::PathBuf;

use crate::network::NetworkError;

/// Why a cluster could not be started or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program is not in namespaces of its own.
    #[error("a cluster needs private namespaces: call landfall_test_cluster::enter_namespaces() first thing in main")]
    NotInside,
    /// A field of [`crate::Options`] cannot be used.
    #[error("option `{field}`: {problem}")]
    Option {
        /// The field's name.
        field: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// No node has this name.
    #[error("there is no node {0:?}; the nodes are node-1, node-2 and node-3")]
    NoSuchNode(String),
    /// The system refused something.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A part of the control plane ended while it was waited for.
    #[error("{program} ended ({status}) while the cluster started; the last lines of {}:\n{tail}", log.display())]
    Ended {
        /// The program's name.
        program: String,
        /// Its exit status.
        status: String,
        /// Where its output is.
        log: PathBuf,
        /// The output's last lines.
        tail: String,
    },
    /// A part of the cluster did not become ready.
    #[error("{what} was not ready within {seconds} s; the logs are in {}", logs.display())]
    Timeout {
        /// What was waited for, with the last answer.
        what: String,
        /// For how long.
        seconds: u64,
        /// Folder of the logs.
        logs: PathBuf,
    },
    /// A certificate or key could not be made.
    #[error("cannot make the cluster's certificates: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The API server refused a call.
    #[error("the API server refused to {action}: {source}")]
    Kubernetes {
        /// What was tried.
        action: String,
        /// Its answer.
        source: Box<kube::Error>,
    },
    /// A kubeconfig just written could not be used.
    #[error("the cluster's kubeconfig cannot be used: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// Addresses, routes or network namespaces could not be made.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

impl Error {
    /// For `map_err`: an I/O error with what was tried.
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }

    /// For `map_err`: an API error with what was tried.
    pub(crate) fn kubernetes(action: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let action = action.into();
        move |source| Self::Kubernetes { action, source: Box::new(source) }
    }
}
