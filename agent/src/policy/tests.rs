mod binds;

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU16;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use tfleet_proto::model::desired::{
    BindMount, ContainerSpec, GpuRequest, HostNamespace, PortBinding, PortProtocol, RestartPolicy,
};
use tfleet_proto::model::digest::Digest;

use super::*;

fn parse(text: &str) -> Result<Policy, PolicyError> {
    Policy::parse(text, Path::new("/etc/tfleet/policy.toml"))
}

fn spec() -> ContainerSpec {
    ContainerSpec {
        name: "train".to_owned(),
        artifact: Digest::of(b"artifact"),
        release: "train:v7".parse().unwrap(),
        variant: "tf2.15.1-cuda12.2".parse().unwrap(),
        command: Vec::new(),
        environment: BTreeMap::new(),
        ports: Vec::new(),
        binds: Vec::new(),
        gpus: GpuRequest::All,
        user: None,
        working_directory: None,
        shm_bytes: 0,
        restart_policy: RestartPolicy::No,
        privileged: false,
        host_namespaces: Vec::new(),
        capabilities: Vec::new(),
        tty: false,
        stop_grace_seconds: 0,
        trusts_intermediate_code: false,
    }
}

fn binding(source: &Path) -> ContainerSpec {
    let source = source.to_str().unwrap().to_owned();
    ContainerSpec {
        binds: vec![BindMount {
            source,
            target: "/data".to_owned(),
            read_only: true,
        }],
        ..spec()
    }
}

fn publishing(port: u16) -> ContainerSpec {
    let port = NonZeroU16::new(port).unwrap();
    let binding = PortBinding {
        host_address: None,
        host_port: port,
        container_port: port,
        protocol: PortProtocol::Tcp,
    };
    ContainerSpec {
        ports: vec![binding],
        ..spec()
    }
}

fn refused_by(policy: &Policy, spec: &ContainerSpec) -> Rule {
    match policy.check_spec(spec) {
        Err(Refusal::Rule { rule, .. }) => rule,
        other => panic!("expected a rule to refuse, got {other:?}"),
    }
}

/// A folder with an allowed part and a secret beside it.
struct Disk {
    folder: tempfile::TempDir,
    policy: Policy,
}

impl Disk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("allowed/set")).unwrap();
        fs::create_dir_all(folder.path().join("allowed-not")).unwrap();
        fs::create_dir_all(folder.path().join("secret")).unwrap();
        let allowed = folder.path().join("allowed");
        let policy = parse(&format!("bind_prefixes = [{allowed:?}]")).unwrap();
        Self { folder, policy }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

#[test]
fn the_built_in_policy_lets_a_plain_container_run_and_nothing_of_the_host() {
    let policy = Policy::built_in();
    assert_eq!(policy.check_spec(&spec()), Ok(spec()));
    assert!(policy.check_spec(&publishing(8888)).is_ok());
    assert_eq!(refused_by(&policy, &publishing(22)), Rule::HostPorts);
    assert_eq!(
        refused_by(&policy, &binding(Path::new("/etc"))),
        Rule::BindPrefixes
    );
    assert_eq!(
        refused_by(
            &policy,
            &ContainerSpec {
                privileged: true,
                ..spec()
            }
        ),
        Rule::Privileged
    );
    let host_network = ContainerSpec {
        host_namespaces: vec![HostNamespace::Network],
        ..spec()
    };
    assert_eq!(refused_by(&policy, &host_network), Rule::HostNamespaces);
    let capable = ContainerSpec {
        capabilities: vec!["SYS_ADMIN".to_owned()],
        ..spec()
    };
    assert_eq!(refused_by(&policy, &capable), Rule::Capabilities);
    assert!(matches!(
        policy.check_exec(),
        Err(Refusal::Rule {
            rule: Rule::Exec,
            ..
        })
    ));
}

#[test]
fn an_empty_file_is_the_built_in_policy() {
    assert_eq!(parse("").unwrap(), Policy::built_in());
}

#[test]
fn an_empty_allow_list_allows_nobody() {
    assert_eq!(
        refused_by(&parse("releases = []").unwrap(), &spec()),
        Rule::Releases
    );
    let release = spec().release.name;
    assert!(Policy::built_in().check_release(&release).is_ok());
    assert!(
        parse("releases = []")
            .unwrap()
            .check_release(&release)
            .is_err()
    );
    assert_eq!(
        refused_by(&parse("host_ports = []").unwrap(), &publishing(8888)),
        Rule::HostPorts
    );
}

#[test]
fn each_key_allows_what_it_says_and_no_more() {
    let policy = parse(
        r#"
        exec = true
        peers = true
        privileged = true
        host_namespaces = ["ipc"]
        capabilities = ["SYS_PTRACE"]
        gpus = false
        releases = ["train*", "serve"]
        host_ports = [22, "8000-8999"]
        "#,
    )
    .unwrap();
    let plain = ContainerSpec {
        gpus: GpuRequest::None,
        ..spec()
    };
    assert!(policy.check_exec().is_ok());
    assert!(policy.allows_peers());
    assert!(!Policy::built_in().allows_peers());
    assert!(policy.check_spec(&plain).is_ok());
    assert_eq!(refused_by(&policy, &spec()), Rule::Gpus);
    assert!(
        policy
            .check_spec(&ContainerSpec {
                privileged: true,
                ..plain.clone()
            })
            .is_ok()
    );
    assert!(
        policy
            .check_spec(&ContainerSpec {
                host_namespaces: vec![HostNamespace::Ipc],
                ..plain.clone()
            })
            .is_ok()
    );
    let pid = ContainerSpec {
        host_namespaces: vec![HostNamespace::Ipc, HostNamespace::Pid],
        ..plain.clone()
    };
    assert_eq!(refused_by(&policy, &pid), Rule::HostNamespaces);
    let traced = ContainerSpec {
        capabilities: vec!["CAP_SYS_PTRACE".to_owned()],
        ..plain.clone()
    };
    assert!(policy.check_spec(&traced).is_ok());
    for release in ["train:v1", "training:v1", "serve:v2"] {
        assert!(
            policy
                .check_spec(&ContainerSpec {
                    release: release.parse().unwrap(),
                    ..plain.clone()
                })
                .is_ok()
        );
    }
    let other = ContainerSpec {
        release: "serve-old:v1".parse().unwrap(),
        ..plain.clone()
    };
    assert_eq!(refused_by(&policy, &other), Rule::Releases);
    for (port, allowed) in [
        (22, true),
        (8000, true),
        (8999, true),
        (9000, false),
        (23, false),
    ] {
        let spec = ContainerSpec {
            gpus: GpuRequest::None,
            ..publishing(port)
        };
        assert_eq!(policy.check_spec(&spec).is_ok(), allowed, "{port}");
    }
}

#[test]
fn what_the_engine_made_is_judged_by_itself() {
    let policy = Policy::built_in();
    assert!(policy.check_made(&Made::default()).is_ok());
    let cases = [
        (
            Made {
                privileged: true,
                ..Made::default()
            },
            Rule::Privileged,
        ),
        (
            Made {
                host_namespaces: vec![HostNamespace::Pid],
                ..Made::default()
            },
            Rule::HostNamespaces,
        ),
        (
            Made {
                capabilities: vec!["CAP_NET_ADMIN".to_owned()],
                ..Made::default()
            },
            Rule::Capabilities,
        ),
        (
            Made {
                bind_sources: vec![PathBuf::from("/")],
                ..Made::default()
            },
            Rule::BindPrefixes,
        ),
        (
            Made {
                host_ports: vec!["80".to_owned()],
                ..Made::default()
            },
            Rule::HostPorts,
        ),
        (
            Made {
                host_ports: vec!["8888".to_owned(), "8000-8010".to_owned()],
                ..Made::default()
            },
            Rule::HostPorts,
        ),
        (
            Made {
                host_ports: vec![String::new()],
                ..Made::default()
            },
            Rule::HostPorts,
        ),
    ];
    for (made, expected) in cases {
        assert!(
            matches!(policy.check_made(&made), Err(Refusal::Rule { rule, .. }) if rule == expected),
            "{made:?}"
        );
    }
}

#[test]
fn a_refusal_reaches_the_operator_with_the_rules_name() {
    let failure = Policy::built_in().check_exec().unwrap_err().failure();
    assert_eq!(failure.code, "policy-refused");
    assert_eq!(failure.rule.as_deref(), Some("exec"));
    assert!(failure.remedy.unwrap().contains("`exec`"));
}

#[test]
fn unknown_keys_and_odd_values_are_errors() {
    let odd = [
        "bind_prefix = []",
        "bind_prefixes = [\"data\"]",
        "host_namespaces = [\"uts\"]",
        "capabilities = [\"CAP_SYS_ADMIN\"]",
        "releases = [\"*train\"]",
        "releases = [\"\"]",
        "host_ports = [0]",
        "host_ports = [\"9-1\"]",
        "exec = \"yes\"",
    ];
    for text in odd {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_file_that_others_can_write_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.toml");
    assert!(Policy::load(&path).unwrap().is_none());
    fs::write(&path, "exec = true").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
    assert!(matches!(
        Policy::load(&path),
        Err(PolicyError::NotRoots { mode: 0o664, .. })
    ));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    // Only root can give a file away, or have one that is believed.
    if chown(&path, Some(1000), None).is_ok() {
        assert!(matches!(
            Policy::load(&path),
            Err(PolicyError::NotRoots { owner: 1000, .. })
        ));
        chown(&path, Some(0), None).unwrap();
        assert!(Policy::load(&path).unwrap().unwrap().check_exec().is_ok());
    }
}

#[test]
fn the_shipped_example_is_understood_and_is_the_built_in_policy() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/agent/policy.toml");
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(Policy::parse(&text, &path).unwrap(), Policy::built_in());
}
