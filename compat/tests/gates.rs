//! What images themselves require: the worked cases of `golden.toml`, and what holds for every image that is known.

use serde::Deserialize;
use tfleet_compat::catalog::{Image, ImageStatus};
use tfleet_compat::require::{Requirement, changes};
use tfleet_compat::{
    Architecture, Catalog, DriverVersion, Gpu, HostFacts, RuntimeMode, gate_answer,
};

#[derive(Deserialize)]
struct Golden {
    image_gate_case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    id: String,
    gpu: String,
    brand: String,
    driver: DriverVersion,
    image: String,
    runtime_mode: RuntimeMode,
    starts: bool,
    why: String,
    source: Vec<String>,
}

fn host(gpu: Gpu, driver: &DriverVersion) -> HostFacts {
    let mut host = HostFacts::new("a");
    host.driver_version = Some(driver.clone());
    host.gpus = vec![gpu];
    host
}

#[test]
fn every_worked_case_comes_out_as_written() {
    let golden: Golden = toml::from_str(include_str!("golden.toml")).unwrap();
    let catalog = Catalog::builtin();
    assert_eq!(golden.image_gate_case.len(), 4);
    for case in golden.image_gate_case {
        assert!(!case.source.is_empty(), "{}", case.id);
        let mut gpu = Gpu::named(&case.gpu);
        // The cases say the brand that the images call it by; by its name alone the answer is the same.
        let mut by_name = host(gpu.clone(), &case.driver);
        gpu.brand = Some(case.brand);
        let mut host = host(gpu, &case.driver);
        host.runtime_mode = case.runtime_mode;
        let image = catalog.image(&case.image).unwrap().image;
        let gate = image.gate(catalog, Architecture::X86_64).unwrap();
        let answer = gate_answer(catalog, &host, &gate);
        by_name.runtime_mode = case.runtime_mode;
        assert_eq!(gate_answer(catalog, &by_name, &gate), answer, "{}", case.id);
        assert_eq!(answer.starts, case.starts, "{}: {}", case.id, case.why);
        assert_eq!(answer.remedy.is_none(), case.starts, "{}", case.id);
        let asked = format!("cuda>={}", image.cuda.level());
        assert_eq!(
            answer.unsatisfied,
            (!case.starts).then_some(asked),
            "{}",
            case.id
        );
    }
}

#[test]
fn the_answer_is_written_as_documented() {
    let catalog = Catalog::builtin();
    let host = host(
        Gpu::named("GeForce RTX 4090"),
        &"545.23.06".parse().unwrap(),
    );
    let image = catalog
        .image("nvidia/cuda:12.4.1-base-ubuntu22.04")
        .unwrap();
    let gate = image.image.gate(catalog, Architecture::X86_64).unwrap();
    let json = serde_json::to_value(gate_answer(catalog, &host, &gate)).unwrap();
    assert_eq!(json["starts"], false);
    assert_eq!(json["unsatisfied"], "cuda>=12.4");
    assert!(json["remedy"].as_str().unwrap().contains("550.54.14"));
    assert_eq!(json.as_object().unwrap().len(), 3);
}

fn texts(image: &Image) -> impl Iterator<Item = String> {
    [Architecture::X86_64, Architecture::Aarch64]
        .into_iter()
        .filter_map(|architecture| image.require(Catalog::builtin(), architecture))
}

#[test]
fn every_known_requirement_asks_first_for_the_images_own_cuda() {
    let mut count = 0;
    for image in Catalog::builtin().images() {
        for text in texts(image) {
            let requirement: Requirement = text.parse().unwrap();
            assert_eq!(requirement.cuda(), Some(image.cuda.level()), "{text}");
            let first = &requirement.alternatives()[0];
            let own = format!("cuda>={}", image.cuda.level());
            assert!(first.as_str().eq_ignore_ascii_case(&own), "{text}");
            count += 1;
        }
    }
    assert!(count > 500, "{count}");
}

#[test]
fn every_image_that_can_be_pulled_and_is_listed_has_its_requirement() {
    let unknown: Vec<String> = Catalog::builtin()
        .images()
        .filter(|image| {
            matches!(
                image.status,
                ImageStatus::Supported | ImageStatus::Unsupported
            )
        })
        .filter(|image| texts(image).next().is_none())
        .map(|image| format!("{}-{}", image.cuda, image.distribution))
        .collect();
    // NVIDIA's list has it, its repository no Dockerfile.
    assert_eq!(unknown, ["12.1.0-ubuntu18.04"]);
}

#[test]
fn a_driver_that_reports_the_images_cuda_always_starts_it() {
    let catalog = Catalog::builtin();
    for image in catalog.images() {
        let Some(gate) = image.gate(catalog, Architecture::X86_64) else {
            continue;
        };
        for toolkit in catalog.cuda_releases(image.cuda.level()) {
            let Some(driver) = toolkit.native_driver(Architecture::X86_64) else {
                continue;
            };
            if catalog.cuda_level_of(driver) < Some(image.cuda.level()) {
                continue;
            }
            for name in ["Tesla T4", "GeForce RTX 4090", "NVIDIA TITAN RTX"] {
                let answer = gate_answer(catalog, &host(Gpu::named(name), driver), &gate);
                assert!(
                    answer.starts,
                    "{}-{} on {driver}",
                    image.cuda, image.distribution
                );
            }
        }
    }
}

#[test]
fn a_tag_that_nvidia_published_again_with_fewer_drivers_is_told_in_words() {
    // 11.8.0 on ubuntu22.04 as of 2023-02-27, and as the catalog has it. The operators who met the difference:
    // https://github.com/NVIDIA/nvidia-container-toolkit/issues/152
    let brands = [
        "tesla",
        "unknown",
        "nvidia",
        "nvidiartx",
        "geforce",
        "geforcertx",
        "quadro",
        "quadrortx",
        "titan",
        "titanrtx",
    ];
    let mut pinned = "cuda>=11.8 brand=tesla,driver>=450,driver<451".to_owned();
    for branch in [470, 510, 515] {
        for brand in brands {
            pinned += &format!(" brand={brand},driver>={branch},driver<{}", branch + 1);
        }
    }
    let catalog = Catalog::builtin();
    let image = catalog.image("11.8.0-base-ubuntu22.04").unwrap().image;
    let found = image.require(catalog, Architecture::X86_64).unwrap();
    let all = "geforce, geforcertx, nvidia, nvidiartx, quadro, quadrortx, tesla, titan, titanrtx and unknown";
    assert_eq!(
        changes(&Requirement::read(&pinned), &Requirement::read(&found)),
        [
            "no longer lists driver 450 for tesla".to_owned(),
            format!("no longer lists driver 510 for {all}"),
            format!("no longer lists driver 515 for {all}"),
        ]
    );
}
