//! The house rules that a program can check: arrows between modules, file sizes, words that must not appear.
#![expect(
    clippy::expect_used,
    reason = "a test says what it could not read by failing"
)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Rows of each crate's picture in ARCHITECTURE.md, lowest first. A module may import from lower rows and itself.
const ROWS: &[(&str, &[&[&str]])] = &[
    (
        "agent",
        &[
            &["config", "durable"],
            &["engine", "policy", "ledger", "steps", "swarm"],
            &["identity", "inventory"],
            &["peers"],
            &["artifact"],
            &["link", "reconcile", "operations"],
            &["app", "main"],
        ],
    ),
    (
        "coordinator",
        &[
            &["config"],
            &["store"],
            &["artifact", "ca"],
            &["listener", "patch", "vault"],
            &["rollout", "fleet", "build", "distribute"],
            &["bundle"],
            &["rpc"],
            &["app", "main"],
        ],
    ),
    (
        "cli",
        &[&["error"], &["client"], &["view"], &["command"], &["main"]],
    ),
];

/// Crates that must not be mentioned in a crate's sources: what keeps the pure ones pure.
const PURE: &[(&str, &[&str])] = &[
    (
        "compat/src",
        &[
            "tokio",
            "prost",
            "std::fs",
            "std::net",
            "std::time::SystemTime",
            "std::time::Instant",
            "tfleet_proto",
        ],
    ),
    (
        "proto/src/model",
        &[
            "tokio",
            "prost",
            "tonic",
            "std::fs",
            "std::net",
            "tfleet_compat",
        ],
    ),
    (
        "agent/src/steps",
        &["tokio", "bollard", "tonic", "std::fs", "Timestamp::now"],
    ),
];

#[test]
fn modules_import_only_from_lower_rows() {
    let mut wrong = Vec::new();
    for (krate, rows) in ROWS {
        let height: BTreeMap<&str, usize> = rows
            .iter()
            .enumerate()
            .flat_map(|(row, modules)| modules.iter().map(move |m| (*m, row)))
            .collect();
        let source = root().join(krate).join("src");
        for file in rust_files(&source) {
            let module = top_module(&source, &file);
            let Some(&here) = height.get(module.as_str()) else {
                if module != "lib" {
                    wrong.push(format!(
                        "{}: module `{module}` has no row in the picture",
                        file.display()
                    ));
                }
                continue;
            };
            for imported in imports(&read(&file)) {
                let Some(&there) = height.get(imported.as_str()) else {
                    continue;
                };
                if imported != module && there >= here {
                    wrong.push(format!(
                        "{}: `{module}` imports `{imported}`, which is not below it",
                        file.display()
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pure_modules_stay_pure() {
    let mut wrong = Vec::new();
    for (folder, banned) in PURE {
        let folder = root().join(folder);
        assert!(
            folder.is_dir(),
            "{} is gone: correct this test",
            folder.display()
        );
        for file in rust_files(&folder)
            .into_iter()
            .filter(|file| !is_test(file))
        {
            let text = read(&file);
            for word in banned.iter().filter(|word| {
                text.lines()
                    .any(|line| !is_comment(line) && line.contains(**word))
            }) {
                wrong.push(format!("{} uses {word}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_file_is_small_enough_to_hold_in_mind() {
    let long: Vec<String> = ["agent", "cli", "compat", "coordinator", "proto", "tests"]
        .iter()
        .flat_map(|krate| rust_files(&root().join(krate)))
        .filter(|file| {
            !file
                .components()
                .any(|part| part.as_os_str() == "gen" || part.as_os_str() == "target")
        })
        .filter_map(|file| {
            let lines = read(&file).lines().count();
            // A table of cases may be longer than what it tests.
            let limit = if is_test(&file) { 600 } else { 400 };
            (lines > limit).then(|| format!("{}: {lines} lines", file.display()))
        })
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn rooms_have_names_that_say_something() {
    let vague = [
        "common", "util", "utils", "helper", "helpers", "manager", "misc",
    ];
    let found: Vec<String> = ["agent", "cli", "compat", "coordinator", "proto", "tests"]
        .iter()
        .flat_map(|krate| rust_files(&root().join(krate)))
        .filter(|file| {
            file.iter()
                .any(|part| vague.contains(&part.to_string_lossy().trim_end_matches(".rs")))
        })
        .map(|file| file.display().to_string())
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn no_document_has_a_place_that_is_still_to_be_filled() {
    let unfilled: Vec<String> = files_named(&root(), "md")
        .iter()
        .flat_map(|file| {
            let text = read(file);
            let lines: Vec<String> = text
                .lines()
                .enumerate()
                .filter(|(_, line)| line.contains("@@"))
                .map(|(index, line)| format!("{}:{}: {line}", file.display(), index + 1))
                .collect();
            lines
        })
        .collect();
    assert!(unfilled.is_empty(), "{}", unfilled.join("\n"));
}

/// What the imitated GPU shares with the product it would not test: both could be wrong alike.
#[test]
fn the_imitated_gpu_and_the_product_know_nothing_of_each_other() {
    let product = ["agent", "cli", "compat", "coordinator", "proto"];
    let package = |folder: &str| {
        let manifest = manifest(&root().join(folder));
        let name = manifest["package"]["name"].as_str().expect("a name");
        name.to_owned()
    };
    let ours: Vec<String> = product.map(package).to_vec();
    let imitations: Vec<PathBuf> = fs::read_dir(root().join("tests"))
        .expect("the folder of the tests")
        .map(|entry| entry.expect("directory entry").path())
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("fake-"))
        })
        .collect();
    assert!(imitations.len() >= 3, "{imitations:?}");

    let mut wrong = Vec::new();
    for folder in &imitations {
        for dependency in dependencies(&manifest(folder)) {
            if ours.contains(&dependency) {
                wrong.push(format!("{} depends on {dependency}", folder.display()));
            }
        }
    }
    for folder in product {
        for dependency in dependencies(&manifest(&root().join(folder))) {
            if dependency.starts_with("tfleet-fake-") || dependency == "tfleet-tests" {
                wrong.push(format!("{folder} depends on {dependency}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn manifest(folder: &Path) -> toml::Table {
    read(&folder.join("Cargo.toml"))
        .parse()
        .expect("a manifest is TOML")
}

/// Names in every table of dependencies, also those for tests and for some targets alone. One that is renamed counts
/// by the package's own name.
fn dependencies(table: &toml::Table) -> Vec<String> {
    let mut found = Vec::new();
    for (key, value) in table {
        let Some(inner) = value.as_table() else {
            continue;
        };
        if key.ends_with("dependencies") {
            for (name, how) in inner {
                let package = how.get("package").and_then(toml::Value::as_str);
                found.push(package.unwrap_or(name).to_owned());
            }
        } else {
            found.extend(dependencies(inner));
        }
    }
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace")
        .to_path_buf()
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    files_named(folder, "rs")
}

/// All files below a folder whose name ends so, but for what is built and what git and the lab keep.
fn files_named(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let not_ours = |path: &Path| {
        path.file_name()
            .is_some_and(|name| name == "target" || name.to_string_lossy().starts_with('.'))
    };
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in
            fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        {
            let path = entry.expect("directory entry").path();
            if path.is_dir() {
                if !not_ours(&path) {
                    folders.push(path);
                }
            } else if path
                .extension()
                .is_some_and(|extension| extension == ending)
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn is_test(file: &Path) -> bool {
    file.iter()
        .any(|part| part == "tests" || part == "tests.rs")
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// The first folder or file below `src`: the module's row is its.
fn top_module(source: &Path, file: &Path) -> String {
    let relative = file.strip_prefix(source).expect("a file below src");
    let first = relative
        .iter()
        .next()
        .expect("a file name")
        .to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// Top-level modules named after `crate::`, also in groups such as `use crate::{engine::Engine, ledger}`.
fn imports(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 1usize;
            let mut word = String::new();
            let mut fresh = true;
            for character in group.chars() {
                match character {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 1 => fresh = true,
                    c if depth == 1 && fresh && (c.is_alphanumeric() || c == '_') => word.push(c),
                    c if c.is_whitespace() && word.is_empty() => {}
                    _ if !word.is_empty() => fresh = false,
                    _ => {}
                }
                if !word.is_empty() && (!fresh || depth == 0 || character == ',') {
                    found.push(std::mem::take(&mut word));
                }
                if depth == 0 {
                    break;
                }
            }
        } else {
            found.push(
                rest.chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect(),
            );
        }
    }
    found
}

#[test]
fn dependencies_are_read_from_every_table() {
    let text = "[dependencies]\na.workspace = true\n[dev-dependencies]\nb = \"1\"\n\
                [target.'cfg(unix)'.build-dependencies]\nc = { package = \"d\", version = \"1\" }\n";
    let mut found = dependencies(&text.parse().expect("TOML"));
    found.sort();
    assert_eq!(found, ["a", "b", "d"]);
}

#[test]
fn imports_are_read_from_paths_and_groups() {
    let text =
        "use crate::ledger::Ledger;\nuse crate::{\n    engine::{Engine, error},\n    steps,\n};";
    assert_eq!(imports(text), ["ledger", "engine", "steps"]);
}
