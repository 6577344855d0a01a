//! A builder's engine and the coordinator's build side over it, with a small recipe.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tfleet_compat::{Architecture, BaseImage, Recipe};
use tfleet_coordinator::artifact::{Artifacts, LayerContent};
use tfleet_coordinator::build::{Additions, BuildPhase, Builds, Built, Freshness, Order};
use tfleet_coordinator::config::{Builder, Site};
use tfleet_coordinator::vault::Vault;
use tfleet_proto::model::digest::Digest;
use tfleet_proto::model::failure::Failure;
use tfleet_tests::lab::{EngineKind, TestLab};
use tokio_util::sync::CancellationToken;

use super::common_base;

/// A lab that is only a builder.
pub fn lab(kind: EngineKind) -> TestLab {
    TestLab::builder().builder_engine(kind).up().unwrap()
}

/// The coordinator's side. Its folders live as long as it does.
pub struct Workshop {
    pub builds: Builds,
    pub folder: TempDir,
}

impl Workshop {
    /// With nothing in it but the base that most tests build on.
    pub async fn new(lab: &TestLab, site: Site) -> Self {
        let folder = TempDir::new_in("/var/tmp").unwrap();
        Box::pin(common_base::lay(folder.path(), lab)).await;
        let builds = open(folder.path(), lab, site);
        Self { builds, folder }
    }

    /// With nothing in it.
    pub fn empty(lab: &TestLab, site: Site) -> Self {
        let folder = TempDir::new_in("/var/tmp").unwrap();
        let builds = open(folder.path(), lab, site);
        Self { builds, folder }
    }

    /// The same folders, another builder or another site.
    pub fn moved(self, lab: &TestLab, site: Site) -> Self {
        let builds = open(self.folder.path(), lab, site);
        Self { builds, ..self }
    }

    /// Forgets what was built, but neither the locks nor the bases.
    pub fn forget_builds(&self) {
        let done = self.folder.path().join("builds/done");
        std::fs::remove_dir_all(&done).unwrap();
        std::fs::create_dir(&done).unwrap();
    }

    /// Forgets the wheels, but neither the locks nor the bases.
    pub fn forget_wheels(&self) {
        for wheel in self.wheels() {
            std::fs::remove_file(wheel).unwrap();
        }
    }

    /// The files of the vault's wheels, and what is still on its way to them.
    pub fn wheels(&self) -> Vec<PathBuf> {
        let folder = std::fs::read_dir(self.folder.path().join("vault/wheels")).unwrap();
        folder.map(|entry| entry.unwrap().path()).collect()
    }

    /// Forgets everything but the vault: what was built, the tools, and the orders' locks.
    pub fn keep_only_the_vault(&self) {
        for name in ["done", "tools", "locks", "logs"] {
            let folder = self.folder.path().join("builds").join(name);
            std::fs::remove_dir_all(&folder).unwrap();
            std::fs::create_dir(&folder).unwrap();
        }
    }

    pub async fn build(&self, order: &Order) -> Result<Built, Failure> {
        self.watch(order).await.1
    }

    /// Builds, and says which phases were seen on the way.
    pub async fn watch(&self, order: &Order) -> (Vec<BuildPhase>, Result<Built, Failure>) {
        self.watch_as(order, Freshness::Locked).await
    }

    /// The same with another word on what was resolved before.
    pub async fn watch_as(
        &self,
        order: &Order,
        freshness: Freshness,
    ) -> (Vec<BuildPhase>, Result<Built, Failure>) {
        let mut status = self.builds.start(order.clone(), freshness).unwrap();
        let mut phases = Vec::new();
        loop {
            let now = status.borrow_and_update().clone();
            if phases.last() != Some(&now.phase) {
                phases.push(now.phase);
            }
            if let Some(outcome) = now.outcome {
                return (phases, outcome);
            }
            status.changed().await.unwrap();
        }
    }

    /// The whole log of the last build of an order.
    pub async fn log(&self, order: &Order) -> String {
        let mut lines = self.builds.log(&order.digest(), false);
        let mut text = String::new();
        while let Some(some) = lines.recv().await {
            for line in some.unwrap() {
                text.push_str(&line.line);
                text.push('\n');
            }
        }
        text
    }

    /// Chunks that the store holds.
    pub fn chunks(&self) -> usize {
        let chunks = self.folder.path().join("artifacts/chunks");
        std::fs::read_dir(chunks).unwrap().count()
    }

    /// Whether an artifact's configuration, history or layers hold `text`.
    pub fn holds(&self, artifact: &Digest, text: &str) -> bool {
        let store = self.builds.artifacts();
        let index = store.index(artifact).unwrap().unwrap();
        let in_layers = index.layers.iter().any(|layer| {
            let mut content = Vec::new();
            let read = LayerContent::new(store, layer).read_to_end(&mut content);
            assert_eq!(read.unwrap() as u64, layer.size_bytes);
            content
                .windows(text.len())
                .any(|window| window == text.as_bytes())
        });
        in_layers || index.config.contains(text)
    }

    pub fn order(&self, requirements: &[&str], additions: Additions) -> Order {
        self.builds.order(recipe(requirements), additions).unwrap()
    }
}

fn open(folder: &Path, lab: &TestLab, site: Site) -> Builds {
    let artifacts = Artifacts::open(&folder.join("artifacts")).unwrap();
    let engine = lab.builder().unwrap().endpoint();
    let builder = Builder {
        architecture: Architecture::X86_64,
        engine,
    };
    Builds::open(
        &folder.join("builds"),
        site,
        &[builder],
        artifacts,
        Vault::open(&folder.join("vault")).unwrap(),
        CancellationToken::new(),
    )
    .unwrap()
}

/// A recipe whose packages are kilobytes: what builds do is the same.
pub fn recipe(requirements: &[&str]) -> Recipe {
    Recipe {
        id: "tf2.15.1-cpu".parse().unwrap(),
        tensorflow: "2.15.1".parse().unwrap(),
        cuda: None,
        python: "3.11".parse().unwrap(),
        architecture: Architecture::X86_64,
        base: BaseImage::distribution("debian", "bookworm"),
        requirements: requirements.iter().map(|text| (*text).to_owned()).collect(),
        source_distributions: Vec::new(),
    }
}

/// The site as this machine's configuration has it, quick to give up.
pub fn site() -> Site {
    Site {
        stall_seconds: 20,
        ..Site::default()
    }
}

/// The Debian mirror of this machine's own configuration, in apt's older or newer form.
pub fn machine_mirror() -> String {
    let mut files = vec![Path::new("/etc/apt/sources.list").to_owned()];
    let folder = std::fs::read_dir("/etc/apt/sources.list.d").unwrap();
    files.extend(folder.map(|entry| entry.unwrap().path()));
    let texts = files.iter().map(std::fs::read_to_string);
    let text: String = texts.filter_map(Result::ok).collect();
    let addresses = text.lines().filter_map(|line| {
        let rest = line.strip_prefix("URIs:").or(line.strip_prefix("deb "))?;
        rest.split_whitespace().find(|word| word.contains("://"))
    });
    let mut mirrors = addresses.filter(|url| url.trim_end_matches('/').ends_with("/debian"));
    mirrors.next().expect("a Debian mirror").to_owned()
}

/// Waits until `condition` holds.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..600 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("waited a minute in vain until {what}");
}
