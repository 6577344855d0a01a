//! The requirement grammar of `NVIDIA_REQUIRE_*`: a space is or, a comma is and.
//!
//! `cuda>=11.0 brand=tesla,driver>=418,driver<419` holds if CUDA is new enough, or if the GPU is a Tesla and the driver
//! a 418. Properties: `cuda` and `driver` of the machine, `arch` and `brand` of each GPU. The text is read while it is
//! evaluated, so what is behind the deciding place is never looked at. (libnvidia-container, `src/cli/dsl.c` and
//! `src/cli/configure.c`.)

use std::cmp::Ordering;

use tfleet_fake_gpu::Gpu;

/// What a requirement is held against.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    pub cuda: &'a str,
    pub driver: &'a str,
    /// None when no GPU is visible: conditions on one then hold.
    pub gpu: Option<&'a Gpu>,
}

#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum RequirementError {
    #[error("invalid expression")]
    Invalid,
    #[error("unsatisfied condition: {}{}", .0, advice(.0))]
    Unsatisfied(String),
}

/// What a failed condition must fit into, its final zero counted (`EXPR_MAX`).
const ROOM: usize = 128;

/// A refusal shows what is before the first space, whichever condition failed.
pub fn check(text: &str, subject: Subject<'_>) -> Result<(), RequirementError> {
    let mut satisfied = true;
    'alternatives: for alternative in text.split(' ').filter(|text| !text.is_empty()) {
        for condition in alternative.split(',').filter(|text| !text.is_empty()) {
            satisfied = holds(condition, subject).ok_or(RequirementError::Invalid)?;
            if !satisfied {
                continue 'alternatives;
            }
        }
        // Reached by commas alone too, after which nothing more is tried.
        break;
    }
    if satisfied {
        return Ok(());
    }
    let shown = text.split(' ').next().unwrap_or_default();
    Err(RequirementError::Unsatisfied(shown.to_owned()))
}

/// None where the real one calls the expression invalid.
fn holds(condition: &str, subject: Subject<'_>) -> Option<bool> {
    let name_length = condition.find(['=', '!', '<', '>'])?;
    let (name, rest) = condition.split_at(name_length);
    let signs_length = rest
        .find(|letter| !matches!(letter, '=' | '!' | '<' | '>'))
        .unwrap_or(rest.len());
    let (signs, value) = rest.split_at(signs_length);
    // The real one compares only as many signs as there are, so that `!` finds `!=`.
    let sign = ["=", "!=", "<", "<=", ">", ">="]
        .into_iter()
        .find(|sign| sign.starts_with(signs))?;
    if value.is_empty() {
        return None;
    }
    let order = match name.to_ascii_lowercase().as_str() {
        "cuda" => version_order(subject.cuda, value)?,
        "driver" => version_order(subject.driver, value)?,
        "arch" => match subject.gpu {
            Some(gpu) => version_order(&gpu.compute_capability.to_string(), value)?,
            None => return Some(true),
        },
        "brand" => match subject.gpu {
            Some(_) if !matches!(sign, "=" | "!=") => return None,
            Some(gpu) => {
                let brand = gpu.brand.as_deref().unwrap_or("unknown");
                brand.to_ascii_lowercase().cmp(&value.to_ascii_lowercase())
            }
            None => return Some(true),
        },
        _ => return None,
    };
    let satisfied = match sign {
        "=" => order.is_eq(),
        "!=" => order.is_ne(),
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        _ => order.is_ge(),
    };
    // "cuda >= 12.2": name, sign and value with two spaces between.
    let fits = name.len() + sign.len() + value.len() + 2 < ROOM;
    (satisfied || fits).then_some(satisfied)
}

/// Number by number; a missing one is zero, and several dots are one.
fn version_order(ours: &str, wanted: &str) -> Option<Ordering> {
    let is_plain = |text: &str| {
        text.chars()
            .all(|letter| letter.is_ascii_digit() || letter == '.')
    };
    if !is_plain(ours) || !is_plain(wanted) {
        return None;
    }
    let (mut ours, mut wanted) = (ours, wanted);
    while !ours.is_empty() && !wanted.is_empty() {
        let (left, left_rest) = leading_number(ours)?;
        let (right, right_rest) = leading_number(wanted)?;
        if left != right {
            return Some(left.cmp(&right));
        }
        (ours, wanted) = (left_rest, right_rest);
    }
    let is_more = |rest: &str| rest.chars().any(|letter| !matches!(letter, '.' | '0'));
    Some(is_more(ours).cmp(&is_more(wanted)))
}

/// None for a leading dot and for what does not fit (`strtoumax`, whose largest number says that it did not).
fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    let number = text[..end].parse().ok()?;
    let rest = text[end..].trim_start_matches('.');
    (number != u64::MAX).then_some((number, rest))
}

/// Only where the first alternative is spelt `cuda>=`, in small letters.
fn advice(shown: &str) -> &'static str {
    match shown.strip_prefix("cuda>=") {
        Some(_) => {
            ", please update your driver to a newer version, or use an earlier cuda container"
        }
        None => "",
    }
}

#[cfg(test)]
mod tests;
