use super::*;

const MINIMAL: &str = r#"
data_dir = "/var/lib/tfleet-agent"
enrolment = "10.88.0.1:7443"
fleet = "coordinator.example:7444"
"#;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/etc/tfleet/agent.toml"))
}

/// The error with its sources, as a person sees it.
fn told(error: &ConfigError) -> String {
    let source = std::error::Error::source(error).map(|source| format!(": {source}"));
    format!("{error}{}", source.unwrap_or_default())
}

#[test]
fn what_is_left_out_has_the_documented_defaults() {
    let config = parse(MINIMAL).unwrap();
    assert_eq!(config.engine, "unix:///run/docker.sock");
    assert_eq!(config.policy, Path::new("/etc/tfleet/policy.toml"));
    assert_eq!(config.token_file, None);
    assert_eq!(config.containerd_root, None);
    assert!(config.labels.is_empty());
    assert_eq!(config.peers, None);
}

#[test]
fn the_shipped_example_is_understood() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/agent/agent.toml");
    Config::load(&path).unwrap();
}

#[test]
fn an_unknown_key_is_an_error_that_names_file_line_and_key() {
    let error = parse(&format!("{MINIMAL}\ntoken_flie = \"/etc/tfleet/token\"\n")).unwrap_err();
    let told = told(&error);
    assert!(told.contains("/etc/tfleet/agent.toml"), "{told}");
    assert!(told.contains("line 6"), "{told}");
    assert!(told.contains("token_flie"), "{told}");
}

#[test]
fn an_address_without_a_port_is_an_error_that_names_its_line() {
    let error = parse(&MINIMAL.replace(":7443", "")).unwrap_err();
    let told = told(&error);
    assert!(
        told.contains("line 3") && told.contains("10.88.0.1"),
        "{told}"
    );
}

#[test]
fn a_relative_path_is_an_error() {
    let error = parse(&MINIMAL.replace("/var/lib", "var/lib")).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("data_dir = \"var/lib/tfleet-agent\""),
        "{error}"
    );
}
