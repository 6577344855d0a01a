//! The site's own facts about compatibility: the key `catalog`.

use std::fs;
use std::path::PathBuf;

use tfleet_compat::Catalog;

use super::ConfigError;

/// The built-in catalog with these files on top, in order. What is wrong with one is told with its name and line.
pub(super) fn read(files: &[PathBuf]) -> Result<Catalog, ConfigError> {
    let mut catalog = Catalog::builtin().clone();
    for path in files {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.clone(),
            source,
        })?;
        let laid = catalog.with_overlay(&path.display().to_string(), &text);
        catalog = laid.map_err(|source| ConfigError::Catalog {
            path: path.clone(),
            source: Box::new(source),
        })?;
    }
    Ok(catalog)
}
