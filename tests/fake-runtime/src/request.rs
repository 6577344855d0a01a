//! What a container's environment asks of the runtime.

use std::collections::BTreeMap;

use tfleet_fake_gpu::{Gpu, Machine};

/// Asked for by a container that wants the driver.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    pub devices: Devices,
    /// Values of `NVIDIA_REQUIRE_*`, in order of their names; empty if the check is switched off.
    pub requirements: Vec<String>,
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
        let legacy = get("CUDA_VERSION").filter(|_| get("NVIDIA_REQUIRE_CUDA").is_none());
        let devices = match (get("NVIDIA_VISIBLE_DEVICES"), legacy) {
            (None, Some(_)) | (Some("all"), _) => Devices::All,
            (None, None) | (Some("" | "void"), _) => return None,
            (Some("none"), _) => Devices::None,
            (Some(list), _) => Devices::Some(list.split(',').map(str::to_owned).collect()),
        };
        let switched_off = matches!(get("NVIDIA_DISABLE_REQUIRE"), Some("true" | "1"));
        let mut requirements = Vec::new();
        if !switched_off {
            let named = variables
                .iter()
                .filter(|(name, _)| name.starts_with("NVIDIA_REQUIRE_"))
                .filter(|(name, _)| !name.starts_with("NVIDIA_REQUIRE_JETPACK"));
            requirements.extend(named.map(|(_, value)| (*value).to_owned()));
            requirements.extend(legacy.and_then(legacy_requirement));
        }
        let capabilities = get("NVIDIA_DRIVER_CAPABILITIES").unwrap_or("utility,compute");
        Some(Self {
            devices,
            requirements,
            utility: capabilities
                .split(',')
                .any(|one| matches!(one, "utility" | "all")),
        })
    }
}

impl Devices {
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

/// An image of that time requires the CUDA that it has.
fn legacy_requirement(version: &str) -> Option<String> {
    let mut parts = version.split('.');
    Some(format!("cuda>={}.{}", parts.next()?, parts.next()?))
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
}
