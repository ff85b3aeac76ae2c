//! Kernel modules: looks whether one is there and loads it with what it needs.
//!
//! The core runs where no udev and no modprobe are, so it reads depmod's `modules.dep` and `modules.builtin` itself and
//! hands the files to finit_module(2). Compressed files are left to the kernel. Names are taken as they are:
//! aliases, soft dependencies, options and blacklists (modules.alias, modules.softdep, modprobe.d) are not read.
//!
//! A kernel without a modules directory can have everything built in, and says so nowhere: to a caller
//! [`ModuleError::NotInstalled`] is the reason to give when the kernel refuses the thing itself, not a proof that it
//! will.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// Where directories of releases are, below the root.
const DIRECTORIES: [&str; 2] = ["lib/modules", "usr/lib/modules"];
/// Largest list of modules in bytes; a distribution's is about 1 MiB.
const MAX_LIST: u64 = 16 * 1024 * 1024;
/// Longest name in bytes; the kernel's MODULE_NAME_LEN is below.
const MAX_NAME: usize = 64;
/// Longest chain of modules that need each other; longer ones are cut, and the kernel then names what it misses.
const MAX_DEPTH: usize = 64;
/// The file is compressed, and the kernel is to unpack it (linux/module.h, since Linux 5.17).
const MODULE_INIT_COMPRESSED_FILE: i32 = 4;

/// Why a module is not there.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// No module has such a name.
    #[error("{name:?} cannot be the name of a kernel module: 1 to {MAX_NAME} letters, digits, dashes and underscores")]
    IllegalName {
        /// What was asked for.
        name: String,
    },
    /// Neither built in nor listed, as far as the files say.
    #[error("kernel module {name} is not installed for kernel {release}; looked for it in {}", paths(searched))]
    NotInstalled {
        /// What was asked for.
        name: String,
        /// The running kernel's release.
        release: String,
        /// The directories in which modules.builtin and modules.dep were looked for.
        searched: Vec<PathBuf>,
    },
    /// A list is there and cannot be read.
    #[error("cannot read the list of kernel modules {}: {source}", path.display())]
    Unreadable {
        /// The list.
        path: PathBuf,
        /// The file system's error.
        source: io::Error,
    },
    /// EPERM.
    #[error("may not load kernel module {name}: needs CAP_SYS_MODULE, and kernel.modules_disabled must be 0")]
    Denied {
        /// The module, which may be one that the wanted one needs.
        name: String,
    },
    /// The file cannot be opened, or the kernel does not take it.
    #[error("cannot load kernel module {name} from {}: {source}", path.display())]
    Refused {
        /// The module, which may be one that the wanted one needs.
        name: String,
        /// Its file.
        path: PathBuf,
        /// The kernel's error.
        source: io::Error,
    },
}

/// Makes sure that a kernel module is there, loading it with what it needs. Blocks while files are read and the
/// modules start.
///
/// # Errors
/// See [`ModuleError`]; of [`ModuleError::NotInstalled`] also the head of this file.
pub fn ensure(name: &str) -> Result<(), ModuleError> {
    ensure_at(Path::new("/"), &release(), name, &mut insert)
}

/// Whether [`ensure`] would load it: listed for this kernel, not loaded, not built in. False for names that no module
/// can have and when the lists cannot be read.
#[must_use]
pub fn is_loadable(name: &str) -> bool {
    is_loadable_at(Path::new("/"), &release(), name)
}

fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

fn ensure_at(
    root: &Path,
    release: &str,
    name: &str,
    insert: &mut dyn FnMut(&Path) -> io::Result<()>,
) -> Result<(), ModuleError> {
    match find(root, release, name)? {
        Found::There => Ok(()),
        Found::Missing(searched) => {
            Err(ModuleError::NotInstalled { name: name.to_owned(), release: release.to_owned(), searched })
        }
        Found::Files(files) => files.iter().try_for_each(|path| load(root, path, insert)),
    }
}

fn is_loadable_at(root: &Path, release: &str, name: &str) -> bool {
    matches!(find(root, release, name), Ok(Found::Files(_)))
}

/// What there is of a module.
enum Found {
    /// Loaded or built in.
    There,
    /// The files to load, in this order.
    Files(Vec<PathBuf>),
    /// Nothing in these directories.
    Missing(Vec<PathBuf>),
}

fn find(root: &Path, release: &str, name: &str) -> Result<Found, ModuleError> {
    let name = canonical(name).ok_or_else(|| ModuleError::IllegalName { name: name.to_owned() })?;
    if is_loaded(root, &name) {
        return Ok(Found::There);
    }
    let mut searched = Vec::new();
    for directory in DIRECTORIES {
        let directory = root.join(directory).join(release);
        if is_listed(&read_list(&directory.join("modules.builtin"))?, &name) {
            return Ok(Found::There);
        }
        if let Some(order) = load_order(&read_list(&directory.join("modules.dep"))?, &name) {
            // Old lists have whole paths.
            let full = |path: &String| path.strip_prefix('/').map_or_else(|| directory.join(path), |p| root.join(p));
            return Ok(Found::Files(order.iter().map(full).collect()));
        }
        searched.push(directory);
    }
    Ok(Found::Missing(searched))
}

fn is_loaded(root: &Path, name: &str) -> bool {
    root.join("sys/module").join(name).is_dir()
}

/// Loads one file whose module is not loaded yet.
fn load(root: &Path, path: &Path, insert: &mut dyn FnMut(&Path) -> io::Result<()>) -> Result<(), ModuleError> {
    let name = path.to_str().and_then(name_of).unwrap_or_default();
    if is_loaded(root, &name) {
        return Ok(());
    }
    let Err(source) = insert(path) else { return Ok(()) };
    match Errno::from_io_error(&source) {
        Some(Errno::EXIST) => Ok(()),
        Some(Errno::PERM) => Err(ModuleError::Denied { name }),
        Some(Errno::INVAL | Errno::OPNOTSUPP) if !unpacks(root, path) => {
            let text = "it is compressed in a way that this kernel does not unpack (CONFIG_MODULE_DECOMPRESS); \
                        install it uncompressed and run depmod";
            let source = io::Error::new(io::ErrorKind::Unsupported, text);
            Err(ModuleError::Refused { name, path: path.to_owned(), source })
        }
        _ => Err(ModuleError::Refused { name, path: path.to_owned(), source }),
    }
}

/// Hands a file to the kernel.
fn insert(path: &Path) -> io::Result<()> {
    let flags = if compression(path).is_some() { MODULE_INIT_COMPRESSED_FILE } else { 0 };
    let file = std::fs::File::open(path)?;
    Ok(rustix::system::finit_module(file, c"", flags)?)
}

/// Whether the kernel reads the file: not compressed, or as it says in /sys/module/compression.
fn unpacks(root: &Path, path: &Path) -> bool {
    let Some(compression) = compression(path) else { return true };
    let can = read_list(&root.join("sys/module/compression")).unwrap_or_default();
    can.split_ascii_whitespace().any(|word| word == compression)
}

/// A list as text, empty if it is not there.
fn read_list(path: &Path) -> Result<String, ModuleError> {
    read_bounded(path).map_err(|source| ModuleError::Unreadable { path: path.to_owned(), source })
}

fn read_bounded(path: &Path) -> io::Result<String> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(String::new());
        }
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    let length = file.take(MAX_LIST + 1).read_to_end(&mut bytes)?;
    if u64::try_from(length).is_ok_and(|length| length <= MAX_LIST) {
        return Ok(String::from_utf8_lossy(&bytes).into_owned());
    }
    Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {MAX_LIST} bytes")))
}

/// The name as the kernel writes it, with underscores; none if no module can have it.
fn canonical(name: &str) -> Option<String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let fits = !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(legal);
    fits.then(|| name.replace('-', "_"))
}

/// The name of the module in a file, by the file's name.
fn name_of(path: &str) -> Option<String> {
    let file = path.rsplit('/').next()?;
    let (name, _) = file.split_once(".ko")?;
    canonical(name)
}

/// How the kernel calls a file's compression.
fn compression(path: &Path) -> Option<&'static str> {
    match path.extension()?.to_str()? {
        "xz" => Some("xz"),
        "zst" => Some("zstd"),
        "gz" => Some("gzip"),
        _ => None,
    }
}

/// Whether modules.builtin, a path in each line, has the module.
fn is_listed(builtin: &str, name: &str) -> bool {
    builtin.lines().any(|line| name_of(line.trim()).as_deref() == Some(name))
}

/// The files to load for a module by modules.dep, what others need first; none if it does not have the module.
///
/// A line is a file, a colon, and the files that it needs. depmod writes all of them, the deepest last, other tools
/// only the nearest; following each one's own line serves both.
fn load_order(dep: &str, name: &str) -> Option<Vec<String>> {
    let mut needs = BTreeMap::new();
    for line in dep.lines() {
        let Some((file, others)) = line.split_once(':') else { continue };
        let file = file.trim();
        if let Some(name) = name_of(file) {
            needs.entry(name).or_insert((file, others));
        }
    }
    let (file, _) = needs.get(name)?;
    let mut order = Vec::new();
    visit(&needs, file, MAX_DEPTH, &mut BTreeSet::new(), &mut order);
    Some(order)
}

fn visit<'a>(
    needs: &BTreeMap<String, (&'a str, &'a str)>,
    file: &'a str,
    depth: usize,
    seen: &mut BTreeSet<String>,
    order: &mut Vec<String>,
) {
    let Some(name) = name_of(file) else { return };
    if depth == 0 || !seen.insert(name.clone()) {
        return;
    }
    if let Some((_, others)) = needs.get(&name) {
        for other in others.split_ascii_whitespace().rev() {
            visit(needs, other, depth - 1, seen, order);
        }
    }
    order.push(file.to_owned());
}

fn paths(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELEASE: &str = "6.1.0-56-amd64";
    /// As depmod of Debian 12 writes them.
    const BUILTIN: &str = "kernel/arch/x86/kernel/msr.ko\nkernel/fs/binfmt_script.ko\nkernel/net/ipv6/ipv6.ko\n\
                           kernel/lib/crypto/libchacha-x.ko\n";
    const DEP: &str = "\
kernel/net/ipv6/ip6_udp_tunnel.ko:
kernel/drivers/net/wireguard/wireguard.ko: kernel/arch/x86/crypto/curve25519-x86_64.ko \
kernel/lib/crypto/libcurve25519-generic.ko kernel/net/ipv6/ip6_udp_tunnel.ko kernel/net/ipv4/udp_tunnel.ko
kernel/arch/x86/crypto/curve25519-x86_64.ko: kernel/lib/crypto/libcurve25519-generic.ko
kernel/lib/crypto/libcurve25519-generic.ko:
kernel/net/ipv4/udp_tunnel.ko:
kernel/net/bridge/bridge.ko.xz: kernel/net/802/stp.ko.zst
kernel/net/802/stp.ko.zst: kernel/net/llc/llc.ko.gz
kernel/net/llc/llc.ko.gz:
kernel/a.ko: kernel/b.ko
kernel/b.ko: kernel/a.ko kernel/gone.ko
";

    fn order(name: &str) -> Vec<String> {
        let order = load_order(DEP, name).unwrap();
        order.iter().map(|path| name_of(path).unwrap()).collect()
    }

    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let lists = root.path().join("usr/lib/modules").join(RELEASE);
        std::fs::create_dir_all(&lists).unwrap();
        std::fs::write(lists.join("modules.builtin"), BUILTIN).unwrap();
        std::fs::write(lists.join("modules.dep"), DEP).unwrap();
        std::fs::create_dir_all(root.path().join("sys/module/libcurve25519_generic")).unwrap();
        root
    }

    fn refused_with(root: &Path, name: &str, errno: i32) -> Result<(), ModuleError> {
        ensure_at(root, RELEASE, name, &mut |_| Err(io::Error::from_raw_os_error(errno)))
    }

    #[test]
    fn what_a_module_needs_is_loaded_before_it() {
        let wireguard = order("wireguard");
        assert_eq!(
            wireguard,
            ["udp_tunnel", "ip6_udp_tunnel", "libcurve25519_generic", "curve25519_x86_64", "wireguard"]
        );
        assert_eq!(order("bridge"), ["llc", "stp", "bridge"], "only the nearest are listed");
        assert_eq!(order("a"), ["gone", "b", "a"], "a circle ends");
        assert_eq!(load_order(DEP, "nothing"), None);
        assert_eq!(load_order("no colon\n:\n: x\n\u{fffd}.ko: y\n", "x"), None);
    }

    #[test]
    fn a_long_chain_is_cut() {
        let dep: String = (0..1000).map(|i| format!("m{i}.ko: m{}.ko\n", i + 1)).collect();
        assert_eq!(load_order(&dep, "m0").unwrap().len(), MAX_DEPTH);
    }

    #[test]
    fn names_are_of_the_kernels_characters_and_dashes_are_underscores() {
        assert_eq!(canonical("nf-conntrack_x").as_deref(), Some("nf_conntrack_x"));
        for name in ["", "a/b", "..", "a.ko", "a b", "a\0", "ü", &"x".repeat(65)] {
            assert_eq!(canonical(name), None, "{name:?}");
            assert!(matches!(ensure(name), Err(ModuleError::IllegalName { .. })), "{name:?}");
            assert!(!is_loadable(name));
        }
        for path in ["/lib/x/a-b.ko", "a_b.ko.xz", "k/a-b.ko.zst", "k/a-b.ko.gz"] {
            assert_eq!(name_of(path).as_deref(), Some("a_b"), "{path}");
        }
        assert_eq!(name_of("k/readme"), None);
    }

    #[test]
    fn built_in_and_loaded_modules_are_there() {
        let root = tree();
        for name in ["ipv6", "libchacha_x", "libchacha-x", "libcurve25519-generic"] {
            ensure_at(root.path(), RELEASE, name, &mut |path| panic!("loads {}", path.display())).unwrap();
            assert!(!is_loadable_at(root.path(), RELEASE, name), "{name}");
        }
        assert!(is_loadable_at(root.path(), RELEASE, "wireguard"));
        assert!(!is_loadable_at(root.path(), RELEASE, "nothing"));
    }

    #[test]
    fn loaded_dependencies_are_left_out_and_what_came_in_meanwhile_is_fine() {
        let root = tree();
        let mut loaded = Vec::new();
        ensure_at(root.path(), RELEASE, "wireguard", &mut |path| {
            loaded.push(path.strip_prefix(root.path()).unwrap().to_owned());
            Err(io::Error::from_raw_os_error(libc::EEXIST))
        })
        .unwrap();
        let names: Vec<_> = loaded.iter().map(|path| name_of(path.to_str().unwrap()).unwrap()).collect();
        assert_eq!(names, ["udp_tunnel", "ip6_udp_tunnel", "curve25519_x86_64", "wireguard"]);
        assert_eq!(loaded[0], Path::new("usr/lib/modules").join(RELEASE).join("kernel/net/ipv4/udp_tunnel.ko"));
    }

    #[test]
    fn whole_paths_are_taken_from_the_root() {
        let root = tempfile::tempdir().unwrap();
        let lists = root.path().join("lib/modules/1");
        std::fs::create_dir_all(&lists).unwrap();
        std::fs::write(lists.join("modules.dep"), "/lib/modules/1/x.ko:\n").unwrap();
        let mut loaded = Vec::new();
        ensure_at(root.path(), "1", "x", &mut |path| {
            loaded.push(path.to_owned());
            Ok(())
        })
        .unwrap();
        assert_eq!(loaded, [lists.join("x.ko")]);
    }

    #[test]
    fn an_error_says_what_and_where() {
        let root = tree();
        let error = refused_with(root.path(), "nothing", 0).unwrap_err();
        let ModuleError::NotInstalled { searched, .. } = &error else { panic!("{error}") };
        assert_eq!(searched.len(), 2);
        assert!(error.to_string().contains("nothing is not installed for kernel 6.1.0-56-amd64"), "{error}");
        let error = refused_with(root.path(), "a", libc::EPERM).unwrap_err();
        assert!(matches!(&error, ModuleError::Denied { name } if name == "gone"), "{error}");
        let error = refused_with(root.path(), "wireguard", libc::EINVAL).unwrap_err();
        assert!(matches!(&error, ModuleError::Refused { source, .. } if source.raw_os_error() == Some(libc::EINVAL)));
    }

    #[test]
    fn a_compressed_file_that_the_kernel_cannot_unpack_is_told() {
        let root = tree();
        let is_told = |root: &Path| {
            let error = refused_with(root, "llc", libc::EINVAL).unwrap_err();
            error.to_string().contains("uncompressed")
        };
        assert!(is_told(root.path()));
        std::fs::write(root.path().join("sys/module/compression"), "xz\n").unwrap();
        assert!(is_told(root.path()));
        std::fs::write(root.path().join("sys/module/compression"), "gzip\n").unwrap();
        assert!(!is_told(root.path()));
    }

    #[test]
    fn a_list_that_is_too_long_is_not_read() {
        let root = tree();
        let path = root.path().join("usr/lib/modules").join(RELEASE).join("modules.dep");
        std::fs::File::options().write(true).open(&path).unwrap().set_len(MAX_LIST + 1).unwrap();
        let error = refused_with(root.path(), "wireguard", 0).unwrap_err();
        assert!(matches!(error, ModuleError::Unreadable { path: p, .. } if p == path));
    }
}
