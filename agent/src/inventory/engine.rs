//! The container engine: what it is, what it holds, and how much room it has.

use std::path::Path;

use rustix::fs::statvfs;
use tfleet_proto::model::failure::Failure;
use tfleet_proto::model::inventory::{self, EngineImage, Source};

use super::lone_thread::LoneThread;
use super::notes::Notes;
use crate::engine::{Engine, EngineError, EngineFacts};

/// What can be said about the engine.
#[derive(Debug)]
pub(super) struct Seen {
    pub engine: inventory::Engine,
    pub images: Vec<EngineImage>,
    /// `None` while it does not answer.
    pub facts: Option<EngineFacts>,
}

/// `disk` is the thread that asks the file system.
pub(super) async fn look(engine: &Engine, disk: &LoneThread, notes: &mut Notes) -> Seen {
    let (facts, images) = match ask(engine).await {
        Ok(answers) => answers,
        Err(error) => {
            let engine = silent(engine.endpoint(), error.failure());
            return Seen {
                engine,
                images: Vec::new(),
                facts: None,
            };
        }
    };
    for field in ["engine", "images"] {
        notes.source(field, Source::Engine);
    }
    let free_bytes = match &facts.data_root {
        Some(folder) => free_bytes(folder, disk, notes).await,
        None => {
            notes.warn("the engine does not tell where it keeps its data, so that what is free there is not known");
            None
        }
    };
    let mut runtimes: Vec<String> = facts.runtimes.keys().cloned().collect();
    runtimes.sort();
    let engine = inventory::Engine {
        endpoint: engine.endpoint().to_owned(),
        version: Some(facts.version.clone()),
        api_version: Some(facts.api_version.to_string()),
        storage_driver: facts.storage_driver.clone(),
        image_store: Some(facts.image_store),
        runtimes,
        data_root: facts
            .data_root
            .as_ref()
            .map(|folder| folder.display().to_string()),
        data_root_free_bytes: free_bytes,
        fault: None,
    };
    Seen {
        engine,
        images,
        facts: Some(facts),
    }
}

async fn ask(engine: &Engine) -> Result<(EngineFacts, Vec<EngineImage>), EngineError> {
    Ok((engine.facts().await?, engine.images().await?))
}

/// A file system behind the folder may hang, so it is asked on a thread of its own, and not for ever. What is not known
/// is not zero: that would be a full disk.
pub(super) async fn free_bytes(folder: &Path, disk: &LoneThread, notes: &mut Notes) -> Option<u64> {
    let asked = folder.to_owned();
    let why = match disk.run(move |_| statvfs(&asked)).await {
        Some(Ok(room)) => {
            notes.source("engine.data_root_free_bytes", Source::Statvfs);
            return Some(room.f_bavail.saturating_mul(room.f_frsize));
        }
        Some(Err(error)) => error.to_string(),
        None => "the file system does not answer".to_owned(),
    };
    notes.warn(format!(
        "what is free in {} is not known: {why}",
        folder.display()
    ));
    None
}

fn silent(endpoint: &str, fault: Failure) -> inventory::Engine {
    inventory::Engine {
        endpoint: endpoint.to_owned(),
        version: None,
        api_version: None,
        storage_driver: None,
        image_store: None,
        runtimes: Vec::new(),
        data_root: None,
        data_root_free_bytes: None,
        fault: Some(fault),
    }
}
