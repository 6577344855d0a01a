//! What flavoured images serve, with the real Jupyter and the real SSH.

use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use tfleet_coordinator::build::{Additions, Flavour};
use tfleet_tests::harness::eventually;
use tfleet_tests::lab::{EngineKind, run};

use super::workshop::{Workshop, lab, site};

/// Asks Jupyter inside the container; prints the status of the answer.
const ASK: &str = "import sys, urllib.request, urllib.error
try:
    print(urllib.request.urlopen('http://127.0.0.1:8888/api/status' + sys.argv[1]).status)
except urllib.error.HTTPError as error:
    print(error.code)";

#[tokio::test(flavor = "multi_thread")]
async fn one_image_serves_jupyter_by_token_and_ssh_by_key_and_can_compile() {
    let lab = lab(EngineKind::System);
    let engine = lab.builder().unwrap();
    let workshop = Workshop::new(&lab, site()).await;
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    let mut keygen = Command::new("ssh-keygen");
    run(keygen
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key))
    .unwrap();
    let additions = Additions {
        flavours: [Flavour::Jupyter, Flavour::Ssh, Flavour::Devel].into(),
        authorized_keys: Some(std::fs::read_to_string(key.with_extension("pub")).unwrap()),
        environment: [("GREETING".to_owned(), "say \"hi\"".to_owned())].into(),
        ..Additions::default()
    };
    let order = workshop.order(&["six==1.17.0"], additions);
    let built = workshop.build(&order).await.unwrap();

    let store = workshop.builds.artifacts();
    let index = store.index(&built.artifact).unwrap().unwrap();
    let archive = tempfile::NamedTempFile::new_in("/var/tmp").unwrap();
    let mut file = std::io::BufWriter::new(archive.as_file());
    tfleet_coordinator::artifact::rebuild(store, &index, "built:here", &mut file).unwrap();
    drop(file);
    run(engine
        .docker()
        .args(["load", "--input"])
        .arg(archive.path()))
    .unwrap();
    let keys = [
        "run",
        "--rm",
        "--network=none",
        "built:here",
        "sh",
        "-c",
        "ls /etc/ssh",
    ];
    let keys = run(engine.docker().args(keys)).unwrap();
    assert!(
        !keys.contains("ssh_host_"),
        "keys of a host in an image: {keys}"
    );

    run(engine.docker().args([
        "run",
        "--detach",
        "--init",
        "--network=none",
        "--name=lab",
        "--env=JUPYTER_TOKEN=only-for-us",
        "built:here",
    ]))
    .unwrap();
    let inside = |words: &[&str]| {
        let mut exec = engine.docker();
        run(exec.args(["exec", "lab"]).args(words))
    };
    let said = eventually(Duration::from_secs(60), || {
        let status = inside(&["python", "-c", ASK, "?token=only-for-us"])?;
        ensure!(status.trim() == "200", "{status}");
        Ok(inside(&["python", "-c", ASK, ""])?)
    });
    assert_eq!(said.unwrap().trim(), "403");

    run(engine.docker().arg("cp").arg(&key).arg("lab:/key")).unwrap();
    run(engine
        .docker()
        .args(["exec", "lab", "chown", "0:0", "/key"]))
    .unwrap();
    let ssh = [
        "ssh",
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "BatchMode=yes",
        "root@127.0.0.1",
    ];
    let by_key = |words: &[&str]| inside(&[&ssh[..], &["-i", "/key"], words].concat());
    let python = by_key(&["python -c 'import six, sys; print(sys.prefix)'"]).unwrap();
    assert_eq!(python.trim(), "/opt/tfleet");
    let login = by_key(&["bash -l -c 'echo $GREETING'"]).unwrap();
    assert_eq!(login.trim(), "say \"hi\"");
    let refused = inside(&ssh).unwrap_err().to_string();
    assert!(
        refused.contains("Permission denied (publickey)"),
        "{refused}"
    );

    let header = "gcc --version && git --version && echo '#include <Python.h>' | gcc -E $(python3-config --includes) - > /dev/null";
    inside(&["sh", "-c", header]).unwrap();
    // One of the two ends, and so does the container.
    inside(&["sh", "-c", "kill $(cat /run/sshd.pid)"]).unwrap();
    eventually(Duration::from_secs(20), || {
        let state = run(engine
            .docker()
            .args(["inspect", "--format={{.State.Status}}", "lab"]))?;
        ensure!(state.trim() == "exited", "{state}");
        Ok(())
    })
    .unwrap();
}
