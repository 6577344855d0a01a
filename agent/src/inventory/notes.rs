//! What a look at the host leaves behind besides values: where each came from, and what could not be read.

use tfleet_proto::model::inventory::{FieldSource, Source};

#[derive(Debug, Default)]
pub(super) struct Notes {
    pub sources: Vec<FieldSource>,
    pub warnings: Vec<String>,
}

impl Notes {
    /// Notes the source of the field at this path, such as "driver.cuda_version".
    pub fn source(&mut self, field: impl Into<String>, source: Source) {
        self.sources.push(FieldSource {
            field: field.into(),
            source,
        });
    }

    /// Notes a sentence for the operator.
    pub fn warn(&mut self, sentence: impl Into<String>) {
        self.warnings.push(sentence.into());
    }

    pub fn append(&mut self, other: Self) {
        self.sources.extend(other.sources);
        self.warnings.extend(other.warnings);
    }
}
