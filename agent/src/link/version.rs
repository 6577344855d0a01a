//! Which versions of agent and coordinator work together: equal ones, and those one release apart.

/// The coordinator's version and ours do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the coordinator has version {theirs} and this agent {ours}; they work together up to one release apart: upgrade \
     the older one"
)]
pub struct VersionError {
    ours: String,
    theirs: String,
}

pub(super) fn check(ours: &str, theirs: &str) -> Result<(), VersionError> {
    let fits = match (release(ours), release(theirs)) {
        (Some((our_major, our_minor)), Some((major, minor))) => {
            our_major == major && our_minor.abs_diff(minor) <= 1
        }
        _ => false,
    };
    if fits {
        Ok(())
    } else {
        Err(VersionError {
            ours: ours.to_owned(),
            theirs: theirs.to_owned(),
        })
    }
}

/// A release is known by its first two numbers.
fn release(version: &str) -> Option<(u64, u64)> {
    let mut numbers = version.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_work_together_and_others_do_not() {
        for theirs in ["0.5.0", "0.5.9", "0.4.7", "0.6.0-rc.1"] {
            assert_eq!(check("0.5.2", theirs), Ok(()), "{theirs}");
        }
        for theirs in ["0.3.0", "0.7.0", "1.5.2", "", "latest"] {
            assert!(check("0.5.2", theirs).is_err(), "{theirs}");
        }
    }

    #[test]
    fn the_message_names_both_versions() {
        let message = check("0.5.2", "0.9.0").unwrap_err().to_string();
        assert!(
            message.contains("0.5.2") && message.contains("0.9.0"),
            "{message}"
        );
    }
}
