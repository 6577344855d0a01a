//! A release's plan for the hosts that were selected.

use std::sync::Arc;

use tfleet_compat::{Catalog, HostFacts, Plan, PlanError, Policy, ReleaseSpec, Unplaced};
use tfleet_proto::convert::facts;

use crate::store::ReleaseRequest;

/// One host to plan for: its name and what it last said it has.
pub struct Candidate<'a> {
    pub name: &'a tfleet_proto::model::name::HostName,
    pub inventory: Option<&'a Arc<tfleet_proto::model::inventory::Inventory>>,
}

/// Plans `request` for `hosts`. What `running`, the plan of the release's newest revision, gives a host stays its own
/// while it serves it. Hosts that said nothing yet are left out, with that as the reason.
pub fn plan<'a>(
    catalog: &Catalog,
    request: &ReleaseRequest,
    hosts: impl IntoIterator<Item = Candidate<'a>>,
    running: Option<&Plan>,
) -> Result<Plan, PlanError> {
    let mut known = Vec::new();
    let mut unknown = Vec::new();
    for host in hosts {
        match describe(&host) {
            Ok(facts) => known.push(facts),
            Err(unplaced) => unknown.push(unplaced),
        }
    }
    let mut plan = plan_for(catalog, request, &known, running)?;
    plan.unplaced.extend(unknown);
    plan.unplaced.sort_by(|a, b| a.host.cmp(&b.host));
    Ok(plan)
}

/// The same for hosts of which someone else said what they have.
pub fn plan_for(
    catalog: &Catalog,
    request: &ReleaseRequest,
    hosts: &[HostFacts],
    running: Option<&Plan>,
) -> Result<Plan, PlanError> {
    let spec = ReleaseSpec::new(request.name.as_str(), request.tensorflow.clone());
    tfleet_compat::plan(catalog, &spec, hosts, &Policy::default(), running)
}

fn describe(host: &Candidate<'_>) -> Result<HostFacts, Unplaced> {
    let left_out = |reason: String, remedy: &str| Unplaced {
        host: host.name.as_str().into(),
        reason,
        remedy: remedy.to_owned(),
    };
    let Some(inventory) = host.inventory else {
        return Err(left_out(
            "the host has not said yet what it has".to_owned(),
            "start its agent, then plan again",
        ));
    };
    facts(host.name.as_str(), inventory).map_err(|_| {
        left_out(
            format!("its CPU is {}", inventory.machine.architecture),
            "TensorFlow is made for x86_64 and aarch64 only",
        )
    })
}
