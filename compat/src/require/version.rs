//! Versions as the runtime compares them (`dsl_compare_version`): number by number, missing ones are zero, dots in a row
//! count as one.

use std::cmp::Ordering;

/// How a known version compares to a wanted one; none: the runtime calls the expression invalid. A number beyond 64 bits
/// matters only if the comparison comes to it.
pub(super) fn order(known: &str, wanted: &str) -> Option<Ordering> {
    if !is_dotted(known) || !is_dotted(wanted) {
        return None;
    }
    let (mut known, mut wanted) = (parts(known), parts(wanted));
    loop {
        let order = match (known.next(), wanted.next()) {
            (Some(known), Some(wanted)) => number(known)?.cmp(&number(wanted)?),
            (None, None) => return Some(Ordering::Equal),
            (Some(first), None) => return Some(against_nothing(first, known)),
            (None, Some(first)) => return Some(against_nothing(first, wanted).reverse()),
        };
        if order.is_ne() {
            return Some(order);
        }
    }
}

/// Whether a text is a version wherever a comparison comes to.
pub(super) fn is_version(text: &str) -> bool {
    is_dotted(text) && parts(text).all(|part| number(part).is_some())
}

/// Digits and dots, and no dot first.
fn is_dotted(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split('.').filter(|part| !part.is_empty())
}

/// The largest number stands for an overflow.
fn number(part: &str) -> Option<u64> {
    part.parse().ok().filter(|number| *number != u64::MAX)
}

/// Here the runtime looks for a digit other than zero and never at the size.
fn against_nothing<'a>(first: &str, mut rest: impl Iterator<Item = &'a str>) -> Ordering {
    let is_zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    if is_zero(first) && rest.all(is_zero) {
        Ordering::Equal
    } else {
        Ordering::Greater
    }
}
