//! Which libraries a TensorFlow opens while it runs (`libraries.toml`).

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use tfleet_compat::CudaStack;

use crate::build::Lock;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    cuda: Vec<Cuda>,
    cudnn: Vec<Cudnn>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cuda {
    built_for: String,
    libraries: Vec<String>,
    #[serde(default)]
    older: Vec<String>,
    #[serde(default)]
    wheels: BTreeMap<String, Vec<String>>,
    #[expect(
        dead_code,
        reason = "where a row comes from is for whoever reads the file"
    )]
    source: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cudnn {
    major: u32,
    libraries: Vec<String>,
    #[expect(
        dead_code,
        reason = "where a row comes from is for whoever reads the file"
    )]
    source: String,
}

#[expect(
    clippy::expect_used,
    reason = "the file is part of the program, and a test reads it"
)]
static TABLE: LazyLock<Table> = LazyLock::new(|| {
    toml::from_str(include_str!("libraries.toml")).expect("libraries.toml is well formed")
});

/// The sonames, in the order in which TensorFlow opens them.
pub fn opened(stack: &CudaStack, lock: &Lock) -> Vec<String> {
    let built_for = stack.built_for.to_string();
    let row = TABLE
        .cuda
        .iter()
        .filter(|row| begins(&built_for, &row.built_for))
        .max_by_key(|row| row.built_for.len());
    let major = major(&stack.cudnn.to_string());
    let cudnn = TABLE.cudnn.iter().find(|row| Some(row.major) == major);
    let mut names: Vec<String> = Vec::new();
    if let Some(row) = row {
        names.extend(row.libraries.iter().cloned());
        if stack.needs_library_path {
            names.extend(row.older.iter().cloned());
        }
    }
    if let Some(cudnn) = cudnn {
        names.extend(cudnn.libraries.iter().cloned());
    }
    for (wheel, libraries) in row.iter().flat_map(|row| &row.wheels) {
        let has = |name: &str| {
            name.strip_prefix(wheel.as_str())
                .is_some_and(|rest| rest.starts_with("-cu"))
        };
        if lock.groups.iter().flat_map(|group| group.names()).any(has) {
            names.extend(libraries.iter().cloned());
        }
    }
    names
}

/// `11.2` begins with `11`, and not with `11.20` or `1`.
fn begins(version: &str, start: &str) -> bool {
    version
        .strip_prefix(start)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

pub(super) fn major(version: &str) -> Option<u32> {
    version.split('.').next()?.parse().ok()
}
