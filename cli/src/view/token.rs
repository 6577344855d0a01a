//! Tokens, shown once.

use jiff::Timestamp;
use serde::Serialize;
use tfleet_proto::convert::{Refusal, timestamp};
use tfleet_proto::wire;

use super::quantity::moment;
use super::{Cell, Grid, Tabular};

#[derive(Debug, Serialize)]
pub struct Token {
    pub host: String,
    pub token: String,
    pub ends_at: Timestamp,
    pub enrolment_endpoint: String,
    pub fleet_endpoint: String,
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Tokens(pub Vec<Token>);

/// Tokens and nothing else: what `--output text` prints, for a file on the host.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct BareTokens(pub Vec<Token>);

impl TryFrom<wire::Token> for Token {
    type Error = Refusal;

    fn try_from(token: wire::Token) -> Result<Self, Refusal> {
        Ok(Self {
            host: token.host,
            token: token.text,
            ends_at: timestamp("ends_at", token.ends_at)?,
            enrolment_endpoint: token.enrolment_endpoint,
            fleet_endpoint: token.fleet_endpoint,
        })
    }
}

impl Tabular for Tokens {
    fn grids(&self) -> Vec<Grid> {
        let row = |token: &Token| {
            vec![
                Cell::from(token.host.as_str()),
                Cell::from(moment(token.ends_at)),
                Cell::from(token.token.as_str()),
            ]
        };
        vec![Grid::new(["HOST", "VALID UNTIL", "TOKEN"]).with_rows(self.0.iter().map(row))]
    }
}

impl Tabular for BareTokens {
    fn grids(&self) -> Vec<Grid> {
        let row = |token: &Token| vec![Cell::from(token.token.as_str())];
        vec![Grid::new(["TOKEN"]).with_rows(self.0.iter().map(row))]
    }
}
