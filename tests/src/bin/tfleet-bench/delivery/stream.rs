//! The stream of chunks by itself, without engines: against a bare TLS stream of the same bytes, and a registry.

mod bare;
mod cpu;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tfleet_agent::identity::IdentityFolder;
use tfleet_proto::channel::{self, Trust};
use tfleet_proto::model::artifact::ArtifactIndex;
use tfleet_proto::wire::artifacts_client::ArtifactsClient;
use tfleet_proto::wire::{FetchChunksRequest, GetIndexRequest};
use tfleet_tests::harness::{TestFleet, files_below};
use tfleet_tests::lab::{EngineKind, HostDescription, TestLab, run};
use tokio::runtime::Runtime;

use super::arguments::Arguments;
use super::row::{Goal, Part, Row, median, seconds};
use super::way::Registry;
use crate::speak::tell;
use cpu::Cpu;

const HOST: &str = "host";
const RELEASE: &str = "raw";
const IMAGE_BYTES: usize = 480_000_000;

/// One way, once.
#[derive(Clone, Copy)]
struct Sample {
    wall: Duration,
    /// Of both ends.
    cpu: Duration,
    bytes: u64,
}

struct Stage {
    // Dropped before the network that it listens in.
    registry: Registry,
    fleet: TestFleet,
    runtime: Runtime,
    artifact: String,
    /// Frames, in the order of the index.
    frames: Vec<PathBuf>,
}

pub fn measured(arguments: &Arguments) -> Result<Vec<Row>> {
    tell("\nStarting a coordinator, an engine and a registry for streams without engines");
    let stage = Stage::raise()?;
    let (mut ours, mut bare, mut registry) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..arguments.rounds.max(3) {
        ours.push(stage.ours()?);
        bare.push(stage.runtime.block_on(bare::stream(stage.frames.clone()))?);
        registry.push(stage.registry()?);
    }
    let wall = |samples: &[Sample]| median_of(samples, |sample| sample.wall.as_secs_f64());
    let per_gigabyte = |samples: &[Sample]| {
        median_of(samples, |sample| {
            sample.cpu.as_secs_f64() / sample.bytes as f64 * 1e9
        })
    };
    let row = |what: &str, value: f64, name, other, goal| {
        seconds(Part::Stream, what, Duration::from_secs_f64(value)).against(name, other, goal)
    };
    Ok(vec![
        row(
            "wall time",
            wall(&ours),
            "bare TLS stream",
            wall(&bare),
            Goal::Times(0.85),
        ),
        row(
            "processor time per GB, both ends",
            per_gigabyte(&ours),
            "bare TLS stream",
            per_gigabyte(&bare),
            Goal::Times(0.5),
        ),
        row(
            "processor time per GB, both ends",
            per_gigabyte(&ours),
            "registry over HTTPS",
            per_gigabyte(&registry),
            Goal::Within(0.7),
        ),
    ])
}

fn median_of(samples: &[Sample], value: fn(&Sample) -> f64) -> f64 {
    median(samples.iter().map(value).collect()).unwrap_or_default()
}

impl Stage {
    fn raise() -> Result<Self> {
        let lab = TestLab::builder()
            .builder_engine(EngineKind::System)
            .host(HostDescription::new(HOST));
        let fleet = TestFleet::up(lab.up()?)?;
        let registry = Registry::start(&fleet.state().join("registry"), fleet.address())?;
        let mut content = vec![0; IMAGE_BYTES];
        StdRng::seed_from_u64(5).fill_bytes(&mut content);
        fleet.add_image(RELEASE, &[("weights", &content)], &[])?;
        fleet.ok(["rollout", "start", RELEASE, "--all"])?;
        let docker = || fleet.host(HOST).map(|host| host.engine().docker());
        let name = registry.name_of_tag(RELEASE);
        run(docker()?.args(["tag", &format!("tfleet/{RELEASE}:v1"), &name]))?;
        run(docker()?.args(["push", "--quiet", &name]))?;
        fleet.host(HOST)?.agent().stop()?;
        let shown = fleet
            .ok(["release", "show", RELEASE, "--output", "json"])?
            .json()?;
        let artifact = shown["builds"][0]["artifact"]
            .as_str()
            .context("an artifact")?
            .to_owned();
        let files = files_below(&fleet.coordinator().data());
        let hex = artifact.trim_start_matches("sha256:");
        let index = files
            .iter()
            .find(|path| path.ends_with(format!("indexes/{hex}")))
            .context("the index is stored")?;
        let chunks = index
            .parent()
            .and_then(|folder| folder.parent())
            .context("a store")?
            .join("chunks");
        let index = ArtifactIndex::from_canonical_json(&fs::read(index)?)?;
        Ok(Self {
            frames: index
                .chunks()
                .map(|chunk| chunks.join(chunk.digest.hex()))
                .collect(),
            registry,
            fleet,
            runtime: Runtime::new()?,
            artifact,
        })
    }

    /// As the host, over mutual TLS.
    fn ours(&self) -> Result<Sample> {
        let coordinator = self
            .fleet
            .coordinator()
            .pid()
            .context("the coordinator runs")?;
        let agent = self.fleet.host(HOST)?.agent();
        let identity = agent.data_folder().join("identity");
        let credentials = IdentityFolder::open(&identity)?
            .credentials()?
            .context("it is enrolled")?;
        let config = tfleet_agent::config::Config::load(&agent.config())?;
        let before = Cpu::now(Some(coordinator))?;
        let (wall, bytes) = self.runtime.block_on(async {
            let trust = Trust::Identity(credentials.client_identity());
            let channel = channel::connect(&config.fleet, trust).await?;
            let began = Instant::now();
            let bytes = self.fetch(ArtifactsClient::new(channel)).await?;
            anyhow::Ok((began.elapsed(), bytes))
        })?;
        let cpu = Cpu::now(Some(coordinator))?.since(before);
        Ok(Sample { wall, cpu, bytes })
    }

    async fn fetch(&self, mut client: ArtifactsClient<tonic::transport::Channel>) -> Result<u64> {
        let artifact = self.artifact.clone();
        let answer = client.get_index(GetIndexRequest { artifact }).await?;
        let index = ArtifactIndex::from_canonical_json(&answer.into_inner().index)?;
        let mut bytes = 0;
        for layer in &index.layers {
            let request = FetchChunksRequest {
                artifact: self.artifact.clone(),
                diff_id: layer.diff_id.to_string(),
                first_chunk: 0,
                chunk_count: 0,
            };
            let mut chunks = client.fetch_chunks(request).await?.into_inner();
            while let Some(part) = chunks.message().await? {
                bytes += part.frame_part.len() as u64;
            }
        }
        ensure!(bytes == index.frame_bytes(), "{bytes} came");
        Ok(bytes)
    }

    /// Every layer, with curl.
    fn registry(&self) -> Result<Sample> {
        let pid = self.registry.pid()?;
        let url = |what: &str| format!("https://{}/v2/{RELEASE}/{what}", self.registry.address());
        let manifest = run(self.curl().args([
            "--header",
            "Accept: application/vnd.docker.distribution.manifest.v2+json",
            &url("manifests/latest"),
        ]))?;
        let manifest: serde_json::Value = serde_json::from_str(&manifest)?;
        let layers = manifest["layers"].as_array().context("layers")?;
        let before = Cpu::now(Some(pid))?;
        let (began, mut bytes) = (Instant::now(), 0);
        for layer in layers {
            let digest = layer["digest"].as_str().context("a digest")?;
            let mut curl = self.curl();
            let status = curl
                .arg(url(&format!("blobs/{digest}")))
                .stdout(Stdio::null())
                .status()?;
            ensure!(status.success(), "curl ended with {status}");
            bytes += layer["size"].as_u64().context("a size")?;
        }
        let wall = began.elapsed();
        let cpu = Cpu::now(Some(pid))?.since(before);
        Ok(Sample { wall, cpu, bytes })
    }

    fn curl(&self) -> Command {
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--fail",
            "--location",
            "--cacert",
        ])
        .arg(self.registry.certificate());
        curl
    }
}
