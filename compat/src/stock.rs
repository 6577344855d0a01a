//! What is there already, so that a plan can prefer it: builders, built images, images on hosts.

use std::collections::{BTreeMap, BTreeSet};

use crate::host::{Architecture, HostName};
use crate::recipe::RecipeId;

/// What a plan may count on. By default nothing is there, and everything can be built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stock {
    /// The architectures that a builder exists for; none: images are built elsewhere, for any.
    pub builders: Option<BTreeSet<Architecture>>,
    /// What is built already, with its bytes on the wire.
    pub built: BTreeMap<RecipeId, u64>,
    /// What hosts have in their engines.
    pub present: BTreeMap<HostName, BTreeSet<RecipeId>>,
}

impl Stock {
    /// What an image weighs on the wire: as it was built, or what one with CUDA libraries has weighed so far (TensorFlow
    /// 2.14.1 on CUDA 11.8 and 2.15.1 on 12.2: 2.0 and 1.9 GiB; on the CPU 0.3 GiB).
    #[must_use]
    pub fn bytes(&self, recipe: &RecipeId, has_cuda: bool) -> u64 {
        const WITH_CUDA: u64 = 2 << 30;
        const WITHOUT: u64 = 300 << 20;
        let estimate = if has_cuda { WITH_CUDA } else { WITHOUT };
        self.built.get(recipe).copied().unwrap_or(estimate)
    }

    /// Whether an image for this architecture can be made here.
    #[must_use]
    pub fn builds_for(&self, architecture: Architecture) -> bool {
        self.builders
            .as_ref()
            .is_none_or(|builders| builders.contains(&architecture))
    }
}
