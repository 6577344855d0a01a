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

fn with_builder(engine: &str) -> Result<Config, ConfigError> {
    read(&format!(
        "{SMALLEST}[[builder]]\narchitecture = 'x86_64'\nengine = '{engine}'\n"
    ))
}

#[test]
fn a_builder_is_reached_by_a_socket_or_on_this_machine() {
    for engine in [
        "unix:///run/docker.sock",
        "tcp://127.0.0.1:2375",
        "tcp://127.8.0.1:2375",
        "tcp://[::1]:2375",
        "tcp://localhost:2375",
    ] {
        with_builder(engine).unwrap();
    }
}

#[test]
fn a_builder_behind_an_open_port_of_the_network_is_refused_with_the_way_out() {
    for engine in [
        "tcp://builder:2375",
        "tcp://10.0.0.7:2375",
        "tcp://[fd00::1]:2375",
        "tcp://0.0.0.0:2375",
        "tcp://localhost.example.com:2375",
    ] {
        let error = with_builder(engine).unwrap_err().to_string();
        assert!(
            error.contains(engine) && error.contains("ssh -N -L"),
            "{error}"
        );
    }
    for engine in [
        "http://127.0.0.1:2375",
        "unix://docker.sock",
        "tcp://127.0.0.1",
        "/run/docker.sock",
        "",
    ] {
        let error = with_builder(engine).unwrap_err().to_string();
        assert!(error.contains("builder.engine"), "{error}");
    }
}

#[test]
fn the_sites_own_facts_lie_over_the_built_in_ones() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("catalog.toml");
    let mut config = read(SMALLEST).unwrap();
    assert!(
        config
            .catalog()
            .unwrap()
            .gpu("NVIDIA Quantum 9000")
            .is_err()
    );
    config.catalog.push(file.clone());
    let missing = config.catalog().unwrap_err();
    assert!(missing.to_string().contains("catalog.toml"), "{missing}");

    let row = "[[gpu]]\nname = \"NVIDIA Quantum 9000\"\ncapability = \"8.9\"\nclass = \"datacenter\"\nbrand = \"nvidia\"\nforward = \"no\"\nsource = \"x\"\n";
    fs::write(&file, row).unwrap();
    let catalog = config.catalog().unwrap();
    let gpu = catalog.gpu("NVIDIA Quantum 9000").unwrap();
    assert_eq!(gpu.capability.to_string(), "8.9");

    fs::write(&file, row.replace("source", "suorce")).unwrap();
    let ConfigError::Catalog { path, source } = config.catalog().unwrap_err() else {
        panic!("a misspelt key is no fact")
    };
    assert_eq!(path, file);
    let tfleet_compat::CatalogError::Parse { source, .. } = *source else {
        panic!("{source}")
    };
    assert!(source.to_string().contains("line 7"), "{source}");
}
