use super::*;

#[test]
fn a_policy_reads_as_toml_with_any_key_left_out() {
    let policy: Policy =
        toml::from_str("preference = \"uniform\"\nforward_compatibility = true").unwrap();
    assert_eq!(policy.preference, Preference::Uniform);
    assert!(policy.forward_compatibility && !policy.rebalance);
    assert_eq!(policy.terms(), Terms::default());
    assert_eq!(toml::from_str::<Policy>("").unwrap(), Policy::default());
}

#[test]
fn a_misspelt_key_is_refused() {
    let error = toml::from_str::<Policy>("forward_compatability = true").unwrap_err();
    assert!(error.to_string().contains("unknown field"), "{error}");
}

#[test]
fn a_preference_is_a_word_or_a_version() {
    for text in ["newest", "uniform", "2.15.1"] {
        assert_eq!(text.parse::<Preference>().unwrap().to_string(), text);
    }
    let error = "oldest".parse::<Preference>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "\"oldest\" is not a preference: expected newest, uniform, or a TensorFlow version such as 2.15.1"
    );
}
