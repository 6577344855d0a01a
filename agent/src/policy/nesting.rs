//! Binds that lie one within the other.
//!
//! Who may write in a folder can replace what is below it by a link to anywhere, and the engine follows it when it mounts
//! that path the next time, which its restart policy does without asking us. So no path is bound that lies below one that
//! a container may write.

use std::path::Path;

use tfleet_proto::model::desired::BindMount;

use super::{Refusal, Rule};

/// Checks the binds of one container among themselves. Their sources are resolved.
pub(super) fn check_within(binds: &[BindMount]) -> Result<(), Refusal> {
    match nested(binds, binds) {
        None => Ok(()),
        Some((inner, outer)) => Err(Refusal::Rule {
            rule: Rule::BindPrefixes,
            what: format!(
                "to bind {}, which lies below {} that the container may write",
                inner.source, outer.source
            ),
        }),
    }
}

/// Checks the binds of a container against those of another one on this host, in both directions. Sources are resolved.
pub fn check_beside(binds: &[BindMount], other: &str, others: &[BindMount]) -> Result<(), Refusal> {
    match nested(binds, others).or_else(|| nested(others, binds)) {
        None => Ok(()),
        Some((inner, outer)) => Err(Refusal::Nested {
            inner: inner.source.clone().into(),
            outer: outer.source.clone().into(),
            other: other.to_owned(),
        }),
    }
}

/// One of `inner` that lies below a writable one of `outer`.
fn nested<'a>(
    inner: &'a [BindMount],
    outer: &'a [BindMount],
) -> Option<(&'a BindMount, &'a BindMount)> {
    let writable = || outer.iter().filter(|bind| !bind.read_only);
    let mut pairs = inner
        .iter()
        .flat_map(|inner| writable().map(move |outer| (inner, outer)));
    pairs.find(|(inner, outer)| {
        inner.source != outer.source && Path::new(&inner.source).starts_with(&outer.source)
    })
}
