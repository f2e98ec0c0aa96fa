//! Connections to the API server.
//!
//! Finds the server and its credentials the way `kubectl` does, then as a pod does; errors say where it looked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::header::{HeaderValue, USER_AGENT};
use kube::config::{InferConfigError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

/// Sent with every request; seen in the API server's audit log.
const AGENT: &str = concat!("landfall/", env!("CARGO_PKG_VERSION"));

/// A connection that takes longer is tried again by whoever asked.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// A connection on which nothing comes for so long after a request is dead, and nobody said so; longer than a watch without events
/// (see [`super::watch`]). TCP alone notices after a quarter of an hour.
const READ_LIMIT: Duration = Duration::from_secs(90);

/// No client, because of the configuration. An API server that does not answer is found out by the first call.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// `--kubeconfig` cannot be used.
    #[error("--kubeconfig {}: {source}; give a readable kubeconfig whose current context names a cluster", .path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<KubeconfigError>,
    },
    /// Nothing was given and nothing was found.
    #[error("no Kubernetes cluster found: {0}; give --kubeconfig, set KUBECONFIG, or run in a pod with a service account")]
    NotFound(#[source] Box<InferConfigError>),
    /// The configuration was read but makes no client (certificates, keys, proxy).
    #[error("the Kubernetes configuration for {server} cannot be used: {source}; check its certificates, keys and proxy-url")]
    Unusable {
        /// URL of the API server.
        server: String,
        /// What is wrong.
        #[source]
        source: Box<kube::Error>,
    },
}

/// One client for work and one for the lease.
#[derive(Clone)]
pub struct Clients {
    /// Repeats calls that the API server put off (429, 503, 504), waiting at most a second each time.
    pub work: Client,
    /// Never repeats a call by itself, so that one attempt to renew is one request, and uses connections of its own, so that
    /// a flood of work cannot delay it.
    pub lease: Client,
    /// URL of the API server, for messages.
    pub server: String,
}

/// Connects by `kubeconfig` if given, else by `KUBECONFIG` or `~/.kube/config`, else by the pod's service account.
///
/// # Errors
/// The configuration is missing or unusable. Nothing is sent to the API server yet.
pub async fn connect(kubeconfig: Option<&Path>) -> Result<Clients, ConnectError> {
    let config = match kubeconfig {
        Some(path) => from_file(path).await?,
        None => Config::infer().await.map_err(|source| ConnectError::NotFound(Box::new(source)))?,
    };
    clients(config)
}

async fn from_file(path: &Path) -> Result<Config, ConnectError> {
    let failed = |source| ConnectError::Kubeconfig { path: path.to_owned(), source: Box::new(source) };
    let file = Kubeconfig::read_from(path).map_err(failed)?;
    Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.map_err(failed)
}

fn clients(mut config: Config) -> Result<Clients, ConnectError> {
    let server = config.cluster_url.to_string();
    config.headers.push((USER_AGENT, HeaderValue::from_static(AGENT)));
    config.connect_timeout = Some(CONNECT_LIMIT);
    config.read_timeout = Some(READ_LIMIT);
    config.reset_reader_on_write = true;
    let mut for_lease = config.clone();
    for_lease.default_retry = false;
    let client = |config| {
        Client::try_from(config).map_err(|source| ConnectError::Unusable { server: server.clone(), source: Box::new(source) })
    };
    Ok(Clients { work: client(config)?, lease: client(for_lease)?, server: server.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_kubeconfig_is_named_with_its_flag() {
        let error = connect(Some(Path::new("/nonexistent/config"))).await.map(|_| ()).unwrap_err().to_string();
        assert!(error.starts_with("--kubeconfig /nonexistent/config: "), "{error}");
        assert!(error.contains("give a readable kubeconfig"), "{error}");
    }

    #[tokio::test]
    async fn a_kubeconfig_without_its_cluster_is_refused_before_any_call() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "apiVersion: v1\nkind: Config\ncurrent-context: here\n").unwrap();
        let error = connect(Some(file.path())).await.map(|_| ()).unwrap_err();
        assert!(matches!(error, ConnectError::Kubeconfig { .. }), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_falls_silent_is_noticed() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = Config::new(format!("http://{}", listener.local_addr().unwrap()).parse().unwrap());
        let client = clients(config).unwrap().lease;
        let (asked, begun) = (client.apiserver_version(), tokio::time::Instant::now());
        let (_connection, answer) = tokio::join!(listener.accept(), tokio::time::timeout(READ_LIMIT * 3, asked));
        assert!(answer.expect("it does not wait for ever").is_err());
        assert_eq!(begun.elapsed().as_secs(), READ_LIMIT.as_secs());
    }

    #[tokio::test]
    async fn a_kubeconfig_gives_both_clients() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "apiVersion: v1\nkind: Config\ncurrent-context: here\n\
                    clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\n\
                    contexts: [{name: here, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {}}]\n";
        std::fs::write(file.path(), text).unwrap();
        let clients = connect(Some(file.path())).await.unwrap();
        assert_eq!(clients.server, "http://127.0.0.1:1/");
        assert_eq!(clients.work.default_namespace(), "default");
    }
}
