//! What operators decide beside a release, as it travels.

use tfleet_compat::{MixedGpus, Policy, Preference, PtxReading};
use tfleet_proto::convert::Refusal;
use tfleet_proto::wire;

/// The policy, without `rebalance`, which counts for one plan.
pub fn read(policy: Option<wire::Policy>) -> Result<Policy, Refusal> {
    let policy = policy.unwrap_or_default();
    let preference = match policy.preference.as_str() {
        "" => Preference::default(),
        text => text
            .parse()
            .map_err(|error| Refusal::new("policy.preference", format!("{error}")))?,
    };
    Ok(Policy {
        preference,
        rebalance: false,
        cpu_fallback: policy.cpu_fallback,
        forward_compatibility: policy.forward_compatibility,
        mixed_gpus: if policy.serves_some_gpus {
            MixedGpus::Some
        } else {
            MixedGpus::All
        },
        intermediate_code: if policy.trusts_intermediate_code {
            PtxReading::Lenient
        } else {
            PtxReading::Strict
        },
    })
}

pub fn wire(policy: &Policy) -> wire::Policy {
    wire::Policy {
        preference: policy.preference.to_string(),
        rebalance: policy.rebalance,
        cpu_fallback: policy.cpu_fallback,
        forward_compatibility: policy.forward_compatibility,
        serves_some_gpus: policy.mixed_gpus == MixedGpus::Some,
        trusts_intermediate_code: policy.intermediate_code == PtxReading::Lenient,
    }
}
