//! Which local program stands for which container image. Imports nothing of this crate; [`crate::kubelet`] asks it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

/// The local program that runs where a container would: what an image's entry point is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// Arguments before those of the pod.
    pub arguments: Vec<String>,
    /// Environment; what the pod sets wins.
    pub environment: BTreeMap<String, String>,
}

impl Program {
    /// A program without arguments or environment of its own.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), ..Self::default() }
    }
}

/// The table of images, shared by its clones: a change is seen by the next container that starts.
#[derive(Debug, Clone, Default)]
pub struct Images(Arc<RwLock<BTreeMap<String, Program>>>);

impl Images {
    /// Maps an image to a program. `name` is either the whole reference as pods write it
    /// (`registry.k8s.io/ingress-nginx/controller:v1.8.2@sha256:…`), or that without digest, or without tag too, or just the last part
    /// of the path (`controller`); the most exact entry wins.
    pub fn insert(&self, name: impl Into<String>, program: Program) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(name.into(), program);
    }

    /// The program for an image reference.
    pub fn find(&self, image: &str) -> Option<Program> {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        names(image).find_map(|name| table.get(name).cloned())
    }

    /// What a container with this image, `command` and `args` runs.
    ///
    /// Without `command` that is the image's program with its arguments, then `args`. With it, the first word must be the file name of
    /// the image's program, or name another entry of the table (`/nginx-ingress-controller` is looked up as
    /// `nginx-ingress-controller`); that program stands for the word, with its arguments, and the other words follow, then `args`.
    ///
    /// # Errors
    /// [`ImageError`] names the image or the word, and the entry that would help.
    pub fn resolve(&self, image: &str, command: &[String], args: &[String]) -> Result<Program, ImageError> {
        let own = self.find(image).ok_or_else(|| ImageError::UnknownImage(image.to_owned()))?;
        let (mut program, words) = match command.split_first() {
            None => (own, command),
            Some((word, words)) => {
                let file = Path::new(word).file_name().and_then(|name| name.to_str()).unwrap_or(word);
                let program = if own.path.file_name().is_some_and(|name| name == file) { Some(own) } else { self.find(file) };
                let unknown =
                    || ImageError::UnknownCommand { image: image.to_owned(), word: word.clone(), file: file.to_owned() };
                (program.ok_or_else(unknown)?, words)
            }
        };
        if !program.path.is_file() {
            return Err(ImageError::NoFile { image: image.to_owned(), path: program.path });
        }
        program.arguments.extend(words.iter().chain(args).cloned());
        Ok(program)
    }
}

/// The names under which an image may be in the table, the most exact first.
fn names(image: &str) -> impl Iterator<Item = &str> {
    let without_digest = image.split_once('@').map_or(image, |(name, _)| name);
    let slash = without_digest.rfind('/').map_or(0, |position| position + 1);
    let (path, last) = without_digest.split_at(slash);
    let last = last.split_once(':').map_or(last, |(name, _)| name);
    let without_tag = without_digest.get(..path.len() + last.len()).unwrap_or(without_digest);
    [image, without_digest, without_tag, last].into_iter()
}

/// Why no program stands for a container.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// The image is not in the table.
    #[error(
        "no local program stands for image {0:?}: map it with `--image NAME=PATH` (landfall-cluster) or Images::insert (tests), NAME \
         being the whole reference or its last part without the tag"
    )]
    UnknownImage(String),
    /// The first word of the container's command is neither the image's program nor another entry.
    #[error("image {image:?}: no local program stands for the command {word:?}: map {file:?} as if it were an image")]
    UnknownCommand {
        /// The container's image.
        image: String,
        /// The command's first word.
        word: String,
        /// The name to map.
        file: String,
    },
    /// The mapped program does not exist.
    #[error("image {image:?} is mapped to {}, which is no file: build it, or map the image to another path", path.display())]
    NoFile {
        /// The container's image.
        image: String,
        /// The program's path.
        path: PathBuf,
    },
}

impl ImageError {
    /// The reason that a waiting container's status gives.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::UnknownImage(_) => "ErrImagePull",
            Self::UnknownCommand { .. } | Self::NoFile { .. } => "CreateContainerError",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Images {
        let images = Images::default();
        images.insert(
            "controller",
            Program { path: "/bin/true".into(), arguments: vec!["ingress".into()], environment: BTreeMap::new() },
        );
        images.insert("registry.test:5000/a/controller", Program::new("/bin/false"));
        images.insert("sleep", Program::new("/bin/sleep"));
        images
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn the_most_exact_name_wins() {
        let path = |image: &str| table().find(image).map(|program| program.path);
        assert_eq!(path("registry.k8s.io/ingress-nginx/controller:v1.8.2@sha256:e574"), Some("/bin/true".into()));
        assert_eq!(path("registry.test:5000/a/controller:1"), Some("/bin/false".into()));
        assert_eq!(path("registry.test:5000/b/controller:1"), Some("/bin/true".into()));
        assert_eq!(path("controllers:1"), None);
    }

    #[test]
    fn args_follow_the_programs_own() {
        let program = table().resolve("controller:1", &[], &words(&["--x=y"])).unwrap();
        assert_eq!((program.path, program.arguments), ("/bin/true".into(), words(&["ingress", "--x=y"])));
    }

    #[test]
    fn a_commands_first_word_names_the_program() {
        let own = table().resolve("controller", &words(&["/usr/bin/true", "a"]), &words(&["b"])).unwrap();
        assert_eq!((own.path, own.arguments), ("/bin/true".into(), words(&["ingress", "a", "b"])));
        let other = table().resolve("controller", &words(&["/sleep", "1"]), &[]).unwrap();
        assert_eq!((other.path, other.arguments), ("/bin/sleep".into(), words(&["1"])));
    }

    #[test]
    fn errors_name_what_to_map() {
        let images = table();
        assert_eq!(images.resolve("other:1", &[], &[]), Err(ImageError::UnknownImage("other:1".into())));
        let error = images.resolve("controller", &words(&["/usr/bin/other"]), &[]).unwrap_err();
        assert!(error.to_string().contains("\"other\""), "{error}");
        images.insert("gone", Program::new("/nowhere/gone"));
        assert_eq!(images.resolve("gone", &[], &[]).unwrap_err().reason(), "CreateContainerError");
    }
}
