//! What is inside a base, read from its stored layers.

use std::collections::BTreeMap;
use std::io::Read as _;

use tfleet_proto::model::artifact::ArtifactIndex;
use tfleet_proto::model::digest::Digest;

use super::Packages;
use crate::artifact::{Artifacts, Entries, Kind, LayerContent};
use crate::build::BuildError;
use crate::build::check::is_configuration;
use crate::build::sources::{CertificateMarks, certificate_marks};

/// What the lock and the build must know of a base.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// Absolute path of the interpreter, by version ("3.11").
    pub pythons: BTreeMap<String, String>,
    /// Empty where there is no dpkg.
    pub packages: Packages,
    /// Of the certificates that it trusts.
    pub certificate_marks: CertificateMarks,
    /// Of files where programs keep where they fetch from, by absolute path.
    pub configuration: BTreeMap<String, Digest>,
}

/// Trust stores have some 200 kB.
const LARGEST_TRUST_STORE_BYTES: u64 = 2 << 20;

/// A few lines each.
const LARGEST_CONFIGURATION_BYTES: u64 = 64 << 10;

/// Without dpkg nobody says; wheels for this one run on everything since 2018.
const CAUTIOUS_GLIBC: (u32, u32) = (2, 28);

impl Survey {
    /// Reads every layer once. A base of several hundred megabytes takes about a second.
    ///
    /// # Errors
    /// If a layer is damaged.
    pub fn of(store: &Artifacts, index: &ArtifactIndex) -> Result<Self, BuildError> {
        let mut survey = Self::default();
        for layer in &index.layers {
            let mut entries = Entries::new(LayerContent::new(store, layer));
            while let Some(node) = entries
                .next_node()
                .map_err(crate::artifact::ArchiveError::from)?
            {
                let path = String::from_utf8_lossy(&node.path).into_owned();
                let is_file = node.kind == Kind::File;
                let unreadable = |why: String| BuildError::Format {
                    file: path.clone(),
                    why,
                };
                if path == "var/lib/dpkg/status" && is_file {
                    let mut text = String::new();
                    let read = entries.content().read_to_string(&mut text);
                    read.map_err(|error| unreadable(error.to_string()))?;
                    survey.packages = installed(&text);
                } else if may_be_trust_store(&path)
                    && is_file
                    && node.size <= LARGEST_TRUST_STORE_BYTES
                {
                    let mut content = Vec::new();
                    let read = entries.content().read_to_end(&mut content);
                    read.map_err(|error| unreadable(error.to_string()))?;
                    survey.certificate_marks.extend(certificate_marks(&content));
                } else if is_file
                    && node.size <= LARGEST_CONFIGURATION_BYTES
                    && is_configuration(&format!("/{path}"))
                {
                    let mut content = Vec::new();
                    let read = entries.content().read_to_end(&mut content);
                    read.map_err(|error| unreadable(error.to_string()))?;
                    // As the check reads it, which takes every file for text.
                    let text = String::from_utf8_lossy(&content);
                    let digest = Digest::of(text.as_bytes());
                    survey.configuration.insert(format!("/{path}"), digest);
                } else if let Some(version) = python_of(&path) {
                    survey
                        .pythons
                        .entry(version)
                        .or_insert_with(|| format!("/{path}"));
                }
            }
        }
        Ok(survey)
    }

    /// The base's glibc.
    pub fn glibc(&self) -> (u32, u32) {
        let version = self.packages.get("libc6").and_then(|version| {
            let (major, rest) = version.split_once('.')?;
            let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
            Some((major.rsplit(':').next()?.parse().ok()?, minor.parse().ok()?))
        });
        version.unwrap_or(CAUTIOUS_GLIBC)
    }
}

fn may_be_trust_store(path: &str) -> bool {
    [".pem", ".crt", ".cer"]
        .iter()
        .any(|end| path.ends_with(end))
}

/// `usr/bin/python3.11` is Python 3.11.
fn python_of(path: &str) -> Option<String> {
    let (folder, name) = path.rsplit_once('/')?;
    let version = name.strip_prefix("python")?;
    let (major, minor) = version.split_once('.')?;
    let is_version = major.parse::<u32>().is_ok() && minor.parse::<u32>().is_ok();
    (is_version && matches!(folder, "usr/bin" | "usr/local/bin")).then(|| version.to_owned())
}

/// Names and versions of a dpkg status file's installed packages.
fn installed(status: &str) -> Packages {
    let field = |paragraph: &str, name: &str| -> Option<String> {
        paragraph
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            .map(str::to_owned)
    };
    status
        .split("\n\n")
        .filter(|paragraph| {
            field(paragraph, "Status").is_some_and(|status| status.ends_with(" installed"))
        })
        .filter_map(|paragraph| Some((field(paragraph, "Package")?, field(paragraph, "Version")?)))
        .collect()
}

#[cfg(test)]
mod tests;
