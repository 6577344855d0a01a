//! Finding a product by a name as NVML, `nvidia-smi` or a person writes it.
//!
//! Names of one product differ in words that do not matter to compatibility (`NVIDIA`, `SXM4`, `40GB`) and in words that
//! people leave out (`GeForce`, `Tesla`). They must not be confused in the words that do matter: `RTX 4000` may be a
//! Quadro of 2018 or an Ada board of 2023. So an exact name wins, then the same words without the family, and where a
//! generation's name was left out and could have been meant, the answer is the candidates.

use super::{Catalog, GpuProduct};

/// Why a name does not say which product is meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GpuLookupError {
    /// No product is called that.
    #[error("no GPU called {name:?} is known")]
    Unknown {
        /// The name.
        name: String,
    },
    /// Several products could be meant that differ in what matters.
    #[error("{name:?} could be any of {}", candidates.join(", "))]
    Ambiguous {
        /// The name.
        name: String,
        /// The products.
        candidates: Vec<String>,
    },
}

/// Words for the maker, for the form and for variants with the same chip.
const NOISE: [&str; 30] = [
    "nvidia",
    "corporation",
    "gpu",
    "graphics",
    "card",
    "generation",
    "edition",
    "laptop",
    "mobile",
    "max",
    "q",
    "design",
    "super",
    "sff",
    "d",
    "pcie",
    "sxm",
    "sxm2",
    "sxm3",
    "sxm4",
    "sxm5",
    "nvl",
    "mig",
    "hbm2",
    "hbm2e",
    "hbm3",
    "hbm3e",
    "dgxs",
    "fhhl",
    "with",
];
/// Words that people leave out.
const FAMILIES: [&str; 6] = ["tesla", "geforce", "quadro", "gtx", "rtx", "gt"];
/// Words that tell products of one number apart.
const GENERATIONS: [&str; 8] = [
    "pascal",
    "ada",
    "blackwell",
    "black",
    "z",
    "server",
    "workstation",
    "pro",
];

impl Catalog {
    /// The product that a name means.
    ///
    /// # Errors
    /// If no product is called that, or several are that differ in compute capability or class.
    pub fn gpu(&self, name: &str) -> Result<&GpuProduct, GpuLookupError> {
        let asked = Name::parse(name);
        let named = |matches: fn(&Name, &Name) -> bool| -> Vec<&GpuProduct> {
            self.gpus
                .rows()
                .filter(|product| {
                    let mut names = std::iter::once(&product.name).chain(&product.aliases);
                    names.any(|known| matches(&asked, &Name::parse(known)))
                })
                .collect()
        };
        let exact = named(|asked, known| asked == known);
        let candidates = if exact.is_empty() {
            named(Name::may_mean)
        } else {
            exact
        };
        let Some(first) = candidates.first() else {
            return Err(GpuLookupError::Unknown {
                name: name.to_owned(),
            });
        };
        if candidates
            .iter()
            .all(|other| (other.capability, other.class) == (first.capability, first.class))
        {
            return Ok(first);
        }
        let candidates = candidates
            .iter()
            .map(|product| product.name.clone())
            .collect();
        Err(GpuLookupError::Ambiguous {
            name: name.to_owned(),
            candidates,
        })
    }
}

/// A name's words that matter, in three kinds.
#[derive(Debug, PartialEq, Eq)]
struct Name {
    families: Vec<String>,
    generations: Vec<String>,
    model: Vec<String>,
}

impl Name {
    fn parse(text: &str) -> Self {
        let mut name = Self {
            families: Vec::new(),
            generations: Vec::new(),
            model: Vec::new(),
        };
        let lower = text.to_ascii_lowercase();
        for word in lower
            .split(|letter: char| !letter.is_ascii_alphanumeric())
            .filter(|word| !word.is_empty())
        {
            let list = if NOISE.contains(&word) || is_size(word) {
                continue;
            } else if FAMILIES.contains(&word) {
                &mut name.families
            } else if GENERATIONS.contains(&word) {
                &mut name.generations
            } else {
                &mut name.model
            };
            list.push(word.to_owned());
        }
        name
    }

    /// Whether this name, short of some words, may mean a product with that name.
    fn may_mean(&self, known: &Self) -> bool {
        let within =
            |asked: &[String], known: &[String]| asked.iter().all(|word| known.contains(word));
        !self.model.is_empty()
            && self.model == known.model
            && within(&self.families, &known.families)
            && within(&self.generations, &known.generations)
    }
}

/// A memory size or a MIG slice: `40gb`, `1g`, `5gb`.
fn is_size(word: &str) -> bool {
    let digits = word.trim_end_matches("gb").trim_end_matches('g');
    digits.len() < word.len()
        && !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
}
