//! For which machine programs are.

use std::io::{self, Read};

use tfleet_compat::Architecture;
use tfleet_proto::model::artifact::Layer;

use super::ArchiveError;
use crate::artifact::{Artifacts, Entries, Kind, LayerContent};

/// Where in an ELF file its machine stands, two bytes little-endian.
/// Source: <https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html>.
const MACHINE: usize = 18;

/// `EM_X86_64`, `EM_AARCH64`.
const MACHINES: [(u16, Architecture); 2] =
    [(62, Architecture::X86_64), (183, Architecture::Aarch64)];

/// For which machine a file is; none: it is no program or library, or for a machine that has no images here.
///
/// # Errors
/// If it cannot be read.
pub fn architecture_of(file: impl Read) -> io::Result<Option<Architecture>> {
    let mut head = Vec::new();
    file.take(MACHINE as u64 + 2).read_to_end(&mut head)?;
    let Some(machine) = head.get(MACHINE..MACHINE + 2) else {
        return Ok(None);
    };
    let is_elf = head.starts_with(b"\x7fELF");
    let machine = u16::from_le_bytes([machine[0], machine[1]]);
    let known = MACHINES.iter().find(|known| is_elf && known.0 == machine);
    Ok(known.map(|known| known.1))
}

/// That of the first program or library in a stored layer; none: it has none.
pub(super) fn architecture_in(
    store: &Artifacts,
    layer: &Layer,
) -> Result<Option<Architecture>, ArchiveError> {
    let mut entries = Entries::new(LayerContent::new(store, layer));
    while let Some(node) = entries.next_node()? {
        if node.kind == Kind::File
            && let Some(found) = architecture_of(entries.content()).map_err(super::from_read)?
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
