//! `tfleet token`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use tfleet_proto::model::name::HostName;
use tfleet_proto::wire;

use super::selection::parse_name;
use super::{Context, Operator};
use crate::error::{Error, ExitStatus};
use crate::view::token::{BareTokens, Token as IssuedToken, Tokens};
use crate::view::{Format, note};

const EXAMPLES: &str = "\
Examples:
  tfleet token create t4 a100
  tfleet token create t4 --life 15m --output text
  tfleet token create --hosts-file hosts.txt --life 2d --output json";

#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// One-use tokens, each bound to the name of one host; shown once
    #[command(after_help = EXAMPLES)]
    Create {
        #[arg(value_name = "NAME", required_unless_present = "hosts_file", value_parser = parse_name)]
        hosts: Vec<HostName>,
        /// One name per line; empty lines and lines that begin with # are skipped
        #[arg(long, value_name = "FILE")]
        hosts_file: Option<PathBuf>,
        /// How long they can be used: 15m, 1h, 2d (1 minute to 7 days)
        #[arg(long, default_value = "1h", value_parser = parse_life)]
        life: Duration,
    },
}

impl Token {
    pub(super) async fn run(self, context: &Context) -> Result<ExitStatus, Error> {
        let Self::Create {
            mut hosts,
            hosts_file,
            life,
        } = self;
        if let Some(path) = hosts_file {
            hosts.extend(read_hosts(&path)?);
        }
        let tokens = create(&mut context.connect().await?, &hosts, life).await?;
        if context.output.format == Format::Text {
            context.output.print(&BareTokens(tokens))?;
        } else {
            context.output.print(&Tokens(tokens))?;
            note("each is shown only now, and works once, on the host of its name");
        }
        Ok(ExitStatus::Ok)
    }
}

/// Asks for one token per host, in that order.
pub(super) async fn create(
    operator: &mut Operator,
    hosts: &[HostName],
    life: Duration,
) -> Result<Vec<IssuedToken>, Error> {
    let request = wire::CreateTokensRequest {
        hosts: hosts.iter().map(ToString::to_string).collect(),
        life_seconds: u32::try_from(life.as_secs()).unwrap_or(u32::MAX),
    };
    let answer = operator
        .create_tokens(request)
        .await
        .map_err(Error::call("create tokens"))?;
    answer
        .into_inner()
        .tokens
        .into_iter()
        .map(|token| token.try_into().map_err(Error::Answer))
        .collect()
}

fn read_hosts(path: &Path) -> Result<Vec<HostName>, Error> {
    let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
    let lines = text.lines().map(str::trim).enumerate();
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(index, line)| {
            line.parse()
                .map_err(|error: tfleet_proto::model::name::NameError| {
                    Error::Usage(format!("{}, line {}: {error}", path.display(), index + 1))
                })
        })
        .collect()
}

pub(super) fn parse_life(text: &str) -> Result<Duration, String> {
    let refusal = || format!("`{text}` is not a time; write 15m, 1h or 2d");
    let span: jiff::Span = text.parse().map_err(|_| refusal())?;
    let time = span
        .to_duration(jiff::SpanRelativeTo::days_are_24_hours())
        .map_err(|_| refusal())?;
    Duration::try_from(time).map_err(|_| refusal())
}
