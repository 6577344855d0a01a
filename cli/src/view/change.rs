//! What became of a change, host by host.

use serde::Serialize;
use tfleet_proto::convert::Refusal;
use tfleet_proto::model::failure::Failure;
use tfleet_proto::wire;

use super::{Cell, Grid, Tabular, Tone};

/// The result for one host.
#[derive(Debug, Clone, Serialize)]
pub struct HostResult {
    pub host: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    #[serde(flatten)]
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// As asked; `detail` says what it is now.
    Done {
        detail: String,
    },
    /// Written down; the host was not waited for.
    Asked,
    /// The host is not connected; it does this when it comes back.
    Pending,
    Failed {
        failure: Failure,
    },
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct HostResults(pub Vec<HostResult>);

/// What the coordinator wrote down for one host.
#[derive(Debug)]
pub struct HostChange {
    pub host: String,
    pub generation: u64,
    pub variant: Option<String>,
    /// `Some`: there is nothing to wait for.
    pub settled: Option<Outcome>,
}

impl TryFrom<wire::HostChange> for HostChange {
    type Error = Refusal;

    fn try_from(change: wire::HostChange) -> Result<Self, Refusal> {
        let failure = change.failure.map(Failure::try_from).transpose();
        let settled = match failure.map_err(|refusal| refusal.within("failure"))? {
            Some(failure) => Some(Outcome::Failed { failure }),
            None => change.pending.then_some(Outcome::Pending),
        };
        Ok(Self {
            host: change.host,
            generation: change.generation,
            variant: Some(change.variant).filter(|variant| !variant.is_empty()),
            settled,
        })
    }
}

impl HostResults {
    pub fn all_well(&self) -> bool {
        self.0
            .iter()
            .all(|result| matches!(result.outcome, Outcome::Done { .. } | Outcome::Asked))
    }
}

impl Tabular for HostResults {
    fn grids(&self) -> Vec<Grid> {
        let row = |result: &HostResult| {
            let (outcome, next) = match &result.outcome {
                Outcome::Done { detail } => (Cell::from(detail.as_str()).toned(Tone::Good), None),
                Outcome::Asked => (Cell::from("asked"), None),
                Outcome::Pending => (
                    Cell::from("pending: not connected").toned(Tone::Attention),
                    Some("it does this when it comes back"),
                ),
                Outcome::Failed { failure } => (
                    Cell::from(format!("failed: {}", failure.cause())).toned(Tone::Bad),
                    failure.remedy.as_deref(),
                ),
            };
            let (host, variant) = (result.host.as_str(), result.variant.as_ref());
            vec![
                Cell::from(host),
                Cell::maybe(variant),
                outcome,
                Cell::from(next.unwrap_or_default()),
            ]
        };
        vec![
            Grid::new(["HOST", "VARIANT", "RESULT", "NEXT"])
                .when_empty("no host was selected")
                .with_rows(self.0.iter().map(row)),
        ]
    }
}
