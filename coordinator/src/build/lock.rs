//! A recipe resolved: every wheel with its version and hash, the base by its content. Its digest names the build.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tfleet_compat::{Architecture, DriverVersion};
use tfleet_proto::model::digest::Digest;

mod pylock;
pub mod wheel;

use super::dockerfile::Dockerfile;

pub use pylock::read_pylock;

/// Raised whenever the same lock would build another image: a changed Dockerfile, install script or installer.
pub const TEMPLATE: u32 = 3;

/// The lock. Canonical JSON has the fields in this order, maps and wheels sorted, no white space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    pub format: LockFormat,
    pub template: u32,
    pub recipe: String,
    pub architecture: Architecture,
    pub python: String,
    pub base: LockedBase,
    /// Installed in this order, each becoming one layer. A later one may have another version of an earlier one's package.
    pub groups: Vec<Group>,
    pub environment: BTreeMap<String, String>,
    pub ports: Vec<u16>,
    pub bashrc: Option<String>,
    /// TensorFlow does not look into the CUDA wheels by itself, so LD_LIBRARY_PATH leads there.
    #[serde(default)]
    pub library_path: bool,
    // Left out where there is nothing, so that such a lock has the digest that it always had.
    #[serde(default, skip_serializing_if = "Finish::is_plain")]
    pub finish: Finish,
    /// None: the host's own driver is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compat: Option<LockedCompat>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LockFormat {
    #[default]
    #[serde(rename = "tfleet.lock.v1")]
    V1,
}

/// What an image gets beyond its wheels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finish {
    /// The command of its containers; none: the base's.
    pub start: Option<Vec<String>>,
    /// Folders before all others in PATH, but for the environment's own programs.
    pub path: Vec<String>,
    pub authorized_keys: Option<String>,
    /// Built on top.
    pub dockerfile: Option<Dockerfile>,
}

/// A base, by content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedBase {
    /// The base's artifact.
    pub artifact: Digest,
    pub diff_ids: Vec<Digest>,
    /// Debian packages and their versions, for people and for comparing; the diff IDs hold them already.
    pub packages: BTreeMap<String, String>,
}

/// The compat libraries of an image, by content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedCompat {
    /// `cuda-compat-12-8`.
    pub package: String,
    /// Whose user-mode half its libraries are.
    pub driver: DriverVersion,
    /// The unpacked package.
    pub artifact: Digest,
    pub diff_ids: Vec<Digest>,
    /// Of its libraries: an absolute path, in the package and in the image.
    pub folder: String,
}

/// Wheels that change together, and so are one layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    pub kind: GroupKind,
    /// Sorted by name.
    pub wheels: Vec<LockedWheel>,
}

/// In the order of installation: what changes least and weighs most comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroupKind {
    Cuda,
    Tensorflow,
    Extras,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedWheel {
    /// Normalised (PEP 503).
    pub name: String,
    pub version: String,
    pub file: String,
    pub sha256: Digest,
    /// Zero: the index does not say, as those of plain HTML.
    pub size_bytes: u64,
    /// Where the index that was just asked has it. Not of the lock: it passes, and may differ between sites.
    #[serde(skip)]
    pub url: Option<String>,
}

/// What wheels weigh of which no index says it: those of CUDA 12 are 2.3 GB in eleven, the largest 730 MB.
const CUDA_WHEEL_BYTES: u64 = 300 << 20;
/// TensorFlow 2.18 for GPUs.
const TENSORFLOW_WHEEL_BYTES: u64 = 650 << 20;
/// The forty that come along with it weigh 3 MB on average, and scientific packages up to 40 MB.
const OTHER_WHEEL_BYTES: u64 = 20 << 20;

impl Lock {
    #[expect(
        clippy::expect_used,
        reason = "structs of strings and numbers can always be written as JSON"
    )]
    pub fn canonical_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a lock is valid JSON")
    }

    /// Names the build.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.canonical_json())
    }

    /// The artifacts that the image is built of: its base, and the compat package.
    pub fn foundations(&self) -> impl Iterator<Item = Digest> {
        let compat = self.compat.as_ref().map(|compat| compat.artifact);
        [self.base.artifact].into_iter().chain(compat)
    }

    /// All wheels.
    pub fn wheels(&self) -> impl Iterator<Item = &LockedWheel> {
        self.groups.iter().flat_map(|group| &group.wheels)
    }

    /// Bytes to download.
    pub fn wheel_bytes(&self) -> u64 {
        self.groups.iter().map(Group::wheel_bytes).sum()
    }

    /// What the wheels become once unpacked, by experience: CUDA libraries 1.7 times, TensorFlow 3 times.
    pub fn unpacked_bytes_estimate(&self) -> u64 {
        let times = |kind, bytes: u64| match kind {
            GroupKind::Cuda => bytes / 10 * 17,
            GroupKind::Tensorflow | GroupKind::Extras => bytes * 3,
        };
        self.groups
            .iter()
            .map(|group| times(group.kind, group.wheel_bytes()))
            .sum()
    }
}

impl Finish {
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

impl Group {
    pub fn wheel_bytes(&self) -> u64 {
        self.wheels.iter().map(LockedWheel::expected_bytes).sum()
    }

    /// Names of its packages.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.wheels.iter().map(|wheel| wheel.name.as_str())
    }

    /// The group as a requirements file with one hash each.
    pub fn requirements(&self) -> String {
        self.wheels.iter().map(LockedWheel::requirement).collect()
    }
}

impl LockedWheel {
    /// A line of a requirements file.
    pub fn requirement(&self) -> String {
        format!("{}=={} --hash={}\n", self.name, self.version, self.sha256)
    }

    /// Whether both are one file, also where two indexes say more or less of it.
    fn is_same(&self, other: &Self) -> bool {
        (&self.name, self.sha256) == (&other.name, other.sha256)
    }

    /// The same, with the place where it is now.
    pub fn requirement_by_url(&self) -> Option<String> {
        let url = self.url.as_ref()?;
        Some(format!("{} @ {url} --hash={}\n", self.name, self.sha256))
    }

    fn is_of_cuda(&self) -> bool {
        self.name.starts_with("nvidia-")
    }

    /// What it weighs, or about what such a wheel weighs where its index does not say.
    pub fn expected_bytes(&self) -> u64 {
        match self.name.as_str() {
            _ if self.size_bytes > 0 => self.size_bytes,
            "tensorflow" | "tensorflow-cpu" | "tensorflow-gpu" => TENSORFLOW_WHEEL_BYTES,
            _ if self.is_of_cuda() => CUDA_WHEEL_BYTES,
            _ => OTHER_WHEEL_BYTES,
        }
    }
}

/// The package that a requirement (PEP 508) asks for, normalised (PEP 503).
pub fn package_name(requirement: &str) -> String {
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    let mut name = String::new();
    for letter in requirement
        .trim_start()
        .chars()
        .take_while(|&letter| is_of_name(letter))
    {
        match letter {
            '-' | '_' | '.' if name.ends_with('-') => {}
            '-' | '_' | '.' => name.push('-'),
            _ => name.push(letter.to_ascii_lowercase()),
        }
    }
    name
}

/// The folder below `site-packages/nvidia` of a CUDA wheel that is named so (`nvidia-cuda-runtime-cu11` is
/// `cuda_runtime`); none for other wheels.
pub fn cuda_folder(wheel: &str) -> Option<String> {
    let (name, _) = wheel.strip_prefix("nvidia-")?.rsplit_once("-cu")?;
    Some(name.replace('-', "_"))
}

/// Puts wheels into groups: CUDA's libraries, then the rest of what the recipe alone has, then what differs from that in
/// the resolution of everything `together`.
///
/// A package that a release wants in another version than the recipe alone is in two groups, and the last to be installed
/// stays: so the recipe's own layers, which weigh gigabytes, are the same in every release of it.
pub fn group(alone: Vec<LockedWheel>, together: Vec<LockedWheel>) -> Vec<Group> {
    let mut groups: BTreeMap<GroupKind, Vec<LockedWheel>> = BTreeMap::new();
    let extras: Vec<_> = together
        .into_iter()
        .filter(|wheel| !alone.iter().any(|other| other.is_same(wheel)))
        .collect();
    for wheel in alone {
        let kind = if wheel.is_of_cuda() {
            GroupKind::Cuda
        } else {
            GroupKind::Tensorflow
        };
        groups.entry(kind).or_default().push(wheel);
    }
    if !extras.is_empty() {
        groups.insert(GroupKind::Extras, extras);
    }
    let sorted = |(kind, mut wheels): (_, Vec<LockedWheel>)| {
        wheels.sort_by(|one, other| one.name.cmp(&other.name));
        Group { kind, wheels }
    };
    groups.into_iter().map(sorted).collect()
}

#[cfg(test)]
mod tests;
