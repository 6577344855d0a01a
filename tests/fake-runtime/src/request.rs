//! What a container's environment asks of the runtime.

use std::collections::BTreeMap;

use tfleet_fake_gpu::{Gpu, Machine};

/// Asked for by a container that wants the driver.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    pub devices: Devices,
    /// Values of `NVIDIA_REQUIRE_*`, in order of their names; empty if the check is switched off.
    pub requirements: Vec<String>,
    /// The `CUDA_VERSION` of an early image that is no version: the real hook panics.
    pub unreadable_version: Option<String>,
    /// Whether `nvidia-smi` and NVML are wanted.
    pub utility: bool,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Devices {
    All,
    /// The driver's files, but no GPU.
    None,
    /// By index or UUID.
    Some(Vec<String>),
}

impl Request {
    /// None if the container does not ask for the driver: `NVIDIA_VISIBLE_DEVICES` is absent, empty or `void`, and the
    /// image is not one of the first CUDA images, which set `CUDA_VERSION` alone.
    pub fn of_environment<'a>(variables: impl Iterator<Item = &'a str>) -> Option<Self> {
        let variables: BTreeMap<&str, &str> = variables
            .filter_map(|variable| variable.split_once('='))
            .collect();
        let get = |name: &str| variables.get(name).copied();
        let is_unset = |name: &str| get(name).is_none_or(str::is_empty);
        let legacy = get("CUDA_VERSION")
            .filter(|version| !version.is_empty() && is_unset("NVIDIA_REQUIRE_CUDA"));
        let devices = match get("NVIDIA_VISIBLE_DEVICES") {
            None if legacy.is_some() => Devices::All,
            visible => Devices::of_list(visible.unwrap_or_default())?,
        };
        let mut requirements = Vec::new();
        let mut unreadable_version = None;
        if !get("NVIDIA_DISABLE_REQUIRE").is_some_and(is_true) {
            let named = variables
                .iter()
                .filter(|(name, _)| name.starts_with("NVIDIA_REQUIRE_"))
                .filter(|(name, _)| !name.starts_with("NVIDIA_REQUIRE_JETPACK"));
            requirements.extend(named.map(|(_, value)| (*value).to_owned()));
            if let Some(version) = legacy {
                match legacy_requirement(version) {
                    Some(requirement) => requirements.push(requirement),
                    None => unreadable_version = Some(version.to_owned()),
                }
            }
        }
        let capabilities = get("NVIDIA_DRIVER_CAPABILITIES").unwrap_or("utility,compute");
        Some(Self {
            devices,
            requirements,
            unreadable_version,
            utility: capabilities
                .split(',')
                .any(|one| matches!(one, "utility" | "all")),
        })
    }
}

impl Devices {
    /// None if the list is empty or `void` is in it. Otherwise the first `all` or `none` in it counts.
    fn of_list(list: &str) -> Option<Self> {
        let names: Vec<&str> = list
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .collect();
        if names.is_empty() || names.contains(&"void") {
            return None;
        }
        Some(
            match names.iter().find(|name| ["all", "none"].contains(name)) {
                Some(&"all") => Self::All,
                Some(_) => Self::None,
                None => Self::Some(names.into_iter().map(str::to_owned).collect()),
            },
        )
    }

    /// The GPUs, by index, or the one that does not exist.
    pub fn select<'a>(&self, machine: &'a Machine) -> Result<Vec<(usize, &'a Gpu)>, String> {
        let gpus = machine.gpus.iter().enumerate();
        match self {
            Self::All => Ok(gpus.collect()),
            Self::None => Ok(Vec::new()),
            Self::Some(wanted) => wanted
                .iter()
                .map(|wanted| {
                    gpus.clone()
                        .find(|(index, gpu)| {
                            index.to_string() == *wanted || gpu.uuid(*index) == *wanted
                        })
                        .ok_or_else(|| wanted.clone())
                })
                .collect(),
        }
    }
}

/// An image of that time requires the CUDA that it has. Its version is read loosely: an optional `v`, one to three numbers,
/// and what follows a dash or a plus does not matter. None if it is none.
fn legacy_requirement(version: &str) -> Option<String> {
    let version = version.strip_prefix('v').unwrap_or(version);
    let end = version.find(['-', '+']).unwrap_or(version.len());
    let mut numbers = Vec::new();
    for part in version[..end].split('.') {
        if !part.chars().all(|letter| letter.is_ascii_digit()) {
            return None;
        }
        numbers.push(part.parse::<u64>().ok()?);
    }
    match numbers[..] {
        [major] => Some(format!("cuda>={major}.0")),
        [major, minor] | [major, minor, _] => Some(format!("cuda>={major}.{minor}")),
        _ => None,
    }
}

/// `strconv.ParseBool` of the real hook's language.
fn is_true(value: &str) -> bool {
    ["1", "t", "T", "TRUE", "true", "True"].contains(&value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(variables: &[&str]) -> Option<Request> {
        Request::of_environment(variables.iter().copied())
    }

    #[test]
    fn a_container_that_names_no_device_asks_for_nothing() {
        assert_eq!(
            request(&["PATH=/bin", "NVIDIA_REQUIRE_CUDA=cuda>=12.0"]),
            None
        );
        assert_eq!(request(&["NVIDIA_VISIBLE_DEVICES=void"]), None);
        assert_eq!(request(&["NVIDIA_VISIBLE_DEVICES="]), None);
    }

    #[test]
    fn devices_are_all_none_or_a_list() {
        let devices = |value: &str| {
            request(&[&format!("NVIDIA_VISIBLE_DEVICES={value}")])
                .unwrap()
                .devices
        };
        assert_eq!(devices("all"), Devices::All);
        assert_eq!(devices("none"), Devices::None);
        assert_eq!(
            devices("0,GPU-1"),
            Devices::Some(vec!["0".into(), "GPU-1".into()])
        );
    }

    #[test]
    fn several_requirements_are_all_kept_unless_switched_off() {
        let variables = [
            "NVIDIA_VISIBLE_DEVICES=all",
            "NVIDIA_REQUIRE_CUDA=cuda>=11.0",
            "NVIDIA_REQUIRE_ARCH=arch>=7.0",
        ];
        assert_eq!(
            request(&variables).unwrap().requirements,
            ["arch>=7.0", "cuda>=11.0"]
        );
        let off = [&variables[..], &["NVIDIA_DISABLE_REQUIRE=true"]].concat();
        assert!(request(&off).unwrap().requirements.is_empty());
    }

    #[test]
    fn an_early_cuda_image_asks_for_all_and_requires_its_cuda() {
        let asked = request(&["CUDA_VERSION=8.0.61"]).unwrap();
        assert_eq!(asked.devices, Devices::All);
        assert_eq!(asked.requirements, ["cuda>=8.0"]);
    }

    #[test]
    fn capabilities_decide_whether_nvidia_smi_is_there() {
        let utility = |value: &str| {
            request(&[
                "NVIDIA_VISIBLE_DEVICES=all",
                &format!("NVIDIA_DRIVER_CAPABILITIES={value}"),
            ])
            .unwrap()
            .utility
        };
        assert!(utility("all") && utility("compute,utility"));
        assert!(!utility("compute"));
    }

    #[test]
    fn what_is_true_switches_the_check_off_and_nothing_else() {
        // internal/config/image/cuda_image.go, HasDisableRequire: strconv.ParseBool
        let is_off = |value: &str| {
            let off = format!("NVIDIA_DISABLE_REQUIRE={value}");
            let asked = [
                "NVIDIA_VISIBLE_DEVICES=all",
                "NVIDIA_REQUIRE_CUDA=cuda>=12",
                &off,
            ];
            request(&asked).unwrap().requirements.is_empty()
        };
        assert!(
            ["1", "t", "T", "true", "True", "TRUE"]
                .into_iter()
                .all(is_off)
        );
        assert!(!["0", "yes", "on", "tRUE", ""].into_iter().any(is_off));
    }

    #[test]
    fn an_empty_requirement_leaves_an_early_image_one() {
        // internal/config/image/cuda_image.go, IsLegacy: len(cudaRequire) == 0
        let asked = request(&["CUDA_VERSION=9.0", "NVIDIA_REQUIRE_CUDA="]).unwrap();
        assert_eq!(asked.devices, Devices::All);
        assert_eq!(asked.requirements, ["", "cuda>=9.0"]);
    }

    #[test]
    fn an_early_image_whose_version_is_none_makes_the_hook_fail() {
        // internal/config/image/cuda_image.go, legacyVersion; container_config.go: log.Panicln
        for version in ["8.0.44.1", "latest", "8.x"] {
            let asked = request(&[&format!("CUDA_VERSION={version}")]).unwrap();
            assert_eq!(asked.unreadable_version.as_deref(), Some(version));
        }
        let asked = request(&["CUDA_VERSION=v9.1.85-1"]).unwrap();
        assert_eq!(asked.requirements, ["cuda>=9.1"]);
    }

    #[test]
    fn void_anywhere_asks_for_nothing_and_spaces_do_not_matter() {
        // internal/config/image/cuda_image.go, devicesFromEnvvars; devices.go, NewVisibleDevices
        assert_eq!(request(&["NVIDIA_VISIBLE_DEVICES=0,void"]), None);
        assert_eq!(request(&["NVIDIA_VISIBLE_DEVICES= , "]), None);
        let devices = |value: &str| {
            request(&[&format!("NVIDIA_VISIBLE_DEVICES={value}")])
                .unwrap()
                .devices
        };
        assert_eq!(devices(" all"), Devices::All);
        assert_eq!(devices("0,none,all"), Devices::None);
        assert_eq!(devices("0, 1"), Devices::Some(vec!["0".into(), "1".into()]));
    }
}
