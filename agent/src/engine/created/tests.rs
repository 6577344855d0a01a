use super::*;

#[test]
fn every_port_of_the_host_is_told_also_one_that_is_no_number() {
    let made = serde_json::from_str(
        r#"{"HostConfig":{"PortBindings":{
            "80/tcp":[{"HostIp":"","HostPort":"8080"},{"HostPort":"8000-8010"}],
            "81/tcp":[{"HostIp":"0.0.0.0"}],
            "82/tcp":null}}}"#,
    );
    let mut ports = created(made.unwrap()).unwrap().host_ports;
    ports.sort();
    assert_eq!(ports, ["", "8000-8010", "8080"]);
}
