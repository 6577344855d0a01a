//! Operators and their certificates.

use jiff::Timestamp;
use serde::Serialize;
use tfleet_proto::convert::{Refusal, timestamp};
use tfleet_proto::wire;

use super::quantity::moment;
use super::{Cell, Grid, Tabular, Tone};

#[derive(Debug, Serialize)]
pub struct Operator {
    pub name: String,
    pub issued_at: Timestamp,
    pub ends_at: Timestamp,
    pub revoked: bool,
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Operators(pub Vec<Operator>);

impl TryFrom<wire::OperatorAccount> for Operator {
    type Error = Refusal;

    fn try_from(account: wire::OperatorAccount) -> Result<Self, Refusal> {
        Ok(Self {
            name: account.name,
            issued_at: timestamp("issued_at", account.issued_at)?,
            ends_at: timestamp("ends_at", account.ends_at)?,
            revoked: account.revoked,
        })
    }
}

impl Tabular for Operators {
    fn grids(&self) -> Vec<Grid> {
        let row = |operator: &Operator| {
            let state = if operator.revoked {
                Cell::from("revoked").toned(Tone::Bad)
            } else if operator.ends_at < Timestamp::now() {
                Cell::from("ended").toned(Tone::Attention)
            } else {
                Cell::from("valid").toned(Tone::Good)
            };
            vec![
                Cell::from(operator.name.as_str()),
                state,
                Cell::from(moment(operator.issued_at)),
                Cell::from(moment(operator.ends_at)),
            ]
        };
        vec![Grid::new(["OPERATOR", "STATE", "ISSUED", "ENDS"]).with_rows(self.0.iter().map(row))]
    }
}
