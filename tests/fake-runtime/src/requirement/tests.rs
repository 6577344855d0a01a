use tfleet_fake_gpu::MajorMinor;

use super::*;

fn tesla() -> Gpu {
    Gpu {
        name: "Tesla T4".to_owned(),
        uuid: None,
        compute_capability: MajorMinor::new(7, 5),
        memory_mib: 15_109,
        temperature_c: None,
        utilisation_percent: None,
        power_mw: None,
        ecc: None,
        mig: None,
        lost: false,
        reset_required: false,
        brand: Some("tesla".to_owned()),
        pci_bus_id: None,
        xids: Vec::new(),
        processes: Vec::new(),
    }
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
