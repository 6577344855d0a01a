//! `Neighbourhood`.

use super::Refusal;
use super::field::{list, optional_text, parsed, wire_list};
use crate::model::swarm::{Distance, Neighbour, Neighbourhood, Peer};
use crate::wire;

impl TryFrom<wire::Neighbourhood> for Neighbourhood {
    type Error = Refusal;

    fn try_from(neighbourhood: wire::Neighbourhood) -> Result<Self, Refusal> {
        Ok(Self {
            neighbours: list("neighbours", neighbourhood.neighbours)?,
            askers: list("askers", neighbourhood.askers)?,
        })
    }
}

impl From<Neighbourhood> for wire::Neighbourhood {
    fn from(neighbourhood: Neighbourhood) -> Self {
        Self {
            neighbours: wire_list(neighbourhood.neighbours),
            askers: wire_list(neighbourhood.askers),
        }
    }
}

impl TryFrom<wire::Neighbour> for Neighbour {
    type Error = Refusal;

    fn try_from(neighbour: wire::Neighbour) -> Result<Self, Refusal> {
        Ok(Self {
            peer: Peer(neighbour.number),
            key: parsed("key", &neighbour.key)?,
            host: parsed("host", &neighbour.host)?,
            address: optional_text(neighbour.address),
            distance: if neighbour.near {
                Distance::Near
            } else {
                Distance::Far
            },
        })
    }
}

impl From<Neighbour> for wire::Neighbour {
    fn from(neighbour: Neighbour) -> Self {
        Self {
            number: neighbour.peer.0,
            key: neighbour.key.to_string(),
            host: neighbour.host.to_string(),
            address: neighbour.address.unwrap_or_default(),
            near: neighbour.distance == Distance::Near,
        }
    }
}
