//! What the rules can see of a host: hosts of one class get the same verdicts, so one of them is asked for all.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::vec::IntoIter;

use foldhash::{HashMap, HashMapExt};

use super::PlanError;
use super::plan::{Assignment, Plan};
use crate::host::{Architecture, DriverHealth, Gpu, GpuMode, HostFacts, HostName, RuntimeMode};
use crate::recipe::RecipeId;
use crate::stock::Stock;
use crate::version::DriverVersion;

/// A fleet by class.
pub(super) struct Classes<'a> {
    /// The hosts, sorted by name, each with its group's place in `groups`.
    pub hosts: Vec<(&'a HostName, usize)>,
    /// One host of each class.
    pub examples: Vec<&'a HostFacts>,
    /// Hosts of one class that have the same variant today.
    pub groups: Vec<Group<'a>>,
}

/// Hosts of one class that have the same variant today: they get the same variant.
pub(super) struct Group<'a> {
    /// The class's place in `examples`.
    pub class: usize,
    /// What the plan before gives them.
    pub today: Option<&'a RecipeId>,
    /// How many they are.
    pub hosts: u64,
    /// How many of them have a recipe's image already.
    having: BTreeMap<&'a RecipeId, u64>,
}

impl<'a> Classes<'a> {
    pub fn of(
        hosts: &'a [HostFacts],
        running: Option<&'a Plan>,
        stock: &'a Stock,
    ) -> Result<Self, PlanError> {
        // In the order in which the hosts lie in memory: a large fleet takes longer to fetch from there than to compare.
        let mut places = Places::default();
        let mut sorted: Vec<(&HostFacts, usize)> =
            hosts.iter().map(|host| (host, places.of(host))).collect();
        sorted.sort_unstable_by_key(|(host, _)| &host.name);
        if let Some(pair) = sorted
            .windows(2)
            .find(|pair| pair[0].0.name == pair[1].0.name)
        {
            return Err(PlanError::DuplicateHost(pair[0].0.name.clone()));
        }
        let mut today = Today::of(running);
        let mut classes = Self {
            hosts: Vec::with_capacity(hosts.len()),
            examples: Vec::new(),
            groups: Vec::new(),
        };
        // Numbered as they come by name, so that the order in which hosts are told changes nothing.
        let mut numbers: Vec<Option<usize>> = vec![None; places.classes.len()];
        let mut groups: HashMap<(usize, Option<&RecipeId>), usize> = HashMap::new();
        for (host, place) in sorted {
            let class = *numbers[place].get_or_insert_with(|| {
                classes.examples.push(host);
                classes.examples.len() - 1
            });
            let today = today.variant(&host.name);
            let group = *groups.entry((class, today)).or_insert_with(|| {
                classes.groups.push(Group {
                    class,
                    today,
                    hosts: 0,
                    having: BTreeMap::new(),
                });
                classes.groups.len() - 1
            });
            classes.groups[group].count(stock.present.get(&host.name));
            classes.hosts.push((&host.name, group));
        }
        Ok(classes)
    }
}

impl<'a> Group<'a> {
    /// How many of the hosts would have to be sent a recipe's image.
    pub fn lacking(&self, recipe: &RecipeId) -> u64 {
        self.hosts - self.having.get(recipe).copied().unwrap_or(0)
    }

    fn count(&mut self, present: Option<&'a BTreeSet<RecipeId>>) {
        self.hosts += 1;
        for recipe in present.into_iter().flatten() {
            *self.having.entry(recipe).or_default() += 1;
        }
    }
}

/// What the plan before gives each host, asked in the order of their names.
struct Today<'a>(Peekable<IntoIter<&'a Assignment>>);

impl<'a> Today<'a> {
    fn of(running: Option<&'a Plan>) -> Self {
        let mut sorted: Vec<&Assignment> =
            running.map_or_else(Vec::new, |plan| plan.assignments.iter().collect());
        // A plan of ours is sorted, and that is seen at once; one that was read need not be.
        sorted.sort_by_key(|assignment| &assignment.host);
        Self(sorted.into_iter().peekable())
    }

    fn variant(&mut self, host: &HostName) -> Option<&'a RecipeId> {
        while self
            .0
            .next_if(|assignment| assignment.host < *host)
            .is_some()
        {}
        let own = self.0.next_if(|assignment| assignment.host == *host)?;
        Some(&own.variant)
    }
}

/// Which class a host is of. Most hosts of a large fleet equal one seen before in every field, so that is looked up
/// first; what differs only in the order or number of GPUs is one class too.
#[derive(Default)]
struct Places<'a> {
    as_told: HashMap<AsTold<'a>, usize>,
    classes: BTreeMap<Class<'a>, usize>,
}

/// What the rules can see, with the GPUs as the host tells them.
#[derive(PartialEq, Eq, Hash)]
struct AsTold<'a>(Seen<'a>, &'a [Gpu]);

/// The same with each kind of GPU once.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Class<'a>(Seen<'a>, BTreeSet<&'a Gpu>);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Seen<'a> {
    driver: Option<&'a DriverVersion>,
    health: &'a DriverHealth,
    architecture: Architecture,
    has_avx: Option<bool>,
    gpu_modes: Option<&'a BTreeSet<GpuMode>>,
    runtime_mode: RuntimeMode,
}

impl<'a> Places<'a> {
    fn of(&mut self, host: &'a HostFacts) -> usize {
        let seen = Seen {
            driver: host.driver_version.as_ref(),
            health: &host.driver_health,
            architecture: host.architecture,
            has_avx: host.cpu_flags.as_ref().map(|flags| flags.contains("avx")),
            gpu_modes: host.gpu_modes.as_ref(),
            runtime_mode: host.runtime_mode,
        };
        let classes = &mut self.classes;
        *self
            .as_told
            .entry(AsTold(seen, &host.gpus))
            .or_insert_with(|| {
                let class = Class(seen, host.gpus.iter().collect());
                let next = classes.len();
                *classes.entry(class).or_insert(next)
            })
    }
}
