//! `tfleet agent`: getting the agent onto hosts.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::name::HostName;

use super::Context;
use super::selection::parse_name;
use super::token::{create, parse_life};
use crate::error::{Error, ExitStatus};
use crate::view::done::BundleWritten;
use crate::view::token::Token;

const SCRIPT: &str = include_str!("agent/bundle.sh");
const UNIT: &str = include_str!("../../../deploy/agent/tfleet-agent.service");
const POLICY: &str = include_str!("../../../deploy/agent/policy.toml");

const EXAMPLES: &str = "\
Examples:
  tfleet agent bundle t4 --agent-binary target/portable/tfleet-agent -o t4.sh
  tfleet agent bundle t4 --agent-binary ./tfleet-agent --label rack=7 --life 1d -o t4.sh

Then copy the file to the host and run it there as root: sh t4.sh";

#[derive(Debug, Subcommand)]
pub(super) enum Agent {
    /// One file to copy to a host and run there: agent, systemd unit, configuration, token, CA digest
    #[command(after_help = EXAMPLES)]
    Bundle(Bundle),
}

#[derive(Debug, Args)]
pub(super) struct Bundle {
    /// The host's name
    #[arg(value_name = "NAME", value_parser = parse_name)]
    host: HostName,
    /// The agent to install; build a portable one with: make agent-portable
    #[arg(long, value_name = "PATH")]
    agent_binary: PathBuf,
    /// The file to write; it must not exist yet
    #[arg(short, long = "out", value_name = "FILE")]
    out: PathBuf,
    /// A label of the host, for selecting it; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = super::container_options::environment)]
    labels: Vec<(String, String)>,
    /// The container engine of the host
    #[arg(
        long,
        value_name = "ENDPOINT",
        default_value = "unix:///run/docker.sock"
    )]
    engine: String,
    /// How long the token can be used: 15m, 1h, 2d
    #[arg(long, default_value = "1d", value_parser = parse_life)]
    life: Duration,
}

/// The agent's configuration, as it reads it.
#[derive(Serialize)]
struct AgentToml<'a> {
    data_dir: &'a str,
    enrolment: &'a str,
    fleet: &'a str,
    engine: &'a str,
    policy: &'a str,
    token_file: &'a str,
    labels: std::collections::BTreeMap<&'a str, &'a str>,
}

impl Agent {
    pub(super) async fn run(self, context: &Context) -> Result<ExitStatus, Error> {
        let Self::Bundle(bundle) = self;
        let binary = std::fs::read(&bundle.agent_binary)
            .map_err(Error::file("read", &bundle.agent_binary))?;
        let architecture = elf_architecture(&binary).ok_or_else(|| {
            Error::Usage(format!(
                "{} is not a Linux program for x86_64 or aarch64",
                bundle.agent_binary.display()
            ))
        })?;
        if bundle.out.exists() {
            return Err(Error::Usage(format!(
                "{} exists; choose another file",
                bundle.out.display()
            )));
        }
        let mut operator = context.connect().await?;
        let tokens = create(
            &mut operator,
            std::slice::from_ref(&bundle.host),
            bundle.life,
        )
        .await?;
        let token = tokens.first().ok_or(Error::Cut {
            action: "create a token",
        })?;
        let script = script(&bundle, token, &binary, architecture)?;
        write_private(&bundle.out, &[script.as_bytes(), &binary])
            .map_err(Error::file("write", &bundle.out))?;
        let words = format!(
            "{} is ready; copy it to {} and run it there as root before {}",
            bundle.out.display(),
            bundle.host,
            crate::view::quantity::moment(token.ends_at)
        );
        let done = BundleWritten {
            host: &bundle.host,
            bundle: &bundle.out,
            architecture,
            token_ends_at: token.ends_at,
        };
        context.output.report(&done, &words)?;
        Ok(ExitStatus::Ok)
    }
}

/// The shell part of the file; the binary follows its last line.
fn script(
    bundle: &Bundle,
    token: &Token,
    binary: &[u8],
    architecture: &str,
) -> Result<String, Error> {
    let configuration = AgentToml {
        data_dir: "/var/lib/tfleet-agent",
        enrolment: &token.enrolment_endpoint,
        fleet: &token.fleet_endpoint,
        engine: &bundle.engine,
        policy: "/etc/tfleet/policy.toml",
        token_file: "/etc/tfleet/token",
        labels: bundle
            .labels
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect(),
    };
    let configuration =
        toml::to_string(&configuration).map_err(|error| Error::Usage(error.to_string()))?;
    let filled = SCRIPT
        .replace("@HOST@", bundle.host.as_str())
        .replace("@ARCHITECTURE@", architecture)
        .replace("@PAYLOAD_SHA256@", &Digest::of(binary).hex())
        .replace("@AGENT_TOML@", &configuration)
        .replace("@POLICY@", POLICY)
        .replace("@UNIT@", UNIT)
        .replace("@TOKEN@", &token.token);
    let payload_line = filled.lines().count() + 1;
    Ok(filled.replace("@PAYLOAD_LINE@", &payload_line.to_string()))
}

/// As `uname -m` says it, from the ELF header's `e_machine` (System V ABI, figure 4-3).
fn elf_architecture(binary: &[u8]) -> Option<&'static str> {
    if !binary.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    match u16::from_le_bytes([*binary.get(18)?, *binary.get(19)?]) {
        62 => Some("x86_64"),
        183 => Some("aarch64"),
        _ => None,
    }
}

/// The file holds a token: nobody else may read it.
fn write_private(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_a_valid_shell_script_with_its_binary_after_it() {
        let mut binary = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0".to_vec();
        binary.extend_from_slice(b"\n\n\0binary\nlines\n");
        assert_eq!(elf_architecture(&binary), Some("x86_64"));
        assert_eq!(elf_architecture(b"#!/bin/sh"), None);
        let bundle = Bundle {
            host: "t4".parse().expect("name"),
            agent_binary: PathBuf::new(),
            out: PathBuf::new(),
            labels: vec![("rack".to_owned(), "it's 7".to_owned())],
            engine: "unix:///run/docker.sock".to_owned(),
            life: Duration::from_secs(60),
        };
        let token = Token {
            host: "t4".to_owned(),
            token: "tfleet1.t4.secret.digest".to_owned(),
            ends_at: jiff::Timestamp::UNIX_EPOCH,
            enrolment_endpoint: "10.88.0.1:7443".to_owned(),
            fleet_endpoint: "10.88.0.1:7444".to_owned(),
        };
        let script = script(&bundle, &token, &binary, "x86_64").expect("script");
        assert!(!script.contains("=@"), "{script}");
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("t4.sh");
        write_private(&file, &[script.as_bytes(), &binary]).expect("written");
        let line = script.lines().count() + 1;
        let tail = std::process::Command::new("tail")
            .args(["-n", &format!("+{line}")])
            .arg(&file)
            .output()
            .expect("tail");
        assert_eq!(tail.stdout, binary);
        assert!(script.contains(&format!("payload_line={line}\n")));
        std::fs::write(folder.path().join("script"), &script).expect("written");
        let checked = std::process::Command::new("sh")
            .arg("-n")
            .arg(folder.path().join("script"))
            .status()
            .expect("sh");
        assert!(checked.success());
        assert!(script.contains("rack = \"it's 7\""), "{script}");
    }
}
