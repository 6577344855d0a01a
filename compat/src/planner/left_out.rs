//! Hosts that get nothing, gathered for whoever reads about hundreds of them.

use std::collections::HashMap;

use serde::Serialize;

use super::upgrade::drivers_that_do;

/// Hosts that get nothing for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOutGroup {
    /// The hosts, sorted.
    pub hosts: Vec<String>,
    /// Why.
    pub reason: String,
    /// What to do.
    pub remedy: String,
}

/// One host that gets nothing.
#[derive(Debug, Clone, Copy)]
pub struct LeftOutHost<'a> {
    /// The host.
    pub host: &'a str,
    /// Why.
    pub reason: &'a str,
    /// What to do.
    pub remedy: &'a str,
}

/// One driver upgrade that would serve hosts which get nothing.
#[derive(Debug, Clone)]
pub struct Serving<'a> {
    /// The hosts.
    pub hosts: Vec<&'a str>,
    /// The oldest and the newest driver that they have; none: no driver.
    pub from: Option<(&'a str, &'a str)>,
    /// The oldest driver that will do.
    pub to: &'a str,
    /// The newest branch that still drives their GPUs; none: every newer one does.
    pub last_branch: Option<u32>,
    /// What they get then.
    pub variant: &'a str,
}

impl LeftOutGroup {
    /// Gathers hosts by reason, those of most hosts first. Hosts that one upgrade cures are one group, although the reason of
    /// each names its own driver.
    #[must_use]
    pub fn of<'a>(
        hosts: impl IntoIterator<Item = LeftOutHost<'a>>,
        upgrades: &[Serving<'a>],
    ) -> Vec<Self> {
        let cured: HashMap<&str, usize> = upgrades
            .iter()
            .enumerate()
            .flat_map(|(number, upgrade)| upgrade.hosts.iter().map(move |host| (*host, number)))
            .collect();
        let mut groups: Vec<Self> = Vec::new();
        let mut places: HashMap<Key<'_>, usize> = HashMap::new();
        for left in hosts {
            let upgrade = cured.get(left.host).copied();
            let key = match upgrade {
                // One host, or hosts of one driver, have an exact reason of their own.
                Some(number) if upgrades[number].has_several_drivers() => Key::Upgrade(number),
                _ => Key::Reason(left.reason, left.remedy),
            };
            let place = *places.entry(key).or_insert(groups.len());
            if place == groups.len() {
                groups.push(match key {
                    Key::Upgrade(number) => upgrades[number].group(),
                    Key::Reason(reason, remedy) => Self {
                        hosts: Vec::new(),
                        reason: reason.to_owned(),
                        remedy: remedy.to_owned(),
                    },
                });
            }
            groups[place].hosts.push(left.host.to_owned());
        }
        // Stable, so that equals stay in the order of their first host.
        groups.sort_by_key(|group| std::cmp::Reverse(group.hosts.len()));
        groups
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key<'a> {
    Upgrade(usize),
    Reason(&'a str, &'a str),
}

impl Serving<'_> {
    fn has_several_drivers(&self) -> bool {
        self.from.is_some_and(|(oldest, newest)| oldest != newest)
    }

    fn group(&self) -> LeftOutGroup {
        let (oldest, newest) = self.from.unwrap_or(("none", "none"));
        LeftOutGroup {
            hosts: Vec::new(),
            reason: format!(
                "their drivers, {oldest} to {newest}, are older than {}",
                self.to
            ),
            remedy: format!(
                "upgrade them to {}; {} then runs",
                drivers_that_do(self.to, self.last_branch),
                self.variant
            ),
        }
    }
}
