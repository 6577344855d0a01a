//! Finding a product by a name as NVML, `nvidia-smi` or a person writes it.
//!
//! Names of one product differ in words that do not matter to compatibility (`NVIDIA`, `SXM4`, `40GB`) and in words that
//! people leave out (`GeForce`, `Tesla`). They must not be confused in the words that do matter: `RTX 4000` may be a
//! Quadro of 2018 or an Ada board of 2023. So an exact name wins, then the same words without the family, and where a
//! generation's name was left out and could have been meant, the answer is the candidates.

use super::{Catalog, GpuClass, GpuProduct};

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
const NOISE: [&str; 43] = [
    "nvidia",
    "corporation",
    "gpu",
    "graphics",
    "card",
    "generation",
    "edition",
    "laptop",
    "mobile",
    "embedded",
    "max",
    "q",
    "design",
    "super",
    "sff",
    "d",
    "v2",
    "oem",
    "collectors",
    "ceo",
    "pcie",
    "pci",
    "sxm",
    "sxm2",
    "sxm3",
    "sxm4",
    "sxm5",
    "sxm6",
    "nvl",
    "mig",
    "me",
    "hbm2",
    "hbm2e",
    "hbm3",
    "hbm3e",
    "dgxs",
    "fhhl",
    "ls",
    "h",
    "lc",
    "ac",
    "with",
    "passive",
];
/// Words that people leave out.
const FAMILIES: [&str; 7] = ["tesla", "geforce", "quadro", "gtx", "rtx", "gt", "grid"];
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

/// Words that people write together with the number that follows, as in `rtx3090`.
const PREFIXES: [&str; 4] = ["rtx", "gtx", "gt", "titan"];

impl Catalog {
    /// The product that a name means.
    ///
    /// # Errors
    /// If no product is called that, or several are that differ in compute capability or class.
    pub fn gpu(&self, name: &str) -> Result<&GpuProduct, GpuLookupError> {
        let asked = Name::parse(name);
        let named = |matches: fn(&Name, &Name, GpuClass) -> bool| -> Vec<&GpuProduct> {
            self.gpus
                .rows()
                .filter(|product| {
                    let mut names = std::iter::once(&product.name).chain(&product.aliases);
                    names.any(|known| matches(&asked, &Name::parse(known), product.class))
                })
                .collect()
        };
        let exact = named(|asked, known, _| asked.is(known));
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
#[derive(Debug)]
struct Name {
    families: Vec<String>,
    generations: Vec<String>,
    model: Vec<String>,
    /// It ends with a vGPU profile, as in `GRID T4-16Q`.
    is_virtual: bool,
}

impl Name {
    fn parse(text: &str) -> Self {
        let mut name = Self {
            families: Vec::new(),
            generations: Vec::new(),
            model: Vec::new(),
            is_virtual: false,
        };
        let lower = text.to_ascii_lowercase();
        let words: Vec<&str> = lower
            .split(|letter: char| !letter.is_ascii_alphanumeric())
            .filter(|word| !word.is_empty())
            .flat_map(parted)
            .collect();
        name.is_virtual = words.iter().any(|word| is_profile(word));
        for word in words {
            // `A100-1-5C` is a profile on one slice of an A100.
            let is_slices = name.is_virtual
                && word.len() == 1
                && word.bytes().all(|byte| byte.is_ascii_digit());
            let list = if NOISE.contains(&word) || is_size(word) || is_profile(word) || is_slices {
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

    /// Whether the words that matter are the same.
    fn is(&self, known: &Self) -> bool {
        (&self.families, &self.generations, &self.model)
            == (&known.families, &known.generations, &known.model)
    }

    /// Whether this name, short of some words, may mean a product with that name. All data-centre boards were called
    /// Tesla until 2020 and are by many still; the virtual ones of any board are called GRID on older drivers.
    fn may_mean(&self, known: &Self, class: GpuClass) -> bool {
        let family = |word: &String| {
            known.families.contains(word)
                || word == "tesla" && class == GpuClass::Datacenter
                || word == "grid" && self.is_virtual
        };
        !self.model.is_empty()
            && self.model == known.model
            && self.families.iter().all(family)
            && self
                .generations
                .iter()
                .all(|word| known.generations.contains(word))
    }
}

/// The parts of a word that is written together: `rtx3090`, `1080ti`, `titanv`, `rtxa6000`.
fn parted(word: &str) -> Vec<&str> {
    let starts_a_number = |rest: &str| {
        rest.trim_start_matches('a')
            .starts_with(|letter: char| letter.is_ascii_digit())
    };
    let (prefix, rest) = PREFIXES
        .iter()
        .find_map(|prefix| {
            let rest = word.strip_prefix(prefix)?;
            (!rest.is_empty() && (*prefix == "titan" || starts_a_number(rest)))
                .then_some((Some(*prefix), rest))
        })
        .unwrap_or((None, word));
    let digits = rest
        .strip_suffix("ti")
        .filter(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
    let parts = match digits {
        Some(digits) => [prefix, Some(digits), Some("ti")],
        None => [prefix, Some(rest), None],
    };
    parts.into_iter().flatten().collect()
}

/// A memory size or a MIG slice: `40gb`, `1g`, `5gb`.
fn is_size(word: &str) -> bool {
    after_digits(word).is_some_and(|unit| ["g", "gb"].contains(&unit))
}

/// A vGPU profile, or the compute slice of a MIG device: `16q`, `8c`, `5cme`, `2b4`.
fn is_profile(word: &str) -> bool {
    after_digits(word).is_some_and(|kind| ["a", "b", "b4", "c", "cme", "q"].contains(&kind))
}

/// What follows the digits that a word begins with.
fn after_digits(word: &str) -> Option<&str> {
    let rest = word.trim_start_matches(|letter: char| letter.is_ascii_digit());
    (rest.len() < word.len()).then_some(rest)
}
