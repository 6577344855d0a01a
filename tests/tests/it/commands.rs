//! Commands that look, and those about people: as they are typed, in both forms.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use tfleet_tests::harness::{Spawned, TestFleet, eventually};
use tfleet_tests::lab::HostDescription;

use super::main_job::fleet;
use super::memory::resident_mebibytes;

/// A fleet of one host with a container that talks.
fn talking(options: &[&str], script: &str) -> Result<TestFleet> {
    let fleet = fleet(vec![HostDescription::new("host")])?;
    fleet.add_image("tiny", &[], &[])?;
    fleet.ok(["rollout", "start", "tiny", "--all"])?;
    let run = ["run", "tiny", "--name", "talk", "--all", "--detach"];
    fleet.ok([&run, options, &["--", "sh", "-c", script]].concat())?;
    Ok(fleet)
}

fn typed(fleet: &TestFleet, arguments: &[&str]) -> Result<Spawned> {
    let mut command = fleet.operator().command(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    Ok(Spawned(command.spawn()?))
}

#[test]
fn every_command_that_looks_answers_people_and_programs() -> Result<()> {
    let fleet = talking(
        &["-p", "8888:8888"],
        "while :; do echo hello | nc -l -p 8888; done",
    )?;
    let commands: [(&[&str], &str); 10] = [
        (&["fleet"], "hosts"),
        (&["hosts", "--all"], "host"),
        (&["hosts", "show", "host"], "overlay2"),
        (&["ps", "--all"], "8888"),
        (&["release", "ls"], "tiny:v1"),
        (&["release", "show", "tiny"], "tiny:v1"),
        (&["rollout", "watch", "tiny", "--all"], "present"),
        (
            &["plan", "x", "--tensorflow", ">=2.14,<2.16", "--all"],
            "cpu",
        ),
        (&["operator", "ls"], "admin"),
        (&["token", "create", "another"], "tfleet1"),
    ];
    for (command, word) in commands {
        let Ok(table) = fleet.ok(command) else {
            panic!("{command:?}")
        };
        ensure!(
            table.stdout.to_lowercase().contains(word),
            "{command:?}: {table:?}"
        );
        let json = fleet
            .ok([command, &["--output", "json"]].concat())?
            .json()?;
        ensure!(
            json.to_string().to_lowercase().contains(word),
            "{command:?}: {json}"
        );
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = fleet.ok(["completions", shell])?.stdout;
        ensure!(script.contains("rollout"), "{shell}: {script}");
    }

    // The port of the container is one of the host.
    let address = fleet.host("host")?.network().address().to_string();
    eventually(Duration::from_secs(20), || {
        let mut said = String::new();
        TcpStream::connect((address.as_str(), 8888))?.read_to_string(&mut said)?;
        ensure!(said.trim() == "hello", "{said:?}");
        Ok(())
    })
}

#[test]
fn an_operator_gets_a_certificate_works_with_it_and_loses_it() -> Result<()> {
    let fleet = talking(&[], "echo one; sleep 1000")?;
    let folder = TempDir::new()?;
    let file = folder.path().join("night.toml");
    let out = file.to_str().context("a path of letters")?;
    let issue = ["operator", "issue", "night", "--out", out];
    fleet.ok([&issue[..], &["--life-days", "2"]].concat())?;
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file)?.permissions());
    ensure!(mode & 0o777 == 0o600, "{mode:o}");

    let night = fleet.operator().with(&file);
    night.ok(["ps", "--all"])?;
    let mut log = night.command(["logs", "-f", "talk", "--all"]);
    log.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut following = Spawned(log.spawn()?);
    let mut lines = BufReader::new(following.0.stdout.take().context("its output")?).lines();
    let line = lines.next().context("a line")??;
    ensure!(line.ends_with("one"), "{line}");

    fleet.ok(["operator", "revoke", "night"])?;
    // The open stream ends too, and not well.
    ensure!(!following.0.wait()?.success(), "it went on");
    let refused = night.type_in(["ps", "--all"])?;
    ensure!(refused.code != 0, "{refused:?}");
    fleet.ok(["ps", "--all"])?;

    let names = folder.path().join("hosts.txt");
    fs::write(&names, "# rack 7\nfirst\n\nsecond\n")?;
    let names = names.to_str().context("a path of letters")?;
    let made = fleet.ok(["token", "create", "--hosts-file", names, "--output", "json"])?;
    let made = made.json()?;
    ensure!(
        made[0]["host"] == "first" && made[1]["host"] == "second",
        "{made}"
    );
    Ok(())
}

/// What nobody reads is not made: an output that would fill memory within seconds waits at its source.
#[test]
fn an_output_that_nobody_reads_waits_where_it_is_made() -> Result<()> {
    let fleet = talking(&[], "sleep 1000")?;
    let coordinator = fleet.coordinator().pid().context("the coordinator runs")?;
    let process = fleet.host("host")?.agent().process().running();
    let agent = process.context("the agent runs")?.as_raw_nonzero().get();

    let flood = ["exec", "talk", "--host", "host", "--", "cat", "/dev/zero"];
    let mut flood = typed(&fleet, &flood)?;
    let mut output = flood.0.stdout.take().context("its output")?;
    let mut first = vec![0; 32 << 20];
    output.read_exact(&mut first)?;
    let network = fleet.host("host")?.network();
    let still = eventually(Duration::from_secs(30), || {
        let before = network.received_bytes()?;
        std::thread::sleep(Duration::from_secs(1));
        let more = network.received_bytes()? - before;
        ensure!(more < 1 << 20, "{more} bytes in a second that nobody reads");
        Ok(before)
    })?;
    ensure!(
        still < 200 << 20,
        "{still} bytes were sent, and 32 MiB were read"
    );
    for pid in [coordinator, agent] {
        let resident = resident_mebibytes(pid)?;
        ensure!(resident < 100, "process {pid} holds {resident} MiB");
    }
    // Others are not held up by it.
    let said = fleet.ok(["exec", "talk", "--host", "host", "--", "echo", "here"])?;
    ensure!(said.stdout.contains("here"), "{said:?}");
    output.read_exact(&mut first)?;
    Ok(())
}
