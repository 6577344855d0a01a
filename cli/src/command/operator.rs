//! `tfleet operator`.

use std::path::PathBuf;

use clap::Subcommand;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls_pki_types::CertificateDer;
use tfleet_proto::convert::timestamp;
use tfleet_proto::wire;

use super::Context;
use crate::client::Credentials;
use crate::client::credentials::CredentialsFile;
use crate::error::{Error, ExitStatus};
use crate::view::done::{OperatorIssued, OperatorRevoked};
use crate::view::operator::Operators as OperatorTable;
use crate::view::quantity::moment;

const EXAMPLES: &str = "\
Examples:
  tfleet operator issue alice --out alice.toml
  tfleet operator ls
  tfleet operator revoke alice";

const ISSUE: &str = "\
Examples:
  tfleet operator issue alice --out alice.toml
  tfleet operator issue ci --out ci.toml --life-days 30";

const LIST: &str = "\
Examples:
  tfleet operator ls
  tfleet operator ls --output json";

const REVOKE: &str = "\
Examples:
  tfleet operator revoke alice";

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(super) enum Operators {
    /// A named certificate for another operator, in a credentials file that only its owner can read
    #[command(after_help = ISSUE)]
    Issue {
        name: String,
        /// The file to write; it must not exist yet
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Days until it ends; without it, as many as the coordinator's configuration says
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..))]
        life_days: Option<u32>,
    },
    /// Who has a certificate
    #[command(after_help = LIST)]
    Ls,
    /// End a certificate now, open streams included
    #[command(after_help = REVOKE)]
    Revoke { name: String },
}

impl Operators {
    pub(super) async fn run(self, context: &Context) -> Result<ExitStatus, Error> {
        match self {
            Self::Issue {
                name,
                out,
                life_days,
            } => issue(context, name, out, life_days).await?,
            Self::Ls => {
                let mut operator = context.connect().await?;
                let answer = operator.list_operators(wire::ListOperatorsRequest {}).await;
                let accounts = answer
                    .map_err(Error::call("list the operators"))?
                    .into_inner()
                    .operators;
                let operators = accounts
                    .into_iter()
                    .map(TryInto::try_into)
                    .collect::<Result<_, _>>()?;
                context.output.print(&OperatorTable(operators))?;
            }
            Self::Revoke { name } => {
                let request = wire::RevokeOperatorRequest { name: name.clone() };
                let mut operator = context.connect().await?;
                operator
                    .revoke_operator(request)
                    .await
                    .map_err(Error::call("revoke the operator"))?;
                let words = format!("{name}'s certificate is revoked");
                let done = OperatorRevoked { revoked: &name };
                context.output.report(&done, &words)?;
            }
        }
        Ok(ExitStatus::Ok)
    }
}

/// The key is made here and goes nowhere but into the file.
async fn issue(
    context: &Context,
    name: String,
    out: PathBuf,
    life_days: Option<u32>,
) -> Result<(), Error> {
    if out.exists() {
        return Err(Error::Usage(format!(
            "{} exists; choose another file",
            out.display()
        )));
    }
    let ours = Credentials::find(context.credentials.as_deref())?;
    let failed = |error: rcgen::Error| Error::Failed {
        what: "cannot make a key and a signing request".to_owned(),
        why: error.to_string(),
        remedy: String::new(),
    };
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, name.as_str());
    let signing_request = params
        .serialize_request(&key)
        .map_err(failed)?
        .der()
        .to_vec();
    let request = wire::IssueOperatorRequest {
        name: name.clone(),
        signing_request,
        life_days: life_days.unwrap_or(0),
    };
    let mut operator = context.connect().await?;
    let answer = operator
        .issue_operator(request)
        .await
        .map_err(Error::call("issue the certificate"))?
        .into_inner();
    let ends_at = timestamp("ends_at", answer.ends_at)?;
    let file = CredentialsFile {
        name,
        endpoint: format!("https://{}", ours.endpoint),
        ca_pem: pem(&answer.ca_certificate.into()),
        certificate_pem: pem(&answer.certificate.into()),
        key_pem: key.serialize_pem(),
    };
    file.write_new(&out)?;
    let words = format!(
        "{} has the new credentials, good until {}; use it with --credentials, or as TFLEET_CREDENTIALS",
        out.display(),
        moment(ends_at)
    );
    let done = OperatorIssued {
        operator: &file.name,
        credentials: &out,
        ends_at,
    };
    context.output.report(&done, &words)
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    pem_text("CERTIFICATE", certificate)
}

fn pem_text(label: &str, der: &[u8]) -> String {
    pem::encode(&pem::Pem::new(label, der))
}
