//! Enrolment: a one-use token for a certificate.

use std::path::Path;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use jiff::Timestamp;
use tfleet_proto::channel::{self, Address, Trust};
use tfleet_proto::convert::wire_timestamp;
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::token::Token;
use tfleet_proto::wire::enrollment_client::EnrollmentClient;
use tfleet_proto::wire::{EnrolRequest, EnrolResponse, RenewRequest, RenewResponse};
use tonic::transport::Channel;
use tracing::{error, info, warn};

use super::token_file::TokenFile;
use super::{Credentials, IdentityError, IdentityFolder, blocking};
use crate::ledger::Membership;

/// A coordinator that says nothing for so long will not answer this request.
const SILENCE: Duration = Duration::from_secs(30);
/// How often an agent without a certificate looks for a token.
const LOOK_FOR_TOKEN: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Trades `token` for a certificate and keeps it. Doing it again with the same token gives a certificate again, and is the
/// same membership. Another token begins a new one: whatever the agent made before is no longer its own.
pub async fn enrol(
    folder: &IdentityFolder,
    coordinator: &Address,
    token: &Token,
) -> Result<Credentials, IdentityError> {
    let request = EnrolRequest {
        token: token.to_string(),
        signing_request: signing_request(folder).await?,
        host_time: Some(wire_timestamp(Timestamp::now())),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let mut client = client(coordinator, token.ca).await?;
    let EnrolResponse {
        certificate,
        ca_certificate,
        host,
    } = answer(coordinator, "enrolment", client.enrol(request)).await?;
    if Digest::of(&ca_certificate) != token.ca {
        return Err(IdentityError::OtherCa);
    }
    if host != token.host.as_str() {
        return Err(IdentityError::OtherHost {
            answered: host,
            expected: token.host.clone(),
        });
    }
    let (folder, membership) = (folder.clone(), Membership::begun_with(token));
    blocking(move || folder.keep_enrolment(membership, ca_certificate, certificate)).await
}

/// A new certificate for the host's key, also after the old one ended.
pub(super) async fn renew(
    folder: &IdentityFolder,
    coordinator: &Address,
    old: &Credentials,
) -> Result<Credentials, IdentityError> {
    let request = RenewRequest {
        certificate: old.certificate.to_vec(),
        signing_request: signing_request(folder).await?,
        host_time: Some(wire_timestamp(Timestamp::now())),
    };
    let mut client = client(coordinator, old.fleet()).await?;
    let RenewResponse { certificate } =
        answer(coordinator, "renewal", client.renew(request)).await?;
    let (folder, ca) = (folder.clone(), old.ca.to_vec());
    blocking(move || folder.keep(ca, certificate)).await
}

/// The host's credentials: those it has, or those it gets for the token in `token_file`, waiting for one if need be.
///
/// A token that lies in the file is used even where there is a certificate, so that a host that was removed from its
/// fleet can be enrolled again; if it is of no use, the certificate goes on serving.
pub async fn obtain(
    folder: &IdentityFolder,
    coordinator: &Address,
    token_file: Option<&Path>,
) -> Result<Credentials, IdentityError> {
    let kept = {
        let folder = folder.clone();
        blocking(move || folder.credentials()).await?
    };
    let Some(file) = token_file.map(TokenFile::new) else {
        return kept.ok_or(IdentityError::NoToken);
    };
    let mut useless: Option<String> = None;
    let mut said_waiting = false;
    let mut pauses = pauses();
    loop {
        let text = read(&file)
            .await?
            .filter(|text| useless.as_ref() != Some(text));
        let Some(text) = text else {
            if let Some(kept) = kept {
                return Ok(kept);
            }
            if !std::mem::replace(&mut said_waiting, true) {
                info!(file = %file.path().display(), "no certificate yet: waiting for a token (`tfleet token create`)");
            }
            tokio::time::sleep(LOOK_FOR_TOKEN).await;
            continue;
        };
        match enrol_with(folder, coordinator, &text).await {
            Ok(credentials) => {
                empty(&file).await;
                return Ok(credentials);
            }
            Err(Enrolment::Useless) => useless = Some(text),
            Err(Enrolment::Failed(error)) if error.may_pass() && kept.is_none() => {
                let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
                say_retry(&error, pause);
                tokio::time::sleep(pause).await;
            }
            Err(Enrolment::Failed(error)) => {
                say_useless(&error, file.path());
                useless = Some(text);
            }
        }
    }
}

fn say_retry(error: &IdentityError, pause: Duration) {
    let reason: &dyn std::error::Error = error;
    warn!(error = reason, retry_in = ?pause, "enrolment failed");
}

fn say_useless(error: &IdentityError, file: &Path) {
    let reason: &dyn std::error::Error = error;
    error!(
        error = reason,
        "the token in {} cannot be used; put a new one there",
        file.display()
    );
}

enum Enrolment {
    /// The text is no token.
    Useless,
    Failed(IdentityError),
}

async fn enrol_with(
    folder: &IdentityFolder,
    coordinator: &Address,
    text: &str,
) -> Result<Credentials, Enrolment> {
    let token: Token = text.parse().map_err(|error| {
        let error: &dyn std::error::Error = &error;
        error!(
            error,
            "what lies in the token file is no token; put one there"
        );
        Enrolment::Useless
    })?;
    let credentials = enrol(folder, coordinator, &token)
        .await
        .map_err(Enrolment::Failed)?;
    info!(host = %credentials.host, until = %credentials.not_after, "enrolled");
    Ok(credentials)
}

async fn read(file: &TokenFile) -> Result<Option<String>, IdentityError> {
    let file = file.clone();
    blocking(move || Ok(file.text()?)).await
}

/// The token has served; that it still lies there is worth a word and nothing more.
async fn empty(file: &TokenFile) {
    let path = file.path().display().to_string();
    let file = file.clone();
    let emptied = tokio::task::spawn_blocking(move || file.empty()).await;
    if let Ok(Err(error)) = emptied {
        warn!(%error, "cannot empty the token file {path}; its token is used up, remove it");
    }
}

async fn signing_request(folder: &IdentityFolder) -> Result<Vec<u8>, IdentityError> {
    let folder = folder.clone();
    blocking(move || folder.signing_request()).await
}

async fn client(
    coordinator: &Address,
    ca: Digest,
) -> Result<EnrollmentClient<Channel>, IdentityError> {
    Ok(EnrollmentClient::new(
        channel::connect(coordinator, Trust::PinnedCa(ca)).await?,
    ))
}

async fn answer<T>(
    coordinator: &Address,
    request: &'static str,
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, IdentityError> {
    match tokio::time::timeout(SILENCE, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(IdentityError::Refused { request, status }),
        Err(_) => Err(IdentityError::Silent {
            address: coordinator.clone(),
            request,
            seconds: SILENCE.as_secs(),
        }),
    }
}

pub(super) fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(500))
        .with_max_delay(LONGEST_PAUSE)
        .with_jitter()
        .without_max_times()
        .build()
}
