//! What is in an image, from its lock: a software bill of materials in the form of CycloneDX 1.6.
//!
//! The form: <https://cyclonedx.org/docs/1.6/json/>; package URLs: <https://github.com/package-url/purl-spec>. Nothing in
//! it tells when it was written, so that one lock and artifact always give the same bytes.

use serde::Serialize;
use tfleet_compat::{Architecture, BaseImage};
use tfleet_proto::model::digest::Digest;

use super::Lock;
use super::lock::{LockedCompat, LockedWheel};
use super::order::Order;

/// An image, and what it is made of.
#[derive(Debug, Clone, Copy)]
pub struct Sbom<'a> {
    /// "train:v1".
    pub release: &'a str,
    pub order: &'a Order,
    pub lock: &'a Lock,
    pub artifact: &'a Digest,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    bom_format: &'static str,
    spec_version: &'static str,
    serial_number: String,
    version: u32,
    metadata: Metadata,
    components: Vec<Component>,
    dependencies: Vec<Dependency>,
}

#[derive(Serialize)]
struct Metadata {
    tools: Tools,
    component: Component,
    properties: Vec<Property>,
}

#[derive(Serialize)]
struct Tools {
    components: Vec<Component>,
}

#[derive(Serialize)]
struct Component {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "bom-ref")]
    reference: String,
    name: String,
    version: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    properties: Vec<Property>,
}

#[derive(Serialize)]
struct Hash {
    alg: &'static str,
    content: String,
}

#[derive(Serialize)]
struct Property {
    name: &'static str,
    value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dependency {
    #[serde(rename = "ref")]
    reference: String,
    depends_on: Vec<String>,
}

impl Sbom<'_> {
    /// The document as JSON.
    #[expect(
        clippy::expect_used,
        reason = "structs of strings can always be written as JSON"
    )]
    pub fn to_json(&self) -> String {
        let mut text =
            serde_json::to_string_pretty(&self.document()).expect("a document is valid JSON");
        text.push('\n');
        text
    }

    fn document(&self) -> Document {
        let mut components = vec![self.base()];
        components.extend(
            self.lock
                .base
                .packages
                .iter()
                .map(|(name, version)| self.debian_package(name, version)),
        );
        components.extend(self.installed().map(wheel));
        components.extend(self.lock.compat.as_ref().map(compat_package));
        let image = self.image();
        let dependencies = vec![Dependency {
            reference: image.reference.clone(),
            depends_on: components
                .iter()
                .map(|component| component.reference.clone())
                .collect(),
        }];
        let property = |name, value: String| Property { name, value };
        let mut properties = vec![
            property("tfleet:lock", self.lock.digest().to_string()),
            property("tfleet:recipe", self.lock.recipe.clone()),
        ];
        if let Some(dockerfile) = &self.lock.finish.dockerfile {
            // What it installs is not in the lock.
            let digest = Digest::of(dockerfile.text().as_bytes());
            properties.push(property("tfleet:dockerfile", digest.to_string()));
        }
        Document {
            bom_format: "CycloneDX",
            spec_version: "1.6",
            serial_number: serial_number(self.artifact),
            version: 1,
            metadata: Metadata {
                tools: Tools {
                    components: vec![Component {
                        kind: "application",
                        reference: "tfleet".to_owned(),
                        name: "tfleet".to_owned(),
                        version: env!("CARGO_PKG_VERSION").to_owned(),
                        hashes: Vec::new(),
                        purl: None,
                        properties: Vec::new(),
                    }],
                },
                component: image,
                properties,
            },
            components,
            dependencies,
        }
    }

    fn image(&self) -> Component {
        Component {
            kind: "container",
            reference: format!("image:{}", self.artifact),
            name: format!("tfleet/{}-{}", self.release, self.lock.recipe),
            version: self.artifact.to_string(),
            hashes: vec![sha256(self.artifact)],
            purl: None,
            properties: Vec::new(),
        }
    }

    fn base(&self) -> Component {
        let artifact = &self.lock.base.artifact;
        let named = self.order.base.clone();
        Component {
            kind: "container",
            reference: format!("base:{artifact}"),
            name: named.unwrap_or_else(|| self.order.recipe.base.to_string()),
            version: artifact.to_string(),
            hashes: vec![sha256(artifact)],
            purl: None,
            properties: Vec::new(),
        }
    }

    fn debian_package(&self, name: &str, version: &str) -> Component {
        // Of a base that others made it is not known which distribution's packages they are.
        let base = (&self.order.base, &self.order.recipe.base);
        let purl = match base {
            (
                None,
                BaseImage::Distribution {
                    distribution,
                    suite,
                },
            ) => {
                let architecture = match self.lock.architecture {
                    Architecture::X86_64 => "amd64",
                    Architecture::Aarch64 => "arm64",
                };
                Some(format!(
                    "pkg:deb/{distribution}/{}@{}?arch={architecture}&distro={suite}",
                    encoded(name),
                    encoded(version)
                ))
            }
            _ => None,
        };
        Component {
            kind: "library",
            reference: format!("deb:{name}@{version}"),
            name: name.to_owned(),
            version: version.to_owned(),
            hashes: Vec::new(),
            purl,
            properties: Vec::new(),
        }
    }

    /// The wheels that are there in the end: one that a later group has in another version is gone.
    fn installed(&self) -> impl Iterator<Item = &LockedWheel> {
        let groups = &self.lock.groups;
        groups.iter().enumerate().flat_map(move |(number, group)| {
            let is_replaced = move |wheel: &&LockedWheel| {
                let mut later = groups[number + 1..].iter().flat_map(|group| &group.wheels);
                later.any(|other| other.name == wheel.name)
            };
            group.wheels.iter().filter(move |wheel| !is_replaced(wheel))
        })
    }
}

fn wheel(wheel: &LockedWheel) -> Component {
    let purl = format!("pkg:pypi/{}@{}", wheel.name, encoded(&wheel.version));
    Component {
        kind: "library",
        reference: purl.clone(),
        name: wheel.name.clone(),
        version: wheel.version.clone(),
        hashes: vec![sha256(&wheel.sha256)],
        purl: Some(purl),
        properties: vec![Property {
            name: "tfleet:file",
            value: wheel.file.clone(),
        }],
    }
}

/// Of which of NVIDIA's files it was unpacked is not known, so it has no package URL.
fn compat_package(compat: &LockedCompat) -> Component {
    Component {
        kind: "library",
        reference: format!("compat:{}", compat.artifact),
        name: compat.package.clone(),
        version: compat.driver.to_string(),
        hashes: vec![sha256(&compat.artifact)],
        purl: None,
        properties: Vec::new(),
    }
}

fn sha256(digest: &Digest) -> Hash {
    Hash {
        alg: "SHA-256",
        content: digest.hex(),
    }
}

/// A UUID (RFC 9562, version 8: of one's own making) from a digest.
fn serial_number(artifact: &Digest) -> String {
    let hex = artifact.hex();
    format!(
        "urn:uuid:{}-{}-8{}-a{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[13..16],
        &hex[17..20],
        &hex[20..32]
    )
}

/// As a part of a package URL: letters, digits and `.-_~` stay.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'.' | b'-' | b'_' | b'~' => char::from(byte).to_string(),
            _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests;
