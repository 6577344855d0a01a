//! Which stay in a fleet a ledger is about.

use serde::{Deserialize, Serialize};
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::token::Token;

/// One stay of this host in a fleet: from its enrolment with a token until it is removed, renewals included.
///
/// A token is good for one, so its secret's digest names it. What was accepted and done in another one is not this one's: a
/// coordinator that has just met this host has asked for nothing yet, and what an earlier one asked for is not to be
/// stopped for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Membership(Digest);

impl Membership {
    /// The same token again, because an answer was lost, is the same membership.
    pub fn begun_with(token: &Token) -> Self {
        Self(token.secret.digest())
    }
}
