//! A release: one name for several variants, planned and built.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use tfleet_proto::convert::{Refusal, timestamp};
use tfleet_proto::model::failure::Failure;
use tfleet_proto::wire;

use super::plan::Plan;
use super::quantity::{bytes, moment};
use super::{Cell, Grid, Tabular, Tone};

#[derive(Debug, Clone, Serialize)]
pub struct Release {
    /// "train:v1".
    pub release: String,
    /// `None` for an added image.
    pub spec: Option<ReleaseSpec>,
    pub plan: Plan,
    pub builds: Vec<VariantBuild>,
    pub created_at: Option<Timestamp>,
    pub created_by: String,
    /// Asked for again: the newest revision was just this.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub existed: bool,
}

#[derive(Debug, Clone, Serialize)]
pub struct ReleaseSpec {
    pub tensorflow: String,
    pub python_packages: Vec<String>,
    pub debian_packages: Vec<String>,
    pub environment: BTreeMap<String, String>,
    pub ports: Vec<u32>,
    /// `None`: bootstrapped from Debian packages.
    pub base: Option<String>,
    /// Empty: the plain runtime.
    pub flavours: Vec<String>,
    pub authorized_keys: Option<String>,
    pub dockerfile: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct VariantBuild {
    pub variant: String,
    pub phase: BuildPhase,
    pub lock: Option<String>,
    pub artifact: Option<String>,
    pub content_bytes: u64,
    pub stored_bytes: u64,
    /// Of these, what other variants of the release have too.
    pub shared_content_bytes: u64,
    pub shared_stored_bytes: u64,
    pub failure: Option<Failure>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildPhase {
    Waiting,
    Locking,
    Base,
    Building,
    Storing,
    Done,
    Failed,
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Releases(pub Vec<Release>);

/// The builds of one release: how `tfleet build` ends.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Builds(pub Vec<VariantBuild>);

impl BuildPhase {
    pub fn read(field: &str, number: i32) -> Result<Self, Refusal> {
        use wire::BuildPhase as Wire;
        match Wire::try_from(number) {
            Ok(Wire::Waiting) => Ok(Self::Waiting),
            Ok(Wire::Locking) => Ok(Self::Locking),
            Ok(Wire::Base) => Ok(Self::Base),
            Ok(Wire::Building) => Ok(Self::Building),
            Ok(Wire::Storing) => Ok(Self::Storing),
            Ok(Wire::Done) => Ok(Self::Done),
            Ok(Wire::Failed) => Ok(Self::Failed),
            Ok(Wire::Unspecified) | Err(_) => Err(Refusal::new(
                field,
                format!("{number} is not a build's phase in this version"),
            )),
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Locking => "locking",
            Self::Base => "base",
            Self::Building => "building",
            Self::Storing => "storing",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

impl TryFrom<wire::VariantBuild> for VariantBuild {
    type Error = Refusal;

    fn try_from(build: wire::VariantBuild) -> Result<Self, Refusal> {
        let failure = build.failure.map(Failure::try_from).transpose();
        Ok(Self {
            phase: BuildPhase::read("phase", build.phase)?,
            variant: build.variant,
            lock: Some(build.lock).filter(|lock| !lock.is_empty()),
            artifact: Some(build.artifact).filter(|artifact| !artifact.is_empty()),
            content_bytes: build.content_bytes,
            stored_bytes: build.stored_bytes,
            shared_content_bytes: build.shared_content_bytes,
            shared_stored_bytes: build.shared_stored_bytes,
            failure: failure.map_err(|refusal| refusal.within("failure"))?,
        })
    }
}

impl TryFrom<wire::Release> for Release {
    type Error = Refusal;

    fn try_from(release: wire::Release) -> Result<Self, Refusal> {
        let spec = |spec: wire::ReleaseSpec| ReleaseSpec {
            tensorflow: spec.tensorflow,
            python_packages: spec.python_packages,
            debian_packages: spec.debian_packages,
            environment: spec.environment,
            ports: spec.ports,
            base: present(spec.base),
            flavours: spec.flavours,
            authorized_keys: present(spec.authorized_keys),
            dockerfile: present(spec.dockerfile),
        };
        Ok(Self {
            release: format!("{}:v{}", release.name, release.revision),
            spec: release.spec.map(spec),
            plan: release.plan.map(Plan::from).unwrap_or_default(),
            builds: release
                .builds
                .into_iter()
                .map(VariantBuild::try_from)
                .collect::<Result<_, _>>()?,
            created_at: release
                .created_at
                .map(|time| timestamp("created_at", Some(time)))
                .transpose()?,
            created_by: release.created_by,
            existed: release.existed,
        })
    }
}

impl Builds {
    pub fn all_well(&self) -> bool {
        self.0.iter().all(|build| build.phase == BuildPhase::Done)
    }

    fn grid(&self) -> Grid {
        let row = |build: &VariantBuild| {
            let state = match (build.phase, &build.failure) {
                (BuildPhase::Done, _) => Cell::from("built").toned(Tone::Good),
                (BuildPhase::Failed, Some(failure)) => {
                    Cell::from(format!("failed: {failure}")).toned(Tone::Bad)
                }
                (phase, _) => Cell::from(phase.as_str()),
            };
            let size = |count: u64| Cell::maybe((count > 0).then(|| bytes(count)));
            vec![
                Cell::from(build.variant.as_str()),
                state,
                size(build.content_bytes),
                size(build.stored_bytes),
                Cell::maybe(build.sharing()),
                Cell::maybe(build.artifact.as_ref().map(|digest| short(digest))),
                Cell::maybe(build.lock.as_ref().map(|digest| short(digest))),
            ]
        };
        let header = [
            "VARIANT", "STATE", "CONTENT", "STORED", "SHARING", "ARTIFACT", "LOCK",
        ];
        Grid::new(header)
            .when_empty("nothing to build")
            .with_rows(self.0.iter().map(row))
    }
}

impl VariantBuild {
    /// What it costs beside the other variants, in stored bytes; nothing where it shares none.
    fn sharing(&self) -> Option<String> {
        (self.shared_stored_bytes > 0).then(|| {
            format!(
                "adds {} to the {} that it shares",
                bytes(self.stored_bytes.saturating_sub(self.shared_stored_bytes)),
                bytes(self.shared_stored_bytes)
            )
        })
    }
}

fn present(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// Enough digits of a digest for a person to tell two apart.
fn short(digest: &str) -> String {
    digest
        .trim_start_matches("sha256:")
        .chars()
        .take(12)
        .collect()
}

impl Tabular for Builds {
    fn grids(&self) -> Vec<Grid> {
        vec![self.grid()]
    }
}

impl Tabular for Releases {
    fn grids(&self) -> Vec<Grid> {
        let row = |release: &Release| {
            let built = release
                .builds
                .iter()
                .filter(|build| build.phase == BuildPhase::Done)
                .count();
            let variants = release.plan.variants.len().max(release.builds.len());
            let tensorflow = release.spec.as_ref().map(|spec| spec.tensorflow.as_str());
            vec![
                Cell::from(release.release.as_str()),
                tensorflow.map_or_else(|| Cell::from("added image"), Cell::from),
                Cell::from(format!("{built} of {variants}")),
                Cell::from(release.plan.assignments.len().to_string()),
                Cell::from(release.plan.unplaced.len().to_string()),
                Cell::maybe(release.created_at.map(moment)),
                Cell::from(release.created_by.as_str()),
            ]
        };
        vec![
            Grid::new(["RELEASE", "TENSORFLOW", "BUILT", "HOSTS", "LEFT OUT", "CREATED", "BY"])
                .when_empty("no releases; make one: tfleet release create NAME --tensorflow '>=2.14,<2.16' --all")
                .with_rows(self.0.iter().map(row)),
        ]
    }
}

impl Tabular for Release {
    fn grids(&self) -> Vec<Grid> {
        let spec = self.spec.as_ref();
        let listed = |items: &[String]| Cell::maybe((!items.is_empty()).then(|| items.join(", ")));
        let facts = Grid::of_pairs([
            ("release", Cell::from(self.release.as_str())),
            ("tensorflow", Cell::maybe(spec.map(|spec| &spec.tensorflow))),
            (
                "python packages",
                listed(
                    spec.map(|spec| spec.python_packages.as_slice())
                        .unwrap_or_default(),
                ),
            ),
            (
                "debian packages",
                listed(
                    spec.map(|spec| spec.debian_packages.as_slice())
                        .unwrap_or_default(),
                ),
            ),
            (
                "base",
                Cell::maybe(spec.and_then(|spec| spec.base.as_ref())),
            ),
            (
                "flavours",
                listed(
                    spec.map(|spec| spec.flavours.as_slice())
                        .unwrap_or_default(),
                ),
            ),
            (
                "dockerfile",
                Cell::maybe(
                    spec.and_then(|spec| spec.dockerfile.as_ref())
                        .map(|text| format!("{} lines", text.lines().count())),
                ),
            ),
            ("created", Cell::maybe(self.created_at.map(moment))),
            ("by", Cell::from(self.created_by.as_str())),
        ]);
        let mut grids = vec![facts];
        // An image that others built was not planned.
        if spec.is_some() {
            grids.extend(self.plan.grids());
        }
        grids.push(Builds(self.builds.clone()).grid());
        grids
    }
}
