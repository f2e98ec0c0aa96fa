//! Keys, certificates, tokens and kubeconfigs of one cluster, written into its folder. Imports only [`crate::error`].

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serde_json::json;

use crate::error::Error;

/// Somebody who talks to the API server, with a static token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    Admin,
    Kubelet,
    ControllerManager,
    Scheduler,
    Proxy,
}

impl User {
    const ALL: [Self; 5] = [Self::Admin, Self::Kubelet, Self::ControllerManager, Self::Scheduler, Self::Proxy];

    /// The name that RBAC and the audit log know, and the group. The `system:` names have their roles from the API server itself.
    fn name_and_group(self) -> (&'static str, &'static str) {
        match self {
            Self::Admin => ("admin", "system:masters"),
            Self::Kubelet => ("process-kubelet", "system:masters"),
            Self::ControllerManager => ("system:kube-controller-manager", ""),
            Self::Scheduler => ("system:kube-scheduler", ""),
            Self::Proxy => ("system:kube-proxy", ""),
        }
    }

    fn file(self) -> &'static str {
        match self {
            Self::Admin => "kubeconfig",
            Self::Kubelet => "kubelet.kubeconfig",
            Self::ControllerManager => "controller-manager.kubeconfig",
            Self::Scheduler => "scheduler.kubeconfig",
            Self::Proxy => "proxy.kubeconfig",
        }
    }
}

/// The files of a cluster's identity.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    folder: PathBuf,
}

impl Credentials {
    /// Makes everything anew in `folder`. `names` and addresses are what the API server's certificate is valid for; the kubeconfigs
    /// point at `server`.
    pub(crate) fn create(folder: &Path, cluster_name: &str, server: &str, names: &[String]) -> Result<Self, Error> {
        fs::create_dir_all(folder).map_err(Error::io(format!("create {}", folder.display())))?;
        let this = Self { folder: folder.to_owned() };

        let ca_key = KeyPair::generate()?;
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        ca.distinguished_name.push(DnType::CommonName, format!("{cluster_name} test cluster"));
        this.write("ca.crt", &ca.self_signed(&ca_key)?.pem())?;
        let issuer = Issuer::from_params(&ca, &ca_key);

        let server_key = KeyPair::generate()?;
        let mut certificate = CertificateParams::new(names)?;
        certificate.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        certificate.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        this.write("apiserver.crt", &certificate.signed_by(&server_key, &issuer)?.pem())?;
        this.write("apiserver.key", &server_key.serialize_pem())?;

        let accounts = KeyPair::generate()?;
        this.write("service-accounts.key", &accounts.serialize_pem())?;
        this.write("service-accounts.pub", &accounts.public_key_pem())?;

        let mut tokens = String::new();
        for user in User::ALL {
            let (name, group) = user.name_and_group();
            let token = random_token()?;
            tokens.push_str(&format!("{token},{name},{name},\"{group}\"\n"));
            let config = json!({
                "apiVersion": "v1", "kind": "Config", "current-context": cluster_name,
                "clusters": [{"name": cluster_name, "cluster": {"server": server, "certificate-authority": this.path("ca.crt")}}],
                "users": [{"name": name, "user": {"token": token}}],
                "contexts": [{"name": cluster_name, "context": {"cluster": cluster_name, "user": name, "namespace": "default"}}],
            });
            this.write(user.file(), &format!("{config:#}\n"))?;
        }
        this.write("tokens.csv", &tokens)?;
        Ok(this)
    }

    /// The path of a file in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The path of a user's kubeconfig (JSON, which is YAML too).
    pub(crate) fn kubeconfig(&self, user: User) -> PathBuf {
        self.path(user.file())
    }

    /// Writes a file that only its owner reads.
    fn write(&self, name: &str, content: &str) -> Result<(), Error> {
        let path = self.path(name);
        let file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(content.as_bytes())).map_err(Error::io(format!("write {}", path.display())))
    }
}

/// Whether a folder is that of an earlier cluster.
pub(crate) fn exist_in(folder: &Path) -> bool {
    ["tokens.csv", "service-accounts.key"].iter().all(|name| folder.join(name).is_file())
}

fn random_token() -> Result<String, Error> {
    let mut bytes = [0_u8; 16];
    let read = fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(Error::io("read /dev/urandom"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
