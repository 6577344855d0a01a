//! Operators' credentials that are made on the coordinator's own machine: the first one's, and those of whoever lost
//! theirs and may read the data directory.

use std::path::Path;

use jiff::Timestamp;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;
use serde::Serialize;
use time::Duration;
use tracing::info;

use super::{AppError, data};
use crate::ca::{Authority, Issued, Role, write_private};
use crate::config::Config;
use crate::store::{OperatorRecord, Store};

const FIRST_OPERATOR: &str = "admin";

/// The file as the `tfleet` command reads it.
#[derive(Serialize)]
struct CredentialsFile<'a> {
    name: &'a str,
    endpoint: String,
    ca_pem: String,
    certificate_pem: String,
    key_pem: String,
}

/// On the first start, `admin.toml` for the first operator.
///
/// The file is written before the state: if the coordinator dies in between, nobody is an operator yet, and the next
/// start writes both again.
pub(super) async fn first_operator(
    config: &Config,
    authority: &Authority,
    store: &Store,
) -> Result<(), AppError> {
    if !store.operators().await?.is_empty() {
        return Ok(());
    }
    let (key, issued) = certify(config, authority, FIRST_OPERATOR)?;
    let path = config.data_dir.join("admin.toml");
    write(config, authority, FIRST_OPERATOR, &key, &issued, &path)?;
    store.add_operator(record(FIRST_OPERATOR, &issued)).await?;
    info!(path = %path.display(), "the first operator's credentials were written");
    Ok(())
}

/// Credentials for operator `name`, also while a coordinator runs on the same data.
pub async fn issue_operator(config: &Config, name: &str, out: &Path) -> Result<(), AppError> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
    if !(1..=63).contains(&name.len()) || !name.bytes().all(known) {
        return Err(AppError::OperatorName {
            name: name.to_owned(),
        });
    }
    if out.exists() {
        return Err(AppError::FileExists {
            path: out.to_owned(),
        });
    }
    data::make(&config.data_dir)?;
    let authority = Authority::open(&config.data_dir.join("ca"), &config.name)?;
    let store = Store::open(&config.data_dir.join("state.db"))?;
    let (key, issued) = certify(config, &authority, name)?;
    if !store.add_operator(record(name, &issued)).await? {
        return Err(AppError::OperatorExists {
            name: name.to_owned(),
        });
    }
    write(config, &authority, name, &key, &issued, out)
}

fn certify(
    config: &Config,
    authority: &Authority,
    name: &str,
) -> Result<(KeyPair, Issued), AppError> {
    let key = KeyPair::generate().map_err(AppError::Key)?;
    let request = CertificateParams::new(Vec::new())
        .and_then(|params| params.serialize_request(&key))
        .map_err(AppError::Key)?;
    let life = Duration::days(config.certificates.operator_life_days.into());
    let issued = authority.issue(Role::Operator, name, request.der(), life)?;
    Ok((key, issued))
}

fn record(name: &str, issued: &Issued) -> OperatorRecord {
    OperatorRecord {
        name: name.to_owned(),
        key: issued.key,
        issued_at: Timestamp::now(),
        ends_at: issued.ends_at,
        revoked: false,
    }
}

#[expect(
    clippy::expect_used,
    reason = "a struct of strings can always be written as TOML"
)]
fn write(
    config: &Config,
    authority: &Authority,
    name: &str,
    key: &KeyPair,
    issued: &Issued,
    path: &Path,
) -> Result<(), AppError> {
    let file = CredentialsFile {
        name,
        endpoint: format!("https://{}", config.fleet_endpoint()),
        ca_pem: to_pem(authority.certificate()),
        certificate_pem: to_pem(&issued.der),
        key_pem: key.serialize_pem(),
    };
    let text = toml::to_string(&file).expect("strings are valid TOML");
    write_private(path, text.as_bytes()).map_err(AppError::Credentials)
}

fn to_pem(certificate: &CertificateDer<'_>) -> String {
    pem::encode(&pem::Pem::new("CERTIFICATE", certificate.to_vec()))
}
