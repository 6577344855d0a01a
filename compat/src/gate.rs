//! What an image's environment tells NVIDIA's runtime: what it requires, and whether it asks for GPUs on its own.
//!
//! As the container toolkit reads it (`internal/config/image/cuda_image.go` of
//! <https://github.com/NVIDIA/nvidia-container-toolkit>): every variable whose name begins with `NVIDIA_REQUIRE_` must hold,
//! except `NVIDIA_REQUIRE_JETPACK*`; `NVIDIA_DISABLE_REQUIRE` with a true value switches all of them off; an image of the
//! first days, which sets `CUDA_VERSION` and no `NVIDIA_REQUIRE_CUDA`, asks for every GPU and for its own CUDA.

mod answer;

use std::collections::BTreeMap;

use crate::require::{Requirement, Subject, Unmet};
use crate::version::{CudaRelease, CudaVersion};

pub use answer::{GateAnswer, gate_answer};

/// What an image's environment says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageGate {
    asked: Vec<AskedRequirement>,
    switched_off: bool,
    devices: AskedDevices,
    cuda: Option<CudaRelease>,
}

/// One requirement and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedRequirement {
    /// The variable, such as `NVIDIA_REQUIRE_CUDA`.
    pub variable: String,
    /// What it requires.
    pub requirement: Requirement,
}

/// The GPUs that an image asks for by itself, before whoever starts a container says anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AskedDevices {
    /// None, and no driver either: nothing is evaluated unless the container asks.
    #[default]
    Nothing,
    /// The driver's files and no GPU (`none`).
    DriverOnly,
    /// All of them.
    All,
    /// Some, by index, UUID or CDI name.
    Listed(Vec<String>),
}

/// The requirement that a host does not meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsatisfied<'a> {
    /// Which requirement.
    pub asked: &'a AskedRequirement,
    /// Why.
    pub unmet: Unmet,
    /// The GPU for which it does not hold, counted from 0; none: no GPU is visible.
    pub gpu: Option<usize>,
}

const PREFIX: &str = "NVIDIA_REQUIRE_";
const REQUIRE_CUDA: &str = "NVIDIA_REQUIRE_CUDA";
const CUDA_VERSION: &str = "CUDA_VERSION";

impl ImageGate {
    /// What an environment says, given as `NAME=VALUE`. Of two with one name the later counts; a name without a value,
    /// which an engine leaves out, is left out here too.
    pub fn from_environment<'a>(environment: impl IntoIterator<Item = &'a str>) -> Self {
        let variables: BTreeMap<&str, &str> = environment
            .into_iter()
            .filter_map(|variable| variable.split_once('='))
            .collect();
        let get = |name: &str| variables.get(name).copied();
        let version = get(CUDA_VERSION).filter(|version| !version.is_empty());
        let is_of_first_days = get(REQUIRE_CUDA).is_none_or(str::is_empty);
        let first_days = version.filter(|_| is_of_first_days);
        let mut asked: Vec<AskedRequirement> = variables
            .iter()
            .filter(|(name, _)| name.starts_with(PREFIX))
            .filter(|(name, _)| !name.starts_with("NVIDIA_REQUIRE_JETPACK"))
            .map(|(name, text)| AskedRequirement {
                variable: (*name).to_owned(),
                requirement: Requirement::read(text),
            })
            .collect();
        asked.extend(first_days.map(|version| AskedRequirement {
            variable: CUDA_VERSION.to_owned(),
            requirement: own_cuda(version),
        }));
        Self {
            asked,
            switched_off: get("NVIDIA_DISABLE_REQUIRE").is_some_and(is_true),
            devices: AskedDevices::read(get("NVIDIA_VISIBLE_DEVICES"), first_days.is_some()),
            cuda: version.and_then(|version| version.parse().ok()),
        }
    }

    /// An image of which only its `NVIDIA_REQUIRE_CUDA` is known.
    #[must_use]
    pub fn requiring(requirement: Requirement) -> Self {
        Self {
            asked: vec![AskedRequirement {
                variable: REQUIRE_CUDA.to_owned(),
                requirement,
            }],
            ..Self::default()
        }
    }

    /// The requirements, in the order of their variables' names. The runtime takes several in no fixed order.
    #[must_use]
    pub fn requirements(&self) -> &[AskedRequirement] {
        &self.asked
    }

    /// Whether the image itself switches the requirements off.
    #[must_use]
    pub fn is_switched_off(&self) -> bool {
        self.switched_off
    }

    /// The GPUs that the image asks for by itself.
    #[must_use]
    pub fn devices(&self) -> &AskedDevices {
        &self.devices
    }

    /// The toolkit in the image, where it says it.
    #[must_use]
    pub fn cuda_release(&self) -> Option<&CudaRelease> {
        self.cuda.as_ref()
    }

    /// The CUDA level that the image asks for.
    #[must_use]
    pub fn cuda(&self) -> Option<CudaVersion> {
        let asked = || self.asked.iter().find_map(|asked| asked.requirement.cuda());
        self.cuda.as_ref().map(CudaRelease::level).or_else(asked)
    }

    /// The first requirement that does not hold, for visible GPUs in their order, each with all requirements
    /// (`configure_command`); none of them: without any GPU. None if all hold or are switched off.
    #[must_use]
    pub fn unsatisfied(
        &self,
        gpus: &[Subject<'_>],
        machine: Subject<'_>,
    ) -> Option<Unsatisfied<'_>> {
        if self.switched_off {
            return None;
        }
        let find = |subject: Subject<'_>, gpu: Option<usize>| {
            self.asked.iter().find_map(|asked| {
                let unmet = asked.requirement.unmet(subject)?;
                Some(Unsatisfied { asked, unmet, gpu })
            })
        };
        if gpus.is_empty() {
            return find(machine, None);
        }
        gpus.iter()
            .enumerate()
            .find_map(|(index, gpu)| find(*gpu, Some(index)))
    }
}

impl AskedDevices {
    fn read(visible: Option<&str>, is_of_first_days: bool) -> Self {
        let listed: Vec<&str> = visible
            .unwrap_or_default()
            .split(',')
            .map(str::trim)
            .filter(|device| !device.is_empty())
            .collect();
        if visible.is_none() && is_of_first_days {
            return Self::All;
        }
        if listed.is_empty() || listed.contains(&"void") {
            return Self::Nothing;
        }
        // Among names of devices the first of these two counts.
        match listed
            .iter()
            .find(|device| matches!(**device, "all" | "none"))
        {
            Some(&"all") => Self::All,
            Some(_) => Self::DriverOnly,
            None => Self::Listed(listed.into_iter().map(str::to_owned).collect()),
        }
    }
}

/// What the toolkit's language takes for true (`strconv.ParseBool`). Anything else, `yes` and `on` too, switches nothing off.
fn is_true(value: &str) -> bool {
    matches!(value, "1" | "t" | "T" | "TRUE" | "true" | "True")
}

/// The requirement of an image of the first days: the CUDA that it has. The toolkit reads the version by the rules of
/// semantic versions, loosely, and starts no container whose version it cannot read; then the variable itself stands for
/// a requirement that nothing meets.
fn own_cuda(version: &str) -> Requirement {
    let core = version.strip_prefix('v').unwrap_or(version);
    let core = core.split(['-', '+']).next().unwrap_or_default();
    let numbers: Option<Vec<u64>> = core
        .split('.')
        .map(|part| {
            let is_number = part.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| part.parse().ok()).flatten()
        })
        .collect();
    match numbers.as_deref() {
        Some([major]) => Requirement::read(&format!("cuda>={major}.0")),
        Some([major, minor] | [major, minor, _]) => {
            Requirement::read(&format!("cuda>={major}.{minor}"))
        }
        _ => Requirement::read(&format!("{CUDA_VERSION}={version}")),
    }
}

#[cfg(test)]
mod tests;
