use super::*;
use crate::host::Architecture;

fn recipe(tensorflow: &str) -> Recipe {
    let tensorflow = tensorflow.parse().unwrap();
    let release = Catalog::builtin()
        .tensorflow_release(crate::TensorflowVersion::minor(&tensorflow))
        .unwrap();
    Recipe::for_gpu(
        Catalog::builtin(),
        release,
        &tensorflow,
        Architecture::X86_64,
    )
    .unwrap()
}

fn host(driver: &str, gpus: &[&str]) -> HostFacts {
    let mut host = HostFacts::new("host");
    host.driver_version = Some(driver.parse().unwrap());
    host.gpus = gpus.iter().map(|name| Gpu::named(*name)).collect();
    host
}

#[test]
fn an_accepted_recipe_comes_with_what_every_rule_found_in_order() {
    let verdict = check(
        Catalog::builtin(),
        &host("470.256.02", &["Tesla T4"]),
        &recipe("2.14.1"),
    );
    assert_eq!(verdict.compatibility(), Some(Compatibility::Minor));
    let rules: Vec<Rule> = verdict
        .findings()
        .iter()
        .map(|finding| finding.rule)
        .collect();
    assert_eq!(
        rules,
        [
            Rule::Architecture,
            Rule::CpuFeatures,
            Rule::DriverHealth,
            Rule::GpuAccess,
            Rule::GpuHealth,
            Rule::DriverSupportsGpu,
            Rule::CudaSupportsGpu,
            Rule::CudnnSupportsGpu,
            Rule::DriverRunsCuda,
            Rule::MachineCode,
        ]
    );
    assert!(rules.is_sorted());
    assert!(
        verdict
            .findings()
            .iter()
            .all(|finding| !finding.source.is_empty())
    );
}

#[test]
fn a_refused_recipe_names_the_rule_and_keeps_what_passed_before() {
    let verdict = check(
        Catalog::builtin(),
        &host("470.256.02", &["Tesla T4"]),
        &recipe("2.15.1"),
    );
    let refusal = verdict.refusal().unwrap();
    assert_eq!(refusal.rule, Rule::DriverRunsCuda);
    assert_eq!(
        refusal.reason,
        "driver 470.256.02 < 525.60.13, the floor of CUDA 12.x"
    );
    assert!(
        verdict
            .findings()
            .iter()
            .all(|finding| finding.rule < Rule::DriverRunsCuda)
    );
}

#[test]
fn several_gpus_are_served_by_what_serves_all_of_them() {
    let one = check(
        Catalog::builtin(),
        &host("535.129.03", &["Tesla T4"]),
        &recipe("2.19.1"),
    );
    assert_eq!(one.compatibility(), Some(Compatibility::Minor));
    let both = check(
        Catalog::builtin(),
        &host("535.129.03", &["Tesla T4", "NVIDIA H100 PCIe"]),
        &recipe("2.19.1"),
    );
    assert!(both.refusal().unwrap().reason.contains("H100"));
}

#[test]
fn equal_gpus_are_asked_once() {
    let eight = check(
        Catalog::builtin(),
        &host("535.129.03", &["NVIDIA L4"; 8]),
        &recipe("2.15.1"),
    );
    let one = check(
        Catalog::builtin(),
        &host("535.129.03", &["NVIDIA L4"]),
        &recipe("2.15.1"),
    );
    assert_eq!(eight, one);
}

#[test]
fn a_recipe_newer_than_the_catalog_is_refused_with_what_to_do() {
    let mut newer = recipe("2.21.0");
    newer.tensorflow = "2.99.0".parse().unwrap();
    let verdict = check(
        Catalog::builtin(),
        &host("580.95.05", &["NVIDIA L4"]),
        &newer,
    );
    assert_eq!(verdict.refusal().unwrap().rule, Rule::RecipeKnown);
    let mut newer = recipe("2.21.0");
    newer.cuda.as_mut().unwrap().installed = "19.0.0".parse().unwrap();
    let verdict = check(
        Catalog::builtin(),
        &host("580.95.05", &["NVIDIA L4"]),
        &newer,
    );
    assert_eq!(
        verdict.refusal().unwrap().reason,
        "the catalog does not know CUDA 19.0.0"
    );
}

#[test]
fn a_verdict_reads_as_it_is_written() {
    for tensorflow in ["2.14.1", "2.15.1"] {
        let verdict = check(
            Catalog::builtin(),
            &host("470.256.02", &["Tesla T4"]),
            &recipe(tensorflow),
        );
        let json = serde_json::to_string(&verdict).unwrap();
        assert_eq!(serde_json::from_str::<Verdict>(&json).unwrap(), verdict);
    }
}
