//! Images made of nothing: small layers held in memory, and one of any size whose content is worked out when it is
//! asked for, so that a test can send a gigabyte without holding it.

use std::io::Write as _;

use tfleet_proto::model::artifact::{
    ArtifactFormat, ArtifactIndex, Chunk, LARGEST_CHUNK_BYTES, Layer,
};
use tfleet_proto::model::digest::{Digest, Hasher};

/// An image with its content.
#[derive(Clone, Debug)]
pub struct Image {
    pub index: ArtifactIndex,
    contents: Vec<Content>,
}

/// A layer's tar.
#[derive(Clone, Debug)]
pub enum Content {
    Held(Vec<u8>),
    /// One file, `/big`, of pseudo-random blocks that compress to about a half.
    Big {
        seed: u64,
        file_bytes: u64,
    },
}

const BLOCK: usize = 4096;
const TAR_BLOCK: u64 = 512;
const TAR_END: u64 = 1024;

impl Image {
    pub fn new(contents: Vec<Content>) -> Self {
        let layers: Vec<Layer> = contents.iter().map(layer).collect();
        let diff_ids: Vec<String> = layers
            .iter()
            .map(|layer| layer.diff_id.to_string())
            .collect();
        let config = serde_json::json!({
            "architecture": "amd64",
            "os": "linux",
            "config": { "Env": ["PATH=/bin", "NVIDIA_VISIBLE_DEVICES=all"] },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let index = ArtifactIndex {
            format: ArtifactFormat::V1,
            config: config.to_string(),
            layers,
        };
        Self { index, contents }
    }

    pub fn digest(&self) -> Digest {
        self.index.digest()
    }

    /// The frame of a chunk, if there is such a layer and chunk.
    pub fn frame(&self, diff_id: &Digest, number: usize) -> Option<Vec<u8>> {
        let at = self
            .index
            .layers
            .iter()
            .position(|layer| layer.diff_id == *diff_id)?;
        (number < self.index.layers[at].chunks.len())
            .then(|| compress(&self.contents[at].chunk(number as u64)))
    }
}

impl Content {
    /// A shell and its tools; `name` makes it another layer than others.
    pub fn shell(name: &str) -> Self {
        let busybox = std::fs::read("/bin/busybox")
            .expect("install the package busybox-static: the tests make an image of it");
        let mut tar = tar::Builder::new(Vec::new());
        add(&mut tar, "bin/busybox", &busybox);
        for tool in [
            "sh", "ls", "cat", "sleep", "echo", "env", "stty", "id", "wc", "yes", "head",
        ] {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            tar.append_link(&mut header, format!("bin/{tool}"), "busybox")
                .unwrap();
        }
        add(&mut tar, "image-name", name.as_bytes());
        Self::Held(tar.into_inner().unwrap())
    }

    /// One small file.
    pub fn file(path: &str, text: &str) -> Self {
        let mut tar = tar::Builder::new(Vec::new());
        add(&mut tar, path, text.as_bytes());
        Self::Held(tar.into_inner().unwrap())
    }

    fn size_bytes(&self) -> u64 {
        match self {
            Self::Held(tar) => tar.len() as u64,
            Self::Big { file_bytes, .. } => {
                TAR_BLOCK + file_bytes.next_multiple_of(TAR_BLOCK) + TAR_END
            }
        }
    }

    fn chunk(&self, number: u64) -> Vec<u8> {
        let start = number * LARGEST_CHUNK_BYTES;
        let end = self.size_bytes().min(start + LARGEST_CHUNK_BYTES);
        match self {
            Self::Held(tar) => tar[start as usize..end as usize].to_vec(),
            Self::Big { seed, file_bytes } => {
                let mut content = vec![0; (end - start) as usize];
                let file_end = TAR_BLOCK + file_bytes;
                for (block, piece) in content.chunks_mut(BLOCK).enumerate() {
                    let at = start + (block * BLOCK) as u64;
                    let random = (BLOCK / 2)
                        .min(piece.len())
                        .min(file_end.saturating_sub(at) as usize);
                    fill(&mut piece[..random], seed ^ at);
                }
                if number == 0 {
                    content[..512].copy_from_slice(header("big", *file_bytes).as_bytes());
                }
                content
            }
        }
    }
}

fn layer(content: &Content) -> Layer {
    let size_bytes = content.size_bytes();
    let mut hasher = Hasher::new();
    let chunks = (0..size_bytes.div_ceil(LARGEST_CHUNK_BYTES)).map(|number| {
        let chunk = content.chunk(number);
        hasher.update(&chunk);
        Chunk {
            digest: Digest::of(&chunk),
            content_bytes: chunk.len() as u64,
            frame_bytes: compress(&chunk).len() as u64,
        }
    });
    let chunks = chunks.collect();
    Layer {
        diff_id: hasher.finish(),
        size_bytes,
        chunks,
    }
}

fn compress(content: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(content, 1).unwrap()
}

/// xorshift64*: no two places alike, and quick.
fn fill(piece: &mut [u8], seed: u64) {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for mut word in piece.chunks_mut(8) {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let length = word.len();
        word.write_all(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes()[..length])
            .unwrap();
    }
}

fn add(tar: &mut tar::Builder<Vec<u8>>, path: &str, content: &[u8]) {
    tar.append(&header(path, content.len() as u64), content)
        .unwrap();
}

fn header(path: &str, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_path(path).unwrap();
    header.set_mode(0o755);
    header.set_size(size);
    header.set_cksum();
    header
}
