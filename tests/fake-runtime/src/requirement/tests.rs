//! The places named are in libnvidia-container's `src/cli`.

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
    let subject = Subject {
        cuda: "11.4",
        driver: "470.256.02",
        gpu: Some(&gpu),
    };
    super::check(text, subject)
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
    // configure.c: check_device_arch and check_device_brand return true before they look at the value.
    let subject = Subject {
        cuda: "11.4",
        driver: "470.256.02",
        gpu: None,
    };
    for text in ["brand=geforce,arch>=9.0", "brand>=tesla", "arch=Turing"] {
        assert_eq!(super::check(text, subject), Ok(()), "{text}");
    }
    assert_eq!(
        super::check("colour=red", subject),
        Err(RequirementError::Invalid)
    );
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

#[test]
fn only_a_first_alternative_spelt_cuda_comes_with_advice() {
    // dsl.c, dsl_evaluate: strncmp with CUDA_REQUIRE_GREATER. The aarch64 images of CUDA 12.3 spell it in capitals.
    for text in [
        "CUDA>=12.3",
        "driver>=525",
        "cuda=12.2",
        "brand=geforce cuda>=12.2",
    ] {
        let shown = text.split(' ').next().unwrap();
        assert_eq!(
            check(text).unwrap_err().to_string(),
            format!("unsatisfied condition: {shown}")
        );
    }
    // strsep gives what is before the first space, and that may be nothing.
    assert_eq!(unsatisfied(" cuda>=12.2"), "");
}

#[test]
fn what_is_behind_the_deciding_place_is_not_read() {
    // dsl.c, dsl_evaluate: break at the first alternative that holds and at the first condition that does not
    assert_eq!(check("cuda>=11.0 nonsense"), Ok(()));
    assert_eq!(unsatisfied("cuda>=12.2,nonsense"), "cuda>=12.2,nonsense");
    assert_eq!(check("cuda>=12.2 nonsense"), Err(RequirementError::Invalid));
}

#[test]
fn commas_alone_end_the_search() {
    // dsl.c, dsl_evaluate: and_expr is NULL after them, which ends the loop with the result so far
    assert_eq!(check(", cuda>=12.2"), Ok(()));
    assert_eq!(unsatisfied("cuda>=12.2 , cuda>=11.0"), "cuda>=12.2");
}

#[test]
fn properties_are_named_in_any_case() {
    // dsl.c, evaluate_rule: str_case_equal
    assert_eq!(check("CUDA>=11.0,Driver>=470,ARCH=7.5,Brand=tesla"), Ok(()));
}

#[test]
fn signs_are_compared_as_far_as_they_go() {
    // dsl.c, evaluate_rule: strncmp(ptr, operators[i].str, n)
    assert_eq!(check("brand!geforce"), Ok(()));
    assert_eq!(unsatisfied("brand!tesla"), "brand!tesla");
    for text in [
        "cuda==11.4",
        "cuda=>11.4",
        "cuda<>11.4",
        "cuda>>11.4",
        "cuda>==11.4",
    ] {
        assert_eq!(check(text), Err(RequirementError::Invalid), "{text}");
    }
}

#[test]
fn versions_have_digits_and_dots_alone_and_fit_into_64_bits() {
    // dsl.c, dsl_compare_version: strspn, strtoumax
    for text in [
        "cuda>=eleven",
        "cuda>=.4",
        "cuda>=11.4-rc1",
        "cuda>=11=4",
        "cuda>=18446744073709551615",
    ] {
        assert_eq!(check(text), Err(RequirementError::Invalid), "{text}");
    }
    assert_eq!(check("cuda=11..4."), Ok(()));
    assert_eq!(check("cuda<12.99999999999999999999999"), Ok(()));
    assert_eq!(check("cuda<11.4.99999999999999999999999"), Ok(()));
    assert_eq!(
        check("cuda>=11.99999999999999999999999"),
        Err(RequirementError::Invalid)
    );
}

#[test]
fn a_failed_condition_must_fit_into_the_message() {
    // dsl.c, evaluate_rule: snprintf with EXPR_MAX
    let brand = |length: usize| format!("brand={}", "x".repeat(length));
    assert_eq!(unsatisfied(&brand(119)), brand(119));
    assert_eq!(check(&brand(120)), Err(RequirementError::Invalid));
}
