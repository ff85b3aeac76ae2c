//! The keys that the core holds for links, a file for each; plugins know their names only.
//!
//! A file is one line of base64, as `wg genkey` and `wg genpsk` write it, so that an operator can put one there.
//! Private keys are made when they are first asked for; shared keys must be there. A file that others could read, or
//! that somebody else owns, is refused: the key is no secret any more. Files are replaced by renaming, so a power cut
//! leaves no key or a whole one. What passes through here is zeroed, as far as safe Rust can; the returned array is the
//! caller's.

use std::fs::{File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::lock;
use crate::sys::linux::process::{private_directory, wipe};

/// Bytes of a key: X25519 (RFC 7748 section 5) and WireGuard's shared key.
pub const KEY_LENGTH: usize = 32;
/// Characters of a key in base64.
const TEXT_LENGTH: usize = 44;
/// Largest file that is looked at, in bytes: a key, and some white space.
const MAX_FILE: u64 = 256;
/// Keys that there can be when one is made; operators may put more there.
const MAX_KEYS: usize = 256;
/// RFC 4648 section 4.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No key has such a name.
    #[error("{name:?} cannot be the name of a key: 1 to 64 of letters, digits, '.', '_' and '-', the first not a dot")]
    IllegalName {
        /// What was asked for.
        name: String,
    },
    /// A key that is not made here is not there.
    #[error("there is no key in {}; put it there in base64, owned by the user of the core, mode 0600", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// Others can get at the file.
    #[error(
        "the key in {} is no secret: the file's mode is {mode:04o}; make a new key, or chmod 0600 if nobody read it",
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Somebody else's file.
    #[error("the key in {} belongs to user {owner}; chown it to the user of the core ({us})", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Its user.
        owner: u32,
        /// Our user.
        us: u32,
    },
    /// Not a key.
    #[error("{} holds no key: {problem}; write one with `wg genkey` or `wg genpsk`, or remove it", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// No more are made.
    #[error("there are {} keys in {} already; remove those that nobody uses", MAX_KEYS, directory.display())]
    TooMany {
        /// Where they are.
        directory: PathBuf,
    },
    /// The generator failed.
    #[error("no random numbers for key {name}: {source}")]
    Random {
        /// The key.
        name: String,
        /// The generator's error.
        source: io::Error,
    },
    /// The file system failed.
    #[error("cannot {doing} the key in {}: {source}", path.display())]
    Io {
        /// `read` or `keep`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The file system's error.
        source: io::Error,
    },
}

/// All keys.
pub struct KeyStore {
    directory: PathBuf,
    /// Held while a key is looked for and made: two that make one would each get their own.
    making: Mutex<()>,
}

impl KeyStore {
    /// Keys in this directory, which is made when it is needed.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        Self { directory, making: Mutex::default() }
    }

    /// Whether `name` can name a key.
    #[must_use]
    pub fn is_name(name: &str) -> bool {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        !name.is_empty() && name.len() <= 64 && !name.starts_with('.') && name.chars().all(legal)
    }

    /// The X25519 private key of this name; one that is not there is made of what `random` fills in, and is on flash
    /// when this returns.
    ///
    /// # Errors
    /// See [`KeyError`]; never [`KeyError::Missing`].
    pub fn get_or_make(
        &self,
        name: &str,
        random: impl FnOnce(&mut [u8]) -> io::Result<()>,
    ) -> Result<[u8; KEY_LENGTH], KeyError> {
        let path = self.path(name)?;
        let _making = lock(&self.making);
        match read_key(&path) {
            Err(KeyError::Missing { .. }) => {}
            other => return other,
        }
        if self.count().map_err(|source| KeyError::Io { doing: "keep", path: path.clone(), source })? >= MAX_KEYS {
            return Err(KeyError::TooMany { directory: self.directory.clone() });
        }
        let mut key = [0; KEY_LENGTH];
        random(&mut key).map_err(|source| KeyError::Random { name: name.to_owned(), source })?;
        clamp(&mut key);
        let mut text = encode(&key);
        let kept = write_key(&self.directory, name, &text);
        wipe(&mut text);
        match kept {
            Ok(()) => Ok(key),
            Err(source) => {
                wipe(&mut key);
                Err(KeyError::Io { doing: "keep", path, source })
            }
        }
    }

    /// The key of this name, private or shared, which must be there.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn get(&self, name: &str) -> Result<[u8; KEY_LENGTH], KeyError> {
        read_key(&self.path(name)?)
    }

    /// How many keys there are, up to the most; what a power cut left does not count.
    fn count(&self) -> io::Result<usize> {
        let entries = match std::fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error),
        };
        let is_key = |entry: &std::fs::DirEntry| entry.file_name().to_str().is_some_and(Self::is_name);
        Ok(entries.filter_map(Result::ok).filter(is_key).take(MAX_KEYS).count())
    }

    fn path(&self, name: &str) -> Result<PathBuf, KeyError> {
        if Self::is_name(name) {
            return Ok(self.directory.join(name));
        }
        Err(KeyError::IllegalName { name: name.to_owned() })
    }
}

/// The public key of an X25519 private key (RFC 7748 section 6.1), whether that is clamped or not.
#[must_use]
pub fn public_key(private: &[u8; KEY_LENGTH]) -> [u8; KEY_LENGTH] {
    x25519_dalek::x25519(*private, x25519_dalek::X25519_BASEPOINT_BYTES)
}

/// Makes random bytes a private key (RFC 7748 section 5, decodeScalar25519).
fn clamp(key: &mut [u8; KEY_LENGTH]) {
    let [first, .., last] = key;
    *first &= 0b1111_1000;
    *last = (*last & 0b0111_1111) | 0b0100_0000;
}

fn read_key(path: &Path) -> Result<[u8; KEY_LENGTH], KeyError> {
    let failed = |source| KeyError::Io { doing: "read", path: path.to_owned(), source };
    let malformed = |problem| KeyError::Malformed { path: path.to_owned(), problem };
    // Not blocking: a named pipe would hold us until somebody writes.
    let file = match File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(KeyError::Missing { path: path.to_owned() });
        }
        Err(error) => return Err(failed(error)),
    };
    // Of the open file: what is checked is what is read.
    let metadata = file.metadata().map_err(failed)?;
    let us = rustix::process::geteuid().as_raw();
    if !metadata.is_file() {
        return Err(malformed("it is no regular file"));
    }
    if metadata.uid() != us {
        return Err(KeyError::Foreign { path: path.to_owned(), owner: metadata.uid(), us });
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(KeyError::Exposed { path: path.to_owned(), mode: metadata.mode() & 0o7777 });
    }
    // Of full size from the start, so that growing leaves no copy.
    let mut text = Vec::with_capacity(MAX_FILE as usize + 1);
    let read = file.take(MAX_FILE + 1).read_to_end(&mut text);
    let key = read.map_err(failed).and_then(|_| decode(text.trim_ascii()).map_err(malformed));
    wipe(&mut text);
    key
}

/// Writes a key so that it is there after a power cut.
fn write_key(directory: &Path, name: &str, text: &[u8]) -> io::Result<()> {
    let is_new = !directory.exists();
    private_directory(directory)?;
    std::fs::set_permissions(directory, Permissions::from_mode(0o700))?;
    if is_new && let Some(parent) = directory.parent() {
        sync_directory(parent)?;
    }
    // A leading dot is no legal name, so a half-written file is never taken for a key. It is made anew: one that is
    // left of a power cut may have any mode.
    let temporary = directory.join(format!(".{name}"));
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = write_file(&temporary, text).and_then(|()| std::fs::rename(&temporary, directory.join(name)));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(&temporary);
    }
    written.and_then(|()| sync_directory(directory))
}

fn write_file(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    // The umask may have taken bits away.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(text)?;
    file.sync_all()
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path)?.sync_all()
}

/// A key as one line of base64. Of full size from the start, so that growing leaves no copy.
fn encode(key: &[u8; KEY_LENGTH]) -> Vec<u8> {
    let mut text = Vec::with_capacity(TEXT_LENGTH + 1);
    for group in key.chunks(3) {
        let mut bytes = [0; 3];
        bytes.iter_mut().zip(group).for_each(|(to, from)| *to = *from);
        let [a, b, c] = bytes;
        let bits = u32::from_be_bytes([0, a, b, c]);
        for place in 0..4 {
            let digit = (bits >> (18 - 6 * place)) & 63;
            // A group of n bytes has n + 1 digits.
            let digit = if place > group.len() { None } else { ALPHABET.get(digit as usize) };
            text.push(digit.copied().unwrap_or(b'='));
        }
    }
    text.push(b'\n');
    text
}

/// A key from base64 without white space. Only the form that [`encode`] gives is taken.
fn decode(text: &[u8]) -> Result<[u8; KEY_LENGTH], &'static str> {
    let digits = match text {
        [digits @ .., b'='] if text.len() == TEXT_LENGTH => digits,
        [] => return Err("it is empty"),
        _ => return Err("a key is 44 characters of base64, the last one '='"),
    };
    let mut key = [0; KEY_LENGTH];
    let mut bytes = key.iter_mut();
    let (mut bits, mut count) = (0u32, 0u32);
    for digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return Err("it has characters that are not of base64"),
        };
        bits = (bits << 6 | u32::from(value)) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            if let Some(byte) = bytes.next() {
                *byte = (bits >> count) as u8;
            }
        }
    }
    if bits & ((1 << count) - 1) != 0 {
        return Err("its last character has bits that belong to no byte");
    }
    if key == [0; KEY_LENGTH] {
        return Err("it is all zeros");
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7748 section 6.1, Alice; the base64 is what coreutils' `base64` gives.
    const PRIVATE: [u8; 32] = [
        0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d, 0x3c, 0x16, 0xc1, 0x72, 0x51, 0xb2, 0x66, 0x45, 0xdf, 0x4c,
        0x2f, 0x87, 0xeb, 0xc0, 0x99, 0x2a, 0xb1, 0x77, 0xfb, 0xa5, 0x1d, 0xb9, 0x2c, 0x2a,
    ];
    const PUBLIC: [u8; 32] = [
        0x85, 0x20, 0xf0, 0x09, 0x89, 0x30, 0xa7, 0x54, 0x74, 0x8b, 0x7d, 0xdc, 0xb4, 0x3e, 0xf7, 0x5a, 0x0d, 0xbf,
        0x3a, 0x0d, 0x26, 0x38, 0x1a, 0xf4, 0xeb, 0xa4, 0xa9, 0x8e, 0xaa, 0x9b, 0x4e, 0x6a,
    ];
    const TEXT: &str = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=";

    struct Lab {
        root: tempfile::TempDir,
        store: KeyStore,
    }

    impl Lab {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let store = KeyStore::new(root.path().join("flash/keys"));
            Self { root, store }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.root.path().join("flash/keys").join(name)
        }

        fn put(&self, name: &str, text: &[u8], mode: u32) {
            private_directory(self.path(name).parent().unwrap()).unwrap();
            std::fs::write(self.path(name), text).unwrap();
            std::fs::set_permissions(self.path(name), Permissions::from_mode(mode)).unwrap();
        }
    }

    fn ones(bytes: &mut [u8]) -> io::Result<()> {
        bytes.fill(0xff);
        Ok(())
    }

    fn never(_: &mut [u8]) -> io::Result<()> {
        panic!("makes a key")
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn the_public_key_is_that_of_rfc_7748() {
        assert_eq!(public_key(&PRIVATE), PUBLIC);
        let mut clamped = PRIVATE;
        clamp(&mut clamped);
        assert_eq!(public_key(&clamped), PUBLIC);
    }

    #[test]
    fn base64_is_that_of_wg() {
        assert_eq!(encode(&PRIVATE), format!("{TEXT}\n").as_bytes());
        assert_eq!(decode(TEXT.as_bytes()), Ok(PRIVATE));
        for byte in 1..=255 {
            let key = std::array::from_fn(|i| byte ^ (i as u8).wrapping_mul(37));
            assert_eq!(decode(encode(&key).trim_ascii()), Ok(key));
        }
    }

    #[test]
    fn text_that_is_no_key_is_refused() {
        let short = TEXT.trim_end_matches('=');
        let texts =
            ["", "x", short, &format!("A{TEXT}"), &TEXT.replace('C', "-"), &TEXT.replace("o=", "p="), &"=".repeat(44)];
        for text in texts {
            assert!(decode(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(decode(format!("{}=", "A".repeat(43)).as_bytes()).is_err(), "zeros");
        for length in 0..TEXT.len() {
            assert!(decode(&TEXT.as_bytes()[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn a_new_key_is_clamped_and_kept_for_us_alone() {
        let lab = Lab::new();
        let key = lab.store.get_or_make("wg0", ones).unwrap();
        assert_eq!((key[0], key[1], key[31]), (0xf8, 0xff, 0x7f));
        assert_eq!(mode(&lab.path("wg0")), 0o600);
        assert_eq!(mode(lab.path("wg0").parent().unwrap()), 0o700);
        assert_eq!(std::fs::read(lab.path("wg0")).unwrap(), encode(&key));
        assert!(!lab.path(".wg0").exists());
        assert_eq!(lab.store.get_or_make("wg0", never).unwrap(), key);
        assert_eq!(lab.store.get("wg0").unwrap(), key);
    }

    #[test]
    fn what_a_power_cut_left_is_made_anew() {
        let lab = Lab::new();
        lab.put(".wg0", b"half", 0o644);
        let key = lab.store.get_or_make("wg0", ones).unwrap();
        assert_eq!((mode(&lab.path("wg0")), lab.store.get("wg0").unwrap()), (0o600, key));
    }

    #[test]
    fn an_operators_key_is_taken() {
        let lab = Lab::new();
        for text in [TEXT.to_owned(), format!("{TEXT}\n"), format!(" {TEXT}\r\n")] {
            lab.put("own", text.as_bytes(), 0o400);
            assert_eq!(lab.store.get_or_make("own", never).unwrap(), PRIVATE);
            std::fs::remove_file(lab.path("own")).unwrap();
        }
    }

    #[test]
    fn a_bad_file_is_told_and_left() {
        let lab = Lab::new();
        let text = format!("{TEXT}\n");
        lab.put("read", text.as_bytes(), 0o640);
        let error = lab.store.get_or_make("read", never).unwrap_err();
        assert!(matches!(error, KeyError::Exposed { mode: 0o640, .. }), "{error}");
        assert!(error.to_string().contains("keys/read") && error.to_string().contains("0640"), "{error}");
        lab.put("long", &[b'A'; 5000], 0o600);
        lab.put("empty", b"\n", 0o600);
        lab.put("two", format!("{TEXT}\n{TEXT}\n").as_bytes(), 0o600);
        std::fs::create_dir(lab.path("dir")).unwrap();
        for name in ["long", "empty", "two", "dir"] {
            let error = lab.store.get_or_make(name, never).unwrap_err();
            assert!(matches!(error, KeyError::Malformed { .. }), "{error}");
        }
        assert!(!lab.path("empty").metadata().unwrap().is_dir());
    }

    #[test]
    fn somebody_elses_file_is_refused() {
        let lab = Lab::new();
        lab.put("theirs", TEXT.as_bytes(), 0o600);
        if std::os::unix::fs::chown(lab.path("theirs"), Some(12345), None).is_err() {
            // Without rights every file that we can make is ours; as root this goes on.
            assert_ne!(rustix::process::geteuid().as_raw(), 0);
            return;
        }
        let error = lab.store.get("theirs").unwrap_err();
        assert!(matches!(error, KeyError::Foreign { owner: 12345, .. }), "{error}");
    }

    #[test]
    fn a_shared_key_is_never_made() {
        let lab = Lab::new();
        assert!(matches!(lab.store.get("psk"), Err(KeyError::Missing { .. })));
        assert!(!lab.path("psk").exists());
    }

    #[test]
    fn so_many_keys_are_made_and_no_more() {
        let lab = Lab::new();
        lab.store.get_or_make("first", ones).unwrap();
        lab.put(".left", b"half", 0o600);
        for number in 1..MAX_KEYS {
            lab.put(&format!("wg{number}"), TEXT.as_bytes(), 0o600);
        }
        let error = lab.store.get_or_make("wg0", never).unwrap_err();
        assert!(matches!(error, KeyError::TooMany { .. }), "{error}");
        assert!(lab.store.get_or_make("wg7", never).is_ok(), "those that are there are given");
        std::fs::remove_file(lab.path("wg1")).unwrap();
        assert!(lab.store.get_or_make("wg0", ones).is_ok());
    }

    #[test]
    fn a_name_cannot_leave_the_directory() {
        let lab = Lab::new();
        for name in ["", ".", "..", "a/b", ".a", "a\0", &"x".repeat(65)] {
            assert!(matches!(lab.store.get_or_make(name, never), Err(KeyError::IllegalName { .. })), "{name:?}");
            assert!(matches!(lab.store.get(name), Err(KeyError::IllegalName { .. })), "{name:?}");
        }
    }

    #[test]
    fn without_random_numbers_no_key_is_kept() {
        let lab = Lab::new();
        let failed = lab.store.get_or_make("wg0", |_| Err(io::Error::other("dry")));
        assert!(matches!(failed, Err(KeyError::Random { .. })));
        assert!(!lab.path("wg0").exists());
    }

    #[test]
    fn two_that_ask_at_once_get_one_key() {
        let lab = Lab::new();
        let keys: Vec<_> = std::thread::scope(|scope| {
            let lab = &lab;
            let ask = |n: u8| {
                move || {
                    let fill = |b: &mut [u8]| {
                        b.fill(n);
                        Ok(())
                    };
                    lab.store.get_or_make("wg0", fill).unwrap()
                }
            };
            let threads: Vec<_> = (1..9).map(|n| scope.spawn(ask(n))).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| key == &keys[0]));
    }
}
