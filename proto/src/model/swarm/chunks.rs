//! Sets of chunks of one artifact.

/// A chunk, by its place in the image, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkNumber(pub u32);

/// One bit per chunk of the artifact. Chunks beyond the image are never members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkSet {
    words: Vec<u64>,
    chunks: u32,
}

impl ChunkSet {
    /// No chunk of an image of so many.
    pub fn empty(chunks: u32) -> Self {
        Self {
            words: vec![0; chunks.div_ceil(64) as usize],
            chunks,
        }
    }

    /// All of them.
    pub fn full(chunks: u32) -> Self {
        let mut set = Self {
            words: vec![u64::MAX; chunks.div_ceil(64) as usize],
            chunks,
        };
        if !chunks.is_multiple_of(64)
            && let Some(last) = set.words.last_mut()
        {
            *last = (1 << (chunks % 64)) - 1;
        }
        set
    }

    /// The members among the first `chunks` of a set in the form of [`ChunkSet::to_bytes`].
    pub fn from_bytes(bytes: &[u8], chunks: u32) -> Self {
        let mut set = Self::empty(chunks);
        for (word, bytes) in set.words.iter_mut().zip(bytes.chunks(8)) {
            let mut eight = [0; 8];
            eight[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_le_bytes(eight);
        }
        set.keep(&Self::full(chunks));
        set
    }

    /// Chunk N is bit N modulo 8 of byte N / 8.
    pub fn to_bytes(&self) -> Vec<u8> {
        let bytes = self.words.iter().flat_map(|word| word.to_le_bytes());
        bytes.take(self.chunks.div_ceil(8) as usize).collect()
    }

    /// How many chunks the image has, members or not.
    pub fn chunks(&self) -> u32 {
        self.chunks
    }

    /// Members.
    pub fn len(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }

    /// Whether `chunk` is a member.
    pub fn contains(&self, chunk: ChunkNumber) -> bool {
        self.words
            .get(chunk.0 as usize / 64)
            .is_some_and(|word| word >> (chunk.0 % 64) & 1 == 1)
    }

    /// Whether `chunk` is new in the set. Chunks beyond the image are not taken.
    pub fn insert(&mut self, chunk: ChunkNumber) -> bool {
        if chunk.0 >= self.chunks || self.contains(chunk) {
            return false;
        }
        self.words[chunk.0 as usize / 64] |= 1 << (chunk.0 % 64);
        true
    }

    /// Whether `chunk` was in the set.
    pub fn remove(&mut self, chunk: ChunkNumber) -> bool {
        if !self.contains(chunk) {
            return false;
        }
        self.words[chunk.0 as usize / 64] &= !(1 << (chunk.0 % 64));
        true
    }

    /// Members in order.
    pub fn iter(&self) -> impl Iterator<Item = ChunkNumber> + '_ {
        self.words
            .iter()
            .enumerate()
            .flat_map(|(place, &word)| bits(place, word))
    }

    /// The first member.
    pub fn first(&self) -> Option<ChunkNumber> {
        self.iter().next()
    }

    /// Takes out all members.
    pub fn clear(&mut self) {
        self.words.fill(0);
    }

    /// Becomes a copy of `other`, which is of the same image, without new memory.
    pub fn copy_from(&mut self, other: &Self) {
        self.words.copy_from_slice(&other.words);
    }

    /// Adds the members of `other`.
    pub fn add(&mut self, other: &Self) {
        self.words
            .iter_mut()
            .zip(&other.words)
            .for_each(|(word, other)| *word |= other);
    }

    /// Keeps the members that are also in `other`.
    pub fn keep(&mut self, other: &Self) {
        self.words
            .iter_mut()
            .zip(&other.words)
            .for_each(|(word, other)| *word &= other);
    }

    /// Takes out the members of `other`.
    pub fn without(&mut self, other: &Self) {
        self.words
            .iter_mut()
            .zip(&other.words)
            .for_each(|(word, other)| *word &= !other);
    }

    /// Whether every member is in `other`.
    pub fn is_within(&self, other: &Self) -> bool {
        self.words
            .iter()
            .zip(&other.words)
            .all(|(word, other)| word & !other == 0)
    }

    /// Whether any member is in `other`.
    pub fn meets(&self, other: &Self) -> bool {
        self.words
            .iter()
            .zip(&other.words)
            .any(|(word, other)| word & other != 0)
    }
}

fn bits(place: usize, mut word: u64) -> impl Iterator<Item = ChunkNumber> {
    std::iter::from_fn(move || {
        if word == 0 {
            return None;
        }
        let bit = word.trailing_zeros();
        word &= word - 1;
        Some(ChunkNumber(place as u32 * 64 + bit))
    })
}
