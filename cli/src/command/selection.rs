//! Which hosts a command is for: `--host`, `--all`, `--where`.

use std::collections::BTreeSet;

use clap::Args;
use tfleet_proto::model::name::HostName;
use tfleet_proto::model::selector::Expression;
use tfleet_proto::wire;

use super::Operator;
use crate::error::Error;
use crate::view::host::Host;

/// The flags that commands share.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Hosts")]
pub struct Selection {
    /// This host; may be given several times
    #[arg(long = "host", value_name = "NAME", value_parser = parse_name)]
    pub hosts: Vec<HostName>,
    /// All hosts
    #[arg(long, conflicts_with = "hosts")]
    pub all: bool,
    /// The hosts of which this is true: 'label.rack = 7 && driver >= 470 && gpu.memory >= 16GiB'
    #[arg(short = 'l', long = "where", value_name = "EXPR", value_parser = parse_expression)]
    pub expression: Option<String>,
}

impl Selection {
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty() && !self.all && self.expression.is_none()
    }

    #[must_use]
    pub fn with_names(mut self, names: &[HostName]) -> Self {
        self.hosts.extend(names.iter().cloned());
        self
    }

    pub fn of_names(names: impl IntoIterator<Item = HostName>) -> Self {
        Self {
            hosts: names.into_iter().collect(),
            ..Self::default()
        }
    }

    /// For commands that change something: hosts must be named.
    pub fn required(self) -> Result<wire::Selector, Error> {
        if self.is_empty() {
            let what = "no hosts are selected; add --host NAME, --all, or --where EXPR";
            return Err(Error::Usage(what.to_owned()));
        }
        Ok(self.into())
    }

    /// For commands that only look.
    pub fn or_all(self) -> wire::Selector {
        if self.is_empty() {
            wire::Selector {
                all: true,
                ..wire::Selector::default()
            }
        } else {
            self.into()
        }
    }
}

impl From<Selection> for wire::Selector {
    fn from(selection: Selection) -> Self {
        Self {
            all: selection.all,
            names: selection.hosts.iter().map(ToString::to_string).collect(),
            expression: selection.expression.unwrap_or_default(),
        }
    }
}

/// The hosts that a selector takes, by name.
pub async fn list(operator: &mut Operator, selector: wire::Selector) -> Result<Vec<Host>, Error> {
    let request = wire::ListHostsRequest {
        selector: Some(selector),
    };
    let answer = operator
        .list_hosts(request)
        .await
        .map_err(Error::call("list the hosts"))?;
    answer
        .into_inner()
        .hosts
        .into_iter()
        .map(|host| Host::try_from(host).map_err(Error::from))
        .collect()
}

/// The same, where there must be at least one.
pub async fn list_some(
    operator: &mut Operator,
    selector: wire::Selector,
) -> Result<Vec<Host>, Error> {
    let hosts = list(operator, selector).await?;
    if hosts.is_empty() {
        return Err(not_found(
            "select hosts",
            "no host satisfies the selection".to_owned(),
        ));
    }
    Ok(hosts)
}

/// The selected hosts that have one of these containers.
///
/// Fails when there is none, naming the containers that exist.
pub async fn with_container(
    operator: &mut Operator,
    selector: wire::Selector,
    containers: &[String],
) -> Result<Vec<Host>, Error> {
    let named: BTreeSet<String> = selector.names.iter().cloned().collect();
    let hosts = list(operator, selector).await?;
    let known: BTreeSet<String> = hosts
        .iter()
        .flat_map(|host| host.desired.iter().flat_map(|desired| &desired.containers))
        .map(|container| container.spec.name.clone())
        .collect();
    // A host that was named is asked in any case, so that its own answer is what the operator reads.
    let wanted = |host: &Host| {
        named.contains(host.name.as_str())
            || containers
                .iter()
                .any(|container| host.has_container(container))
    };
    let hosts: Vec<Host> = hosts.into_iter().filter(wanted).collect();
    if hosts.is_empty() {
        let known: Vec<String> = known.into_iter().collect();
        let known = if known.is_empty() {
            "none".to_owned()
        } else {
            known.join(", ")
        };
        let wanted = containers.join(" or ");
        let why = format!("no selected host has a container named {wanted}; there are: {known}");
        return Err(not_found("find the container", why));
    }
    Ok(hosts)
}

/// As the coordinator would say it.
fn not_found(action: &'static str, why: String) -> Error {
    Error::call(action)(tonic::Status::not_found(why))
}

pub fn parse_name(text: &str) -> Result<HostName, String> {
    text.parse()
        .map_err(|error: tfleet_proto::model::name::NameError| error.to_string())
}

/// Read here too, so that a mistake is shown before anything is asked. The coordinator gets the text.
fn parse_expression(text: &str) -> Result<String, String> {
    match text.parse::<Expression>() {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
