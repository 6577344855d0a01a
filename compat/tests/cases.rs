//! The cases of `cases.toml` through the public interface.

#![expect(clippy::unwrap_used, reason = "a test stops where it cannot go on")]

use std::collections::BTreeSet;

use serde::Deserialize;
use tfleet_compat::levels::{Levels, levels};
use tfleet_compat::{
    Architecture, Catalog, ComputeCapability, CudaVersion, DriverVersion, Gpu, HostFacts, Recipe,
    Refusal, Rule, TensorflowVersion, Verdict, check, rules,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    levels: Vec<LevelsCase>,
    check: Vec<CheckCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LevelsCase {
    id: String,
    gpu: String,
    driver: DriverVersion,
    compute_capability: Option<ComputeCapability>,
    #[serde(default)]
    architecture: Architecture,
    native: Option<String>,
    native_release: Option<String>,
    minor: Option<String>,
    forward: Option<String>,
    forward_least: Option<CudaVersion>,
    newest: Option<String>,
    newest_strict: Option<String>,
    newest_forward: Option<String>,
    cudnn_below: Option<String>,
    refused: Option<Rule>,
    why: String,
    source: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckCase {
    id: String,
    tensorflow: TensorflowVersion,
    verdict: String,
    needs_driver: Option<DriverVersion>,
    host: HostFacts,
    why: String,
    source: Vec<String>,
}

fn cases() -> Cases {
    toml::from_str(include_str!("cases.toml")).unwrap()
}

fn levels_of(case: &LevelsCase) -> Result<Levels, Refusal> {
    let mut gpu = Gpu::named(&case.gpu);
    gpu.compute_capability = case.compute_capability;
    let known = rules::gpu_known(Catalog::builtin(), &gpu).unwrap();
    levels(Catalog::builtin(), &case.driver, &known, case.architecture)
}

/// What differs from what a case expects; nothing where the case leaves it open.
fn differs<T: ToString>(what: &str, expected: Option<&String>, found: Option<T>) -> Option<String> {
    let found = found.map_or_else(|| "none".to_owned(), |found| found.to_string());
    let expected = expected.filter(|expected| **expected != found)?;
    Some(format!("{what} is {found} and not {expected}"))
}

fn differences(case: &LevelsCase) -> Vec<String> {
    let levels = match (levels_of(case), case.refused) {
        (Ok(levels), None) => levels,
        (Err(refusal), Some(rule)) if refusal.rule == rule => return Vec::new(),
        (Err(refusal), _) => return vec![format!("refused: {refusal}")],
        (Ok(_), Some(_)) => return vec!["not refused".to_owned()],
    };
    let tensorflow = levels.tensorflow;
    assert_eq!(
        tensorflow.supported.first(),
        tensorflow.newest_strict.as_ref()
    );
    let none = "none".to_owned();
    let strict = case.newest_strict.as_ref().or(case.newest.as_ref());
    let cudnn_below = case.cudnn_below.as_ref().unwrap_or(&none);
    let short = case
        .forward_least
        .filter(|least| levels.forward < Some(*least));
    [
        differs("native", case.native.as_ref(), levels.native),
        differs(
            "the native release",
            case.native_release.as_ref(),
            levels.native_release,
        ),
        differs("minor", case.minor.as_ref(), levels.minor),
        differs("forward", case.forward.as_ref(), levels.forward),
        short.map(|least| format!("forward is below {least}")),
        differs("the newest", case.newest.as_ref(), tensorflow.newest),
        differs("the newest, strictly", strict, tensorflow.newest_strict),
        differs(
            "the newest by forward",
            case.newest_forward.as_ref(),
            tensorflow.newest_forward,
        ),
        differs(
            "the first cuDNN without kernels",
            Some(cudnn_below),
            levels.cudnn_below,
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[test]
fn every_driver_and_gpu_has_the_levels_that_the_sources_give() {
    let wrong: Vec<String> = cases()
        .levels
        .iter()
        .flat_map(|case| {
            assert!(
                !case.source.is_empty(),
                "{} says where it comes from",
                case.id
            );
            let found = differences(case).into_iter();
            found.map(|difference| format!("{}: {difference} ({})", case.id, case.why))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_host_gets_the_verdict_that_the_sources_give() {
    let catalog = Catalog::builtin();
    for case in cases().check {
        assert!(
            !case.source.is_empty(),
            "{} says where it comes from",
            case.id
        );
        let release = catalog.tensorflow_release(case.tensorflow.minor()).unwrap();
        let recipe =
            Recipe::for_gpu(catalog, release, &case.tensorflow, Architecture::X86_64).unwrap();
        let verdict = check(catalog, &case.host, &recipe);
        let found = match &verdict {
            Verdict::Accepted { compatibility, .. } => compatibility.to_string(),
            Verdict::Refused { refusal, .. } => {
                assert!(!refusal.remedy.is_empty() && !refusal.source.is_empty());
                let rule = serde_json::to_value(refusal.rule).unwrap();
                rule.as_str().unwrap().to_owned()
            }
        };
        assert_eq!(found, case.verdict, "{}: {} {verdict:?}", case.id, case.why);
        let needs = verdict
            .refusal()
            .and_then(|refusal| refusal.needs_driver.clone());
        if case.needs_driver.is_some() {
            assert_eq!(needs, case.needs_driver, "{}: {}", case.id, case.why);
        }
    }
}

#[test]
fn the_releases_of_a_driver_and_a_gpu_are_the_latest_patch_of_each_minor_version() {
    let gpu = Gpu::named("Tesla T4");
    let known = rules::gpu_known(Catalog::builtin(), &gpu).unwrap();
    let found = levels(
        Catalog::builtin(),
        &"470.82.01".parse().unwrap(),
        &known,
        Architecture::X86_64,
    )
    .unwrap();
    let supported: Vec<String> = found
        .tensorflow
        .supported
        .iter()
        .map(ToString::to_string)
        .collect();
    // All built for CUDA 11 by its floor, and all built for an older CUDA, which a newer driver runs; those built for 8.0
    // have no code for a T4 but the PTX of 6.1, which the driver compiles.
    assert_eq!(
        supported,
        [
            "2.14.1", "2.13.1", "2.12.1", "2.11.1", "2.10.1", "2.9.3", "2.8.4", "2.7.4", "2.6.5",
            "2.5.3", "2.4.4", "2.3.4", "2.2.3", "2.1.4", "2.0.4", "1.15.5", "1.14.0", "1.13.2",
            "1.12.3", "1.11.0", "1.10.1", "1.9.0", "1.8.0", "1.7.1", "1.6.0", "1.5.1", "1.4.1",
            "1.3.0", "1.2.1", "1.1.0", "1.0.1",
        ]
    );
}

#[test]
fn every_recipe_stands_on_a_python_with_a_wheel() {
    let catalog = Catalog::builtin();
    let mut pythons = BTreeSet::new();
    for release in catalog.tensorflow_releases() {
        let latest = release.latest().unwrap();
        for recipe in [
            Recipe::for_gpu(catalog, release, latest, Architecture::X86_64),
            Recipe::for_cpu(catalog, release, latest, Architecture::X86_64),
        ]
        .into_iter()
        .flatten()
        {
            assert!(release.python.contains(&recipe.python), "{}", recipe.id);
            pythons.insert(recipe.python);
        }
    }
    assert!(pythons.len() > 1, "not all on one Python: {pythons:?}");
}

#[test]
fn an_operators_file_teaches_a_new_gpu_driver_branch_and_package() {
    let overlay = r#"
        [[gpu]]
        name = "Z100"
        capability = "9.0"
        class = "datacenter"
        brand = "nvidia"
        forward = "yes"
        source = "the vendor"

        [[driver_branch]]
        branch = 620
        reports_cuda = "13.5"
        source = "the vendor"

        [[forward_compat]]
        cuda = "13.5"
        package = "cuda-compat-13-5"
        package_branch = 620
        host_branches = [615]
        basis = "guide-620"
        source = "the vendor"

        [[cuda]]
        release = "13.5.0"
        driver = "620.10"
        minor_floor = "580.65.06"
        capability_min = "7.5"
        capability_max = "12.1"
        source = "the vendor"
    "#;
    let catalog = Catalog::builtin()
        .with_overlay("site.toml", overlay)
        .unwrap();
    let gpu = Gpu::named("NVIDIA Z100 80GB");
    let known = rules::gpu_known(&catalog, &gpu).unwrap();
    let of = |driver: &str| {
        levels(
            &catalog,
            &driver.parse().unwrap(),
            &known,
            Architecture::X86_64,
        )
        .unwrap()
    };
    assert_eq!(of("620.10").native, Some(CudaVersion::new(13, 5)));
    assert_eq!(of("615.31").native, Some(CudaVersion::new(13, 3)));
    assert_eq!(of("615.31").forward, Some(CudaVersion::new(13, 5)));
    assert!(!catalog.is_newer_than_known(&"620.10".parse().unwrap()));
    assert!(Catalog::builtin().is_newer_than_known(&"620.10".parse().unwrap()));
}
