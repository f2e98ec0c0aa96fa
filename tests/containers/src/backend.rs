//! Which AWS a test runs on, as text: `inproc`, `container`, `moto:motoserver/moto:5.2.5`, `endpoint:http://127.0.0.1:4566`.
//!
//! Plain data; imports nothing of the crate.

use std::fmt;
use std::str::FromStr;

/// The image that `tools/image.sh localstack` builds.
const EMULATOR_IMAGE: &str = "landfall-localstack:latest";
const MOTO_IMAGE: &str = "motoserver/moto:latest";
const LOCALSTACK_IMAGE: &str = "localstack/localstack:latest";

/// Where an AWS comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// `inproc`: `landfall-localstack` in this process.
    InProcess,
    /// `container[:IMAGE]`: `landfall-localstack` as an image.
    Container {
        /// The image with its tag. It is never pulled: it is on no registry.
        image: String,
    },
    /// `moto[:IMAGE]`: moto's server as an image.
    Moto {
        /// The image with its tag; pulled when it is not there.
        image: String,
    },
    /// `localstack[:IMAGE]`: the commercial LocalStack, with the token of [`crate::Settings`].
    LocalStack {
        /// The image with its tag; pulled when it is not there.
        image: String,
    },
    /// `endpoint:URL`: whatever answers there; asked what it is.
    Endpoint {
        /// `http://HOST:PORT`.
        url: String,
    },
    /// `aws`: AWS itself, in the account that [`crate::Settings`] allows.
    Aws,
}

/// Why a text names no back end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// Another word.
    #[error(
        "'{0}' is no back end; there are inproc, container[:IMAGE], moto[:IMAGE], localstack[:IMAGE], endpoint:http://HOST:PORT and aws"
    )]
    Unknown(String),
    /// `inproc:x`, `aws:x`.
    #[error("'{0}' takes nothing behind a colon")]
    TakesNothing(String),
    /// `container:`.
    #[error("'{0}:' needs an image behind the colon, or no colon")]
    NoImage(String),
    /// `endpoint`, `endpoint:https://…`.
    #[error("'endpoint:{0}' is no address of an endpoint: http://HOST:PORT is needed (TLS is not spoken to emulators)")]
    NotAnEndpoint(String),
}

impl FromStr for Backend {
    type Err = BackendError;

    fn from_str(text: &str) -> Result<Self, BackendError> {
        let text = text.trim();
        let (kind, rest) = text.split_once(':').map_or((text, None), |(kind, rest)| (kind, Some(rest)));
        let image = |usual: &str| match rest {
            None => Ok(usual.to_owned()),
            Some("") => Err(BackendError::NoImage(kind.to_owned())),
            Some(image) => Ok(image.to_owned()),
        };
        let alone = |backend| if rest.is_none() { Ok(backend) } else { Err(BackendError::TakesNothing(kind.to_owned())) };
        match kind {
            "inproc" => alone(Self::InProcess),
            "container" => Ok(Self::Container { image: image(EMULATOR_IMAGE)? }),
            "moto" => Ok(Self::Moto { image: image(MOTO_IMAGE)? }),
            "localstack" => Ok(Self::LocalStack { image: image(LOCALSTACK_IMAGE)? }),
            "endpoint" => endpoint(rest.unwrap_or_default()),
            "aws" => alone(Self::Aws),
            _ => Err(BackendError::Unknown(text.to_owned())),
        }
    }
}

fn endpoint(url: &str) -> Result<Backend, BackendError> {
    let authority = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    match authority.filter(|authority| !authority.is_empty() && !authority.contains('/')) {
        Some(authority) => Ok(Backend::Endpoint { url: format!("http://{authority}") }),
        None => Err(BackendError::NotAnEndpoint(url.to_owned())),
    }
}

impl Backend {
    /// Several with commas between them, each once.
    ///
    /// # Errors
    /// When one of them is none.
    pub fn list(text: &str) -> Result<Vec<Self>, BackendError> {
        let mut backends = Vec::new();
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            let backend = part.parse()?;
            if !backends.contains(&backend) {
                backends.push(backend);
            }
        }
        Ok(backends)
    }
}

impl fmt::Display for Backend {
    /// As it is written: the image is left out where it is the usual one.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, image, usual) = match self {
            Self::InProcess => return out.write_str("inproc"),
            Self::Endpoint { url } => return write!(out, "endpoint:{url}"),
            Self::Aws => return out.write_str("aws"),
            Self::Container { image } => ("container", image, EMULATOR_IMAGE),
            Self::Moto { image } => ("moto", image, MOTO_IMAGE),
            Self::LocalStack { image } => ("localstack", image, LOCALSTACK_IMAGE),
        };
        if image == usual { out.write_str(kind) } else { write!(out, "{kind}:{image}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_names_a_backend_and_is_written_the_same() {
        let image = |image: &str| image.to_owned();
        for (text, backend) in [
            ("inproc", Backend::InProcess),
            ("container", Backend::Container { image: image("landfall-localstack:latest") }),
            ("container:127.0.0.1:5000/aws:0.1.0", Backend::Container { image: image("127.0.0.1:5000/aws:0.1.0") }),
            ("moto", Backend::Moto { image: image("motoserver/moto:latest") }),
            ("moto:motoserver/moto:5.2.5", Backend::Moto { image: image("motoserver/moto:5.2.5") }),
            ("localstack", Backend::LocalStack { image: image("localstack/localstack:latest") }),
            ("endpoint:http://127.0.0.1:4566", Backend::Endpoint { url: image("http://127.0.0.1:4566") }),
            ("aws", Backend::Aws),
        ] {
            assert_eq!(text.parse(), Ok(backend.clone()), "{text}");
            assert_eq!(backend.to_string(), text);
        }
        assert_eq!("endpoint:http://localhost:1/".parse(), Ok(Backend::Endpoint { url: image("http://localhost:1") }));
    }

    #[test]
    fn other_texts_say_what_is_wrong() {
        for (text, error) in [
            ("docker", BackendError::Unknown("docker".to_owned())),
            ("", BackendError::Unknown(String::new())),
            ("inproc:x", BackendError::TakesNothing("inproc".to_owned())),
            ("aws:", BackendError::TakesNothing("aws".to_owned())),
            ("container:", BackendError::NoImage("container".to_owned())),
            ("endpoint", BackendError::NotAnEndpoint(String::new())),
            ("endpoint:https://a:1", BackendError::NotAnEndpoint("https://a:1".to_owned())),
            ("endpoint:http://a/b", BackendError::NotAnEndpoint("http://a/b".to_owned())),
        ] {
            assert_eq!(text.parse::<Backend>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_list_has_each_once() {
        let container = Backend::Container { image: EMULATOR_IMAGE.to_owned() };
        assert_eq!(Backend::list("inproc, container,inproc,"), Ok(vec![Backend::InProcess, container]));
        assert_eq!(Backend::list("inproc,x"), Err(BackendError::Unknown("x".to_owned())));
    }
}
