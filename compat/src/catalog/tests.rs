use super::*;
use crate::version::{ComputeCapability, DriverVersion};

fn driver(text: &str) -> DriverVersion {
    text.parse().unwrap()
}

#[test]
fn the_builtin_files_are_well_formed_and_no_row_hides_another() {
    let catalog = Catalog::read_builtin().unwrap();
    let rows = |table: &str| {
        let heading = format!("[[{table}]]");
        BUILTIN
            .iter()
            .flat_map(|(_, text)| text.lines())
            .filter(|line| *line == heading)
            .count()
    };
    assert_eq!(catalog.cuda.rows().count(), rows("cuda"));
    assert_eq!(catalog.cuda_wheels.rows().count(), rows("cuda_wheels"));
    assert_eq!(catalog.cudnn.rows().count(), rows("cudnn"));
    assert_eq!(catalog.capabilities.rows().count(), rows("capability"));
    assert_eq!(catalog.gpus.rows().count(), rows("gpu"));
    assert_eq!(
        catalog.driver_branches.rows().count(),
        rows("driver_branch")
    );
    assert_eq!(
        catalog.forward_compat.rows().count(),
        rows("forward_compat")
    );
    assert_eq!(catalog.tensorflow.rows().count(), rows("tensorflow"));
    assert_eq!(
        catalog.tensorflow_gaps.rows().count(),
        rows("tensorflow_gap")
    );
    assert_eq!(catalog.bases.rows().count(), rows("base"));
    let file: CatalogFile = toml::from_str(include_str!("../../data/image.toml")).unwrap();
    let images = file.image.into_iter().flat_map(ImageRow::each);
    assert_eq!(catalog.images.rows().count(), images.count());
    assert_eq!(
        catalog.require_brands.rows().count(),
        rows("require_brands")
    );
    assert_eq!(catalog.symptoms.rows().count(), rows("symptom"));
}

#[test]
fn every_row_says_where_it_comes_from() {
    for (name, text) in BUILTIN {
        let rows = text.lines().filter(|line| line.starts_with("[[")).count();
        let sources = text
            .lines()
            .filter(|line| line.starts_with("source = \"") && line.len() > 15)
            .count();
        assert_eq!(rows, sources, "{name}");
    }
}

#[test]
fn every_compute_capability_of_a_wheel_is_known() {
    let catalog = Catalog::builtin();
    for release in catalog.tensorflow_releases() {
        for code in release.sass.iter().chain(&release.ptx) {
            assert!(
                catalog.capability(*code).is_some(),
                "TensorFlow {}: {code}",
                release.minor
            );
        }
    }
}

#[test]
fn capability_ranges_and_toolkit_ranges_agree() {
    let catalog = Catalog::builtin();
    for toolkit in catalog.cuda.rows() {
        for end in [toolkit.capability_min, toolkit.capability_max] {
            let row = catalog.capability(end).unwrap();
            assert!(
                row.is_known_to(toolkit.release.level()),
                "CUDA {} and {end}",
                toolkit.release
            );
        }
    }
}

#[test]
fn an_overlay_adds_rows_and_replaces_those_with_the_same_key() {
    let overlay = r#"
        [[gpu]]
        name = "Lab Board 9000"
        capability = "8.9"
        class = "datacenter"
        brand = "nvidia"
        forward = "no"
        source = "our purchasing department"

        [[driver_branch]]
        branch = 615
        reports_cuda = "13.5"
        source = "nvidia-smi on host a"
    "#;
    let catalog = Catalog::builtin()
        .with_overlay("site.toml", overlay)
        .unwrap();
    assert_eq!(
        catalog.gpu("NVIDIA Lab Board 9000").unwrap().capability,
        ComputeCapability::new(8, 9)
    );
    assert_eq!(
        catalog
            .cuda_level_of(&driver("615.31"))
            .unwrap()
            .to_string(),
        "13.5"
    );
    assert!(Catalog::builtin().gpu("Lab Board 9000").is_err());
}

#[test]
fn a_misspelt_key_is_refused_with_its_place() {
    let overlay = "[[driver_branch]]\nbranch = 620\nreports_cuda = \"14.0\"\nsuorce = \"x\"\n";
    let error = Catalog::builtin()
        .with_overlay("site.toml", overlay)
        .unwrap_err();
    assert_eq!(error.to_string(), "cannot read the catalog file site.toml");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        cause.contains("suorce") && cause.contains("line 4"),
        "{cause}"
    );
    assert!(
        Catalog::builtin()
            .with_overlay("site.toml", "[[drivers]]\nbranch = 1\n")
            .is_err()
    );
}

#[test]
fn a_row_without_a_source_is_refused() {
    let overlay = "[[driver_branch]]\nbranch = 620\nreports_cuda = \"14.0\"\n";
    let error = Catalog::builtin()
        .with_overlay("site.toml", overlay)
        .unwrap_err();
    assert!(
        std::error::Error::source(&error)
            .unwrap()
            .to_string()
            .contains("source")
    );
}

#[test]
fn rows_that_contradict_each_other_are_refused() {
    let mut wheels = Catalog::builtin()
        .cuda_wheels
        .get(&"cuda-11.8-cudnn-8.7".to_owned())
        .cloned()
        .unwrap();
    wheels.cudnn = "8.5".parse().unwrap();
    let mut catalog = Catalog::builtin().clone();
    catalog.cuda_wheels.merge(vec![wheels.clone()]);
    assert_eq!(
        catalog.validated().unwrap_err().to_string(),
        "the catalog does not hold together: [[tensorflow]] 2.14 was built for cuDNN 8.7, but \"cuda-11.8-cudnn-8.7\" \
         carries 8.5"
    );
    wheels.cudnn = "8.7.0.84".parse().unwrap();
    wheels.requirements.push("nvidia-nvtx-cu11".to_owned());
    let mut catalog = Catalog::builtin().clone();
    catalog.cuda_wheels.merge(vec![wheels]);
    assert!(
        catalog
            .validated()
            .unwrap_err()
            .to_string()
            .contains("must pin exact versions")
    );
}

#[test]
fn the_cuda_level_of_a_driver_follows_its_branch() {
    let level = |text: &str| {
        Catalog::builtin()
            .cuda_level_of(&driver(text))
            .map(|level| level.to_string())
    };
    assert_eq!(level("470.256.02").as_deref(), Some("11.4"));
    assert_eq!(level("535.183.01").as_deref(), Some("12.2"));
    assert_eq!(level("565.57.01").as_deref(), Some("12.7"));
    assert_eq!(level("418.87.01").as_deref(), Some("10.1"));
    assert_eq!(
        level("430.50").as_deref(),
        Some("10.1"),
        "between two branches: the older"
    );
    assert_eq!(
        level("700.10").as_deref(),
        Some("13.4"),
        "newer than the catalog: its newest"
    );
    assert_eq!(level("340.108"), None);
    assert!(Catalog::builtin().is_newer_than_known(&driver("700.10")));
    assert!(!Catalog::builtin().is_newer_than_known(&driver("615.31")));
}

#[test]
fn gpus_are_found_by_the_names_that_nvml_nvidia_smi_and_people_write() {
    for (name, product, capability) in [
        ("Tesla V100-SXM2-16GB", "V100", "7.0"),
        ("Tesla V100-DGXS-32GB", "V100", "7.0"),
        ("V100", "V100", "7.0"),
        ("NVIDIA A100-SXM4-40GB", "A100", "8.0"),
        ("NVIDIA A100 80GB PCIe", "A100", "8.0"),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "A100", "8.0"),
        ("a100", "A100", "8.0"),
        ("Tesla T4", "T4", "7.5"),
        ("NVIDIA T4", "T4", "7.5"),
        ("T400", "T400", "7.5"),
        ("Tesla K80", "Tesla K80", "3.7"),
        ("Tesla K20Xm", "Tesla K20", "3.5"),
        ("Tesla P100-PCIE-16GB", "Tesla P100", "6.0"),
        ("rtx 3090", "GeForce RTX 3090", "8.6"),
        ("NVIDIA GeForce RTX 3090 Ti", "GeForce RTX 3090 Ti", "8.6"),
        (
            "NVIDIA GeForce RTX 4070 Ti SUPER",
            "GeForce RTX 4070 Ti",
            "8.9",
        ),
        (
            "NVIDIA GeForce RTX 3080 Laptop GPU",
            "GeForce RTX 3080",
            "8.6",
        ),
        ("GeForce GTX 1080 Ti", "GeForce GTX 1080 Ti", "6.1"),
        ("1080 ti", "GeForce GTX 1080 Ti", "6.1"),
        ("Quadro RTX 6000", "Quadro RTX 6000", "7.5"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX 6000 Ada", "8.9"),
        ("NVIDIA RTX A4000", "RTX A4000", "8.6"),
        ("NVIDIA TITAN X (Pascal)", "TITAN X (Pascal)", "6.1"),
        ("GeForce GTX TITAN X", "GeForce GTX TITAN X", "5.2"),
        ("NVIDIA TITAN RTX", "TITAN RTX", "7.5"),
        ("NVIDIA H100 80GB HBM3", "H100", "9.0"),
        ("NVIDIA H200 NVL", "H200", "9.0"),
        ("NVIDIA GH200 480GB", "GH200", "9.0"),
        ("NVIDIA L40S", "L40S", "8.9"),
        ("NVIDIA B200", "B200", "10.0"),
    ] {
        let found = Catalog::builtin()
            .gpu(name)
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(
            (found.name.as_str(), found.capability.to_string().as_str()),
            (product, capability),
            "{name}"
        );
    }
}

#[test]
fn every_product_is_found_by_its_own_names() {
    for product in Catalog::builtin().gpus.rows() {
        for name in std::iter::once(&product.name).chain(&product.aliases) {
            assert_eq!(
                Catalog::builtin().gpu(name).unwrap().name,
                product.name,
                "{name}"
            );
        }
    }
}

#[test]
fn an_ambiguous_name_is_refused_with_the_candidates() {
    let error = Catalog::builtin().gpu("titan x").unwrap_err();
    assert_eq!(
        error.to_string(),
        "\"titan x\" could be any of GeForce GTX TITAN X, TITAN X (Pascal)"
    );
    assert!(matches!(
        Catalog::builtin().gpu("rtx 6000"),
        Err(GpuLookupError::Ambiguous { .. })
    ));
    for name in ["", "NVIDIA", "GeForce RTX", "Voodoo 2", "Tesla"] {
        assert!(
            matches!(
                Catalog::builtin().gpu(name),
                Err(GpuLookupError::Unknown { .. })
            ),
            "{name:?}"
        );
    }
}

#[test]
fn a_printed_error_is_recognised_by_its_longest_known_part() {
    let printed = "nvidia-container-cli: requirement error: unsatisfied condition: cuda>=12.2, please update your driver";
    assert!(
        Catalog::builtin()
            .symptom(printed)
            .unwrap()
            .cause
            .contains("NVIDIA_REQUIRE_CUDA")
    );
    assert!(Catalog::builtin().symptom("all is well").is_none());
}
