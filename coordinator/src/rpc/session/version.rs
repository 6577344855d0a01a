//! Which versions of agent and coordinator work together: equal ones, and those one release apart.

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the agent has version {agent} and the coordinator {coordinator}; they work together up to one release apart: \
     upgrade the older one"
)]
pub struct Unfit {
    agent: String,
    coordinator: String,
}

pub fn check(agent: &str, coordinator: &str) -> Result<(), Unfit> {
    let fits = match (release(agent), release(coordinator)) {
        (Some((major, minor)), Some((our_major, our_minor))) => {
            major == our_major && minor.abs_diff(our_minor) <= 1
        }
        _ => false,
    };
    if fits {
        Ok(())
    } else {
        Err(Unfit {
            agent: agent.to_owned(),
            coordinator: coordinator.to_owned(),
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
    fn neighbours_work_together_and_others_are_refused_with_both_versions() {
        for agent in ["1.4.0", "1.5.9", "1.6.0-rc.1"] {
            assert_eq!(check(agent, "1.5.2"), Ok(()), "{agent}");
        }
        for agent in ["1.3.0", "1.7.0", "2.5.2", "", "latest"] {
            let refused = check(agent, "1.5.2").unwrap_err().to_string();
            assert!(
                refused.contains(agent) && refused.contains("1.5.2"),
                "{refused}"
            );
        }
    }
}
