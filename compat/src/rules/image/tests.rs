use super::*;
use crate::gate::gate_answer;
use crate::host::Architecture;
use crate::rules::driver_supports_gpu;

fn host(gpu: &str, driver: &str) -> HostFacts {
    let mut host = HostFacts::new("a");
    host.driver_version = Some(driver.parse().unwrap());
    host.gpus = vec![Gpu::named(gpu)];
    host
}

fn gate(tag: &str) -> ImageGate {
    let catalog = Catalog::builtin();
    let tag = catalog.image(tag).unwrap();
    tag.image.gate(catalog, Architecture::X86_64).unwrap()
}

fn requiring(text: &str) -> ImageGate {
    ImageGate::requiring(text.parse().unwrap())
}

fn refusal(host: &HostFacts, gate: &ImageGate) -> Refusal {
    image_requirement(Catalog::builtin(), host, gate).unwrap_err()
}

fn passes(host: &HostFacts, gate: &ImageGate) -> Finding {
    image_requirement(Catalog::builtin(), host, gate).unwrap()
}

#[test]
fn a_refusal_names_the_driver_its_cuda_the_unmet_text_and_every_way_out() {
    let refusal = refusal(
        &host("GeForce RTX 4090", "545.23.06"),
        &gate("12.4.1-base-ubuntu22.04"),
    );
    assert_eq!(refusal.rule, Rule::ImageRequirement);
    assert_eq!(
        refusal.reason,
        "driver 545.23.06 reports CUDA 12.3, which does not meet \"cuda>=12.4\" of the image's NVIDIA_REQUIRE_CUDA for \
         GeForce RTX 4090 (brand geforce), nor one of its other alternatives"
    );
    assert_eq!(
        refusal.remedy,
        "upgrade the driver to ≥ 550.54.14 (R550 or newer); or use an image for CUDA 12.3 or older; or set \
         NVIDIA_DISABLE_REQUIRE=1 or give GPUs in cdi mode, since minor-version compatibility serves it: driver 545.23.06 ≥ \
         525.60.13, the floor of CUDA 12.x, which 12.4.1 runs from"
    );
    assert_eq!(refusal.needs_driver.unwrap().to_string(), "550.54.14");
}

#[test]
fn switching_off_is_advised_only_where_the_image_would_run() {
    // CUDA 13 runs by minor-version compatibility from R580 on.
    let refusal = refusal(
        &host("GeForce RTX 3090", "535.104.05"),
        &gate("13.0.0-base-ubuntu24.04"),
    );
    assert!(
        !refusal.remedy.contains("NVIDIA_DISABLE_REQUIRE"),
        "{}",
        refusal.remedy
    );
    assert!(
        refusal
            .remedy
            .contains("use an image for CUDA 12.2 or older")
    );
    assert_eq!(refusal.needs_driver.unwrap().branch(), 580);
}

#[test]
fn a_newer_driver_may_be_refused_where_an_older_one_is_not() {
    // nvidia/cuda:12.4.1 lists R470, R525 and R535 for every brand: https://gitlab.com/nvidia/container-images/cuda
    let image = gate("12.4.1-base-ubuntu22.04");
    passes(&host("Tesla T4", "470.82.01"), &image);
    let newer = refusal(&host("Tesla T4", "510.39.01"), &image);
    assert_eq!(newer.needs_driver.unwrap().branch(), 525);
    passes(&host("GeForce RTX 4090", "535.104.05"), &image);
    refusal(&host("GeForce RTX 4090", "545.23.06"), &image);
    passes(&host("GeForce RTX 4090", "550.54.14"), &image);
}

#[test]
fn a_listed_branch_is_advised_and_what_serves_without_being_listed() {
    let refusal = refusal(
        &host("Tesla T4", "510.39.01"),
        &gate("12.6.3-base-ubuntu22.04"),
    );
    assert!(
        refusal.remedy.starts_with(
            "upgrade the driver to R535 (≥ 535.54.03) or R550, which the image lists, or to ≥ 560.28.03"
        ),
        "{}",
        refusal.remedy
    );
}

#[test]
fn no_driver_is_advised_that_no_longer_drives_the_gpu() {
    // R470 is the last branch for Kepler.
    let refused = refusal(
        &host("Tesla K80", "450.80.02"),
        &gate("12.2.2-base-ubuntu22.04"),
    );
    let needed = refused.needs_driver.unwrap();
    assert_eq!(needed.branch(), 470);
    let gpu = Gpu::named("Tesla K80");
    let known = gpu_known(Catalog::builtin(), &gpu).unwrap();
    driver_supports_gpu(&needed, &known).unwrap();
    let hopeless = refusal(&host("Tesla K80", "470.82.01"), &requiring("cuda>=12.4"));
    assert_eq!(hopeless.needs_driver, None);
    assert_eq!(hopeless.remedy, "use an image for CUDA 11.4 or older");
}

#[test]
fn a_bound_above_the_driver_is_no_reason_to_upgrade() {
    let refused = refusal(&host("Tesla T4", "535.104.05"), &requiring("driver<470"));
    assert_eq!(refused.needs_driver, None);
    assert_eq!(
        refused.remedy,
        "use another image: no driver for this GPU meets what it requires"
    );
}

#[test]
fn a_driver_that_the_requirement_names_exactly_is_the_one_advised() {
    let refused = refusal(
        &host("Tesla T4", "535.54.03"),
        &requiring("driver>=535.104.05"),
    );
    assert_eq!(
        refused.remedy,
        "upgrade the driver to ≥ 535.104.05 (R535 or newer)"
    );
    assert_eq!(refused.needs_driver.unwrap().to_string(), "535.104.05");
}

#[test]
fn every_gpu_of_a_host_must_meet_it() {
    let mut host = host("Tesla T4", "470.82.01");
    let image = requiring("cuda>=12.4 brand=tesla,driver>=470,driver<471");
    passes(&host, &image);
    host.gpus.push(Gpu::named("GeForce RTX 3090"));
    assert!(
        refusal(&host, &image)
            .reason
            .contains("GeForce RTX 3090 (brand geforce)")
    );
}

#[test]
fn what_the_host_says_of_a_gpu_beats_its_name() {
    let mut host = host("Tesla T4", "470.82.01");
    host.gpus[0].brand = Some("NVIDIA".to_owned());
    refusal(&host, &requiring("brand=tesla"));
    passes(&host, &requiring("brand=nvidia"));
    host.gpus[0].compute_capability = Some(ComputeCapability::new(8, 0));
    passes(&host, &requiring("arch=8.0"));
    host.gpus = vec![Gpu::named("a board that nobody knows")];
    passes(&host, &requiring("brand=tesla,arch>=99"));
}

#[test]
fn only_modes_that_ask_the_image_can_refuse() {
    let mut host = host("GeForce RTX 4090", "545.23.06");
    let image = gate("12.4.1-base-ubuntu22.04");
    for mode in [RuntimeMode::Unknown, RuntimeMode::Legacy, RuntimeMode::Csv] {
        host.runtime_mode = mode;
        assert!(
            !gate_answer(Catalog::builtin(), &host, &image).starts,
            "{mode:?}"
        );
    }
    for (mode, name) in [(RuntimeMode::Cdi, "cdi"), (RuntimeMode::JitCdi, "jit-cdi")] {
        host.runtime_mode = mode;
        assert!(
            passes(&host, &image)
                .fact
                .contains(&format!("works in {name} mode"))
        );
        assert_eq!(
            gate_answer(Catalog::builtin(), &host, &image),
            crate::GateAnswer {
                starts: true,
                unsatisfied: None,
                remedy: None
            }
        );
    }
}

#[test]
fn an_image_that_switches_off_or_requires_nothing_passes() {
    let host = host("GeForce RTX 4090", "545.23.06");
    let off = ImageGate::from_environment([
        "NVIDIA_REQUIRE_CUDA=cuda>=99",
        "NVIDIA_DISABLE_REQUIRE=true",
    ]);
    assert!(passes(&host, &off).fact.contains("NVIDIA_DISABLE_REQUIRE"));
    passes(&host, &ImageGate::default());
}

#[test]
fn a_malformed_requirement_is_quoted_with_the_place() {
    let image = ImageGate::from_environment(["NVIDIA_REQUIRE_X=cuda>=99 cuda=>1"]);
    let host = host("Tesla T4", "470.82.01");
    let refused = refusal(&host, &image);
    assert_eq!(
        refused.reason,
        "the image's NVIDIA_REQUIRE_X is malformed, and the runtime refuses it as an invalid expression: \"cuda=>1\" at \
         column 10 has no known comparison: expected =, !=, <, <=, > or >="
    );
    assert_eq!(refused.needs_driver, None);
    let answer = gate_answer(Catalog::builtin(), &host, &image);
    assert_eq!(answer.unsatisfied.as_deref(), Some("cuda=>1"));
}

#[test]
fn a_host_without_a_driver_is_refused_for_that() {
    let mut host = host("Tesla T4", "470.82.01");
    host.driver_version = None;
    let image = requiring("cuda>=11.0");
    assert_eq!(refusal(&host, &image).rule, Rule::DriverPresent);
    let answer = gate_answer(Catalog::builtin(), &host, &image);
    assert!(!answer.starts && answer.unsatisfied.is_none() && answer.remedy.is_some());
}

#[test]
fn a_driver_older_than_the_catalog_meets_no_cuda() {
    refusal(&host("Tesla K80", "375.82"), &requiring("cuda>=8.0"));
    passes(&host("Tesla K80", "375.82"), &requiring("driver>=375"));
}
