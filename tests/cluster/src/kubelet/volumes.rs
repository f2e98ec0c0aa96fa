//! A pod's volumes as folders, and which of them a container gets to see. Used by [`super::pod`] and [`super::container`].
//!
//! Made: projected (tokens, ConfigMaps, Secrets, metadata fields), configMap, secret, emptyDir. A container sees a volume where it asks
//! for it if that place is below `/run` (or `/var/run`), which is private to the cluster, or is a folder of this machine already.
//! Anything else is left out with a line in the pod's log: the programs are the machine's own, and so is their file system.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{
    ConfigMap, Container, KeyToPath, Secret, ServiceAccount, ServiceAccountTokenProjection, Volume,
};
use kube::api::{Api, PostParams};

use super::pod::Log;
use super::{Context, env};

/// The lifetime of a token that does not say.
const TOKEN_SECONDS: i64 = 3600;

/// Why the volumes cannot be made yet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VolumeError {
    #[error("volume {volume:?}: {kind} {name:?} not found")]
    NoObject { volume: String, kind: &'static str, name: String },
    #[error("volume {volume:?}: {kind} {name:?} has no key {key:?}")]
    NoKey { volume: String, kind: &'static str, name: String, key: String },
    #[error("volume {volume:?}: {source}")]
    Kubernetes { volume: String, source: Box<kube::Error> },
    #[error("volume {volume:?}: {source}")]
    Io { volume: String, source: io::Error },
}

/// The volumes that were made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Volumes {
    folder: PathBuf,
    names: BTreeSet<String>,
    /// When to make them anew, as tokens expire.
    pub(crate) refresh_after: Option<Duration>,
}

type Files = BTreeMap<String, Vec<u8>>;

/// Makes the pod's volumes below `folder`, or makes their content anew: each file is replaced at once, never half written.
pub(crate) async fn make(context: &Context, facts: &env::Facts<'_>, folder: &Path, log: &Log) -> Result<Volumes, VolumeError> {
    let mut volumes = Volumes { folder: folder.to_owned(), ..Volumes::default() };
    for volume in facts.pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
        let mut source = Source { context, facts, volume, files: Files::new(), token_lifetime: None };
        if !source.collect().await? {
            log.line(&format!(
                "volume {:?} is left out: only projected, configMap, secret and emptyDir volumes are made",
                volume.name
            ));
            continue;
        }
        let place = folder.join(&volume.name);
        write(&place, &source.files).map_err(|source| VolumeError::Io { volume: volume.name.clone(), source })?;
        volumes.names.insert(volume.name.clone());
        volumes.refresh_after = [volumes.refresh_after, source.token_lifetime].into_iter().flatten().min();
    }
    Ok(volumes)
}

impl Volumes {
    /// What to bind for a container that runs `program`: folder, and where it is to be seen.
    pub(crate) fn binds(&self, container: &Container, program: &Path, log: &Log) -> Vec<(PathBuf, PathBuf)> {
        let mut binds = Vec::new();
        for mount in container.volume_mounts.iter().flatten().filter(|mount| self.names.contains(&mount.name)) {
            let destination = Path::new(&mount.mount_path);
            let obstacle = if mount.sub_path.is_some() || mount.sub_path_expr.is_some() {
                Some("subPath is not supported")
            } else if destination.components().any(|part| part == Component::ParentDir) {
                Some("the path has `..` in it")
            } else if destination.starts_with("/run") || destination.starts_with("/var/run") {
                fs::create_dir_all(destination).err().map(|_| "its folder cannot be created")
            } else if program.starts_with(destination) {
                Some("it would hide the program itself")
            } else {
                (!destination.is_dir()).then_some("this machine has no such folder, and only those below /run are created")
            };
            match obstacle {
                None => binds.push((self.folder.join(&mount.name), destination.to_owned())),
                Some(why) => {
                    log.line(&format!("container {}: volume at {} is left out: {why}", container.name, mount.mount_path));
                }
            }
        }
        binds
    }
}

/// Collects the files of one volume.
struct Source<'a> {
    context: &'a Context,
    facts: &'a env::Facts<'a>,
    volume: &'a Volume,
    files: Files,
    token_lifetime: Option<Duration>,
}

impl Source<'_> {
    /// False if the volume is of a kind that cannot be made.
    async fn collect(&mut self) -> Result<bool, VolumeError> {
        let volume = self.volume;
        if let Some(from) = &volume.config_map {
            self.config_map(&from.name, from.items.as_deref(), from.optional).await?;
        } else if let Some(from) = &volume.secret {
            self.secret(from.secret_name.as_deref().unwrap_or_default(), from.items.as_deref(), from.optional).await?;
        } else if let Some(projected) = &volume.projected {
            for source in projected.sources.iter().flatten() {
                if let Some(from) = &source.config_map {
                    self.config_map(&from.name, from.items.as_deref(), from.optional).await?;
                }
                if let Some(from) = &source.secret {
                    self.secret(&from.name, from.items.as_deref(), from.optional).await?;
                }
                if let Some(from) = &source.service_account_token {
                    self.token(from).await?;
                }
                for item in source.downward_api.iter().flat_map(|from| from.items.iter().flatten()) {
                    let path = item.field_ref.as_ref().map(|field| field.field_path.as_str()).unwrap_or_default();
                    let value = env::field_value(path, self.facts).unwrap_or_default();
                    self.files.insert(item.path.clone(), value.into_bytes());
                }
            }
        } else {
            return Ok(volume.empty_dir.is_some());
        }
        Ok(true)
    }

    async fn config_map(&mut self, name: &str, items: Option<&[KeyToPath]>, optional: Option<bool>) -> Result<(), VolumeError> {
        let api: Api<ConfigMap> = Api::namespaced(self.context.client.clone(), self.namespace());
        let found = api.get_opt(name).await.map_err(|source| self.refused(source))?;
        let content = found.map(|map| {
            let text = map.data.into_iter().flatten().map(|(key, value)| (key, value.into_bytes()));
            let binary = map.binary_data.into_iter().flatten().map(|(key, ByteString(bytes))| (key, bytes));
            text.chain(binary).collect()
        });
        self.add("ConfigMap", name, content, items, optional)
    }

    async fn secret(&mut self, name: &str, items: Option<&[KeyToPath]>, optional: Option<bool>) -> Result<(), VolumeError> {
        let api: Api<Secret> = Api::namespaced(self.context.client.clone(), self.namespace());
        let found = api.get_opt(name).await.map_err(|source| self.refused(source))?;
        let content =
            found.map(|secret| secret.data.into_iter().flatten().map(|(key, ByteString(bytes))| (key, bytes)).collect());
        self.add("Secret", name, content, items, optional)
    }

    async fn token(&mut self, wanted: &ServiceAccountTokenProjection) -> Result<(), VolumeError> {
        let (metadata, spec) = (&self.facts.pod.metadata, self.facts.pod.spec.as_ref());
        let account = spec.and_then(|spec| spec.service_account_name.as_deref()).unwrap_or("default");
        let seconds = wanted.expiration_seconds.unwrap_or(TOKEN_SECONDS);
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: wanted.audience.clone().map(|audience| vec![audience]),
                expiration_seconds: Some(seconds),
                bound_object_ref: Some(BoundObjectReference {
                    kind: Some("Pod".into()),
                    api_version: Some("v1".into()),
                    name: metadata.name.clone(),
                    uid: metadata.uid.clone(),
                }),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let api: Api<ServiceAccount> = Api::namespaced(self.context.client.clone(), self.namespace());
        let answer = api.create_token_request(account, &PostParams::default(), &request).await;
        let token = answer.map_err(|source| self.refused(source))?.status.and_then(|status| status.token).unwrap_or_default();
        self.files.insert(wanted.path.clone(), token.into_bytes());
        // As a kubelet does: a new token when a fifth of the old one's life is left.
        let lifetime = Duration::from_secs(u64::try_from(seconds).unwrap_or(600)) * 4 / 5;
        self.token_lifetime = Some(self.token_lifetime.map_or(lifetime, |other| other.min(lifetime)));
        Ok(())
    }

    /// Adds an object's content: all of it, or the keys that `items` names.
    fn add(
        &mut self,
        kind: &'static str,
        name: &str,
        content: Option<Files>,
        items: Option<&[KeyToPath]>,
        optional: Option<bool>,
    ) -> Result<(), VolumeError> {
        let optional = optional == Some(true);
        let content = match content {
            Some(content) => content,
            None if optional => return Ok(()),
            None => return Err(VolumeError::NoObject { volume: self.volume.name.clone(), kind, name: name.to_owned() }),
        };
        let Some(items) = items else {
            self.files.extend(content);
            return Ok(());
        };
        for item in items {
            match content.get(&item.key) {
                Some(value) => drop(self.files.insert(item.path.clone(), value.clone())),
                None if optional => {}
                None => {
                    let (volume, key) = (self.volume.name.clone(), item.key.clone());
                    return Err(VolumeError::NoKey { volume, kind, name: name.to_owned(), key });
                }
            }
        }
        Ok(())
    }

    fn namespace(&self) -> &str {
        self.facts.pod.metadata.namespace.as_deref().unwrap_or("default")
    }

    fn refused(&self, source: kube::Error) -> VolumeError {
        VolumeError::Kubernetes { volume: self.volume.name.clone(), source: Box::new(source) }
    }
}

fn write(folder: &Path, files: &Files) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (name, content) in files {
        let path = folder.join(name);
        if !Path::new(name).components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(io::Error::other(format!("file name {name:?} leads out of the volume")));
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let partial = path.with_added_extension("partial");
        fs::write(&partial, content)?;
        fs::rename(&partial, &path)?;
    }
    Ok(())
}
