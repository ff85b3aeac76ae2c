//! Debian's kernel, unpacked into a cache and never installed: the host's boot set-up is not touched.
//!
//! The package is the one that `linux-image-amd64` depends on. It carries no modules.dep, so `depmod` runs once over
//! the unpacked tree. A cache is filled once and then used as it is, without the network; remove it to get a newer
//! kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::find_program;
use crate::lab::{Failure, Result, output};

const META_PACKAGE: &str = "linux-image-amd64";

/// A kernel with its modules, in a cache.
#[derive(Clone, Debug)]
pub struct Kernel {
    root: PathBuf,
    release: String,
    /// By name: the file, relative to the directory of this release, and the files it needs, as modules.dep has them.
    modules: BTreeMap<String, (String, Vec<String>)>,
    /// What a module asks for without needing its symbols: nf_tables could not compute its checksums.
    soft: BTreeMap<String, Vec<String>>,
    builtin: BTreeSet<String>,
}

impl Kernel {
    /// The kernel in the directory `cache`; downloaded before if there is none. Safe to call from several processes.
    ///
    /// # Errors
    /// If a program is missing, the package cannot be downloaded, or its content is not as expected.
    pub fn fetch(cache: &Path) -> Result<Self> {
        fs::create_dir_all(cache).map_err(|error| Failure::io("make", cache, &error))?;
        let root = cache.join("kernel");
        let lock = cache.join("lock");
        let file = File::create(&lock).map_err(|error| Failure::io("write", &lock, &error))?;
        file.lock().map_err(|error| Failure::io("lock", &lock, &error))?;
        if !root.exists() {
            download(cache, &root)?;
        }
        Self::open(&root)
    }

    /// An unpacked kernel.
    pub(super) fn open(root: &Path) -> Result<Self> {
        let modules = root.join("lib/modules");
        let found = fs::read_dir(&modules).map_err(|error| Failure::io("read", &modules, &error))?.flatten().next();
        let release = found.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let release = release.ok_or_else(|| Failure::new(format!("no release in {}", modules.display())))?;
        let read = |name: &str| {
            let path = modules.join(&release).join(name);
            fs::read_to_string(&path).map_err(|error| Failure::io("read", &path, &error))
        };
        let mut by_name = BTreeMap::new();
        for line in read("modules.dep")?.lines() {
            let Some((file, needs)) = line.split_once(':') else { continue };
            let needs = needs.split_whitespace().map(str::to_owned).collect();
            by_name.insert(module_name(file), (file.to_owned(), needs));
        }
        let soft = soft_dependencies(&read("modules.softdep")?, &read("modules.alias")?);
        let builtin = read("modules.builtin")?.lines().map(module_name).collect();
        Ok(Self { root: root.to_owned(), release, modules: by_name, soft, builtin })
    }

    /// What `uname -r` prints on it.
    pub fn release(&self) -> &str {
        &self.release
    }

    /// Whether this module is compiled in and needs no file.
    pub fn is_builtin(&self, module: &str) -> bool {
        self.builtin.contains(&module_name(module))
    }

    /// What QEMU boots.
    pub(super) fn vmlinuz(&self) -> PathBuf {
        self.root.join("boot").join(format!("vmlinuz-{}", self.release))
    }

    /// The directory of the modules of this release.
    pub(super) fn modules_directory(&self) -> PathBuf {
        self.root.join("lib/modules").join(&self.release)
    }

    /// The files of a module, relative to [`Self::modules_directory`], in the order in which they must be inserted.
    /// Empty if it is compiled in.
    ///
    /// # Errors
    /// If this kernel has no such module.
    pub(super) fn module_files(&self, module: &str) -> Result<Vec<&str>> {
        let name = module_name(module);
        if !self.modules.contains_key(&name) && !self.is_builtin(&name) {
            return Err(Failure::new(format!("the kernel {} has no module {module}", self.release)));
        }
        let mut files = Vec::new();
        self.collect(&name, &mut BTreeSet::new(), &mut files);
        Ok(files)
    }

    /// Appends the files of a module behind those it wants. Soft dependencies may form circles: `seen` ends them.
    fn collect<'a>(&'a self, name: &str, seen: &mut BTreeSet<String>, files: &mut Vec<&'a str>) {
        let Some((file, needs)) = self.modules.get(name) else { return };
        // modules.dep has the nearest first.
        for file in needs.iter().rev().chain([file]) {
            let name = module_name(file);
            if seen.insert(name.clone()) {
                for wanted in self.soft.get(&name).into_iter().flatten() {
                    self.collect(wanted, seen, files);
                }
                files.push(file);
            }
        }
    }
}

/// The modules by name that others want, from modules.softdep and the aliases that it uses.
fn soft_dependencies(softdep: &str, aliases: &str) -> BTreeMap<String, Vec<String>> {
    let mut by_alias: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in aliases.lines() {
        if let ["alias", alias, module] = line.split_whitespace().collect::<Vec<_>>()[..] {
            by_alias.entry(module_name(alias)).or_default().push(module_name(module));
        }
    }
    let mut soft: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in softdep.lines() {
        let mut words = line.split_whitespace();
        let (Some("softdep"), Some(module)) = (words.next(), words.next()) else { continue };
        for wanted in words.filter(|word| !word.ends_with(':')).map(module_name) {
            let named = by_alias.get(&wanted).cloned().unwrap_or_else(|| vec![wanted]);
            soft.entry(module_name(module)).or_default().extend(named);
        }
    }
    soft
}

/// The name of a module from its file: `-` and `_` are the same, and it may be compressed.
fn module_name(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.split(".ko").next().unwrap_or(name).replace('-', "_")
}

/// Fills `root`. Works beside it and renames, so that it is complete if it exists.
fn download(cache: &Path, root: &Path) -> Result {
    let depmod = find_program("depmod", "kmod")?;
    let work = cache.join("unpacking");
    // Of one that was interrupted.
    let _ = fs::remove_dir_all(&work);
    let tree = work.join("tree");
    // Merged as on an installed Debian: which of the two names the package and depmod use does not matter.
    fs::create_dir_all(tree.join("usr/lib")).map_err(|error| Failure::io("make", &tree, &error))?;
    std::os::unix::fs::symlink("usr/lib", tree.join("lib")).map_err(|error| Failure::io("link in", &tree, &error))?;

    let package = download_package(&work).or_else(|_| {
        // Either the package lists are missing or they are too old.
        output(Command::new("apt-get").args(["update", "-q"]))?;
        download_package(&work)
    });
    let package =
        package.map_err(|failure| failure.with("while", &format!("getting a kernel into {}", cache.display())))?;
    unpack(&package, &tree)?;
    let modules = tree.join("lib/modules");
    let entries = fs::read_dir(&modules).map_err(|error| Failure::io("read", &modules, &error))?;
    let release = entries.flatten().next().map(|entry| entry.file_name());
    let release = release.ok_or_else(|| Failure::new(format!("{} has no modules", package.display())))?;
    output(Command::new(depmod).arg("-b").arg(&tree).arg(&release))?;
    fs::rename(&tree, root).map_err(|error| Failure::io("make", root, &error))?;
    fs::remove_dir_all(&work).map_err(|error| Failure::io("remove", &work, &error))
}

/// The real package of the meta package, in `directory`.
fn download_package(directory: &Path) -> Result<PathBuf> {
    let shown = output(Command::new("apt-cache").args(["show", "--no-all-versions", META_PACKAGE]))?;
    let package = image_package(&shown)
        .ok_or_else(|| Failure::new(format!("{META_PACKAGE} depends on no kernel")).with("apt-cache show", &shown))?;
    // The user that apt downloads as may not be able to write here.
    let mut command = Command::new("apt-get");
    command.args(["download", "-q", "-o", "APT::Sandbox::User=root", package]).current_dir(directory);
    output(&mut command)?;
    let entries = fs::read_dir(directory).map_err(|error| Failure::io("read", directory, &error))?;
    let mut paths = entries.flatten().map(|entry| entry.path());
    let package = paths.find(|path| path.extension().is_some_and(|extension| extension == "deb"));
    package.ok_or_else(|| Failure::new("apt-get download has left no package"))
}

/// `tar` and not `dpkg-deb -x`: that would replace the link `lib` by a directory.
fn unpack(package: &Path, tree: &Path) -> Result {
    let script = r#"set -e; dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --keep-directory-symlink --no-same-owner"#;
    output(Command::new("sh").args(["-c", script, "sh"]).arg(package).arg(tree)).map(drop)
}

/// The kernel among the dependencies that `apt-cache show` prints.
fn image_package(shown: &str) -> Option<&str> {
    let depends = shown.lines().find_map(|line| line.strip_prefix("Depends:"))?;
    let names = depends.split([',', '|']).filter_map(|dependency| dependency.split_whitespace().next());
    names.into_iter().find(|name| name.starts_with("linux-image-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_found_among_the_dependencies() {
        let shown =
            "Package: linux-image-amd64\nDepends: linux-base (>= 4), linux-image-6.1.0-56-amd64 (= 6.1.192-2)\n";
        assert_eq!(image_package(shown), Some("linux-image-6.1.0-56-amd64"));
        assert_eq!(image_package("Package: x\n"), None);
    }

    #[test]
    fn soft_dependencies_are_found_through_aliases() {
        let aliases = "# a comment\nalias crc32c crc32c_intel\nalias crc32c crc32c_generic\nalias pci:v1* x\n";
        let soft = soft_dependencies("softdep libcrc32c pre: crc32c\nsoftdep a-b pre: c post: d-e\n", aliases);
        assert_eq!(soft["libcrc32c"], ["crc32c_intel", "crc32c_generic"]);
        assert_eq!(soft["a_b"], ["c", "d_e"]);
    }

    #[test]
    fn a_module_is_named_as_lsmod_does() {
        assert_eq!(module_name("kernel/net/ipv6/sit.ko"), "sit");
        assert_eq!(module_name("kernel/crypto/sha-1.ko.xz"), "sha_1");
        assert_eq!(module_name("8021q"), "8021q");
    }
}
