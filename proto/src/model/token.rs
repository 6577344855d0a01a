//! The one-use token that a host enrols with: `tfleet1.<host name>.<secret>.<digest of the CA certificate>`.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::digest::Digest;
use super::name::{HostName, NameError};

const VERSION: &str = "tfleet1";

/// A parsed token. `Display` gives its whole text; `Debug` hides the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub host: HostName,
    pub secret: TokenSecret,
    /// SHA-256 of the CA certificate's DER: how the host knows the coordinator before it has a certificate.
    pub ca: Digest,
}

/// 256 random bits.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenSecret([u8; 32]);

/// Why a text is not a token. Never carries the text: it may be most of a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("this is not a token: it has not the form tfleet1.NAME.SECRET.CA-DIGEST")]
    Form,
    #[error("the token's host name is wrong")]
    Host(#[source] NameError),
    #[error("the token's secret is damaged: expected 43 letters, digits, `-` and `_`")]
    Secret,
    #[error("the token's CA digest is damaged: expected 64 lower-case hexadecimal digits")]
    Ca,
}

impl TokenSecret {
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// What the coordinator keeps of it.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TokenSecret(…)")
    }
}

impl fmt::Display for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = BASE64_URL_SAFE_NO_PAD.encode(self.secret.0);
        write!(
            formatter,
            "{VERSION}.{}.{secret}.{}",
            self.host,
            self.ca.hex()
        )
    }
}

impl FromStr for Token {
    type Err = TokenError;

    /// A host name may contain dots, so the secret and the digest are taken from the end.
    fn from_str(text: &str) -> Result<Self, TokenError> {
        let rest = text
            .trim()
            .strip_prefix(VERSION)
            .and_then(|rest| rest.strip_prefix('.'));
        let mut parts = rest.ok_or(TokenError::Form)?.rsplitn(3, '.');
        let (Some(ca), Some(secret), Some(host)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenError::Form);
        };
        let secret = BASE64_URL_SAFE_NO_PAD
            .decode(secret)
            .map_err(|_| TokenError::Secret)?;
        Ok(Self {
            host: host.parse().map_err(TokenError::Host)?,
            secret: TokenSecret(secret.try_into().map_err(|_| TokenError::Secret)?),
            ca: Digest::from_hex(ca).map_err(|_| TokenError::Ca)?,
        })
    }
}
