//! Imitating an old `libnvidia-ml.so.1`: a copy of the fake library without the symbols that the old one lacked.
//!
//! A symbol is hidden by changing the first letter of its name in the copy's string table. The hash table still leads a
//! lookup of the old name to it, where the names differ, and the lookup fails as for one that never existed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use object::read::elf::{ElfFile64, FileHeader, SectionHeader};
use object::{Endianness, elf};

use super::error::{LabError, at};

/// What the library of a driver branch exports.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SymbolSet {
    branch: u32,
    names: &'static str,
}

macro_rules! set {
    ($branch:literal) => {
        SymbolSet {
            branch: $branch,
            names: include_str!(concat!("../../data/nvml-symbols/", $branch, ".txt")),
        }
    };
}

impl SymbolSet {
    pub const ALL: [Self; 8] = [
        set!(340),
        set!(390),
        set!(418),
        set!(450),
        set!(460),
        set!(470),
        set!(535),
        set!(550),
    ];

    /// The newest known set that is no newer than the branch. None for a branch newer than all of them: everything that
    /// the fake exports is there.
    pub fn of_branch(branch: u32) -> Option<Self> {
        let newest = Self::ALL[Self::ALL.len() - 1].branch;
        if branch > newest {
            return None;
        }
        let not_newer = Self::ALL.into_iter().rev().find(|set| set.branch <= branch);
        Some(not_newer.unwrap_or(Self::ALL[0]))
    }

    pub fn branch(self) -> u32 {
        self.branch
    }

    pub fn names(self) -> BTreeSet<&'static str> {
        self.names.lines().filter(|name| !name.is_empty()).collect()
    }
}

/// Writes a copy of `library` that exports, of NVML's symbols, only those in `exported`.
pub fn hide_symbols(
    library: &Path,
    exported: &BTreeSet<&str>,
    copy: &Path,
) -> Result<(), LabError> {
    let mut bytes = fs::read(library).map_err(at("read", library))?;
    let places = places_to_hide(&bytes, exported).map_err(|reason| LabError::Library {
        path: library.to_owned(),
        reason,
    })?;
    for place in places {
        bytes[place] = b'-';
    }
    // A new file each time: one that a process has mapped must not change under it.
    let next = copy.with_extension("next");
    fs::write(&next, bytes).map_err(at("write", &next))?;
    fs::rename(&next, copy).map_err(at("rename", &next))
}

/// Where in the file the names of the symbols to hide begin.
fn places_to_hide(bytes: &[u8], exported: &BTreeSet<&str>) -> Result<Vec<usize>, String> {
    let file: ElfFile64<'_, Endianness> = ElfFile64::parse(bytes).map_err(|e| e.to_string())?;
    let endian = file.endian();
    let header = file.elf_header();
    let sections = header.sections(endian, bytes).map_err(|e| e.to_string())?;
    let symbols = sections
        .symbols(endian, bytes, elf::SHT_DYNSYM)
        .map_err(|e| e.to_string())?;
    let strings = sections
        .section(symbols.string_section())
        .map_err(|e| e.to_string())?
        .sh_offset(endian);
    let mut places = Vec::new();
    for symbol in symbols.iter() {
        let name = symbols
            .symbol_name(endian, symbol)
            .map_err(|e| e.to_string())?;
        let name = String::from_utf8_lossy(name);
        if name.starts_with("nvml") && !exported.contains(&*name) {
            places.push(strings as usize + symbol.st_name.get(endian) as usize);
        }
    }
    Ok(places)
}
