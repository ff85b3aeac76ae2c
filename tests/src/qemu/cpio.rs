//! The archive that Linux unpacks as its first file system: cpio in the "newc" format (the kernel's
//! `Documentation/driver-api/early-userspace/buffer-format.rst`).
//!
//! Only writing, in memory. Everything belongs to root and is of 1970, so that equal content gives equal bytes.

use std::collections::BTreeMap;

use crate::lab::{Failure, Result};

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
/// Names and data start at multiples of this.
const ALIGNMENT: usize = 4;

/// Files by path. Paths are relative to the root, without a slash in front.
#[derive(Clone, Debug, Default)]
pub(super) struct Archive {
    /// Sorted, so that a directory comes before what it holds.
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    mode: u32,
    data: Vec<u8>,
}

impl Archive {
    /// An empty directory, and those above it. One that exists is kept.
    pub(super) fn directory(&mut self, path: &str) {
        self.parents(path);
        self.entries.entry(path.to_owned()).or_insert(Entry { mode: DIRECTORY | 0o755, data: Vec::new() });
    }

    /// A file, in place of one of this name. Makes directories above it.
    pub(super) fn file(&mut self, path: &str, data: Vec<u8>, permissions: u32) {
        self.parents(path);
        self.entries.insert(path.to_owned(), Entry { mode: REGULAR | (permissions & 0o7777), data });
    }

    /// A symbolic link. Makes directories above it.
    pub(super) fn symlink(&mut self, path: &str, target: &str) {
        self.parents(path);
        self.entries.insert(path.to_owned(), Entry { mode: SYMLINK | 0o777, data: target.as_bytes().to_vec() });
    }

    /// Whether there is something of this name.
    pub(super) fn contains(&self, path: &str) -> bool {
        self.entries.contains_key(path)
    }

    /// The bytes of the archive.
    ///
    /// # Errors
    /// If a file is larger than the format can say.
    pub(super) fn pack(&self) -> Result<Vec<u8>> {
        let size = self.entries.iter().map(|(path, entry)| path.len() + entry.data.len() + 128).sum();
        let mut out = Vec::with_capacity(size);
        for (number, (path, entry)) in (1..).zip(&self.entries) {
            append(&mut out, number, path, entry)?;
        }
        append(&mut out, 0, "TRAILER!!!", &Entry { mode: 0, data: Vec::new() })?;
        Ok(out)
    }

    fn parents(&mut self, path: &str) {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.directory(parent);
        }
    }
}

fn append(out: &mut Vec<u8>, inode: u32, path: &str, entry: &Entry) -> Result {
    let too_large = |_| Failure::new(format!("too large for an initramfs: /{path}"));
    let data_size = u32::try_from(entry.data.len()).map_err(too_large)?;
    let name_size = u32::try_from(path.len() + 1).map_err(too_large)?;
    // inode, mode, uid, gid, links, mtime, size, device (major, minor), rdev (major, minor), name size, checksum
    let fields = [inode, entry.mode, 0, 0, 1, 0, data_size, 0, 0, 0, 0, name_size, 0];
    out.extend_from_slice(b"070701");
    for field in fields {
        out.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    out.extend_from_slice(path.as_bytes());
    out.push(0);
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
    out.extend_from_slice(&entry.data);
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_as_the_format_has_it() {
        let mut archive = Archive::default();
        archive.file("a/b", b"hello".to_vec(), 0o4755);
        let bytes = archive.pack().unwrap();
        let directory = "070701000000010000\
            41ed0000000000000000000000010000000000000000000000000000000000000000000000000000000200000000a\0";
        let file = "0707010000000200008\
            9ed00000000000000000000000100000000000000050000000000000000000000000000000000000004000000\
            00a/b\0\0\0hello\0\0\0";
        assert!(bytes.starts_with(directory.as_bytes()), "{}", String::from_utf8_lossy(&bytes));
        assert!(bytes[directory.len()..].starts_with(file.as_bytes()), "{}", String::from_utf8_lossy(&bytes));
        assert_eq!(bytes.len() % ALIGNMENT, 0);
    }

    #[test]
    fn directories_come_before_what_they_hold_and_the_trailer_last() {
        let mut archive = Archive::default();
        archive.symlink("x/y/z", "/bin/busybox");
        archive.directory("x");
        let text = String::from_utf8(archive.pack().unwrap()).unwrap();
        let at = |needle: &str| text.find(needle).unwrap();
        assert!(at("x\0") < at("x/y\0") && at("x/y\0") < at("x/y/z\0") && at("/bin/busybox") < at("TRAILER!!!"));
        assert!(archive.contains("x/y") && !archive.contains("y"));
    }
}
