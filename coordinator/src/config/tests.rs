use super::*;

const SMALLEST: &str = "data_dir = '/d'\nname = 'n'\nadvertise = 'c.example'\n[listen]\nenrolment = '[::]:7443'\nfleet = '[::]:7444'\n";

fn read(text: &str) -> Result<Config, ConfigError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    Config::read(file.path())
}

#[test]
fn the_shipped_example_is_read() {
    let example =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/coordinator/coordinator.toml");
    Config::read(&example).unwrap();
}

#[test]
fn the_smallest_configuration_is_enough() {
    let config = read(SMALLEST).unwrap();
    assert_eq!(config.fleet_endpoint(), "c.example:7444");
    assert_eq!(config.certificates.host_life_hours, 168);
}

#[test]
fn an_unknown_key_is_refused_by_name() {
    let error = read(&format!("{SMALLEST}[build]\npip_mirror = 'x'\n")).unwrap_err();
    let ConfigError::Parse { source, .. } = error else {
        panic!("{error}")
    };
    assert!(source.to_string().contains("pip_mirror"), "{source}");
}

#[test]
fn one_address_for_both_listeners_is_refused() {
    let error = read(&SMALLEST.replace("7444", "7443")).unwrap_err();
    assert!(error.to_string().contains("must differ"), "{error}");
}

#[test]
fn a_life_of_nothing_or_of_more_than_ten_years_is_refused() {
    for (key, most) in [
        ("host_life_hours", 87_600_u32),
        ("operator_life_days", 3650),
    ] {
        let with = |life: u32| read(&format!("{SMALLEST}[certificates]\n{key} = {life}\n"));
        with(most).unwrap();
        for life in [0, most + 1, u32::MAX] {
            let refused = with(life).unwrap_err().to_string();
            assert!(
                refused.contains("`certificates`"),
                "{key} {life}: {refused}"
            );
        }
    }
}

#[test]
fn an_ipv6_address_is_advertised_in_brackets() {
    let config = read(&SMALLEST.replace("c.example", "fd00::1")).unwrap();
    assert_eq!(config.enrolment_endpoint(), "[fd00::1]:7443");
}
