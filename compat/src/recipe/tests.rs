use super::*;
use crate::version::TensorflowMinor;

fn recipe(
    tensorflow: &str,
    architecture: Architecture,
    make: fn(
        &Catalog,
        &TensorflowRelease,
        &TensorflowVersion,
        Architecture,
    ) -> Result<Recipe, RecipeGap>,
) -> Result<Recipe, RecipeGap> {
    let catalog = Catalog::builtin();
    let tensorflow: TensorflowVersion = tensorflow.parse().unwrap();
    let release = catalog.tensorflow_release(tensorflow.minor()).unwrap();
    make(catalog, release, &tensorflow, architecture)
}

#[test]
fn the_quickstarts_recipes_pin_every_cuda_wheel() {
    let new = recipe("2.15.1", Architecture::X86_64, Recipe::for_gpu).unwrap();
    assert_eq!(new.id.as_str(), "tf2.15.1-cuda12.2");
    assert_eq!(new.requirements[0], "tensorflow==2.15.1");
    assert_eq!(
        new.requirements
            .iter()
            .filter(|requirement| requirement.contains("-cu12=="))
            .count(),
        12
    );
    assert!(
        new.requirements
            .contains(&"nvidia-cudnn-cu12==8.9.4.25".to_owned())
    );
    assert!(
        new.requirements
            .contains(&"nvidia-nccl-cu12==2.16.5".to_owned())
    );
    assert_eq!(
        (new.python.to_string(), new.base.to_string()),
        ("3.11".to_owned(), "debian:bookworm".to_owned())
    );

    let old = recipe("2.14.1", Architecture::X86_64, Recipe::for_gpu).unwrap();
    assert_eq!(old.id.as_str(), "tf2.14.1-cuda11.8");
    assert_eq!(
        old.requirements
            .iter()
            .filter(|requirement| requirement.contains("-cu11=="))
            .count(),
        11
    );
    assert!(
        old.requirements
            .contains(&"nvidia-cudnn-cu11==8.7.0.84".to_owned())
    );
    // The extra of TensorFlow 2.14 lacks it, and this cuDNN ends the process without it.
    assert!(
        old.requirements
            .contains(&"nvidia-cuda-nvrtc-cu11==11.8.89".to_owned())
    );

    let cpu = recipe("2.15.1", Architecture::X86_64, Recipe::for_cpu).unwrap();
    assert_eq!(cpu.id.as_str(), "tf2.15.1-cpu");
    assert_eq!(cpu.requirements, ["tensorflow-cpu==2.15.1", "numpy<2"]);
}

#[test]
fn no_recipe_asks_for_tensorrt() {
    for release in Catalog::builtin().tensorflow_releases() {
        let latest = release.latest().unwrap();
        if let Ok(recipe) =
            Recipe::for_gpu(Catalog::builtin(), release, latest, Architecture::X86_64)
        {
            assert!(
                !recipe
                    .requirements
                    .iter()
                    .any(|requirement| requirement.contains("tensorrt")),
                "{}",
                recipe.id
            );
        }
    }
}

#[test]
fn every_minor_from_2_5_on_has_both_recipes() {
    for minor in 5..=21 {
        let release = Catalog::builtin()
            .tensorflow_release(TensorflowMinor::new(2, minor))
            .unwrap();
        let latest = release.latest().unwrap();
        for make in [Recipe::for_gpu, Recipe::for_cpu] {
            make(Catalog::builtin(), release, latest, Architecture::X86_64).unwrap();
        }
    }
}

#[test]
fn a_wheel_built_for_11_2_gets_11_8_libraries_and_a_library_path() {
    let recipe = recipe("2.10.1", Architecture::X86_64, Recipe::for_gpu).unwrap();
    let stack = recipe.cuda.unwrap();
    assert_eq!(
        (stack.built_for.to_string(), stack.installed.to_string()),
        ("11.2".to_owned(), "11.8.0".to_owned())
    );
    assert!(stack.needs_library_path);
    assert_eq!(recipe.python.to_string(), "3.9");
    assert_eq!(recipe.base.to_string(), "debian:bullseye");
}

#[test]
fn what_has_no_wheel_says_so() {
    let gap = recipe("2.15.1", Architecture::Aarch64, Recipe::for_gpu).unwrap_err();
    assert_eq!(
        gap.to_string(),
        "TensorFlow 2.15.1 has no GPU wheel for aarch64"
    );
    let gap = recipe("1.4.1", Architecture::X86_64, Recipe::for_gpu).unwrap_err();
    assert_eq!(
        gap.to_string(),
        "no set of CUDA wheels is known for TensorFlow 1.4.1, which was built for CUDA 8.0"
    );
    let cpu = recipe("2.15.1", Architecture::Aarch64, Recipe::for_cpu).unwrap();
    assert_eq!(cpu.id.as_str(), "tf2.15.1-cpu-aarch64");
    assert_eq!(cpu.requirements[0], "tensorflow==2.15.1");
}

#[test]
fn what_has_no_cuda_wheels_stands_on_an_imported_base_that_brings_cuda() {
    let recipe = recipe("2.3.4", Architecture::X86_64, Recipe::for_gpu).unwrap();
    assert_eq!(recipe.id.as_str(), "tf2.3.4-cuda10.1");
    assert_eq!(
        recipe.base,
        BaseImage::Imported("cuda-10.1-cudnn-7.6-python-3.6".to_owned())
    );
    assert_eq!(recipe.python.to_string(), "3.6");
    assert_eq!(recipe.requirements, ["tensorflow==2.3.4"]);
    let json = serde_json::to_value(&recipe).unwrap();
    assert_eq!(json["base"], "cuda-10.1-cudnn-7.6-python-3.6");
    assert_eq!(serde_json::from_value::<Recipe>(json).unwrap(), recipe);
}

#[test]
fn a_compat_package_gives_at_least_the_installed_cuda() {
    let plain = recipe("2.19.1", Architecture::X86_64, Recipe::for_gpu).unwrap();
    let with_compat = plain.with_compat(Catalog::builtin());
    assert_eq!(with_compat[0].id.as_str(), "tf2.19.1-cuda12.5-compat12.5");
    let levels: Vec<CudaVersion> = with_compat
        .iter()
        .map(|recipe| recipe.cuda.as_ref().unwrap().compat.as_ref().unwrap().cuda)
        .collect();
    assert!(levels.is_sorted() && levels.iter().all(|level| *level >= CudaVersion::new(12, 5)));
    let json = serde_json::to_value(&with_compat[0]).unwrap();
    assert_eq!(json["compat"]["package"], "cuda-compat-12-5");
    assert_eq!(
        serde_json::from_value::<Recipe>(json).unwrap(),
        with_compat[0]
    );
}

#[test]
fn a_recipe_is_found_again_by_its_name() {
    for name in [
        "tf2.15.1-cuda12.2",
        "tf2.15.0-cuda12.2",
        "tf2.15.1-cpu",
        "tf2.21.0-cuda12.5-compat12.8",
        "tf1.15.5-cuda10.0",
    ] {
        let id: RecipeId = name.parse().unwrap();
        let recipe = Recipe::named(Catalog::builtin(), &id, Architecture::X86_64).unwrap();
        assert_eq!(recipe.id, id);
    }
    for unknown in ["tf2.15.1-cuda12.3", "tf9.9.9-cpu", "jupyter", "tf"] {
        let id: RecipeId = unknown.parse().unwrap();
        assert_eq!(
            Recipe::named(Catalog::builtin(), &id, Architecture::X86_64),
            None
        );
    }
}

#[test]
fn json_is_flat_and_comes_back_the_same() {
    for make in [Recipe::for_gpu, Recipe::for_cpu] {
        let recipe = recipe("2.15.1", Architecture::X86_64, make).unwrap();
        let json = serde_json::to_value(&recipe).unwrap();
        let cuda = recipe
            .cuda
            .as_ref()
            .map(|stack| stack.installed.level().to_string());
        assert_eq!(json["cuda"].as_str().map(str::to_owned), cuda);
        assert_eq!(json["base"], "debian:bookworm");
        assert_eq!(serde_json::from_value::<Recipe>(json).unwrap(), recipe);
    }
}

#[test]
fn a_recipe_with_half_of_its_cuda_is_refused() {
    let recipe = recipe("2.15.1", Architecture::X86_64, Recipe::for_gpu).unwrap();
    let mut json = serde_json::to_value(&recipe).unwrap();
    json["cudnn"] = serde_json::Value::Null;
    assert!(
        serde_json::from_value::<Recipe>(json.clone())
            .unwrap_err()
            .to_string()
            .contains("belong together")
    );
    json["id"] = "../../etc".into();
    assert!(
        serde_json::from_value::<Recipe>(json)
            .unwrap_err()
            .to_string()
            .contains("is not a recipe")
    );
}
