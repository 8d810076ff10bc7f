//! Programs and libraries as files: which glibc they need, and how they look without what
//! only a debugger reads.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use object::elf::{DT_NEEDED, FileHeader64, SHF_ALLOC, SHT_NOBITS, SectionHeader64, SymbolSection};
use object::read::elf::{Dyn, FileHeader, ProgramHeader, SectionHeader};
use object::{LittleEndian, U16, U32, U64, pod};

type Header = FileHeader64<LittleEndian>;
type Section = SectionHeader64<LittleEndian>;

/// What every such file begins with.
const MAGIC: &[u8] = b"\x7fELF";

/// A version of glibc, `2.36`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Glibc(Vec<u32>);

impl Glibc {
    fn parse(text: &str) -> Option<Self> {
        let parts = text.split('.').map(|part| part.parse().ok());
        parts.collect::<Option<Vec<_>>>().map(Self)
    }

    /// Is what this and another one need.
    pub(crate) fn need(&mut self, other: Self) {
        if other > *self {
            *self = other;
        }
    }
}

impl fmt::Display for Glibc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("2.0");
        }
        let parts: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&parts.join("."))
    }
}

/// The least glibc that has all symbols which the file asks of it: the highest of the
/// versions `GLIBC_*` that it names. A file that is no code needs none.
pub(crate) fn glibc(bytes: &[u8]) -> Result<Glibc> {
    let mut least = Glibc::default();
    if !bytes.starts_with(MAGIC) {
        return Ok(least);
    }
    let header = Header::parse(bytes)?;
    let sections = header.sections(LittleEndian, bytes)?;
    let Some((mut needs, link)) = sections.gnu_verneed(LittleEndian, bytes)? else {
        return Ok(least);
    };
    let strings = sections.strings(LittleEndian, bytes, link)?;
    while let Some((_, mut versions)) = needs.next()? {
        while let Some(version) = versions.next()? {
            let name = version.name(LittleEndian, strings)?;
            let name = String::from_utf8_lossy(name);
            let version = name.strip_prefix("GLIBC_").and_then(Glibc::parse);
            least.need(version.unwrap_or_default());
        }
    }
    Ok(least)
}

/// What a program or a library asks for when it is loaded.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    /// The dynamic linker, of a program.
    pub(crate) linker: Option<PathBuf>,
    /// Shared libraries, by name.
    pub(crate) libraries: Vec<String>,
}

/// See [`Needs`]. A file that is no code needs nothing.
pub(crate) fn needs(bytes: &[u8]) -> Result<Needs> {
    let mut needs = Needs::default();
    if !bytes.starts_with(MAGIC) {
        return Ok(needs);
    }
    let e = LittleEndian;
    let header = Header::parse(bytes)?;
    for segment in header.program_headers(e, bytes)? {
        if let Some(linker) = segment.interpreter(e, bytes)? {
            needs.linker = Some(PathBuf::from(String::from_utf8_lossy(linker).as_ref()));
        }
    }
    let sections = header.sections(e, bytes)?;
    if let Some((dynamic, link)) = sections.dynamic(e, bytes)? {
        let strings = sections.strings(e, bytes, link)?;
        for entry in dynamic.iter().filter(|it| it.tag(e) == DT_NEEDED) {
            let name = entry.string(e, strings)?;
            needs
                .libraries
                .push(String::from_utf8_lossy(name).into_owned());
        }
    }
    Ok(needs)
}

/// The file without its debug sections. What is loaded into memory stays where it is, byte
/// for byte, and the names of functions stay for backtraces. A file that is no code stays
/// as it is.
pub(crate) fn stripped(bytes: &[u8]) -> Result<Vec<u8>> {
    if !bytes.starts_with(MAGIC) {
        return Ok(bytes.to_vec());
    }
    let e = LittleEndian;
    let header = Header::parse(bytes)?;
    let table = header.sections(e, bytes)?;
    let sections: Vec<&Section> = table.iter().collect();
    let is_loaded = |section: &Section| section.sh_flags(e).0 & SHF_ALLOC.0 != 0;
    let range = |section: &Section| (section.sh_offset(e), section.sh_size(e));
    // All that is loaded stands before all that is not: linkers write it so.
    let mut loaded = 0;
    for segment in header.program_headers(e, bytes)? {
        loaded = loaded.max(segment.p_offset.get(e) + segment.p_filesz.get(e));
    }
    let loaded = usize::try_from(loaded)?;
    let mut out = bytes.get(..loaded).context("it is cut short")?.to_vec();
    let mut kept: Vec<(usize, Section)> = Vec::new();
    for (index, section) in sections.iter().enumerate() {
        let name = table.section_name(e, section)?;
        let mut moved = **section;
        if index == 0 || is_loaded(section) {
            kept.push((index, moved));
            continue;
        }
        if is_debug(name) {
            continue;
        }
        let (offset, size) = range(section);
        if section.sh_type(e) != SHT_NOBITS {
            let align = usize::try_from(section.sh_addralign(e))?.clamp(1, 4_096);
            out.resize(out.len().next_multiple_of(align), 0);
            moved.sh_offset = U64::new(e, out.len() as u64);
            let (from, to) = (usize::try_from(offset)?, usize::try_from(offset + size)?);
            out.extend_from_slice(bytes.get(from..to).context("it is cut short")?);
        }
        kept.push((index, moved));
    }
    let place = |old: u32| kept.iter().position(|(index, _)| *index == old as usize);
    // Symbols name sections by their numbers.
    let last = kept.iter().rposition(|(_, section)| is_loaded(section));
    let is_in_place = last.is_none_or(|last| kept[last].0 == last);
    ensure!(
        is_in_place,
        "its debug sections stand among those that are loaded; strip it yourself, and say --no-strip"
    );
    let names = place(u32::from(header.e_shstrndx.get(e).0)).context("it has no names")?;
    out.resize(out.len().next_multiple_of(8), 0);
    let at = out.len() as u64;
    for (_, section) in &kept {
        let mut section = *section;
        let link = place(section.sh_link.get(e)).unwrap_or(0);
        section.sh_link = U32::new(e, u32::try_from(link)?);
        out.extend_from_slice(pod::bytes_of(&section));
    }
    let mut header = *header;
    header.e_shoff = U64::new(e, at);
    header.e_shnum = U16::new(e, u16::try_from(kept.len())?);
    header.e_shstrndx = U16::new(e, SymbolSection(u16::try_from(names)?));
    let header = pod::bytes_of(&header);
    out[..header.len()].copy_from_slice(header);
    Ok(out)
}

fn is_debug(name: &[u8]) -> bool {
    name.starts_with(b".debug") || name.starts_with(b".zdebug") || name == b".gdb_index"
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_stripped_program_is_smaller_and_runs() {
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        let bytes = stripped(&own).unwrap();
        assert!(bytes.len() < own.len(), "{} of {}", bytes.len(), own.len());
        assert_eq!(stripped(&bytes).unwrap(), bytes, "twice is once");
        assert_eq!(glibc(&bytes).unwrap(), glibc(&own).unwrap());
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("stripped");
        fs::write(&program, &bytes).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let ran = Command::new(&program).arg("--list").output().unwrap();
        assert!(ran.status.success());
        let text = String::from_utf8(ran.stdout).unwrap();
        assert!(text.contains("a_stripped_program"), "{text}");
    }

    #[test]
    fn what_a_program_needs_is_its_linker_and_its_libraries() {
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        let needs = needs(&own).unwrap();
        let linker = needs.linker.unwrap();
        assert!(linker.is_absolute() && linker.exists(), "{linker:?}");
        let libraries = &needs.libraries;
        assert!(
            libraries.iter().any(|it| it == "libc.so.6"),
            "{libraries:?}"
        );
    }

    #[test]
    fn the_least_glibc_is_the_highest_version_that_is_asked_for() {
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        let least = glibc(&own).unwrap();
        assert!(least >= Glibc(vec![2, 17]), "{least}");
        assert!(least <= Glibc(vec![2, 99]), "{least}");
        assert!(Glibc::parse("2.4") < Glibc::parse("2.36"));
        assert_eq!(glibc(b"#!/bin/sh").unwrap().to_string(), "2.0");
    }
}
