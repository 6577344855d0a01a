//! Operators: their certificates issued, listed, revoked.

use jiff::Timestamp;
use tfleet_proto::convert::wire_timestamp;
use tfleet_proto::wire;
use time::Duration;
use tracing::info;

use super::OperatorService;
use super::declined::Declined;
use crate::ca::{Role, request_key};
use crate::config::LONGEST_LIFE_DAYS;
use crate::store::OperatorRecord;

impl OperatorService {
    pub(super) async fn issue_operator(
        &self,
        request: wire::IssueOperatorRequest,
        by: &str,
    ) -> Result<wire::IssueOperatorResponse, Declined> {
        let name = operator_name(&request.name)?;
        let life_days = match request.life_days {
            0 => self.endpoints.operator_life_days,
            life @ 1..=LONGEST_LIFE_DAYS => life,
            life => {
                let why = format!("{life} days is more than {LONGEST_LIFE_DAYS}");
                return Err(Declined::field("life_days", why));
            }
        };
        request_key(&request.signing_request)?;
        let issued = self.authority.issue(
            Role::Operator,
            &name,
            &request.signing_request,
            Duration::days(life_days.into()),
        )?;
        let record = OperatorRecord {
            name: name.clone(),
            key: issued.key,
            issued_at: Timestamp::now(),
            ends_at: issued.ends_at,
            revoked: false,
        };
        if !self.store.add_operator(record).await? {
            return Err(Declined::Exists(format!(
                "operator {name} has a certificate already; revoke it first: tfleet operator revoke {name}"
            )));
        }
        info!(name, by, until = %issued.ends_at, "an operator's certificate was issued");
        Ok(wire::IssueOperatorResponse {
            certificate: issued.der.to_vec(),
            ca_certificate: self.authority.certificate().to_vec(),
            ends_at: Some(wire_timestamp(issued.ends_at)),
        })
    }

    pub(super) async fn list_operators(&self) -> Result<wire::ListOperatorsResponse, Declined> {
        let operators = self.store.operators().await?.into_iter();
        let operators = operators.map(|operator| wire::OperatorAccount {
            name: operator.name,
            issued_at: Some(wire_timestamp(operator.issued_at)),
            ends_at: Some(wire_timestamp(operator.ends_at)),
            revoked: operator.revoked,
        });
        Ok(wire::ListOperatorsResponse {
            operators: operators.collect(),
        })
    }

    pub(super) async fn revoke_operator(
        &self,
        request: wire::RevokeOperatorRequest,
        by: &str,
    ) -> Result<wire::RevokeOperatorResponse, Declined> {
        let name = request.name;
        // Whoever revokes another remains, so the last one is never revoked either.
        if name == by {
            return Err(Declined::First(
                "these are your own credentials; let another operator revoke them".to_owned(),
            ));
        }
        if !self.fleet.revoke_operator(name.clone()).await? {
            let operators = self.store.operators().await?;
            let known = operators.iter().map(|operator| operator.name.as_str());
            return Err(Declined::unknown("operator", &name, known));
        }
        info!(name, by, "an operator was revoked");
        Ok(wire::RevokeOperatorResponse {})
    }
}

fn operator_name(name: &str) -> Result<String, Declined> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
    if (1..=63).contains(&name.len()) && name.bytes().all(known) {
        return Ok(name.to_owned());
    }
    let why = format!("`{name}` is not an operator's name: use up to 63 letters, digits and -_.@");
    Err(Declined::field("name", why))
}
