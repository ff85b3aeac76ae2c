//! Compiled components, kept on flash under a MAC with the device's own key.
//!
//! Compiling a component takes tens of milliseconds, reading it back a fraction of one. Machine code is
//! trusted blindly by whoever runs it, so a file counts only if its MAC holds: over the code, the hash of the
//! component and the build; the engine then checks by itself that the code fits it. The key is made on the first start and never leaves
//! its file; code of another device, another build or another hand is compiled anew instead.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::component::Component;

use super::PluginEngine;
use crate::sys::linux::process::{is_ours_alone, private_directory, random};
use crate::sys::precompiled::{Authentic, deserialize};

/// Files that are kept; beyond that the ones written longest ago go.
const MAX_FILES: usize = 64;
const MAC_BYTES: usize = 32;

/// A hash of a component's bytes.
pub type ComponentHash = blake3::Hash;

/// The cache of one device.
pub struct Cache {
    directory: PathBuf,
    key: [u8; 32],
    writable: bool,
}

impl Cache {
    /// The cache in `directory`, with the key in its file `device.key`, made if it is not there.
    ///
    /// # Errors
    /// The directory or the key cannot be read or made: the caller goes on without a cache.
    pub fn open(directory: &Path) -> io::Result<Self> {
        private_directory(directory)?;
        let key = read_or_make_key(&directory.join("device.key"))?;
        let directory = directory.join("compiled");
        private_directory(&directory)?;
        Ok(Self { directory, key, writable: true })
    }

    /// The cache that a core has made in `directory`, for looking only.
    ///
    /// # Errors
    /// There is none, or it is not ours to read.
    pub fn open_existing(directory: &Path) -> io::Result<Self> {
        let key = read_key(&directory.join("device.key"))?;
        Ok(Self { directory: directory.join("compiled"), key, writable: false })
    }

    /// The compiled form of the component with this hash, if a good one is kept.
    #[must_use]
    pub fn load(&self, engine: &PluginEngine, hash: &ComponentHash) -> Option<Component> {
        let path = self.path(hash);
        let bytes = std::fs::read(&path).ok()?;
        let code = bytes.get(MAC_BYTES..)?;
        // blake3 compares hashes in constant time.
        if self.mac(hash, code) != blake3::Hash::from_slice(&bytes[..MAC_BYTES]).ok()? {
            tracing::warn!(file = %path.display(), "compiled code without this device's MAC, compiling anew");
            return None;
        }
        match deserialize(engine.wasmtime(), Authentic(code)) {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "compiled code does not load, compiling anew");
                None
            }
        }
    }

    /// Keeps the compiled form. A failure costs only the time to compile again.
    pub fn store(&self, hash: &ComponentHash, component: &Component) {
        if !self.writable {
            return;
        }
        let done = component.serialize().map_err(io::Error::other).and_then(|code| {
            let path = self.path(hash);
            let temporary = unique(&path);
            let mut file = std::fs::File::create(&temporary)?;
            file.write_all(self.mac(hash, &code).as_bytes())?;
            file.write_all(&code)?;
            // Not synced: half a file after a power cut has no valid MAC.
            std::fs::rename(&temporary, &path)
        });
        if let Err(error) = done {
            tracing::warn!(%error, directory = %self.directory.display(), "cannot keep compiled code");
        }
        self.prune();
    }

    fn path(&self, hash: &ComponentHash) -> PathBuf {
        self.directory.join(format!("{}-{BUILD}.bin", &hash.to_hex()[..32]))
    }

    fn mac(&self, hash: &ComponentHash, code: &[u8]) -> blake3::Hash {
        let mut mac = blake3::Hasher::new_keyed(&self.key);
        mac.update(b"portreeve compiled component 1");
        mac.update(hash.as_bytes());
        mac.update(BUILD.as_bytes());
        mac.update(code);
        mac.finalize()
    }

    fn prune(&self) {
        let mut files: Vec<_> = std::fs::read_dir(&self.directory)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        files.sort();
        let surplus = files.len().saturating_sub(MAX_FILES);
        for (_, path) in &files[..surplus] {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A name beside `path` that no other thread or process writes to.
fn unique(path: &Path) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    path.with_extension(format!("{}-{}.tmp", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// What tells the code of different builds apart. The engine itself refuses code that does not fit it (another
/// version of wasmtime, other settings, another processor); this only keeps the files of builds apart, in the same
/// way with and without a compiler.
const BUILD: &str = concat!(env!("CARGO_PKG_VERSION"), "-wasmtime-48");

/// Reads the key, if it is ours alone: who can choose the key can choose the machine code.
fn read_key(path: &Path) -> io::Result<[u8; 32]> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let mut file = std::fs::OpenOptions::new().read(true).custom_flags(no_follow).open(path)?;
    if !is_ours_alone(&file.metadata()?) {
        let text = format!("{} belongs to somebody else, or others may write to it", path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(&mut file, 64), &mut bytes)?;
    bytes.try_into().map_err(|_| {
        let text = format!("{} is not a key of 32 bytes; remove it and it is made anew", path.display());
        io::Error::new(io::ErrorKind::InvalidData, text)
    })
}

fn read_or_make_key(path: &Path) -> io::Result<[u8; 32]> {
    use std::os::unix::fs::OpenOptionsExt as _;
    match read_key(path) {
        Ok(key) => Ok(key),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut key = [0; 32];
            random(&mut key)?;
            let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
            let mut file =
                std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
            file.write_all(&key)?;
            file.sync_all()?;
            std::fs::rename(&temporary, path)?;
            Ok(key)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_loaded_only_with_this_devices_mac() {
        let directory = std::env::temp_dir().join(format!("portreeve-cache-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        let engine = PluginEngine::new().unwrap();
        let bytes = b"\0asm\x0d\0\x01\0";
        let component = Component::new(engine.wasmtime(), bytes).unwrap();
        let hash = blake3::hash(bytes);
        let cache = Cache::open(&directory).unwrap();
        assert!(cache.load(&engine, &hash).is_none());
        let others = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        std::fs::set_permissions(directory.join("device.key"), others).unwrap();
        assert!(Cache::open_existing(&directory).is_err() && Cache::open(&directory).is_err(), "a key others can set");
        let ours = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(directory.join("device.key"), ours).unwrap();
        cache.store(&hash, &component);
        assert!(Cache::open(&directory).unwrap().load(&engine, &hash).is_some(), "the key is kept");
        let file = cache.path(&hash);
        let mut code = std::fs::read(&file).unwrap();
        *code.last_mut().unwrap() ^= 1;
        std::fs::write(&file, &code).unwrap();
        assert!(cache.load(&engine, &hash).is_none(), "a changed byte is noticed");
        std::fs::write(&file, [0; 7]).unwrap();
        assert!(cache.load(&engine, &hash).is_none());
        cache.store(&hash, &component);
        let other = Cache { directory: cache.directory.clone(), key: [7; 32], writable: false };
        assert!(other.load(&engine, &hash).is_none(), "another device's code is not run");
        let looking = Cache::open_existing(&directory).unwrap();
        assert!(looking.load(&engine, &hash).is_some());
        std::fs::remove_file(&file).unwrap();
        looking.store(&hash, &component);
        assert!(!file.exists(), "looking leaves nothing behind");
        std::fs::remove_dir_all(&directory).unwrap();
        assert!(Cache::open_existing(&directory).is_err());
    }
}
