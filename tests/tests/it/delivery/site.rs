//! Where deliveries go: one host of a lab.

use std::path::Path;

use tempfile::TempDir;
use tfleet_agent::artifact::{Delivered, Delivery, DeliveryError, ImageProgress};
use tfleet_agent::engine;
use tfleet_proto::model::digest::Digest;
use tfleet_tests::lab::{EngineKind, HostDescription, TestLab, run};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::origin::Origin;
use super::synthetic::Image;

/// A lab with one host, and an agent's delivery into its engine.
pub struct Site {
    pub lab: TestLab,
    pub engine: engine::Engine,
    delivery: Delivery,
    pub folder: TempDir,
}

impl Site {
    pub fn new(kind: EngineKind) -> Self {
        let lab = TestLab::with_host(HostDescription::new("host").engine(kind))
            .up()
            .unwrap();
        let engine =
            engine::Engine::connect(&lab.host("host").unwrap().engine().endpoint()).unwrap();
        let folder = TempDir::new_in("/var/tmp").unwrap();
        let delivery = Delivery::new(engine.clone(), folder.path());
        Self {
            lab,
            engine,
            delivery,
            folder,
        }
    }

    /// The same with an engine that is waited for less long.
    pub fn impatient(kind: EngineKind, patience: engine::Patience) -> Self {
        let site = Self::new(kind);
        let engine = site.engine.clone().with_patience(patience);
        let delivery = Delivery::new(engine.clone(), site.folder.path());
        Self {
            engine,
            delivery,
            ..site
        }
    }

    pub fn lab_engine(&self) -> &tfleet_tests::lab::Engine {
        self.lab.host("host").unwrap().engine()
    }

    /// Delivers, and gives the last progress beside the outcome.
    pub async fn deliver(
        &self,
        origin: &Origin,
        image: &Image,
        tag: &str,
    ) -> (Result<Delivered, DeliveryError>, ImageProgress) {
        let (sender, receiver) = watch::channel(ImageProgress::default());
        let client = origin.client().await;
        let tags = [tag.to_owned()];
        let outcome = self
            .delivery
            .deliver(
                client,
                &image.digest(),
                &tags,
                sender,
                CancellationToken::new(),
            )
            .await;
        let progress = *receiver.borrow();
        (outcome, progress)
    }

    /// What a container of the image prints.
    pub fn runs(&self, image: &str, command: &[&str]) -> String {
        let mut docker = self.lab_engine().docker();
        run(docker
            .args(["run", "--rm", "--network=none", image])
            .args(command))
        .unwrap()
    }

    pub fn tags(&self) -> Vec<String> {
        let mut docker = self.lab_engine().docker();
        let said = run(docker.args(["images", "--format", "{{.Repository}}:{{.Tag}}"])).unwrap();
        let mut tags: Vec<String> = said.lines().map(str::to_owned).collect();
        tags.sort();
        tags
    }

    /// Chunks that are kept for another attempt.
    pub fn kept_chunks(&self) -> usize {
        fn files(folder: &Path) -> usize {
            let Ok(entries) = std::fs::read_dir(folder) else {
                return 0;
            };
            let paths = entries.map(|entry| entry.unwrap().path());
            paths
                .map(|path| match path.is_dir() {
                    true => files(&path),
                    false => usize::from(is_chunk(&path)),
                })
                .sum()
        }
        fn is_chunk(path: &Path) -> bool {
            let name = path.file_name().unwrap().to_string_lossy();
            Digest::from_hex(&name).is_ok()
        }
        files(&self.folder.path().join("spool"))
    }
}
