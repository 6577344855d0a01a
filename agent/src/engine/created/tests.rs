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

#[test]
fn what_takes_a_containers_walls_away_counts_as_privileged() {
    let privileged = |host: &str| {
        let made = serde_json::from_str(&format!("{{\"HostConfig\":{host}}}"));
        created(made.unwrap()).unwrap().privileged
    };
    for host in [
        r#"{"Privileged":true}"#,
        r#"{"PidMode":"container:other"}"#,
        r#"{"NetworkMode":"container:other"}"#,
        r#"{"UTSMode":"host"}"#,
        r#"{"UsernsMode":"host"}"#,
        r#"{"SecurityOpt":["seccomp=unconfined"]}"#,
        r#"{"SecurityOpt":["no-new-privileges","apparmor:unconfined"]}"#,
        r#"{"VolumesFrom":["other"]}"#,
    ] {
        assert!(privileged(host), "{host}");
    }
    // As an engine shows what this agent asks for.
    for host in [
        r#"{"Privileged":false,"NetworkMode":"default","IpcMode":"private","PidMode":"","UTSMode":"","UsernsMode":""}"#,
        r#"{"SecurityOpt":["no-new-privileges"],"VolumesFrom":null}"#,
    ] {
        assert!(!privileged(host), "{host}");
    }
}
