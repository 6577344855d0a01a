//! Which hosts an operator means.

use std::collections::BTreeSet;
use std::sync::Arc;

use tfleet_proto::model::name::HostName;
use tfleet_proto::model::selector::Expression;
use tfleet_proto::wire;

use super::declined::Declined;
use crate::fleet::{Fleet, HostView};

/// A checked selector.
#[derive(Debug, Clone)]
pub struct Selection {
    all: bool,
    names: BTreeSet<HostName>,
    expression: Option<Expression>,
}

impl Selection {
    pub fn read(selector: Option<wire::Selector>) -> Result<Self, Declined> {
        let selector = selector.ok_or_else(|| Declined::field("selector", "is required"))?;
        let names = selector.names.iter().enumerate().map(|(index, name)| {
            name.parse().map_err(|error| {
                Declined::field(&format!("selector.names[{index}]"), format!("{error}"))
            })
        });
        let expression = match selector.expression.trim() {
            "" => None,
            text => Some(
                text.parse()
                    .map_err(|error| Declined::field("selector.expression", format!("{error}")))?,
            ),
        };
        Ok(Self {
            all: selector.all,
            names: names.collect::<Result<_, Declined>>()?,
            expression,
        })
    }

    /// The hosts, by name. A host that was named must exist.
    pub fn hosts(&self, fleet: &Fleet) -> Result<Vec<Arc<HostView>>, Declined> {
        let hosts = fleet.hosts();
        if let Some(unknown) = self
            .names
            .iter()
            .find(|name| hosts.binary_search_by(|host| host.name.cmp(name)).is_err())
        {
            let known = hosts.iter().map(|host| host.name.as_str());
            return Err(Declined::unknown("host", unknown.as_str(), known));
        }
        Ok(hosts.into_iter().filter(|host| self.takes(host)).collect())
    }

    pub fn takes(&self, host: &HostView) -> bool {
        let is_meant = self.all
            || self.names.contains(&host.name)
            || (self.names.is_empty() && self.expression.is_some());
        is_meant
            && self
                .expression
                .as_ref()
                .is_none_or(|expression| expression.matches(host.subject()))
    }
}
