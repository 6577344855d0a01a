//! The desired state that this host last accepted, and which one it accepts next.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tfleet_proto::model::desired::DesiredState;
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::failure::Failure;

use super::{LedgerError, Membership};
use crate::durable;

/// The highest desired state that was accepted, on disk before anybody acts on it.
#[derive(Debug)]
pub struct Accepted {
    path: PathBuf,
    /// `None`: it began before memberships were noted.
    membership: Option<Membership>,
    state: Option<Arc<DesiredState>>,
}

/// The file.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    membership: Option<Membership>,
    #[serde(flatten)]
    state: DesiredState,
}

/// How an acceptable state relates to the accepted one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acceptance {
    Newer,
    /// The very same; there is nothing to do.
    Same,
}

/// Why a state is not accepted. Pairs are (incarnation, generation).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unacceptable {
    #[error(
        "the coordinator sent desired state {offered:?} (incarnation, generation), which is older than {accepted:?}, \
         the newest that this host accepted"
    )]
    Older {
        offered: (u64, u64),
        accepted: (u64, u64),
    },
    #[error(
        "the coordinator sent two different desired states under one number {pair:?} (incarnation, generation): \
         this host accepted {accepted} and was now offered {offered}"
    )]
    Conflict {
        pair: (u64, u64),
        accepted: Digest,
        offered: Digest,
    },
}

impl Accepted {
    /// What was accepted in this membership. The numbers of another one mean nothing in it.
    pub fn open(folder: &Path, membership: Option<Membership>) -> Result<Self, LedgerError> {
        durable::make_folder(folder)?;
        let path = folder.join("accepted.json");
        let state = super::load::<Kept>(&path)?
            .filter(|kept| kept.membership == membership)
            .map(|kept| Arc::new(kept.state));
        Ok(Self {
            path,
            membership,
            state,
        })
    }

    pub fn state(&self) -> Option<Arc<DesiredState>> {
        self.state.clone()
    }

    /// Decides about `offered` without keeping it.
    pub fn judge(&self, offered: &DesiredState) -> Result<Acceptance, Unacceptable> {
        let Some(state) = &self.state else {
            return Ok(Acceptance::Newer);
        };
        let (accepted_pair, offered_pair) = (pair(state), pair(offered));
        match offered_pair.cmp(&accepted_pair) {
            Ordering::Greater => Ok(Acceptance::Newer),
            Ordering::Less => Err(Unacceptable::Older {
                offered: offered_pair,
                accepted: accepted_pair,
            }),
            Ordering::Equal => {
                let (accepted, offered) = (state.digest(), offered.digest());
                if accepted == offered {
                    Ok(Acceptance::Same)
                } else {
                    Err(Unacceptable::Conflict {
                        pair: accepted_pair,
                        accepted,
                        offered,
                    })
                }
            }
        }
    }

    /// Keeps a state that was judged [`Acceptance::Newer`]. Returns once it is on disk.
    pub async fn keep(&mut self, state: Arc<DesiredState>) -> Result<(), LedgerError> {
        let kept = Kept {
            membership: self.membership,
            state: (*state).clone(),
        };
        super::save(self.path.clone(), kept).await?;
        self.state = Some(state);
        Ok(())
    }
}

impl Unacceptable {
    pub fn failure(&self) -> Failure {
        match self {
            Self::Older { .. } => Failure::new("desired-state-older", self.to_string()).with_remedy(
                "if the coordinator was restored from a backup, stop it, run `tfleet-coordinator restored` on its machine \
                 and start it again; if not, find out whether it is an old copy",
            ),
            Self::Conflict { .. } => Failure::new("desired-state-conflict", self.to_string()).with_remedy(
                "find out whether two coordinators speak for this fleet; if there is one and it was restored from a backup, \
                 stop it, run `tfleet-coordinator restored` on its machine and start it again",
            ),
        }
    }
}

fn pair(state: &DesiredState) -> (u64, u64) {
    (state.incarnation, state.generation)
}
