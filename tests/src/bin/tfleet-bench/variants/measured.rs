//! What came of a row.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytesize::ByteSize;
use serde::Deserialize;
use serde_json::{Value, json};

use super::row::Row;

pub struct Measured {
    pub variant: String,
    /// From `tfleet build` to its answer; wheels of an earlier row are not downloaded again.
    pub build: Duration,
    /// From `tfleet rollout start` to its answer that the image is present.
    pub deliver: Duration,
    /// The image's layers, unpacked.
    pub content_bytes: u64,
    /// The same as they are stored and sent.
    pub stored_bytes: u64,
    pub answer: Answer,
}

/// What the image says, asked inside a container on the host.
#[derive(Debug, Deserialize)]
pub struct Answer {
    pub tensorflow: String,
    pub python: String,
    /// The CUDA that TensorFlow was built for; none is a build for CPU.
    pub built_for: Option<String>,
    /// The version of the CUDA runtime's wheel.
    pub cuda: Option<String>,
    /// What the assembler says that XLA is told to use; none without CUDA.
    pub assembler: Option<String>,
    /// Of a product of two matrices of ones, 512 by 512, computed on the CPU.
    pub sum: f64,
    pub import_seconds: f64,
}

/// Prints an [`Answer`] as JSON.
pub const SCRIPT: &str = "\
import json, os, platform, subprocess, time
from importlib import metadata
began = time.monotonic()
import tensorflow as tf
took = time.monotonic() - began
runtime = [d.version for d in metadata.distributions() if d.metadata['Name'].startswith('nvidia-cuda-runtime')]
_, _, compiler = os.environ.get('XLA_FLAGS', '').partition('--xla_gpu_cuda_data_dir=')
assembler = compiler and subprocess.check_output([compiler + '/bin/ptxas', '--version'], text=True).split()[-1]
ones = tf.ones((512, 512))
print(json.dumps({
    'tensorflow': tf.__version__,
    'python': platform.python_version(),
    'built_for': tf.sysconfig.get_build_info().get('cuda_version'),
    'cuda': runtime[0] if runtime else None,
    'assembler': assembler or None,
    'sum': float(tf.reduce_sum(ones @ ones)),
    'import_seconds': took,
}))";

impl Answer {
    /// Fails unless it is the answer that the row wants.
    pub fn read(said: &str, row: &Row) -> Result<Self> {
        let answer: Self =
            serde_json::from_str(said).with_context(|| format!("it answered `{said}`"))?;
        let minor = |version: &str| -> String {
            let parts: Vec<&str> = version.split('.').take(2).collect();
            parts.join(".")
        };
        let wanted = row.tensorflow.trim_matches(['=', '*', '.']);
        ensure!(
            minor(&answer.tensorflow) == wanted
                && minor(&answer.python) == row.python
                && answer.cuda.as_deref().map(minor).as_deref() == row.cuda
                && answer.built_for.is_some() == row.cuda.is_some()
                && answer.assembler.is_some() == row.cuda.is_some(),
            "wanted TensorFlow {wanted} with Python {} and CUDA {}, and the image has {answer:?}",
            row.python,
            row.cuda.unwrap_or("none"),
        );
        let exact = 512.0_f64.powi(3);
        ensure!(
            (answer.sum - exact).abs() < 1.0,
            "it calculates {}",
            answer.sum
        );
        Ok(answer)
    }
}

impl Measured {
    pub fn json(&self) -> Value {
        json!({
            "variant": self.variant,
            "tensorflow": self.answer.tensorflow,
            "python": self.answer.python,
            "cuda_built_for": self.answer.built_for,
            "cuda_installed": self.answer.cuda,
            "build_seconds": self.build.as_secs_f64(),
            "deliver_seconds": self.deliver.as_secs_f64(),
            "import_seconds": self.answer.import_seconds,
            "content_bytes": self.content_bytes,
            "stored_bytes": self.stored_bytes,
        })
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} built in {:.0} s, {} delivered in {:.0} s, imported in {:.1} s",
            self.variant,
            self.build.as_secs_f64(),
            ByteSize::b(self.stored_bytes).display().iec(),
            self.deliver.as_secs_f64(),
            self.answer.import_seconds,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::ROWS;
    use super::*;

    #[test]
    fn an_answer_of_another_image_is_refused() {
        let said = |python: &str, cuda: &str, sum: f64| {
            json!({"tensorflow": "2.10.1", "python": python, "built_for": "11.2", "cuda": cuda, "assembler": "a",
                   "sum": sum, "import_seconds": 2.5})
            .to_string()
        };
        let read = |said: &str| Answer::read(said, &ROWS[0]);
        read(&said("3.9.2", "11.8.89", 134_217_728.0)).unwrap();
        for wrong in [
            said("3.11.2", "11.8.89", 134_217_728.0),
            said("3.9.2", "12.2.140", 134_217_728.0),
            said("3.9.2", "11.8.89", 1.0),
            "Traceback (most recent call last):".to_owned(),
        ] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
    }
}
