//! What a command inside finds: its environment; and `enter.sh`, which gives the same to a command from outside.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use landfall_test_cluster::{REGION, VPC_ADDRESS, search_path_after};

/// The emulated AWS account; the access key id selects it.
pub(crate) const ACCOUNT: &str = "000000000000";

/// Where the emulator listens, at [`VPC_ADDRESS`].
pub(crate) const EMULATOR_PORT: u16 = 4566;

/// Variables of outside that would lead astray: inside there are no proxies, and AWS is another one.
const HIDDEN: [&str; 9] = [
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "AWS_PROFILE",
    "AWS_SESSION_TOKEN",
    "KUBECONFIG",
];

/// The folders and the credentials that commands need.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    pub(crate) binaries: PathBuf,
    pub(crate) workdir: PathBuf,
    pub(crate) kubeconfig: PathBuf,
}

/// AWS's endpoint, region and credentials. Pods get them, too, as they would from their node or their service account.
pub(crate) fn aws() -> BTreeMap<String, String> {
    [
        ("AWS_ENDPOINT_URL", format!("http://{VPC_ADDRESS}:{EMULATOR_PORT}")),
        ("AWS_REGION", REGION.into()),
        ("AWS_DEFAULT_REGION", REGION.into()),
        ("AWS_ACCESS_KEY_ID", ACCOUNT.into()),
        ("AWS_SECRET_ACCESS_KEY", "emulated".into()),
        // The AWS command line would page its answers, and look for a metadata service.
        ("AWS_PAGER", String::new()),
        ("AWS_EC2_METADATA_DISABLED", "true".into()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

impl Surroundings {
    /// The variables to set, but for PATH.
    fn variables(&self) -> BTreeMap<String, String> {
        let mut variables = aws();
        variables.insert("KUBECONFIG".into(), self.kubeconfig.display().to_string());
        variables.insert("LANDFALL_WORKDIR".into(), self.workdir.display().to_string());
        variables
    }

    /// Gives a command its environment; kubectl comes first on its PATH.
    pub(crate) fn furnish(&self, command: &mut tokio::process::Command) {
        for name in HIDDEN {
            command.env_remove(name);
        }
        command.envs(self.variables()).env("PATH", search_path_after(&self.binaries));
    }

    /// Writes `<workdir>/enter.sh`, which runs a shell or a command inside from outside: by the namespaces of process `init`.
    pub(crate) fn write_entrance(&self, init: u32) -> io::Result<PathBuf> {
        let path = self.workdir.join("enter.sh");
        fs::write(&path, self.entrance(init))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(path)
    }

    fn entrance(&self, init: u32) -> String {
        let mut script = String::from(
            "#!/bin/sh\n# Runs a command (or a shell) inside the cluster's namespaces. Written by landfall-cluster.\n",
        );
        script.push_str(&format!("[ -d /proc/{init}/ns ] || {{ echo 'the cluster has ended' >&2; exit 1; }}\n"));
        let _ = writeln!(script, "unset {}", HIDDEN.join(" "));
        for (name, value) in self.variables() {
            let _ = writeln!(script, "export {name}={}", quoted(&value));
        }
        let _ = writeln!(script, "export PATH={}:\"$PATH\":/usr/sbin:/sbin", quoted(&self.binaries.display().to_string()));
        script.push_str("[ $# -gt 0 ] || set -- \"${SHELL:-/bin/sh}\"\n");
        // Entering a mount namespace moves to its root: go back to where the caller was.
        let _ = writeln!(
            script,
            "exec nsenter --target {init} --user --preserve-credentials --mount --net --pid -- \\\n  \
             /bin/sh -c 'cd \"$1\" && shift && exec \"$@\"' sh \"$PWD\" \"$@\""
        );
        script
    }
}

/// A word in single quotes for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The program of this name next to this one, if it was built.
pub(crate) fn sibling(name: &str) -> Option<PathBuf> {
    let path = std::env::current_exe().ok()?.parent().map(Path::to_owned)?.join(name);
    path.is_file().then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_shell() {
        for word in ["plain", "two words", "it's", "$HOME `x` \\ \"", ""] {
            let output =
                std::process::Command::new("/bin/sh").args(["-c", &format!("printf %s {}", quoted(word))]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), word);
        }
    }

    #[test]
    fn the_entrance_is_a_script() {
        let folder = PathBuf::from("/tmp/a 'b'");
        let surroundings =
            Surroundings { binaries: folder.clone(), workdir: folder.clone(), kubeconfig: folder.join("kubeconfig") };
        let check = std::process::Command::new("/bin/sh").args(["-n", "-c", &surroundings.entrance(7)]).output().unwrap();
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    }
}
