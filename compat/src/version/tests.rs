use super::*;

fn driver(text: &str) -> DriverVersion {
    text.parse().unwrap()
}

#[test]
fn drivers_order_by_number_and_not_by_text() {
    assert!(driver("570.26") < driver("570.86.15"));
    assert!(driver("570.86.15") < driver("570.124.06"));
    assert!(driver("440.33") < driver("440.100"));
    assert!(driver("535.43.02") < driver("535.54.03"));
    assert_eq!(driver("450.80.2"), driver("450.80.02"));
    assert_eq!(driver("384"), driver("384.0.0"));
}

#[test]
fn a_version_is_written_as_it_was_read() {
    assert_eq!(driver("470.256.02").to_string(), "470.256.02");
    assert_eq!(driver("470.256.02").branch(), 470);
    assert_eq!(
        "12.2.2".parse::<CudaRelease>().unwrap().level(),
        CudaVersion::new(12, 2)
    );
    assert_eq!(
        "8.6".parse::<ComputeCapability>().unwrap().to_string(),
        "8.6"
    );
    assert_eq!(
        "2.15.0.post1".parse::<TensorflowVersion>().unwrap().minor(),
        TensorflowMinor::new(2, 15)
    );
}

#[test]
fn what_is_no_version_is_refused_with_an_example() {
    for text in [
        "",
        "535.",
        ".535",
        "535,183",
        "535.x",
        "-1.2",
        "+1.2",
        "99999999999",
    ] {
        assert!(text.parse::<DriverVersion>().is_err(), "{text:?}");
    }
    for text in ["8", "8.", ".6", "8.6.1", "+8.6", "a.b"] {
        assert!(text.parse::<ComputeCapability>().is_err(), "{text:?}");
    }
    let error = "eight".parse::<ComputeCapability>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "\"eight\" is not a compute capability: expected two numbers such as 7.5"
    );
}

#[test]
fn post_releases_come_after_their_release_and_before_the_next_patch() {
    let versions: Vec<TensorflowVersion> = ["2.15.0", "2.15.0.post1", "2.15.1"]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
    assert!(versions.is_sorted());
}

#[test]
fn a_minor_version_asks_for_any_of_its_patches() {
    let version = |text: &str| text.parse::<TensorflowVersion>().unwrap();
    assert!(version("2.15").asks_for(&version("2.15.1")));
    assert!(!version("2.15").asks_for(&version("2.16.1")));
    assert!(version("2").asks_for(&version("2.16.1")));
    assert!(!version("2.15rc1").asks_for(&version("2.15.1")));
    assert!(version("2.15.0").asks_for(&version("2.15.0")));
    assert!(!version("2.15.0").asks_for(&version("2.15.1")));
}

#[test]
fn cudnn_serves_the_same_major_from_the_compiled_minor_on() {
    let cudnn = |text: &str| text.parse::<CudnnVersion>().unwrap();
    assert!(cudnn("8.6.0.163").serves(&cudnn("8.1")));
    assert!(!cudnn("8.6.0.163").serves(&cudnn("8.7")));
    assert!(!cudnn("9.3.0.75").serves(&cudnn("8.9")));
}
