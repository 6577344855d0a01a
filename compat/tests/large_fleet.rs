//! A fleet of 400 hosts in three sites with 40 drivers and 15 GPU models (`fixtures/fleet-400.py` says how it came to be):
//! planned, explained, and planned again after one driver upgrade.

#![expect(clippy::unwrap_used, reason = "a test stops where it cannot go on")]

mod fleet;

use std::collections::BTreeMap;
use std::fmt::Write;

use fleet::{plan, question, spec};
use tfleet_compat::{
    Catalog, Consideration, HostChange, HostFacts, Plan, PlanDiff, Policy, Preference,
};

fn hosts() -> Vec<HostFacts> {
    serde_json::from_str(include_str!("fixtures/fleet-400.json")).unwrap()
}

fn planned(constraint: &str, policy: &Policy) -> Plan {
    plan(
        Catalog::builtin(),
        &spec(constraint),
        &hosts(),
        policy,
        None,
    )
    .unwrap()
}

/// A plan in numbers: how many hosts get what and why, and what would change that.
fn summary(plan: &Plan) -> String {
    let mut text = String::new();
    for variant in &plan.variants {
        writeln!(
            text,
            "{:>4} hosts get {}",
            variant.hosts.len(),
            variant.recipe.id
        )
        .unwrap();
        let mut fits: BTreeMap<String, usize> = BTreeMap::new();
        for host in &variant.hosts {
            let fit = plan.assignment(host).unwrap().compatibility.to_string();
            *fits.entry(fit).or_default() += 1;
        }
        for (fit, count) in fits {
            writeln!(text, "       {count} {fit}").unwrap();
        }
    }
    for group in plan.left_out() {
        writeln!(
            text,
            "{:>4} left out: {}\n       → {}",
            group.hosts.len(),
            group.reason,
            group.remedy
        )
        .unwrap();
    }
    for upgrade in &plan.upgrades {
        writeln!(text, "advice: {upgrade}").unwrap();
    }
    for note in &plan.notes {
        writeln!(text, "note: {note}").unwrap();
    }
    text
}

#[test]
fn the_newest_for_each_host() {
    let plan = planned(">=2", &Policy::default());
    assert!(plan.exact);
    assert_eq!(plan.assignments.len() + plan.unplaced.len(), 400);
    insta::assert_snapshot!(summary(&plan));
}

#[test]
fn one_tensorflow_for_as_many_as_can_be() {
    let policy = Policy {
        preference: Preference::Uniform,
        ..Policy::default()
    };
    let plan = planned(">=2", &policy);
    assert!(plan.exact);
    insta::assert_snapshot!(summary(&plan));
}

#[test]
fn a_narrow_constraint_with_compat_packages_where_drivers_are_too_old() {
    let policy = Policy {
        forward_compatibility: true,
        ..Policy::default()
    };
    insta::assert_snapshot!(summary(&planned(">=2.15,<2.20", &policy)));
}

#[test]
fn one_upgrade_moves_the_upgraded_hosts_and_no_others() {
    let before = planned(">=2.14,<2.16", &Policy::default());
    let change: HostChange = "driver=535.183.01".parse().unwrap();
    let mut hosts = hosts();
    let mut upgraded = 0;
    for host in &mut hosts {
        if host.labels["site"] == "tsukuba" && host.labels["rack"] == "2" {
            change.apply(host);
            upgraded += 1;
        }
    }
    assert_eq!(upgraded, 52);
    let policy = Policy {
        rebalance: true,
        ..Policy::default()
    };
    let after = plan(
        Catalog::builtin(),
        &spec(">=2.14,<2.16"),
        &hosts,
        &policy,
        Some(&before),
    )
    .unwrap();
    let diff = PlanDiff::between(&before.assigned(), &after.assigned());
    let mut text = String::new();
    for one in &diff.moves {
        let name = |id: &Option<String>| id.clone().unwrap_or_else(|| "nothing".to_owned());
        writeln!(
            text,
            "{:>4} hosts: {} → {}",
            one.hosts.len(),
            name(&one.from),
            name(&one.to)
        )
        .unwrap();
    }
    assert!(
        diff.moves
            .iter()
            .flat_map(|one| &one.hosts)
            .all(|host| host.starts_with("tsukuba")),
        "{text}"
    );
    insta::assert_snapshot!(text);
}

#[test]
fn a_host_is_explained_rule_by_rule() {
    let hosts = hosts();
    let host = hosts
        .iter()
        .find(|host| host.gpus.len() > 1 && host.gpus[0].name != host.gpus[1].name)
        .unwrap();
    let (spec, policy) = (spec(">=2.13,<2.17"), Policy::default());
    let considered = question(Catalog::builtin(), &spec, &policy)
        .explain(host)
        .unwrap();
    let mut text = format!("{}\n", host.name);
    for one in &considered {
        let Consideration::Recipe {
            recipe, verdict, ..
        } = one
        else {
            panic!("every one of these has a recipe: {one:?}")
        };
        writeln!(text, "\n{recipe}").unwrap();
        for finding in verdict.findings() {
            assert!(!finding.source.is_empty());
            writeln!(text, "  {}: {}", finding.rule, finding.fact).unwrap();
        }
        if let Some(refusal) = verdict.refusal() {
            assert!(!refusal.source.is_empty());
            writeln!(
                text,
                "  refused by {}: {refusal}\n  → {}",
                refusal.rule, refusal.remedy
            )
            .unwrap();
        }
    }
    insta::assert_snapshot!(text);
}
