//! A registry on loopback that has one image: what an engine saved of one of its own.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use tfleet_proto::model::digest::Digest;
use tfleet_tests::lab::{Engine, run};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::index::{Answer, answer_once};

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

pub struct Registry {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

/// Everything that is served, by its digest.
struct Content {
    blobs: BTreeMap<String, Vec<u8>>,
    manifest: Vec<u8>,
}

impl Registry {
    /// Serves `image` of the engine, under whatever name it is asked for.
    pub async fn with(engine: &Engine, image: &str) -> Self {
        let content = Arc::new(Content::of(engine, image));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                let content = Arc::clone(&content);
                connections.spawn(async move {
                    let answer = |_: &str, path: &str, _: &str| content.answer(path);
                    // An engine that has enough closes its end.
                    drop(answer_once(connection, answer).await);
                });
            }
        });
        Self {
            address,
            _tasks: tasks,
        }
    }

    pub fn reference(&self) -> String {
        format!("{}/ours:1", self.address)
    }
}

impl Content {
    fn of(engine: &Engine, image: &str) -> Self {
        let file = tempfile::NamedTempFile::new_in("/var/tmp").unwrap();
        let mut save = engine.docker();
        run(save.args(["save", "--output"]).arg(file.path()).arg(image)).unwrap();
        // Docker puts another file in its place.
        let saved = std::fs::File::open(file.path()).unwrap();
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(saved).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            files.insert(path, bytes);
        }
        let saved: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
        let mut blobs = BTreeMap::new();
        let mut blob = |kind: &str, path: &Value| {
            let bytes = files[path.as_str().unwrap()].clone();
            let digest = Digest::of(&bytes).to_string();
            let described = json!({"mediaType": kind, "size": bytes.len(), "digest": digest});
            blobs.insert(digest, bytes);
            described
        };
        let config = blob(
            "application/vnd.docker.container.image.v1+json",
            &saved[0]["Config"],
        );
        let layers: Vec<Value> = saved[0]["Layers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|layer| blob("application/vnd.docker.image.rootfs.diff.tar.gzip", layer))
            .collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers,
        });
        Self {
            blobs,
            manifest: manifest.to_string().into_bytes(),
        }
    }

    fn answer(&self, path: &str) -> Answer {
        let missing = ("404 Not Found", "text/plain", Vec::new());
        if path == "/v2/" {
            return ("200 OK", "application/json", b"{}".to_vec());
        }
        if path.contains("/manifests/") {
            return ("200 OK", MANIFEST, self.manifest.clone());
        }
        let digest = path.rsplit('/').next().unwrap_or_default();
        self.blobs.get(digest).map_or(missing, |bytes| {
            ("200 OK", "application/octet-stream", bytes.clone())
        })
    }
}
