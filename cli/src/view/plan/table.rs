//! A plan as tables. Hosts that are told the same stand in one row, so that a fleet of hundreds fits a screen.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use tfleet_compat::{LeftOutGroup, LeftOutHost, PlanDiff, Serving, drivers_that_do};

use super::{Plan, Unplaced, Upgrade, WhatIf};
use crate::view::{Cell, Grid, Tabular, Tone};

/// How many hosts a row names before it counts the rest.
const NAMED: usize = 4;

impl Tabular for Plan {
    fn grids(&self) -> Vec<Grid> {
        let mut grids = vec![self.variants_grid()];
        grids.extend([
            self.assignments_grid(),
            left_out_grid(&self.unplaced, &self.upgrades),
            upgrades_grid(&self.upgrades),
        ]);
        grids.extend(self.changes.iter().map(|changes| {
            changes_grid(changes)
                .titled("Against the running plan")
                .when_empty("nothing changes")
        }));
        grids.extend(
            self.what_if
                .iter()
                .flat_map(|what_if| what_if_grids(what_if, &self.unplaced)),
        );
        let notes = self
            .notes
            .iter()
            .map(|note| vec![Cell::from(note.as_str())]);
        grids.push(Grid::new(["NOTE"]).with_rows(notes));
        let first = grids.remove(0);
        std::iter::once(first)
            .chain(grids.into_iter().filter(Grid::has_something_to_say))
            .collect()
    }
}

impl Plan {
    fn variants_grid(&self) -> Grid {
        let hosts_of = |id: &str| {
            let of_it = self.assignments.iter();
            of_it.filter(|assignment| assignment.variant == id).count()
        };
        let cuda = |cuda: &str, compat: Option<&String>| match compat {
            Some(package) => format!("{cuda} by {package}"),
            None => cuda.to_owned(),
        };
        let variants = self.variants.iter().map(|variant| {
            vec![
                Cell::from(variant.id.as_str()),
                Cell::from(variant.tensorflow.as_str()),
                Cell::from(match &variant.cuda {
                    Some(level) => cuda(level, variant.compat_package.as_ref()),
                    None => "CPU".to_owned(),
                }),
                Cell::maybe(variant.cudnn.as_ref()),
                Cell::from(variant.python.as_str()),
                Cell::from(variant.base.as_str()),
                Cell::from(variant.architecture.as_str()),
                Cell::from(hosts_of(&variant.id).to_string()),
            ]
        });
        Grid::new([
            "VARIANT",
            "TENSORFLOW",
            "CUDA",
            "CUDNN",
            "PYTHON",
            "BASE",
            "ARCH",
            "HOSTS",
        ])
        .when_empty(if self.unplaced.is_empty() {
            "no host is selected"
        } else {
            "no variant fits any host"
        })
        .with_rows(variants)
    }

    fn assignments_grid(&self) -> Grid {
        let groups = grouped(&self.assignments, |assignment| {
            (
                &assignment.variant,
                &assignment.compatibility,
                &assignment.reason,
            )
        });
        let rows = groups.into_iter().map(|((variant, fit, reason), hosts)| {
            let hosts: Vec<&str> = hosts.iter().map(|found| found.host.as_str()).collect();
            vec![
                Cell::from(names(&hosts)),
                Cell::from(variant.as_str()).toned(Tone::Good),
                Cell::from(fit.as_str()),
                Cell::from(reason.as_str()),
            ]
        });
        Grid::new(["HOST", "GETS", "FIT", "BECAUSE"]).with_rows(rows)
    }
}

fn left_out_grid(unplaced: &[Unplaced], upgrades: &[Upgrade]) -> Grid {
    let serving: Vec<Serving<'_>> = upgrades
        .iter()
        .filter(|upgrade| upgrade.effect == "serves")
        .map(|upgrade| Serving {
            hosts: upgrade.hosts.iter().map(String::as_str).collect(),
            from: upgrade
                .from
                .first()
                .zip(upgrade.from.last())
                .map(|(a, b)| (a.as_str(), b.as_str())),
            to: &upgrade.to,
            last_branch: upgrade.last_branch,
            variant: &upgrade.variant,
        })
        .collect();
    let hosts = unplaced.iter().map(|left| LeftOutHost {
        host: &left.host,
        reason: &left.reason,
        remedy: &left.remedy,
    });
    let rows = LeftOutGroup::of(hosts, &serving).into_iter().map(|group| {
        let hosts: Vec<&str> = group.hosts.iter().map(String::as_str).collect();
        vec![
            Cell::from(names(&hosts)).toned(Tone::Attention),
            Cell::from(group.reason),
            Cell::from(group.remedy),
        ]
    });
    Grid::new(["LEFT OUT", "BECAUSE", "REMEDY"]).with_rows(rows)
}

fn upgrades_grid(upgrades: &[Upgrade]) -> Grid {
    let rows = upgrades.iter().map(|upgrade| {
        let hosts: Vec<&str> = upgrade.hosts.iter().map(String::as_str).collect();
        let from = match upgrade.from.as_slice() {
            [] => "none".to_owned(),
            [one] => one.clone(),
            [oldest, .., newest] => format!("{oldest} to {newest}"),
        };
        vec![
            Cell::from(names(&hosts)),
            Cell::from(from),
            Cell::from(drivers_that_do(&upgrade.to, upgrade.last_branch)),
            Cell::from(match upgrade.effect {
                "saves" => format!("the variant {} disappears", upgrade.variant),
                _ => format!("served by {}", upgrade.variant),
            }),
        ]
    });
    Grid::new(["UPGRADE", "DRIVER", "TO", "THEN"]).with_rows(rows)
}

fn changes_grid(changes: &PlanDiff) -> Grid {
    let variant = |id: Option<&String>, tone: Tone| match id {
        None => Cell::from("nothing").toned(Tone::Attention),
        Some(id) => Cell::from(id.as_str()).toned(tone),
    };
    let rows = changes.moves.iter().map(|one| {
        let hosts: Vec<&str> = one.hosts.iter().map(String::as_str).collect();
        vec![
            Cell::from(names(&hosts)),
            variant(one.from.as_ref(), Tone::Plain),
            variant(one.to.as_ref(), Tone::Good),
        ]
    });
    Grid::new(["HOST", "HAS", "GETS"]).with_rows(rows)
}

fn what_if_grids(what_if: &WhatIf, without: &[Unplaced]) -> Vec<Grid> {
    let WhatIf {
        change,
        hosts,
        changes,
        unplaced,
    } = what_if;
    let of = |ids: &[String], what: &str| match ids {
        [] => String::new(),
        ids => format!("; {what}: {}", ids.join(", ")),
    };
    let title = format!(
        "If {change} ({hosts} host{}){}{}",
        if *hosts == 1 { "" } else { "s" },
        of(&changes.added, "new variants"),
        of(&changes.removed, "variants that are no longer needed"),
    );
    // What the plan without the change says already is not said again.
    let said: HashSet<&Unplaced> = without.iter().collect();
    let told = unplaced.iter().filter(|left| !said.contains(left));
    let told: Vec<Unplaced> = told.cloned().collect();
    vec![
        changes_grid(changes)
            .titled(title)
            .when_empty("nothing changes"),
        left_out_grid(&told, &[]),
    ]
}

/// Rows that are told the same, in the order of their first.
fn grouped<'a, T, K: Hash + Eq + Copy>(
    rows: &'a [T],
    key: impl Fn(&'a T) -> K,
) -> Vec<(K, Vec<&'a T>)> {
    let mut groups: Vec<(K, Vec<&T>)> = Vec::new();
    let mut places: HashMap<K, usize> = HashMap::new();
    for row in rows {
        let key = key(row);
        let place = *places.entry(key).or_insert(groups.len());
        if place == groups.len() {
            groups.push((key, Vec::new()));
        }
        groups[place].1.push(row);
    }
    groups
}

/// `a, b, c, d and 36 more (40)`.
fn names(hosts: &[&str]) -> String {
    match hosts {
        [] => "no host".to_owned(),
        hosts if hosts.len() <= NAMED => hosts.join(", "),
        hosts => format!(
            "{} and {} more ({})",
            hosts[..NAMED].join(", "),
            hosts.len() - NAMED,
            hosts.len()
        ),
    }
}
