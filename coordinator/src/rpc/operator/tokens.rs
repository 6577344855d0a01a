//! One-use tokens for hosts.

use jiff::{SignedDuration, Timestamp};
use rand::RngExt as _;
use tfleet_proto::convert::wire_timestamp;
use tfleet_proto::model::name::HostName;
use tfleet_proto::model::token::{Token, TokenSecret};
use tfleet_proto::wire;
use tracing::info;

use super::OperatorService;
use super::declined::Declined;
use crate::store::NewToken;

const SHORTEST_LIFE_SECONDS: u32 = 60;
const LONGEST_LIFE_SECONDS: u32 = 7 * 24 * 60 * 60;
const USUAL_LIFE_SECONDS: u32 = 60 * 60;

impl OperatorService {
    pub(super) async fn create_tokens(
        &self,
        request: wire::CreateTokensRequest,
        by: &str,
    ) -> Result<wire::CreateTokensResponse, Declined> {
        if request.hosts.is_empty() {
            return Err(Declined::field("hosts", "needs at least one host name"));
        }
        let life_seconds = match request.life_seconds {
            0 => USUAL_LIFE_SECONDS,
            life @ SHORTEST_LIFE_SECONDS..=LONGEST_LIFE_SECONDS => life,
            life => {
                let why = format!("{life} s is not between one minute and seven days");
                return Err(Declined::field("life_seconds", why));
            }
        };
        let mut hosts: Vec<HostName> = Vec::new();
        for (index, name) in request.hosts.iter().enumerate() {
            let host: HostName = name
                .parse()
                .map_err(|error| Declined::field(&format!("hosts[{index}]"), format!("{error}")))?;
            if self.fleet.host(&host).is_some() {
                return Err(Declined::Exists(format!(
                    "a host {host} is enrolled already; if it shall be another machine, remove the old one first: \
                     tfleet hosts rm {host}"
                )));
            }
            hosts.push(host);
        }
        let ends_at = Timestamp::now() + SignedDuration::from_secs(life_seconds.into());
        let tokens: Vec<Token> = hosts
            .into_iter()
            .map(|host| Token {
                host,
                secret: TokenSecret::from_bytes(rand::rng().random()),
                ca: self.authority.digest(),
            })
            .collect();
        let kept = tokens.iter().map(|token| NewToken {
            secret_digest: token.secret.digest(),
            host: token.host.clone(),
            ends_at,
        });
        self.store.add_tokens(kept.collect()).await?;
        info!(hosts = ?request.hosts, by, until = %ends_at, "tokens were made");
        let tokens = tokens.into_iter().map(|token| wire::Token {
            host: token.host.to_string(),
            text: token.to_string(),
            ends_at: Some(wire_timestamp(ends_at)),
            enrolment_endpoint: self.endpoints.enrolment.clone(),
            fleet_endpoint: self.endpoints.fleet.clone(),
        });
        Ok(wire::CreateTokensResponse {
            tokens: tokens.collect(),
        })
    }
}
