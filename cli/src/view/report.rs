//! How a release is rolled out, as a document that travels to where the release was built.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::failure::Failure;
use tfleet_proto::model::name::{HostName, ReleaseRef, VariantId};
use tfleet_proto::model::status::ImagePhase;

use super::host::Host;
use super::{Cell, Grid, Tabular, Tone};

/// `tfleet rollout report`. JSON; a key that is not below is an error.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    pub format: Format,
    /// The fleet that it is about.
    pub fleet: String,
    pub release: ReleaseRef,
    pub made_at: Timestamp,
    /// The hosts that shall have the release.
    pub hosts: Vec<ReportedHost>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum Format {
    #[serde(rename = "tfleet.report.v1")]
    V1,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportedHost {
    pub host: HostName,
    pub variant: VariantId,
    pub artifact: Digest,
    /// None: the host has not said anything about it yet.
    pub phase: Option<ImagePhase>,
    pub last_seen_at: Option<Timestamp>,
    pub failure: Option<Failure>,
}

impl Report {
    /// What `hosts` say of the release.
    pub fn of(fleet: String, release: ReleaseRef, hosts: &[Host]) -> Self {
        let reported = hosts.iter().filter_map(|host| {
            let desired = host.desired.as_ref()?;
            let mut images = desired.images.iter();
            let wanted = images.find(|image| image.release == release)?;
            let mut said = host.status.iter().flat_map(|status| &status.images);
            let said =
                said.find(|image| image.release == release && image.artifact == wanted.artifact);
            Some(ReportedHost {
                host: host.name.clone(),
                variant: wanted.variant.clone(),
                artifact: wanted.artifact,
                phase: said.map(|image| image.phase),
                last_seen_at: host.last_seen_at,
                failure: said.and_then(|image| image.failure.clone()),
            })
        });
        Self {
            format: Format::V1,
            fleet,
            hosts: reported.collect(),
            release,
            made_at: Timestamp::now(),
        }
    }

    pub fn all_well(&self) -> bool {
        let mut hosts = self.hosts.iter();
        hosts.all(|host| host.phase == Some(ImagePhase::Present))
    }
}

impl Tabular for Report {
    fn grids(&self) -> Vec<Grid> {
        let facts = Grid::of_pairs([
            ("release", Cell::from(self.release.to_string())),
            ("fleet", Cell::from(self.fleet.as_str())),
            (
                "reported",
                Cell::from(super::quantity::moment(self.made_at)),
            ),
        ]);
        let row = |host: &ReportedHost| {
            let state = match (host.phase, &host.failure) {
                (Some(ImagePhase::Present), _) => Cell::from("present").toned(Tone::Good),
                (Some(ImagePhase::Failed), Some(failure)) => {
                    Cell::from(format!("failed: {failure}")).toned(Tone::Bad)
                }
                (Some(ImagePhase::Failed), None) => Cell::from("failed").toned(Tone::Bad),
                (Some(ImagePhase::Waiting | ImagePhase::Transferring), _) => {
                    Cell::from("on its way")
                }
                (None, _) => Cell::from("not heard of").toned(Tone::Attention),
            };
            vec![
                Cell::from(host.host.as_str()),
                Cell::from(host.variant.as_str()),
                state,
                Cell::maybe(host.last_seen_at.map(super::quantity::moment)),
                Cell::from(host.artifact.short()),
            ]
        };
        let hosts = Grid::new(["HOST", "VARIANT", "STATE", "LAST SEEN", "IMAGE"])
            .when_empty("no host shall have it")
            .with_rows(self.hosts.iter().map(row));
        vec![facts, hosts]
    }
}
