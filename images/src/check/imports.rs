//! What a component imports, read from its bytes, against the two lists of the core's sources.
//!
//! Only the top level of the component binary is walked (WebAssembly component model, Binary.md): a preamble, then
//! sections of `id length bytes`. Section 10 is the imports: a vector of a name and a descriptor.

use crate::Result;

const PREAMBLE: [u8; 8] = [0x00, b'a', b's', b'm', 0x0d, 0x00, 0x01, 0x00];
const IMPORT_SECTION: u8 = 10;

/// The names a plugin may import, without versions.
///
/// # Errors
/// If the lists are no longer where they are looked for.
pub fn allowed(host: &str, wasi: &str) -> Result<Vec<String>> {
    let ours = list(host, "WIT_IMPORTS").ok_or("core/src/host/mod.rs has no list WIT_IMPORTS")?;
    let theirs = list(wasi, "ALLOWED_IMPORTS").ok_or("core/src/host/wasi.rs has no list ALLOWED_IMPORTS")?;
    Ok(ours.iter().map(|name| format!("portreeve:plugin/{name}")).chain(theirs).collect())
}

/// Those of `names` that are not in `allowed`.
pub fn refused(names: &[String], allowed: &[String]) -> Vec<String> {
    let bare = |name: &str| name.split('@').next().unwrap_or_default().to_owned();
    names.iter().filter(|name| !allowed.contains(&bare(name))).cloned().collect()
}

/// The names a component imports.
///
/// # Errors
/// If it is no component, or one whose imports cannot be read.
pub fn names(component: &[u8]) -> Result<Vec<String>> {
    let body = component.strip_prefix(&PREAMBLE).ok_or("not a WebAssembly component")?;
    let mut reader = Reader(body);
    let mut names = Vec::new();
    while !reader.0.is_empty() {
        let (id, length) = (reader.byte()?, reader.number()?);
        let mut section = Reader(reader.bytes(length)?);
        if id == IMPORT_SECTION {
            for _ in 0..section.number()? {
                names.push(section.import()?);
            }
        }
    }
    Ok(names)
}

/// The strings of `pub const NAME: [..] = [ .. ];`.
fn list(source: &str, name: &str) -> Option<Vec<String>> {
    let (_, after) = source.split_once(&format!("const {name}:"))?;
    let (_, after) = after.split_once('=')?;
    let (inside, _) = after.split_once('[')?.1.split_once(']')?;
    let strings: Vec<String> = inside.split('"').skip(1).step_by(2).map(str::to_owned).collect();
    (!strings.is_empty()).then_some(strings)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or("the component is cut off")?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.bytes(1)?[0])
    }

    /// A 32-bit number in LEB128.
    fn number(&mut self) -> Result<usize> {
        let mut value = 0_usize;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a number of the component is too long".to_owned())
    }

    /// One import: `0x00 | 0x01, name, descriptor`.
    fn import(&mut self) -> Result<String> {
        let kind = self.byte()?;
        if kind > 1 {
            return Err(format!("an import name of unknown form {kind:#04x}"));
        }
        let length = self.number()?;
        let name = String::from_utf8_lossy(self.bytes(length)?).into_owned();
        match self.byte()? {
            // A core module has one more byte; function, component and instance are an index.
            0x00 => drop((self.byte()?, self.number()?)),
            0x01 | 0x04 | 0x05 => drop(self.number()?),
            // A type: equal to an index, or a fresh resource.
            0x03 => {
                if self.byte()? == 0 {
                    self.number()?;
                }
            }
            sort => return Err(format!("import {name} is of the unknown sort {sort:#04x}")),
        }
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component that imports `names` as instances, behind a section of another kind.
    fn component(names: &[&str]) -> Vec<u8> {
        let mut section = vec![u8::try_from(names.len()).unwrap()];
        for name in names {
            section.extend([0x00, u8::try_from(name.len()).unwrap()]);
            section.extend(name.as_bytes());
            section.extend([0x05, 0x00]);
        }
        let mut bytes = PREAMBLE.to_vec();
        bytes.extend([0x00, 0x02, 0xa5, 0xa5]);
        bytes.extend([IMPORT_SECTION, u8::try_from(section.len()).unwrap()]);
        bytes.extend(section);
        bytes
    }

    #[test]
    fn an_import_outside_the_lists_is_found() {
        let host = "pub const WIT_IMPORTS: [&str; 2] =\n    [\"clock\", \"raw-ip\"];";
        let wasi = "pub const ALLOWED_IMPORTS: [&str; 1] = [\n    \"wasi:io/poll\",\n];";
        let allowed = allowed(host, wasi).unwrap();
        let all = ["portreeve:plugin/clock@0.1.0", "wasi:io/poll@0.2.6", "wasi:sockets/tcp@0.2.6"];
        let names = names(&component(&all)).unwrap();
        assert_eq!(names, all);
        assert_eq!(refused(&names, &allowed), ["wasi:sockets/tcp@0.2.6"]);
    }

    #[test]
    fn a_list_that_moved_and_a_broken_component_are_refused() {
        assert!(allowed("", "").is_err());
        assert!(names(b"\0asm\x01\0\0\0").is_err());
        let whole = component(&["wasi:io/poll@0.2.6"]);
        for length in 13..whole.len() {
            assert!(names(&whole[..length]).is_err(), "{length}");
        }
    }
}
