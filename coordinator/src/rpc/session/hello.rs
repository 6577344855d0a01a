//! What an agent's first word tells: its clock, and what it accepted last.

use jiff::{SignedDuration, Timestamp};
use tfleet_proto::convert;
use tfleet_proto::model::desired::DesiredState;
use tfleet_proto::model::name::HostName;
use tfleet_proto::wire::Hello;
use tonic::Status;
use tracing::{error, warn};

const CLOCKS_MAY_DIFFER: SignedDuration = SignedDuration::from_mins(5);

/// How what a host accepted last contradicts what we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contradiction {
    /// We never said anything so new.
    Newer,
    /// We said something else under this number.
    Other,
}

/// What the agent accepted last must be something we said. If not, two coordinators spoke to it, or this one's state is
/// older than what it said: the agent refuses what we send, and says so in its status. Here it goes to the log.
pub(super) fn listen(host: &HostName, hello: &Hello, desired: &DesiredState) -> Result<(), Status> {
    let host_time = convert::timestamp("hello.host_time", hello.host_time)?;
    if host_time.duration_since(Timestamp::now()).abs() > CLOCKS_MAY_DIFFER {
        warn!(%host, %host_time, "the host's clock differs by more than five minutes from ours");
    }
    let accepted = (hello.accepted_incarnation, hello.accepted_generation);
    let ours = (desired.incarnation, desired.generation);
    match contradiction(hello, desired) {
        Some(Contradiction::Newer) => error!(
            %host, ?accepted, ?ours,
            "the host has accepted a newer desired state than we know: if this is an old backup, stop the coordinator, run \
             `tfleet-coordinator restored` and start it again"
        ),
        Some(Contradiction::Other) => error!(
            %host, ?accepted,
            "the host has accepted another desired state under the number of ours: does another coordinator speak to it?"
        ),
        None => {}
    }
    Ok(())
}

fn contradiction(hello: &Hello, desired: &DesiredState) -> Option<Contradiction> {
    let accepted = (hello.accepted_incarnation, hello.accepted_generation);
    let ours = (desired.incarnation, desired.generation);
    if accepted > ours {
        Some(Contradiction::Newer)
    } else if accepted == ours
        && desired.generation > 0
        && hello.accepted_digest != desired.digest().to_string()
    {
        Some(Contradiction::Other)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(incarnation: u64, generation: u64) -> DesiredState {
        DesiredState {
            incarnation,
            generation,
            ..DesiredState::default()
        }
    }

    fn hello(accepted: &DesiredState) -> Hello {
        Hello {
            accepted_incarnation: accepted.incarnation,
            accepted_generation: accepted.generation,
            accepted_digest: accepted.digest().to_string(),
            ..Hello::default()
        }
    }

    #[test]
    fn what_was_never_said_is_told_from_what_was() {
        let ours = state(2, 5);
        for said in [(2, 5), (2, 4), (1, 9), (0, 0)] {
            let accepted = state(said.0, said.1);
            assert_eq!(contradiction(&hello(&accepted), &ours), None, "{said:?}");
        }
        for newer in [(2, 6), (3, 1)] {
            let accepted = state(newer.0, newer.1);
            assert_eq!(
                contradiction(&hello(&accepted), &ours),
                Some(Contradiction::Newer),
                "{newer:?}"
            );
        }
        let other = Hello {
            accepted_digest: state(2, 4).digest().to_string(),
            ..hello(&ours)
        };
        assert_eq!(contradiction(&other, &ours), Some(Contradiction::Other));
    }
}
