//! Plans from nothing in a line each.

use tfleet_compat::{Catalog, HostFacts, Plan, PlanError, Policy, Question, ReleaseSpec, Stock};

/// The release `train:v1`.
pub fn spec(constraint: &str) -> ReleaseSpec {
    ReleaseSpec::new("train:v1", constraint.parse().unwrap())
}

/// Plans from nothing: no image is built, and every architecture can be.
pub fn plan(
    catalog: &Catalog,
    release: &ReleaseSpec,
    hosts: &[HostFacts],
    policy: &Policy,
    running: Option<&Plan>,
) -> Result<Plan, PlanError> {
    question(catalog, release, policy).plan(hosts, running)
}

/// What is planned when nothing is there.
pub fn question<'a>(
    catalog: &'a Catalog,
    release: &'a ReleaseSpec,
    policy: &'a Policy,
) -> Question<'a> {
    static NOTHING: std::sync::LazyLock<Stock> = std::sync::LazyLock::new(Stock::default);
    Question {
        catalog,
        release,
        policy,
        stock: &NOTHING,
        gate: None,
    }
}
