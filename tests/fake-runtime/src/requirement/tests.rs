use tfleet_fake_gpu::MajorMinor;

use super::*;

fn tesla() -> Gpu {
    let text =
        "name = 'Tesla T4'\ncompute_capability = '7.5'\nmemory_mib = 15109\nbrand = 'tesla'\n";
    let machine: tfleet_fake_gpu::Machine = toml_of(&format!("[[gpu]]\n{text}"));
    let gpu = machine.gpus.into_iter().next().unwrap();
    assert_eq!(gpu.compute_capability, MajorMinor::new(7, 5));
    gpu
}

fn toml_of(text: &str) -> tfleet_fake_gpu::Machine {
    let file = std::env::temp_dir().join(format!("requirement-{}.toml", std::process::id()));
    std::fs::write(&file, text).unwrap();
    tfleet_fake_gpu::Machine::read(&file).unwrap()
}

fn check(text: &str) -> Result<(), RequirementError> {
    let gpu = tesla();
    Requirement::parse(text)?.check(Subject {
        cuda: "11.4",
        driver: "470.256.02",
        gpu: Some(&gpu),
    })
}

fn unsatisfied(text: &str) -> String {
    match check(text) {
        Err(RequirementError::Unsatisfied(condition)) => condition,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn a_newer_cuda_than_the_drivers_is_refused() {
    assert_eq!(unsatisfied("cuda>=12.2"), "cuda>=12.2");
    assert_eq!(check("cuda>=11.4"), Ok(()));
    assert_eq!(check("cuda>=9"), Ok(()));
}

#[test]
fn versions_are_compared_as_numbers() {
    assert_eq!(check("cuda<11.10"), Ok(()));
    assert_eq!(check("driver>=470,driver<471"), Ok(()));
    assert_eq!(check("driver=470.256.2"), Ok(()));
    assert_eq!(unsatisfied("driver=470"), "driver=470");
}

#[test]
fn a_space_is_or() {
    assert_eq!(
        check("cuda>=12.2 brand=tesla,driver>=470,driver<471"),
        Ok(())
    );
    assert_eq!(check("  cuda>=12.2  cuda>=11.0 "), Ok(()));
}

#[test]
fn a_comma_is_and() {
    assert_eq!(
        unsatisfied("brand=tesla,driver>=525"),
        "brand=tesla,driver>=525"
    );
}

#[test]
fn the_whole_first_alternative_is_reported() {
    assert_eq!(
        unsatisfied("brand=tesla,cuda>=12.2 brand=geforce"),
        "brand=tesla,cuda>=12.2"
    );
}

#[test]
fn brands_are_compared_without_case_and_only_for_equality() {
    assert_eq!(check("brand=Tesla"), Ok(()));
    assert_eq!(check("brand!=geforce"), Ok(()));
    assert_eq!(check("brand>=tesla"), Err(RequirementError::Invalid));
}

#[test]
fn arch_is_the_compute_capability() {
    assert_eq!(check("arch>=7.5"), Ok(()));
    assert_eq!(unsatisfied("arch>=8.0"), "arch>=8.0");
}

#[test]
fn without_a_visible_gpu_conditions_on_one_hold() {
    let requirement = Requirement::parse("brand=geforce,arch>=9.0").unwrap();
    let subject = Subject {
        cuda: "11.4",
        driver: "470.256.02",
        gpu: None,
    };
    assert_eq!(requirement.check(subject), Ok(()));
}

#[test]
fn an_empty_requirement_holds_and_nonsense_is_invalid() {
    assert_eq!(check(""), Ok(()));
    for text in ["cuda", "cuda>=", "colour=red", ">=11", "cuda>=11.0,what"] {
        assert_eq!(check(text), Err(RequirementError::Invalid), "{text}");
    }
}

#[test]
fn the_words_are_those_of_the_real_runtime() {
    let refusal = check("cuda>=12.2").unwrap_err().to_string();
    assert_eq!(
        refusal,
        "unsatisfied condition: cuda>=12.2, please update your driver to a newer version, \
         or use an earlier cuda container"
    );
}
