//! The portable agent runs on hosts whose C library is older than this machine's: it asks for glibc 2.17 at most.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use object::elf::FileHeader64;
use object::read::elf::{FileHeader as _, SectionHeader as _};
use object::{Endianness, elf};

const NEWEST: (u32, u32) = (2, 17);

#[test]
fn the_portable_agent_needs_no_newer_glibc() -> Result<()> {
    let agent = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/portable/tfleet-agent");
    let data = fs::read(&agent)
        .with_context(|| format!("{} is missing: make agent-portable", agent.display()))?;
    let needed = glibc_versions(&data)?;
    ensure!(
        !needed.is_empty(),
        "no glibc versions found: is it a dynamic program?"
    );
    let too_new: Vec<_> = needed.iter().filter(|version| **version > NEWEST).collect();
    ensure!(too_new.is_empty(), "it needs glibc {too_new:?}");
    Ok(())
}

/// The versions that the program's needed symbols ask of glibc.
fn glibc_versions(data: &[u8]) -> Result<Vec<(u32, u32)>> {
    let header = FileHeader64::<Endianness>::parse(data)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, data)?;
    let mut found = Vec::new();
    for section in sections.iter() {
        if section.sh_type(endian) != elf::SHT_GNU_VERNEED {
            continue;
        }
        let Some((mut libraries, link)) = section.gnu_verneed(endian, data)? else {
            continue;
        };
        let strings = sections.strings(endian, data, link)?;
        while let Some((_, mut versions)) = libraries.next()? {
            while let Some(version) = versions.next()? {
                let name = String::from_utf8_lossy(version.name(endian, strings)?).into_owned();
                let Some(numbers) = name.strip_prefix("GLIBC_") else {
                    continue;
                };
                let mut parts = numbers.split('.').map(str::parse::<u32>);
                if let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) {
                    found.push((major, minor));
                }
            }
        }
    }
    Ok(found)
}
