//! Flavours and Dockerfiles, as an operator asks for them.

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use tfleet_tests::lab::HostDescription;

use crate::build::wheel::Wheel;
use crate::variants::fleet_that_builds;

/// What stands for Jupyter: a program of its name that serves, and says how it was called.
const JUPYTER: &str = "#!python
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(' '.join(sys.argv[1:]).encode())
http.server.HTTPServer(('0.0.0.0', 8888), Handler).serve_forever()
";

const ASK: &str =
    "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8888').read().decode())";

#[tokio::test(flavor = "multi_thread")]
async fn a_flavoured_release_serves_without_further_words_and_a_failed_variant_goes_nowhere()
-> Result<()> {
    let hosts = vec![HostDescription::new("cpu")];
    let (fleet, index) = fleet_that_builds(hosts).await?;
    let jupyter = Wheel::new("jupyterlab", "4.0.0").program("jupyter", JUPYTER);
    index.offer(jupyter.pack());
    let create = |name: &'static str, more: &[&'static str]| {
        let what = [
            "release",
            "create",
            name,
            "--tensorflow",
            "==2.15.*",
            "--all",
        ];
        fleet.tfleet([&what[..], more].concat())
    };
    create("lab", &["--flavour", "jupyter"])?;
    fleet.ok(["build", "lab"])?;
    fleet.ok(["rollout", "start", "lab", "--all"])?;
    fleet.ok(["run", "lab", "--name", "lab", "--all", "--detach"])?;
    let said = tfleet_tests::harness::eventually(std::time::Duration::from_secs(30), || {
        fleet.ok(["exec", "lab", "--host", "cpu", "--", "python", "-c", ASK])
    })?;
    ensure!(
        said.stdout.contains("lab --ip=0.0.0.0 --port=8888"),
        "{}",
        said.stdout
    );
    let ports = fleet.ok(["ps", "--all"])?.stdout;
    ensure!(ports.contains("8888→8888/tcp"), "{ports}");
    // A command of one's own runs instead, and publishes nothing.
    fleet.ok([
        "run", "lab", "--name", "own", "--all", "--detach", "--", "sleep", "1000",
    ])?;
    let shown = fleet.shown("cpu")?;
    let containers = shown["desired"]["containers"]
        .as_array()
        .context("containers")?;
    let own = containers.iter().find(|it| it["spec"]["name"] == "own");
    let own = own.context("the container own")?;
    ensure!(own["spec"]["ports"] == serde_json::json!([]), "{own}");

    let sbom = fleet.ok(["release", "sbom", "lab", "--variant", "tf2.15.1-cpu"])?;
    let sbom = sbom.json()?;
    let components = sbom["components"].as_array().context("components")?;
    for purl in [
        "pkg:pypi/tensorflow-cpu@2.15.1",
        "pkg:pypi/jupyterlab@4.0.0",
    ] {
        ensure!(
            components.iter().any(|it| it["purl"] == purl),
            "{purl}: {sbom}"
        );
    }
    fleet
        .tfleet(["release", "sbom", "lab", "--variant", "tf2.15.1-gpu"])?
        .refused(4, "tf2.15.1-cpu")?;

    // The same image under another name shares everything with nobody: sharing is told within a release.
    let shown = fleet
        .ok(["release", "show", "lab", "--output", "json"])?
        .json()?;
    ensure!(shown["builds"][0]["shared_stored_bytes"] == 0, "{shown}");
    ensure!(shown["spec"]["flavours"][0] == "jupyter", "{shown}");

    let folder = TempDir::new()?;
    let dockerfile = folder.path().join("Dockerfile");
    let path: &'static str = dockerfile.to_str().context("a path")?.to_owned().leak();
    std::fs::write(
        &dockerfile,
        "ARG TFLEET_BASE\nFROM $TFLEET_BASE\nCOPY . /here\n",
    )?;
    create("mine", &["--dockerfile", path])?.refused(2, "line 3 of the Dockerfile")?;
    std::fs::write(
        &dockerfile,
        "ARG TFLEET_BASE\nFROM $TFLEET_BASE\nENV https_proxy=http://proxy:3128\n",
    )?;
    create("mine", &["--dockerfile", path])?;
    fleet
        .tfleet(["build", "mine"])?
        .refused(1, "is left in the variable https_proxy")?;
    fleet
        .tfleet(["rollout", "start", "mine", "--all"])?
        .refused(5, "is not built yet")?;
    fleet
        .tfleet(["release", "sbom", "mine", "--variant", "tf2.15.1-cpu"])?
        .refused(5, "is not built yet")?;
    create("on", &["--base", "ours:1", "--flavour", "ssh"])?.refused(5, "openssh-server")?;
    Ok(())
}
