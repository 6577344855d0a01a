//! What is characteristic of a chunk's content, wherever it stands in it.

/// Of so many places one is taken, on average: two to the power of this.
const SAMPLING_BITS: u32 = 13;

/// How far the hash moves with each byte: those of the last 64 / 4 = 16 bytes decide it. Code that moves keeps runs of
/// that length between the addresses that change in it.
const SHIFT: u32 = 4;

/// A hash of the 16 bytes before a place.
pub type Feature = u64;

/// The features of a content, each once, in order: about 512 for 4 MiB.
pub fn sketch(content: &[u8]) -> Vec<Feature> {
    let mut features = Vec::with_capacity((content.len() >> SAMPLING_BITS) * 5 / 4);
    let mut hash: u64 = 0;
    for byte in content {
        hash = (hash << SHIFT).wrapping_add(GEAR[usize::from(*byte)]);
        if hash >> (u64::BITS - SAMPLING_BITS) == 0 {
            features.push(hash);
        }
    }
    features.sort_unstable();
    features.dedup();
    features
}

/// A random number for each byte.
const GEAR: [u64; 256] = gear();

/// splitmix64, from the beginning of its sequence.
const fn gear() -> [u64; 256] {
    let mut table = [0; 256];
    let mut state: u64 = 0;
    let mut place = 0;
    while place < table.len() {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        table[place] = mixed ^ (mixed >> 31);
        place += 1;
    }
    table
}
