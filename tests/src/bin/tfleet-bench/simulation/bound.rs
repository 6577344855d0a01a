//! The time below which no way to send the image can be.

use super::Scenario;

/// Seconds: max(F/Cs, N·F/(Cs+ΣCi), F/Cdown, rack), for the hosts that live and are not slow.
///
/// The slow ones may come later, so their need is left out, while what they and the dying could send is counted: the
/// bound errs on the low side.
pub(super) fn bound(scenario: &Scenario) -> f64 {
    let image = scenario.image as f64;
    let host = scenario.host_rate as f64;
    let coordinator = scenario.coordinator_rate as f64;
    let quick = f64::from(scenario.hosts - scenario.dying - scenario.slow);
    let senders = f64::from(scenario.hosts - scenario.slow - scenario.unreachable)
        + f64::from(scenario.slow) / 10.0;
    let alone = image / coordinator;
    let all = quick * image / (coordinator + senders * host);
    let rack = if scenario.rack == 0 {
        0.0
    } else {
        image / (host * f64::from(scenario.rack) / f64::from(scenario.oversubscription))
    };
    alone.max(all).max(image / host).max(rack)
}

/// The same for a host with a tenth of the rate.
pub(super) fn slow_bound(scenario: &Scenario) -> f64 {
    bound(scenario).max(scenario.image as f64 / (scenario.host_rate as f64 / 10.0))
}
