use super::*;
use crate::host::Architecture;

fn found(reference: &str) -> String {
    Catalog::builtin().image(reference).unwrap().tag
}

fn refused(reference: &str) -> ImageLookupError {
    Catalog::builtin().image(reference).unwrap_err()
}

#[test]
fn a_tag_is_found_with_and_without_what_stands_around_it() {
    let tag = "12.4.1-base-ubuntu22.04";
    let digest = format!("nvidia/cuda:{tag}@sha256:{}", "a".repeat(64));
    for reference in [
        tag,
        "nvidia/cuda:12.4.1-base-ubuntu22.04",
        "registry.example/nvidia/cuda:12.4.1-base-ubuntu22.04",
        "mirror.example:5000/from/nvidia/cuda:12.4.1-base-ubuntu22.04",
        &digest,
    ] {
        assert_eq!(found(reference), tag, "{reference}");
    }
}

#[test]
fn a_tag_says_its_cudnn_and_its_flavour() {
    let catalog = Catalog::builtin();
    let image = catalog.image("11.8.0-cudnn8-devel-ubuntu18.04").unwrap();
    assert_eq!(image.flavour, "cudnn8-devel");
    assert_eq!(image.cudnn().unwrap().to_string(), "8.6.0.163");
    let newer = catalog.image("11.8.0-cudnn8-devel-ubuntu22.04").unwrap();
    assert_eq!(newer.cudnn().unwrap().to_string(), "8.9.6.50");
    assert_eq!(
        catalog.image("11.8.0-devel-ubuntu22.04").unwrap().cudnn(),
        None
    );
}

#[test]
fn an_unknown_tag_is_refused_with_the_nearest_that_can_be_pulled() {
    assert_eq!(
        refused("nvidia/cuda:12.4-base-ubuntu22.04").to_string(),
        "no image nvidia/cuda:12.4-base-ubuntu22.04 is known; nearest are 12.4.1-base-ubuntu22.04, \
         12.4.0-base-ubuntu22.04, 12.4.1-base-ubuntu20.04, 12.4.0-base-ubuntu20.04"
    );
    for reference in [
        "12.4.1-base-ubuntu24.04",
        "nvidia/cuda:latest",
        "nvidia/cuda:12.4.1",
        "9.0-base",
        "nvidia/cuda:-",
    ] {
        let ImageLookupError::UnknownTag { candidates, .. } = refused(reference) else {
            panic!("{reference}");
        };
        assert!(!candidates.is_empty(), "{reference}");
        for candidate in candidates {
            let status = Catalog::builtin().image(&candidate).unwrap().image.status;
            assert_ne!(status, ImageStatus::Deleted, "{reference}: {candidate}");
        }
    }
}

#[test]
fn another_repository_and_a_missing_tag_are_refused_with_what_to_do() {
    for reference in [
        "tensorflow/tensorflow:2.15.0-gpu",
        "ubuntu",
        "mynvidia/cuda:12.4.1-base-ubuntu22.04",
        "nvidia/cudagl:11.4.2-base",
        "",
    ] {
        let error = refused(reference);
        assert!(
            matches!(error, ImageLookupError::OtherRepository { .. }),
            "{reference}: {error}"
        );
    }
    for reference in [
        "nvidia/cuda",
        "registry.example/nvidia/cuda:",
        "host:5000/nvidia/cuda",
    ] {
        assert!(
            matches!(refused(reference), ImageLookupError::NoTag { .. }),
            "{reference}"
        );
    }
}

#[test]
fn a_deleted_tag_is_known_and_says_since_when() {
    let catalog = Catalog::builtin();
    let image = catalog
        .image("nvidia/cuda:10.1-cudnn7-runtime-ubuntu18.04")
        .unwrap();
    assert_eq!(image.image.status, ImageStatus::Deleted);
    assert_eq!(
        image.image.warning().unwrap(),
        "NVIDIA deleted it from the public registries in 2023-07"
    );
    let supported = catalog.image("12.4.1-base-ubuntu22.04").unwrap();
    assert_eq!(supported.image.warning(), None);
    assert!(
        catalog
            .image("12.4.0-base-ubuntu22.04")
            .unwrap()
            .image
            .warning()
            .is_some()
    );
    assert!(
        catalog
            .image("13.3.1-base-ubuntu24.04")
            .unwrap()
            .image
            .warning()
            .is_some()
    );
}

#[test]
fn the_exact_text_of_a_requirement_is_rebuilt() {
    // The ENV lines of dist/…/base/Dockerfile in https://gitlab.com/nvidia/container-images/cuda
    let catalog = Catalog::builtin();
    let text = |tag: &str, architecture| {
        let tag = catalog.image(tag).unwrap();
        tag.image.require(catalog, architecture)
    };
    assert_eq!(
        text("10.2-base-ubuntu18.04", Architecture::X86_64).unwrap(),
        "cuda>=10.2 brand=tesla,driver>=418,driver<419"
    );
    // From 450 on without an end, not of branch 450 alone.
    assert_eq!(
        text("11.3.1-base-ubuntu18.04", Architecture::X86_64).unwrap(),
        "cuda>=11.3 brand=tesla,driver>=418,driver<419 driver>=450"
    );
    assert_eq!(
        text("11.8.0-base-ubuntu22.04", Architecture::X86_64).unwrap(),
        "cuda>=11.8 brand=tesla,driver>=470,driver<471 brand=unknown,driver>=470,driver<471 \
         brand=nvidia,driver>=470,driver<471 brand=nvidiartx,driver>=470,driver<471 \
         brand=geforce,driver>=470,driver<471 brand=geforcertx,driver>=470,driver<471 \
         brand=quadro,driver>=470,driver<471 brand=quadrortx,driver>=470,driver<471 \
         brand=titan,driver>=470,driver<471 brand=titanrtx,driver>=470,driver<471"
    );
    assert_eq!(
        text("11.8.0-base-ubuntu22.04", Architecture::Aarch64).unwrap(),
        "cuda>=11.8"
    );
    assert_eq!(
        text("12.3.2-base-ubuntu22.04", Architecture::Aarch64).unwrap(),
        "CUDA>=12.3"
    );
    let long = text("13.0.0-base-ubuntu24.04", Architecture::X86_64).unwrap();
    assert!(long.starts_with("cuda>=13.0 brand=unknown,driver>=535,driver<536 brand=grid,"));
    assert!(long.ends_with(" brand=cloudgaming,driver>=575,driver<576"));
    assert_eq!(long.split(' ').count(), 1 + 5 * 12);
    // There is no such image, and of the newest nobody has read the text.
    assert_eq!(text("12.0.1-base-ubuntu18.04", Architecture::Aarch64), None);
    assert_eq!(text("13.3.1-base-ubuntu24.04", Architecture::X86_64), None);
}

#[test]
fn an_operators_row_for_one_distribution_leaves_the_others_alone() {
    let row = r#"
        [[image]]
        cuda = "12.4.1"
        distributions = ["ubuntu22.04"]
        flavours = ["base"]
        status = "supported"
        require = { x86_64 = "cuda>=12.4 mine@545" }
        source = "our registry"

        [[require_brands]]
        name = "mine"
        brands = ["geforcertx"]
        source = "our registry"
    "#;
    let catalog = Catalog::builtin().with_overlay("ours.toml", row).unwrap();
    let text = |tag: &str| {
        let tag = catalog.image(tag).unwrap();
        tag.image.require(&catalog, Architecture::X86_64).unwrap()
    };
    assert_eq!(
        text("12.4.1-base-ubuntu22.04"),
        "cuda>=12.4 brand=geforcertx,driver>=545,driver<546"
    );
    assert!(text("12.4.1-base-ubuntu20.04").contains("brand=titan,"));
    for (from, to, problem) in [
        ("mine@545", "yours@545", "has no [[require_brands]] row"),
        ("mine@545", "mine@new", "no driver branch"),
        ("mine@545", "brand>=tesla", "puts brands in an order"),
        (
            "flavours = [\"base\"]",
            "flavours = [\"base\"]\ncudnn = { cudnn8 = \"8.9\" }",
            "no such flavour",
        ),
    ] {
        let error = Catalog::builtin()
            .with_overlay("ours.toml", &row.replace(from, to))
            .unwrap_err();
        assert!(error.to_string().contains(problem), "{error}");
    }
}
