//! A wheel's file name, and which of a release's wheels a Python takes.
//!
//! The name is `NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM.whl` (PEP 427), each tag possibly several joined by dots.
//! The order of preference is that of `packaging.tags`: the interpreter's own ABI, then `abi3` from newer to older,
//! then pure Python; of platforms the newest glibc that the base has.

use tfleet_compat::Architecture;

/// Where a wheel shall run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// `(3, 11)`.
    pub python: (u32, u32),
    /// `(2, 36)`.
    pub glibc: (u32, u32),
    pub architecture: Architecture,
}

/// How well a wheel fits; smaller is better.
pub type Rank = (u32, u32, std::cmp::Reverse<u32>);

/// None if the wheel does not run on the target, or the name is not a wheel's.
pub fn rank(file: &str, target: &Target) -> Option<Rank> {
    let parts: Vec<&str> = file.strip_suffix(".whl")?.split('-').collect();
    let (build, tags) = match parts.as_slice() {
        [_, _, tags @ ..] if tags.len() == 3 => (0, tags),
        [_, _, build, tags @ ..] if tags.len() == 3 => (leading_number(build), tags),
        _ => return None,
    };
    let [pythons, abis, platforms] = tags else {
        return None;
    };
    let mut best = None;
    for python in pythons.split('.') {
        for abi in abis.split('.') {
            for platform in platforms.split('.') {
                let Some(fit) =
                    interpreter_rank(python, abi, target).zip(platform_rank(platform, target))
                else {
                    continue;
                };
                best = best.into_iter().chain([fit]).min();
            }
        }
    }
    best.map(|(interpreter, platform)| (interpreter, platform, std::cmp::Reverse(build)))
}

fn interpreter_rank(python: &str, abi: &str, target: &Target) -> Option<u32> {
    let (major, minor) = target.python;
    let own = format!("cp{major}{minor}");
    if let Some(tag) = python.strip_prefix("cp") {
        let tag_minor: u32 = tag.strip_prefix(&major.to_string())?.parse().ok()?;
        return match abi {
            _ if python == own && abi == own => Some(0),
            // CPython up to 3.7 marked its ABI.
            _ if python == own && abi == format!("{own}m") => Some(0),
            "abi3" if tag_minor <= minor => Some(1 + minor - tag_minor),
            "none" if python == own => Some(100),
            _ => None,
        };
    }
    let tag = python.strip_prefix("py")?;
    let rest = tag.strip_prefix(&major.to_string())?;
    if abi != "none" {
        return None;
    }
    match rest {
        "" => Some(300),
        _ => rest
            .parse()
            .ok()
            .filter(|tag_minor| *tag_minor <= minor)
            .map(|tag_minor: u32| 200 + minor - tag_minor),
    }
}

fn platform_rank(platform: &str, target: &Target) -> Option<u32> {
    if platform == "any" {
        return Some(1000);
    }
    let architecture = target.architecture.as_str();
    let system = platform.strip_suffix(architecture)?.strip_suffix('_')?;
    let (major, minor) = match system {
        "linux" => return Some(999),
        "manylinux1" => (2, 5),
        "manylinux2010" => (2, 12),
        "manylinux2014" => (2, 17),
        _ => {
            let (major, minor) = system.strip_prefix("manylinux_")?.split_once('_')?;
            (major.parse().ok()?, minor.parse::<u32>().ok()?)
        }
    };
    (major == target.glibc.0 && minor <= target.glibc.1).then(|| target.glibc.1 - minor)
}

/// The platform tags of wheels that run on the target, best first, as pip takes them.
pub fn platforms(target: &Target) -> Vec<String> {
    let (major, newest) = target.glibc;
    let architecture = target.architecture;
    // PEP 600; before it a few versions had names of their own.
    let legacy = |minor| match minor {
        17 => Some("manylinux2014"),
        12 => Some("manylinux2010"),
        5 => Some("manylinux1"),
        _ => None,
    };
    let mut names = Vec::new();
    for minor in (5..=newest).rev() {
        names.push(format!("manylinux_{major}_{minor}_{architecture}"));
        names.extend(legacy(minor).map(|name| format!("{name}_{architecture}")));
    }
    names.push(format!("linux_{architecture}"));
    names
}

fn leading_number(build: &str) -> u32 {
    let digits: String = build.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}
