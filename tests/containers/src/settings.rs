//! What the environment decides: the back ends, and what may be used for them. The only reader of the environment here.
//!
//! Imports `backend.rs`.

use std::fmt;

use crate::backend::{Backend, BackendError};

/// Back ends with commas between them.
const BACKENDS: &str = "LANDFALL_TEST_BACKENDS";
/// LocalStack's own variable.
pub(crate) const TOKEN: &str = "LOCALSTACK_AUTH_TOKEN";
/// The one account of AWS that tests may change.
pub(crate) const ACCOUNT: &str = "LANDFALL_TEST_AWS_ACCOUNT";

/// What tests run on, and with what.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// `LANDFALL_TEST_BACKENDS`; `inproc,container` unless it is set.
    pub backends: Vec<Backend>,
    /// `LOCALSTACK_AUTH_TOKEN`: without it LocalStack does not start.
    pub localstack_token: Option<String>,
    /// `LANDFALL_TEST_AWS_ACCOUNT`: tests may make, change and delete things in this account of AWS, and cost money there.
    pub aws_account: Option<String>,
}

impl fmt::Debug for Settings {
    /// Without the token.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Settings")
            .field("backends", &self.backends)
            .field("localstack_token", &self.localstack_token.as_ref().map(|_| "(redacted)"))
            .field("aws_account", &self.aws_account)
            .finish()
    }
}

/// Why the environment cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// `LANDFALL_TEST_BACKENDS`.
    #[error("{BACKENDS}: {0}")]
    Backends(#[from] BackendError),
    /// `LANDFALL_TEST_AWS_ACCOUNT`.
    #[error("{ACCOUNT}='{0}': the account's number is needed, twelve digits")]
    Account(String),
}

impl Settings {
    /// As this process was started.
    ///
    /// # Errors
    /// When a variable has a value that means nothing.
    pub fn of_this_process() -> Result<Self, SettingsError> {
        #[expect(clippy::disallowed_methods, reason = "this is the one place")]
        Self::read(&|name| std::env::var(name).ok())
    }

    /// From these variables.
    ///
    /// # Errors
    /// When a variable has a value that means nothing.
    pub fn read(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let set = |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let aws_account = set(ACCOUNT);
        if let Some(account) = aws_account.as_ref().filter(|account| !is_account(account)) {
            return Err(SettingsError::Account(account.clone()));
        }
        let backends = Backend::list(set(BACKENDS).as_deref().unwrap_or("inproc,container"))?;
        Ok(Self { backends, localstack_token: set(TOKEN), aws_account })
    }
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Settings::read(&find)
    }

    #[test]
    fn the_environment_is_read() {
        let usual = read(&[("LOCALSTACK_AUTH_TOKEN", " ")]).unwrap();
        assert_eq!(usual.backends, Backend::list("inproc,container").unwrap());
        assert_eq!((usual.localstack_token, usual.aws_account), (None, None));
        let settings = read(&[
            ("LANDFALL_TEST_BACKENDS", "localstack,aws"),
            ("LOCALSTACK_AUTH_TOKEN", "ls-secret"),
            ("LANDFALL_TEST_AWS_ACCOUNT", "111122223333"),
        ])
        .unwrap();
        assert_eq!(settings.backends, Backend::list("localstack,aws").unwrap());
        assert_eq!(settings.aws_account.as_deref(), Some("111122223333"));
        assert!(!format!("{settings:?}").contains("ls-secret"));
    }

    #[test]
    fn what_means_nothing_is_refused() {
        let wrong = read(&[("LANDFALL_TEST_BACKENDS", "docker")]).unwrap_err().to_string();
        assert!(wrong.starts_with("LANDFALL_TEST_BACKENDS: 'docker' is no back end"), "{wrong}");
        let wrong = read(&[("LANDFALL_TEST_AWS_ACCOUNT", "yes")]).unwrap_err().to_string();
        assert_eq!(wrong, "LANDFALL_TEST_AWS_ACCOUNT='yes': the account's number is needed, twelve digits");
    }
}
