//! What commands did that have nothing to show, for programs.

use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;
use tfleet_proto::model::name::HostName;

/// `tfleet base import`.
#[derive(Debug, Serialize)]
pub struct BaseImported<'a> {
    /// What `--base` takes.
    pub base: &'a str,
}

/// `tfleet hosts rm`.
#[derive(Debug, Serialize)]
pub struct HostRemoved<'a> {
    pub removed: &'a HostName,
}

/// `tfleet operator issue`.
#[derive(Debug, Serialize)]
pub struct OperatorIssued<'a> {
    pub operator: &'a str,
    pub credentials: &'a Path,
    pub ends_at: Timestamp,
}

/// `tfleet operator revoke`.
#[derive(Debug, Serialize)]
pub struct OperatorRevoked<'a> {
    pub revoked: &'a str,
}

/// `tfleet agent bundle`.
#[derive(Debug, Serialize)]
pub struct BundleWritten<'a> {
    pub host: &'a HostName,
    pub bundle: &'a Path,
    /// As `uname -m` says it.
    pub architecture: &'a str,
    pub token_ends_at: Timestamp,
}

/// One line of `tfleet build log`.
#[derive(Debug, Serialize)]
pub struct BuildLogLine<'a> {
    pub variant: &'a str,
    pub line: &'a str,
}
