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
    assert_eq!(catalog.cuda_bases.rows().count(), rows("cuda_base"));
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
fn every_release_built_for_cuda_9_to_11_has_wheels_or_a_base_with_its_libraries() {
    let catalog = Catalog::builtin();
    for release in catalog.tensorflow_releases() {
        let served = release.cuda_wheels.is_some() || release.cuda_base.is_some();
        assert_eq!(
            served,
            release.cuda.major() >= 9,
            "TensorFlow {}",
            release.minor
        );
    }
    assert_eq!(
        catalog
            .cuda_base("cuda-10.1-cudnn-7.6-python-3.6")
            .unwrap()
            .suite,
        "bionic"
    );
    assert!(catalog.cuda_base("cuda-10.1").is_none());
}

#[test]
fn a_base_that_cannot_carry_its_release_is_refused() {
    let row = |cuda: &str, cudnn: &str, python: &str, glibc: &str| {
        let overlay = format!(
            "[[cuda_base]]\nname = \"cuda-10.1-cudnn-7.6-python-3.6\"\ncuda = \"{cuda}\"\ncudnn = \"{cudnn}\"\n\
             distribution = \"ubuntu\"\nsuite = \"bionic\"\npython = \"{python}\"\nglibc = \"{glibc}\"\nsource = \"x\"\n"
        );
        match Catalog::builtin().with_overlay("site.toml", &overlay) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    };
    assert_eq!(row("10.1.105", "7.6", "3.7", "2.17"), "");
    for (problem, error) in [
        ("has no [[cuda]] row", row("10.1.1", "7.6", "3.6", "2.27")),
        (
            "was built for CUDA 10.1, but \"cuda-10.1-cudnn-7.6-python-3.6\" brings 10.2.89",
            row("10.2.89", "7.6", "3.6", "2.27"),
        ),
        (
            "was built for cuDNN 7.6, but",
            row("10.1.105", "7.5", "3.6", "2.27"),
        ),
        (
            "has no wheel for Python 3.9, which",
            row("10.1.105", "7.6", "3.9", "2.27"),
        ),
        (
            "needs glibc 2.12, but",
            row("10.1.105", "7.6", "3.6", "2.11"),
        ),
    ] {
        assert!(error.contains(problem), "{error:?} says {problem:?}");
    }
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
}

#[test]
fn the_brand_of_a_product_follows_the_driver_where_nvml_changed_it() {
    let catalog = Catalog::builtin();
    let brand = |name: &str, text: &str| catalog.gpu(name).unwrap().brand_on(Some(&driver(text)));
    assert_eq!(brand("Tesla T4", "460.32.03"), "tesla");
    assert_eq!(brand("Tesla T4", "510.47.03"), "nvidia");
    assert_eq!(brand("Tesla V100-SXM2-16GB", "550.127.05"), "tesla");
    assert_eq!(brand("NVIDIA H100 NVL", "580.65.06"), "nvidia");
    assert_eq!(brand("NVIDIA GeForce RTX 4090", "545.23.06"), "geforce");
    assert_eq!(brand("NVIDIA TITAN RTX", "520.61.05"), "titan");
    assert_eq!(brand("NVIDIA RTX A6000", "550.127.05"), "nvidiartx");
    assert_eq!(catalog.gpu("T4").unwrap().brand_on(None), "tesla");
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
