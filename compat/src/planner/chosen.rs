//! The hosts of each recipe that was chosen.

use std::collections::BTreeMap;

use super::choice::Choice;
use super::remedy::LeftOut;
use crate::host::HostName;
use crate::recipe::RecipeId;

pub(super) struct Chosen<'a> {
    recipes: Vec<(&'a RecipeId, Vec<HostName>)>,
    /// The place in `recipes` of each group's choice, so that a host finds its recipe without comparing names.
    places: Vec<Option<usize>>,
}

impl<'a> Chosen<'a> {
    /// No host yet.
    pub fn of(outcomes: &'a [Result<Choice, LeftOut>]) -> Self {
        let mut recipes: Vec<(&RecipeId, Vec<HostName>)> = Vec::new();
        let places = outcomes
            .iter()
            .map(|outcome| {
                let recipe = &outcome.as_ref().ok()?.recipe;
                let known = recipes.iter().position(|(id, _)| *id == recipe);
                Some(known.unwrap_or_else(|| {
                    recipes.push((recipe, Vec::new()));
                    recipes.len() - 1
                }))
            })
            .collect();
        Self { recipes, places }
    }

    /// Gives a host what its group gets.
    pub fn add(&mut self, group: usize, host: HostName) {
        if let Some(place) = self.places[group] {
            self.recipes[place].1.push(host);
        }
    }

    /// Each recipe's hosts, in the order in which they were added.
    pub fn hosts(self) -> BTreeMap<RecipeId, Vec<HostName>> {
        let recipes = self.recipes.into_iter();
        recipes.map(|(id, hosts)| (id.clone(), hosts)).collect()
    }
}
