//! A release's plan for the hosts that were selected.

use std::collections::BTreeSet;
use std::sync::Arc;

use tfleet_compat::{
    Architecture, Catalog, Consideration, HostFacts, ImageGate, Plan, PlanError, Policy, Question,
    RecipeId, ReleaseSpec, Stock, Unplaced,
};
use tfleet_proto::convert::facts;
use tfleet_proto::model::desired::DesiredState;

use crate::store::{BuildPhase, Release, ReleaseRequest};

/// One host to plan for: its name, what it last said it has, and what it shall have.
pub struct Candidate<'a> {
    pub name: &'a tfleet_proto::model::name::HostName,
    pub inventory: Option<&'a Arc<tfleet_proto::model::inventory::Inventory>>,
    pub desired: &'a DesiredState,
}

/// What is asked, of which facts, with what there is.
pub struct Planning<'a> {
    catalog: &'a Catalog,
    spec: ReleaseSpec,
    policy: Policy,
    stock: Stock,
    gate: Option<ImageGate>,
    note: Option<String>,
    hosts: Vec<HostFacts>,
    /// Hosts that nothing can be planned for.
    silent: Vec<Unplaced>,
}

impl<'a> Planning<'a> {
    /// `newest` is the release's newest revision, whose images are there already; `builders` are the architectures that
    /// images can be built for, none where images come from elsewhere.
    pub fn new<'h>(
        catalog: &'a Catalog,
        request: &ReleaseRequest,
        rebalance: bool,
        hosts: impl IntoIterator<Item = Candidate<'h>>,
        newest: Option<&Release>,
        builders: Option<BTreeSet<Architecture>>,
    ) -> Self {
        let mut planning = Self {
            catalog,
            spec: ReleaseSpec {
                spans_majors: request.spans_majors,
                ..ReleaseSpec::new(request.name.as_str(), request.tensorflow.clone())
            },
            policy: Policy {
                rebalance,
                ..request.policy.clone()
            },
            stock: Stock {
                builders,
                built: newest.map(built).unwrap_or_default(),
                ..Stock::default()
            },
            gate: None,
            note: None,
            hosts: Vec::new(),
            silent: Vec::new(),
        };
        for host in hosts {
            let present = host.desired.images.iter();
            let present: BTreeSet<RecipeId> = present
                .filter(|image| image.release.name == request.name)
                .filter_map(|image| image.variant.as_str().parse().ok())
                .collect();
            planning
                .stock
                .present
                .insert(host.name.as_str().into(), present);
            match describe(&host) {
                Ok(facts) => planning.hosts.push(facts),
                Err(unplaced) => planning.silent.push(unplaced),
            }
        }
        planning
    }

    /// With hosts of which somebody else said what they have.
    #[must_use]
    pub fn with_hosts(mut self, hosts: impl IntoIterator<Item = HostFacts>) -> Self {
        self.hosts.extend(hosts);
        self
    }

    /// The same for images whose base requires something of a host by itself; with what the plan shall note about that.
    #[must_use]
    pub fn with_gate(mut self, (gate, note): (Option<ImageGate>, Option<String>)) -> Self {
        self.gate = gate;
        self.note = note;
        self
    }

    /// The plan. What `running`, the plan of the release's newest revision, gives a host stays its own while it serves
    /// it. Hosts that said nothing yet are left out, with that as the reason.
    pub fn plan(&self, running: Option<&Plan>) -> Result<Plan, PlanError> {
        self.plan_for(&self.hosts, running)
    }

    /// The plan as it would be after a change, and to how many hosts that is made.
    pub fn plan_if(
        &self,
        change: impl Fn(&mut HostFacts) -> bool,
        running: Option<&Plan>,
    ) -> Result<(Plan, u32), PlanError> {
        let mut changed = 0;
        let mut hosts = self.hosts.clone();
        for host in &mut hosts {
            changed += u32::from(change(host));
        }
        Ok((self.plan_for(&hosts, running)?, changed))
    }

    /// Everything that is considered for one of the hosts; none: it is not among them, or has not said what it has.
    pub fn explain(&self, host: &str) -> Result<Option<Vec<Consideration>>, PlanError> {
        let facts = self.hosts.iter().find(|facts| facts.name.as_str() == host);
        facts
            .map(|facts| self.question().explain(facts))
            .transpose()
    }

    fn plan_for(&self, hosts: &[HostFacts], running: Option<&Plan>) -> Result<Plan, PlanError> {
        let mut plan = self.question().plan(hosts, running)?;
        plan.unplaced.extend(self.silent.iter().cloned());
        plan.unplaced.sort_by(|a, b| a.host.cmp(&b.host));
        plan.notes.extend(self.note.clone());
        Ok(plan)
    }

    fn question(&self) -> Question<'_> {
        Question {
            catalog: self.catalog,
            release: &self.spec,
            policy: &self.policy,
            stock: &self.stock,
            gate: self.gate.as_ref(),
        }
    }
}

fn built(release: &Release) -> std::collections::BTreeMap<RecipeId, u64> {
    release
        .builds
        .iter()
        .filter(|build| build.phase == BuildPhase::Done)
        .filter_map(|build| Some((build.variant.as_str().parse().ok()?, build.stored_bytes)))
        .collect()
}

fn describe(host: &Candidate<'_>) -> Result<HostFacts, Unplaced> {
    let left_out = |reason: String, remedy: &str| Unplaced {
        host: host.name.as_str().into(),
        reason: reason.into(),
        remedy: remedy.into(),
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
