//! An image like those that matter, made in seconds: libraries, weights and many small files, compressible to about half.

use std::io::{self, BufWriter, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tfleet_tests::lab::{Engine, run};

use super::image::Revision;

/// Files of one kind: their number and size, and how many of each 64 bytes are random. Measured on real images, zstd
/// makes about a third of Python files, two thirds of CUDA libraries, and nothing of what is compressed already.
const KINDS: [(&str, u32, usize, usize); 3] = [
    ("usr/lib/python3/module", 15_000, 20 << 10, 16),
    ("usr/lib/library", 300, 2 << 20, 40),
    ("usr/share/weights", 300, 1 << 20, 64),
];
const ROOT: &str = "bench-root";
const CONTAINER: &str = "bench-top";
const PHRASE: &[u8; 64] = b"def forward(self, inputs): return self.layer(inputs) + self.bias";

/// Makes the image of a revision on `engine`, and answers its tag.
pub fn make(engine: &Engine, revision: Revision) -> Result<String> {
    if revision == Revision::First {
        let mut import = engine.docker();
        import.args(["import", "-", ROOT]);
        feed(&mut import, write_root)?;
    }
    let tag = format!("bench-six:{}", revision.six());
    run(engine
        .docker()
        .args(["create", "--name", CONTAINER, ROOT, "true"]))?;
    let mut copy = engine.docker();
    copy.args(["cp", "-", &format!("{CONTAINER}:/")]);
    feed(&mut copy, |tar| {
        let text = format!("__version__ = \"{}\"\n", revision.six()).repeat(1500);
        append(tar, "usr/lib/python3/six.py", text.as_bytes())
    })?;
    run(engine.docker().args(["commit", CONTAINER, &tag]))?;
    run(engine.docker().args(["rm", CONTAINER]))?;
    Ok(tag)
}

fn write_root(tar: &mut tar::Builder<impl Write>) -> io::Result<()> {
    // The same in each run, so that runs can be compared.
    let mut random = StdRng::seed_from_u64(2015);
    for (name, count, bytes, random_of_64) in KINDS {
        let mut content = vec![0; bytes];
        for number in 0..count {
            for line in content.chunks_mut(PHRASE.len()) {
                let (noise, words) = line.split_at_mut(random_of_64);
                random.fill_bytes(noise);
                words.copy_from_slice(&PHRASE[random_of_64..]);
            }
            append(tar, &format!("{name}-{number}"), &content)?;
        }
    }
    Ok(())
}

fn append(tar: &mut tar::Builder<impl Write>, name: &str, content: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, name, content)
}

type Pipe = BufWriter<std::process::ChildStdin>;

/// Runs a command that reads a tar.
fn feed(
    command: &mut Command,
    write: impl FnOnce(&mut tar::Builder<Pipe>) -> io::Result<()>,
) -> Result<()> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .context("cannot start docker")?;
    let input = child.stdin.take().context("docker has no input")?;
    let mut tar = tar::Builder::new(BufWriter::with_capacity(1 << 20, input));
    let written = write(&mut tar).and_then(|()| tar.into_inner()?.flush());
    // When it failed, what it said itself tells more than our broken pipe.
    ensure!(child.wait()?.success(), "docker failed");
    Ok(written?)
}
