//! Builds without an engine: what is known of earlier ones, and what comes in from elsewhere.

use std::io::Cursor;

use tfleet_compat::{BaseImage, Recipe};
use tfleet_proto::model::digest::Digest;

use super::lock::{Finish, LockFormat, LockedBase, TEMPLATE};
use super::*;
use crate::artifact::{Origin, Received, Secrets, receive};

mod known;

/// The coordinator's side of building, without a builder.
struct Shop {
    builds: Builds,
    _folder: tempfile::TempDir,
}

impl Shop {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let builds = builds(folder.path());
        Self {
            builds,
            _folder: folder,
        }
    }

    fn order(&self, base: Option<&str>) -> Order {
        let additions = Additions {
            base: base.map(str::to_owned),
            ..Additions::default()
        };
        self.builds.order(recipe(), additions).unwrap()
    }

    /// As if the order had been built on `base`, with one line in its log.
    fn build_before(&self, order: &Order, base: Digest) -> Received {
        let built = self.store("usr/bin/built", b"what was built");
        let lock = lock(base);
        let inner = &self.builds.inner;
        inner.keep_lock(&order.digest(), &lock).unwrap();
        inner.keep_build(&lock.digest(), &built.artifact).unwrap();
        let log = log::BuildLog::begin(&inner.log_path(&order.digest())).unwrap();
        log.line("the whole story");
        built
    }

    /// Stores an image of one file.
    fn store(&self, path: &str, content: &[u8]) -> Received {
        let origin = Origin::RootFileSystem {
            architecture: Architecture::X86_64,
        };
        receive(
            Cursor::new(root_file_system(path, content)),
            self.builds.artifacts(),
            origin,
            &Secrets::default(),
            &|_| {},
        )
        .unwrap()
    }

    async fn log(&self, order: &Order) -> Vec<String> {
        let mut lines = self.builds.log(&order.digest(), false);
        let mut texts = Vec::new();
        while let Some(some) = lines.recv().await {
            texts.extend(some.unwrap().into_iter().map(|line| line.line));
        }
        texts
    }
}

fn builds(folder: &Path) -> Builds {
    let artifacts = Artifacts::open(&folder.join("artifacts")).unwrap();
    Builds::open(
        &folder.join("builds"),
        Site::default(),
        &[],
        artifacts,
        Vault::open(&folder.join("vault")).unwrap(),
        CancellationToken::new(),
    )
    .unwrap()
}

fn root_file_system(path: &str, content: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o755);
    builder.append_data(&mut header, path, content).unwrap();
    builder.into_inner().unwrap()
}

fn recipe() -> Recipe {
    Recipe {
        id: "tf2.15.1-cpu".parse().unwrap(),
        tensorflow: "2.15.1".parse().unwrap(),
        cuda: None,
        python: "3.11".parse().unwrap(),
        architecture: Architecture::X86_64,
        base: BaseImage::distribution("debian", "bookworm"),
        requirements: vec!["six".to_owned()],
        source_distributions: Vec::new(),
    }
}

fn lock(base: Digest) -> Lock {
    Lock {
        format: LockFormat::V1,
        template: TEMPLATE,
        recipe: "tf2.15.1-cpu".to_owned(),
        architecture: Architecture::X86_64,
        python: "3.11".to_owned(),
        base: LockedBase {
            artifact: base,
            diff_ids: Vec::new(),
            packages: BTreeMap::new(),
        },
        groups: Vec::new(),
        environment: BTreeMap::new(),
        ports: Vec::new(),
        bashrc: None,
        library_path: false,
        finish: Finish::default(),
        compat: None,
    }
}
