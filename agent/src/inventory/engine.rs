//! The container engine: what it is, what it holds, and how much room it has.

use std::path::Path;

use rustix::fs::statvfs;
use tfleet_proto::model::failure::Failure;
use tfleet_proto::model::inventory::{self, EngineImage, Source};

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

pub(super) async fn look(engine: &Engine, notes: &mut Notes) -> Seen {
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
        Some(folder) => free_bytes(folder, notes).await,
        None => {
            notes.warn("the engine does not tell where it keeps its data, so that what is free there is not known");
            0
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

/// A file system behind the folder may hang, so it is asked on a thread of its own.
async fn free_bytes(folder: &Path, notes: &mut Notes) -> u64 {
    let asked = folder.to_owned();
    match tokio::task::spawn_blocking(move || statvfs(&asked)).await {
        Ok(Ok(room)) => room.f_bavail.saturating_mul(room.f_frsize),
        Ok(Err(error)) => {
            notes.warn(format!(
                "what is free in {} is not known: {error}",
                folder.display()
            ));
            0
        }
        // The agent is stopping.
        Err(_) => 0,
    }
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
        data_root_free_bytes: 0,
        fault: Some(fault),
    }
}
