//! The home's own files of settings, as they stand at one moment.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use host_loader::Digest;
use host_model::Version;

/// `etc/env`, or what is read in its place, and `etc/host.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Files {
    pub(super) env: File,
    pub(super) toml: File,
}

/// What files said that settings were read of, by their paths; none of one that was not there.
pub(crate) type Texts = BTreeMap<String, Option<String>>;

/// One file of settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    path: String,
    /// As settings say where they are from.
    pub(super) name: String,
    pub(super) content: Content,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Content {
    Missing,
    Bytes(Vec<u8>),
    Unreadable(String),
}

/// They hold secrets.
impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("Missing"),
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Unreadable(why) => write!(f, "Unreadable({why:?})"),
        }
    }
}

impl Files {
    /// Those of the home in `root`.
    pub(crate) fn read(root: &Path, env_file: Option<&Path>) -> Self {
        Self {
            env: match env_file {
                Some(file) => File::read(file, true),
                None => File::read(&root.join("etc/env"), false),
            },
            toml: File::read(&root.join("etc/host.toml"), false),
        }
    }

    /// Of all that they say.
    pub(crate) fn digest(&self) -> String {
        let mut said = Vec::new();
        for file in [&self.env, &self.toml] {
            let (kind, content): (u8, &[u8]) = match &file.content {
                Content::Missing => (0, b""),
                Content::Bytes(bytes) => (1, bytes),
                Content::Unreadable(why) => (2, why.as_bytes()),
            };
            for part in [file.path.as_bytes(), &[kind], content] {
                said.extend((part.len() as u64).to_le_bytes());
                said.extend(part);
            }
        }
        Digest::of(&said).to_string()
    }

    /// What they say, where all of it is text.
    pub(crate) fn texts(&self) -> Option<Texts> {
        let files = [&self.env, &self.toml].into_iter();
        let texts = files.map(|file| {
            let text = match &file.content {
                Content::Missing => None,
                Content::Bytes(bytes) => Some(str::from_utf8(bytes).ok()?.to_owned()),
                Content::Unreadable(_) => return None,
            };
            Some((file.path.clone(), text))
        });
        texts.collect()
    }

    /// The same files, saying what `release` ran with; none if these are others.
    pub(crate) fn saying(&self, texts: &Texts, release: &Version) -> Option<Self> {
        let saying = |file: &File| {
            let text = texts.get(&file.path)?;
            Some(File {
                path: file.path.clone(),
                name: format!("{} (as {release} ran with it)", file.path),
                content: match text {
                    Some(text) => Content::Bytes(text.clone().into_bytes()),
                    None => Content::Missing,
                },
            })
        };
        Some(Self {
            env: saying(&self.env)?,
            toml: saying(&self.toml)?,
        })
    }
}

impl File {
    pub(super) fn read(path: &Path, must_be_there: bool) -> Self {
        let name = path.display().to_string();
        Self {
            path: name.clone(),
            name,
            content: match fs::read(path) {
                Ok(bytes) => Content::Bytes(bytes),
                Err(e) if e.kind() == ErrorKind::NotFound && !must_be_there => Content::Missing,
                Err(e) => Content::Unreadable(e.to_string()),
            },
        }
    }
}
