//! How a host gets its certificate, and a new one before or after that one ends.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::CertificateDer;
use tfleet_proto::convert;
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::name::HostName;
use tfleet_proto::model::token::{Token, TokenError};
use tfleet_proto::wire::enrollment_server::Enrollment;
use tfleet_proto::wire::{EnrolRequest, EnrolResponse, RenewRequest, RenewResponse};
use time::Duration;
use tonic::{Request, Response, Status};
use tracing::{info, warn};

use super::refusal::internal;
use crate::ca::{Authority, AuthorityError, Certified, Issued, Role, request_key};
use crate::fleet::Fleet;
use crate::listener::Caller;
use crate::store::{Redemption, Store, StoreError};

/// Certificates are backdated by more than this, so that smaller differences do no harm.
const CLOCKS_MAY_DIFFER: SignedDuration = SignedDuration::from_mins(5);

pub struct EnrollmentService {
    authority: Arc<Authority>,
    store: Store,
    fleet: Fleet,
    host_life: Duration,
}

/// Why a host got no certificate.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Field(#[from] convert::Refusal),
    #[error(
        "the clocks differ by more than five minutes: the host's says {host}, the coordinator's says {coordinator}"
    )]
    Clock {
        host: Timestamp,
        coordinator: Timestamp,
    },
    #[error("signing_request: {0}")]
    SigningRequest(AuthorityError),
    #[error("the token is malformed")]
    Malformed(#[source] TokenError),
    #[error("the token of host {host} is of no use: {because}")]
    Token {
        host: HostName,
        because: &'static str,
    },
    #[error("the certificate in hand is not this fleet's: {because}")]
    NotOurs { because: &'static str },
    #[error("host {0} was removed from the fleet, or enrolled again with another key")]
    Removed(HostName),
    #[error("the state failed")]
    Store(#[from] StoreError),
    #[error("the certificate could not be made")]
    Authority(#[from] AuthorityError),
}

impl EnrollmentService {
    pub fn new(authority: Arc<Authority>, store: Store, fleet: Fleet, host_life: Duration) -> Self {
        Self {
            authority,
            store,
            fleet,
            host_life,
        }
    }

    async fn enrol(&self, request: EnrolRequest) -> Result<EnrolResponse, Refused> {
        check_clock(request.host_time)?;
        let key = request_key(&request.signing_request).map_err(Refused::SigningRequest)?;
        let token: Token = request.token.parse().map_err(Refused::Malformed)?;
        let host = token.host.clone();
        let because = |because| Refused::Token {
            host: host.clone(),
            because,
        };
        if token.ca != self.authority.digest() {
            return Err(because("it is another fleet's"));
        }
        let now = Timestamp::now();
        let redeemed = self
            .fleet
            .enrol(token.secret.digest(), host.clone(), key, now);
        match redeemed.await? {
            Redemption::Enrolled => {}
            Redemption::Unknown => return Err(because("it is unknown")),
            Redemption::Expired => return Err(because("it has expired")),
            Redemption::Used => return Err(because("it was used before, with another key")),
            Redemption::OtherHost => return Err(because("it was made for another name")),
            Redemption::HostIsEnrolled => {
                return Err(because("the host is enrolled already; remove it first"));
            }
        }
        let issued = self.issue(&host, &request.signing_request).await?;
        info!(%host, agent_version = request.agent_version, until = %issued.ends_at, "a host enrolled");
        Ok(EnrolResponse {
            certificate: issued.der.to_vec(),
            ca_certificate: self.authority.certificate().to_vec(),
            host: host.to_string(),
        })
    }

    async fn renew(&self, request: RenewRequest) -> Result<RenewResponse, Refused> {
        check_clock(request.host_time)?;
        let key = request_key(&request.signing_request).map_err(Refused::SigningRequest)?;
        let host = self.certified_host(&CertificateDer::from(request.certificate), &key)?;
        let kept = self.store.host(host.clone()).await?;
        if kept.is_none_or(|record| record.key != key) {
            return Err(Refused::Removed(host));
        }
        let issued = self.issue(&host, &request.signing_request).await?;
        info!(%host, until = %issued.ends_at, "a host's certificate was renewed");
        Ok(RenewResponse {
            certificate: issued.der.to_vec(),
        })
    }

    /// Whom the certificate in hand names, if we issued it for this key, whenever that was.
    fn certified_host(
        &self,
        certificate: &CertificateDer<'_>,
        key: &Digest,
    ) -> Result<HostName, Refused> {
        let not_ours = |because| Refused::NotOurs { because };
        if !Certified::is_signed_by(certificate, self.authority.certificate()) {
            return Err(not_ours("another CA signed it, or none"));
        }
        let certified = Certified::read(certificate)
            .map_err(|_| not_ours("its subject is no host's or operator's"))?;
        if certified.role != Role::Host {
            return Err(not_ours("it is an operator's"));
        }
        if certified.key != *key {
            return Err(not_ours("the signing request is for another key"));
        }
        certified
            .name
            .parse()
            .map_err(|_| not_ours("its name is no host name"))
    }

    async fn issue(&self, host: &HostName, signing_request: &[u8]) -> Result<Issued, Refused> {
        let issued =
            self.authority
                .issue(Role::Host, host.as_str(), signing_request, self.host_life)?;
        let is_member = self
            .fleet
            .certified(host.clone(), issued.key, issued.ends_at)
            .await?;
        if is_member {
            Ok(issued)
        } else {
            Err(Refused::Removed(host.clone()))
        }
    }
}

/// A wrong clock is told from a wrong token, because it makes every certificate look wrong later.
fn check_clock(host_time: Option<prost_types::Timestamp>) -> Result<(), Refused> {
    let host = convert::timestamp("host_time", host_time)?;
    let coordinator = Timestamp::now();
    if host.duration_since(coordinator).abs() > CLOCKS_MAY_DIFFER {
        return Err(Refused::Clock { host, coordinator });
    }
    Ok(())
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Field(refusal) => refusal.into(),
            Refused::Clock { .. } => {
                Self::failed_precondition(format!("{refused}; set the one that is wrong"))
            }
            Refused::SigningRequest(_) => Self::invalid_argument(refused.to_string()),
            Refused::Malformed(_) | Refused::Token { .. } => Self::unauthenticated(
                "the token is not accepted; ask an operator for a new one (`tfleet token create`)",
            ),
            Refused::NotOurs { .. } => Self::unauthenticated(
                "the certificate or the signing request is not accepted; enrol with a new token",
            ),
            Refused::Removed(_) => Self::permission_denied(
                "this host was removed from the fleet; enrol with a new token to come back",
            ),
            Refused::Store(error) => internal("read or write its state")(error),
            Refused::Authority(error) => internal("issue a certificate")(error),
        }
    }
}

#[tonic::async_trait]
impl Enrollment for EnrollmentService {
    async fn enrol(
        &self,
        request: Request<EnrolRequest>,
    ) -> Result<Response<EnrolResponse>, Status> {
        let from = address(&request);
        let answer = self.enrol(request.into_inner()).await;
        answer
            .map(Response::new)
            .map_err(|refused| said(refused, &from, "enrolment refused"))
    }

    async fn renew(
        &self,
        request: Request<RenewRequest>,
    ) -> Result<Response<RenewResponse>, Status> {
        let from = address(&request);
        let answer = self.renew(request.into_inner()).await;
        answer
            .map(Response::new)
            .map_err(|refused| said(refused, &from, "renewal refused"))
    }
}

fn address<T>(request: &Request<T>) -> String {
    request
        .extensions()
        .get::<Caller>()
        .map(|caller| caller.address.to_string())
        .unwrap_or_default()
}

/// The host is told little; an operator who wonders finds the reason here.
fn said(refused: Refused, from: &str, what: &'static str) -> Status {
    // Failures of our own are logged where they become a status.
    if !matches!(refused, Refused::Store(_) | Refused::Authority(_)) {
        warn!(error = &refused as &dyn std::error::Error, from, "{what}");
    }
    refused.into()
}
