//! The eight hosts, their links, and a registry that they can also pull from.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::Value;
use tfleet_tests::harness::TestFleet;
use tfleet_tests::lab::{Host, HostDescription, run};

use super::super::link::{limit, limit_host, unlimit_host};
use super::super::measure::Watch;
use super::super::way::Registry;
use super::Watches;

pub const HOSTS: usize = 8;
/// Of each link and each direction, in bytes per second: 120 Mb/s.
pub const RATE: f64 = 15e6;
/// A slow link has one part in so many of it.
pub const SLOW_SHARE: f64 = 10.0;

pub struct Hosts {
    // Dropped before the network that it listens in.
    registry: Registry,
    fleet: TestFleet,
}

/// How far a host is with an image.
pub struct Standing {
    /// Of its content, fetched and verified.
    pub share: f64,
    pub present: bool,
}

impl Hosts {
    pub fn raise() -> Result<Self> {
        let hosts = (0..HOSTS).map(|host| HostDescription::new(&name(host)).peers());
        let fleet = TestFleet::under_policy("peers = true\n", hosts)?;
        let registry = Registry::start(&fleet.state().join("registry"), fleet.address())?;
        Ok(Self { registry, fleet })
    }

    pub fn add_image(&self, release: &str, bytes: usize, seed: u64) -> Result<()> {
        let mut content = vec![0; bytes];
        StdRng::seed_from_u64(seed).fill_bytes(&mut content);
        self.fleet.add_image(release, &[("weights", &content)], &[])
    }

    /// To and from each host, and from the coordinator to all together.
    pub fn limit_links(&self) -> Result<()> {
        limit(&mut Command::new("tc"), &self.fleet.id().bridge(), RATE)?;
        for host in self.fleet.hosts() {
            limit_host(host, RATE)?;
        }
        Ok(())
    }

    pub fn slow_down(&self, host: usize) -> Result<()> {
        limit_host(self.host(host)?, RATE / SLOW_SHARE)
    }

    pub fn begin(&self, release: &str) -> Result<()> {
        let start = ["rollout", "start", release, "--all", "--no-wait"];
        self.fleet.ok(start).map(drop)
    }

    pub fn standing(&self, release: &str) -> Result<Vec<Standing>> {
        let answer = self.fleet.ok(["hosts", "--output", "json"])?.json()?;
        let hosts = answer.as_array().context("a list of hosts")?;
        (0..HOSTS)
            .map(|number| {
                let host = hosts.iter().find(|host| host["name"] == name(number));
                let host = host.with_context(|| format!("{} is not told", name(number)))?;
                Ok(Standing::of(image(host, release)))
            })
            .collect()
    }

    /// What a host fetches that has nothing: all chunks, compressed.
    pub fn stored_bytes(&self, release: &str) -> Result<f64> {
        let shown = self
            .fleet
            .ok(["release", "show", release, "--output", "json"])?;
        let bytes = shown.json()?["builds"][0]["stored_bytes"].as_f64();
        bytes.context("a number of stored bytes")
    }

    /// What each host received, and how much of it from other hosts.
    pub fn received(&self, release: &str) -> Result<String> {
        let answer = self.fleet.ok(["hosts", "--output", "json"])?.json()?;
        let hosts = answer.as_array().context("a list of hosts")?;
        let images = hosts.iter().filter_map(|host| image(host, release));
        let words = images.map(|image| {
            let megabytes = |key: &str| image[key].as_u64().unwrap_or(0) / 1_000_000;
            format!("{} ({})", megabytes("wire_bytes"), megabytes("peer_bytes"))
        });
        let words: Vec<String> = words.collect();
        Ok(format!(
            "MB received (from other hosts): {}",
            words.join(" ")
        ))
    }

    /// Over its interface, to all hosts.
    pub fn sent_by_coordinator(&self) -> Result<u64> {
        let path = format!(
            "/sys/class/net/{}/statistics/tx_bytes",
            self.fleet.id().bridge()
        );
        Ok(std::fs::read_to_string(path)?.trim().parse()?)
    }

    pub fn stop_agent(&self, host: usize) -> Result<()> {
        Ok(self.host(host)?.agent().stop()?)
    }

    pub fn watch(&self) -> Result<Watches> {
        let coordinator = self
            .fleet
            .coordinator()
            .pid()
            .context("the coordinator runs")?;
        let agents = self.fleet.hosts().iter().map(|host| {
            let pid = host.agent().process().running().context("an agent runs")?;
            let folder = host.agent().data_folder();
            Watch::start(pid.as_raw_nonzero().get(), Some(folder))
        });
        Ok(Watches {
            coordinator: Watch::start(coordinator, None)?,
            agents: agents.collect::<Result<_>>()?,
        })
    }

    /// From one host, at full rate.
    pub fn push(&self, release: &str) -> Result<()> {
        let host = self.host(0)?;
        unlimit_host(host)?;
        let name = self.registry.name_of_tag(release);
        let ours = format!("tfleet/{release}:v1");
        run(host.docker().args(["tag", &ours, &name]))?;
        run(host.docker().args(["push", "--quiet", &name]))?;
        limit_host(host, RATE)
    }

    /// All at once, into empty engines behind equal links.
    pub fn pull_all(&self, release: &str) -> Result<Duration> {
        for host in self.fleet.hosts() {
            host.agent().stop()?;
            limit_host(host, RATE)?;
            run(host.docker().args(["image", "prune", "--all", "--force"]))?;
        }
        let name = self.registry.name_of_tag(release);
        let began = Instant::now();
        let mut pulls = Vec::new();
        for host in self.fleet.hosts() {
            let mut pull = host.docker();
            pull.args(["pull", "--quiet", &name]).stdout(Stdio::null());
            pulls.push(pull.spawn()?);
        }
        for mut pull in pulls {
            let status = pull.wait()?;
            ensure!(status.success(), "docker pull ended with {status}");
        }
        Ok(began.elapsed())
    }

    fn host(&self, host: usize) -> Result<&Host> {
        Ok(self.fleet.host(&name(host))?)
    }
}

impl Standing {
    fn of(image: Option<&Value>) -> Self {
        let bytes = |key: &str| image.and_then(|image| image[key].as_u64()).unwrap_or(0) as f64;
        let needed = bytes("content_bytes") - bytes("present_bytes");
        Self {
            share: if needed > 0.0 {
                bytes("fetched_bytes") / needed
            } else {
                0.0
            },
            present: image.is_some_and(|image| image["phase"] == "present"),
        }
    }
}

fn name(host: usize) -> String {
    format!("h{host}")
}

/// What a host says of the release's image.
fn image<'a>(host: &'a Value, release: &str) -> Option<&'a Value> {
    let images = host["status"]["images"].as_array()?;
    let prefix = format!("{release}:");
    let is_it = |image: &&Value| {
        image["release"]
            .as_str()
            .is_some_and(|name| name.starts_with(&prefix))
    };
    images.iter().find(is_it)
}
