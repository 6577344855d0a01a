//! Each test names the part of libnvidia-container that decides: `dsl.c` and `configure.c` in
//! <https://github.com/NVIDIA/libnvidia-container/tree/main/src/cli>.

use proptest::prelude::*;

use super::*;

/// A Tesla T4 on 470.256.02, which reports CUDA 11.4.
fn unmet(text: &str) -> Option<Unmet> {
    let driver = "470.256.02".parse().unwrap();
    Requirement::read(text).unmet(Subject {
        cuda: Some(CudaVersion::new(11, 4)),
        driver: Some(&driver),
        arch: Some(ComputeCapability::new(7, 5)),
        brand: Some("Tesla"),
    })
}

fn holds(text: &str) {
    assert_eq!(unmet(text), None, "{text:?}");
}

fn fails(text: &str, names: &str) {
    match unmet(text) {
        Some(Unmet::Condition { alternative }) => assert_eq!(alternative, names, "{text:?}"),
        other => panic!("{text:?}: {other:?}"),
    }
}

fn malformed(text: &str) {
    assert!(matches!(unmet(text), Some(Unmet::Malformed(_))), "{text:?}");
}

fn problem(text: &str) -> (RequirementProblem, usize) {
    let error = text.parse::<Requirement>().unwrap_err();
    (error.problem, error.column)
}

#[test]
fn a_space_is_or_and_a_comma_is_and() {
    // dsl_evaluate: strsep by " ", then by ","
    holds("cuda>=12.4 brand=tesla,driver>=470,driver<471");
    fails(
        "cuda>=12.4 brand=tesla,driver>=450,driver<451",
        "cuda>=12.4",
    );
    fails("brand=tesla,driver>=525", "brand=tesla,driver>=525");
    holds("cuda>=11.0");
}

#[test]
fn the_first_alternative_is_named_whole_whichever_failed() {
    // dsl_evaluate: strsep(&predicate_format, " ")
    fails(
        "brand=tesla,cuda>=12.2 brand=geforce",
        "brand=tesla,cuda>=12.2",
    );
    // A leading space leaves nothing to name.
    fails(" cuda>=12.2", "");
}

#[test]
fn advice_comes_only_with_the_usual_spelling_of_cuda() {
    // dsl_evaluate: strncmp with CUDA_REQUIRE_GREATER
    assert_eq!(
        unmet("cuda>=12.2").unwrap().to_string(),
        "unsatisfied condition: cuda>=12.2, please update your driver to a newer version, or use an earlier cuda container"
    );
    assert_eq!(
        unmet("CUDA>=12.3").unwrap().to_string(),
        "unsatisfied condition: CUDA>=12.3"
    );
    assert_eq!(
        unmet("driver>=525").unwrap().to_string(),
        "unsatisfied condition: driver>=525"
    );
    assert_eq!(unmet("cuda").unwrap().to_string(), "invalid expression");
}

#[test]
fn empty_parts_do_not_count() {
    // dsl_evaluate: `continue` where a part is empty
    holds("");
    holds("   ");
    holds("cuda>=12.2  cuda>=11.0 ");
    holds(",cuda>=11.0,,driver>=470,");
    fails("cuda>=11.0,,driver>=525", "cuda>=11.0,,driver>=525");
}

#[test]
fn commas_alone_end_the_search_with_what_came_before() {
    // dsl_evaluate: the loop over conditions runs out, which ends the loop over alternatives
    holds(", cuda>=12.2");
    fails("cuda>=12.2 , cuda>=11.0", "cuda>=12.2");
    assert_eq!(problem("cuda>=12.2 ,"), (RequirementProblem::Empty, 12));
}

#[test]
fn nonsense_behind_what_decides_is_never_read() {
    // dsl_evaluate: `break` at the first alternative that holds, and at the first condition that does not
    holds("cuda>=11.0 nonsense");
    fails("cuda>=12.2,nonsense", "cuda>=12.2,nonsense");
    malformed("cuda>=12.2 nonsense");
    malformed("nonsense cuda>=11.0");
    assert_eq!(
        "cuda>=11.0 brand=tesla,nonsense"
            .parse::<Requirement>()
            .unwrap_err()
            .to_string(),
        "\"nonsense\" at column 24 compares nothing: expected a property, a comparison and a value, such as cuda>=12.4"
    );
}

#[test]
fn properties_and_brands_are_written_in_any_case() {
    // evaluate_rule and dsl_compare_string: str_case_equal
    holds("CUDA>=11.0");
    holds("Brand=TESLA");
    fails("brand!=tesla", "brand!=tesla");
    holds("brand!=geforce");
}

#[test]
fn every_comparison_is_known_and_a_bare_exclamation_mark_is_unequal() {
    // evaluate_rule: strncmp over the signs found, by the list of operators
    for text in [
        "cuda=11.4",
        "cuda!=11.5",
        "cuda<11.5",
        "cuda<=11.4",
        "cuda>11.3",
        "cuda>=11.4",
        "brand!geforce",
    ] {
        holds(text);
    }
    for text in [
        "cuda=11.5",
        "cuda!=11.4",
        "cuda<11.4",
        "cuda<=11.3",
        "cuda>11.4",
        "cuda>=11.5",
        "brand!tesla",
    ] {
        fails(text, text);
    }
    for text in [
        "cuda==11.4",
        "cuda=>11.4",
        "cuda<>11.4",
        "cuda>>11.4",
        "cuda>==11.4",
        "cuda!!11.4",
    ] {
        malformed(text);
        assert_eq!(problem(text).0, RequirementProblem::UnknownComparison);
    }
}

#[test]
fn what_is_no_condition_is_malformed() {
    // evaluate_rule: every `return (-1)`
    for (text, expected) in [
        ("cuda", RequirementProblem::NoComparison),
        ("cuda>=", RequirementProblem::NoValue),
        (">=11.4", RequirementProblem::UnknownProperty),
        ("colour=red", RequirementProblem::UnknownProperty),
        ("cuda>=eleven", RequirementProblem::NotAVersion),
        ("cuda>=11.4-rc1", RequirementProblem::NotAVersion),
        ("cuda>=.4", RequirementProblem::NotAVersion),
        ("cuda>=11=4", RequirementProblem::NotAVersion),
        ("brand>=tesla", RequirementProblem::Unordered),
        (
            "cuda>=18446744073709551615",
            RequirementProblem::NotAVersion,
        ),
        ("cuda>=11.4\t", RequirementProblem::NotAVersion),
    ] {
        malformed(text);
        assert_eq!(problem(text), (expected, 1), "{text:?}");
    }
}

#[test]
fn versions_are_compared_number_by_number_and_missing_ones_are_zero() {
    // dsl_compare_version
    holds("cuda<11.10");
    holds("driver=470.256.2");
    holds("driver=470.256.02.0.0");
    holds("cuda=11.4.");
    holds("cuda=11..4");
    holds("cuda=011.04");
    fails("driver=470", "driver=470");
    holds("driver>470");
    fails("driver>470.256.02.0", "driver>470.256.02.0");
    holds("driver<470.256.02.1");
    // A number too large is met only where the comparison comes to it.
    fails(
        "cuda>=12.99999999999999999999999",
        "cuda>=12.99999999999999999999999",
    );
    malformed("cuda>=11.99999999999999999999999");
    // What is left when one version ends is only looked at for zeros.
    fails(
        "cuda>=11.4.99999999999999999999999",
        "cuda>=11.4.99999999999999999999999",
    );
}

#[test]
fn arch_is_the_compute_capability() {
    // configure.c, check_device_arch; driver.c, driver_get_device_arch
    holds("arch>=7.5");
    fails("arch>=8.0", "arch>=8.0");
}

#[test]
fn what_is_not_known_holds_whatever_is_asked() {
    // configure.c: `return (true)` where driver, CUDA version or device is NULL
    let nothing = Subject::default();
    for text in [
        "cuda>=99",
        "driver<1",
        "brand=geforce,arch>=99",
        "brand>=tesla",
        "arch=Turing",
    ] {
        assert_eq!(Requirement::read(text).unmet(nothing), None, "{text:?}");
    }
    assert!(Requirement::read("colour=red").unmet(nothing).is_some());
}

#[test]
fn a_condition_that_fails_must_fit_the_runtimes_message() {
    // evaluate_rule: snprintf into EXPR_MAX, which is 128 bytes, as "brand = …"
    let brand = |length: usize| format!("brand={}", "x".repeat(length));
    fails(&brand(119), &brand(119));
    malformed(&brand(120));
    holds(&format!("brand!={}", "x".repeat(500)));
    assert_eq!(problem(&brand(120)).0, RequirementProblem::TooLong);
}

#[test]
fn a_change_of_a_tags_requirement_is_said_in_words() {
    let changes =
        |pinned: &str, found: &str| changes(&Requirement::read(pinned), &Requirement::read(found));
    assert_eq!(
        changes(
            "cuda>=11.8 brand=tesla,driver>=450,driver<451 brand=tesla,driver>=470,driver<471 brand=geforce,driver>=470,driver<471",
            "cuda>=11.8 brand=geforce,driver>=470,driver<471"
        ),
        [
            "no longer lists driver 450 for tesla",
            "no longer lists driver 470 for tesla"
        ]
    );
    assert_eq!(
        changes(
            "cuda>=12.4 driver>=450",
            "cuda>=12.5 brand=grid,driver>=550,driver<551 brand=tesla,driver>=550,driver<551 brand=vws,driver>=550,driver<551"
        ),
        [
            "asks for CUDA ≥ 12.5 instead of 12.4",
            "now lists driver 550 for grid, tesla and vws",
            "no longer accepts \"driver>=450\""
        ]
    );
    assert_eq!(
        changes("cuda>=12.4 driver>=450", "driver>=450  cuda>=12.4"),
        [""; 0]
    );
    assert_eq!(changes("", "cuda>=12.4"), ["now accepts CUDA ≥ 12.4"]);
}

fn property() -> impl Strategy<Value = Property> {
    prop_oneof![
        Just(Property::Cuda),
        Just(Property::Driver),
        Just(Property::Arch),
        Just(Property::Brand)
    ]
}

fn condition() -> impl Strategy<Value = (Property, Comparator, String)> {
    let any = prop_oneof![
        Just(Comparator::Equal),
        Just(Comparator::NotEqual),
        Just(Comparator::Less),
        Just(Comparator::LessOrEqual),
        Just(Comparator::Greater),
        Just(Comparator::GreaterOrEqual)
    ];
    (
        property(),
        any,
        "[a-z]{1,8}",
        "[0-9]{1,3}(\\.[0-9]{1,3}){0,2}",
    )
        .prop_map(
            |(property, comparator, brand, version)| match (property, comparator) {
                (Property::Brand, Comparator::NotEqual) => (property, comparator, brand),
                (Property::Brand, _) => (property, Comparator::Equal, brand),
                _ => (property, comparator, version),
            },
        )
}

proptest! {
    #[test]
    fn reading_never_panics(text in "\\PC{0,60}|[a-z0-9<>=!., ]{0,60}") {
        let read = Requirement::read(&text);
        let _ = unmet(&text);
        prop_assert_eq!(read.to_string(), text.clone());
        if let Ok(parsed) = text.parse::<Requirement>() {
            prop_assert_eq!(parsed, read);
            prop_assert!(!matches!(unmet(&text), Some(Unmet::Malformed(_))));
        }
    }

    #[test]
    fn what_is_printed_is_read_again(
        written in prop::collection::vec(prop::collection::vec(condition(), 1..4), 1..5),
    ) {
        let text = written
            .iter()
            .map(|conditions| {
                let words: Vec<String> = conditions
                    .iter()
                    .map(|(property, comparator, value)| {
                        format!("{}{}{value}", property.as_str(), comparator.as_str())
                    })
                    .collect();
                words.join(",")
            })
            .collect::<Vec<_>>()
            .join(" ");
        let parsed: Requirement = text.parse().unwrap();
        let read: Vec<Vec<(Property, Comparator, String)>> = parsed
            .alternatives()
            .iter()
            .map(|alternative| {
                alternative
                    .conditions()
                    .map(|one| (one.property(), one.comparator(), one.value().to_owned()))
                    .collect()
            })
            .collect();
        prop_assert_eq!(read, written);
        prop_assert_eq!(parsed.to_string().parse::<Requirement>().unwrap(), parsed);
    }

    #[test]
    fn nothing_changes_between_a_requirement_and_itself(
        written in prop::collection::vec(condition(), 1..6),
    ) {
        let words: Vec<String> = written
            .iter()
            .map(|(property, comparator, value)| {
                format!("{}{}{value}", property.as_str(), comparator.as_str())
            })
            .collect();
        let requirement: Requirement = words.join(" ").parse().unwrap();
        prop_assert_eq!(changes(&requirement, &requirement), Vec::<String>::new());
    }
}
