//! What a guest finds in its memory when it starts: busybox, modules, programs with their libraries, files, a script.
//!
//! Laid out as a Debian with a merged `/usr`. Busybox's applets are in `/busybox`, last in PATH, so that any program
//! put into the image comes before its applet; `/bin/sh` is dash, because Debian's busybox `sh` takes its own applets
//! first. No module is inserted but virtio's, for the network interfaces: the rest is for whoever asks for it by
//! `modprobe`, which is the host's kmod, or makes the kernel ask. Modules are stored uncompressed and indexed by the
//! host's `depmod`, so that busybox's insmod and any loader can read them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use super::cpio::Archive;
use super::{Kernel, find_program};
use crate::lab::{Failure, Result, output};

const INIT: &str = include_str!("init.sh");
/// Drivers of what [`super::Machine`] puts into the machine.
const DRIVERS: [&str; 2] = ["virtio_pci", "virtio_net"];
const MERGED: [&str; 4] = ["bin", "sbin", "lib", "lib64"];
const EMPTY: [&str; 9] = ["dev", "proc", "sys", "run", "tmp", "root", "var/lib", "usr/local/bin", "usr/local/sbin"];

/// The first file system of a guest.
#[derive(Clone, Debug)]
pub struct Image<'kernel> {
    kernel: &'kernel Kernel,
    archive: Archive,
    /// Files relative to the directory of the release.
    modules: BTreeSet<String>,
    /// The same, in the order to insert them before the script.
    preloaded: Vec<String>,
    has_modprobe: bool,
}

impl<'kernel> Image<'kernel> {
    /// An image without network modules, and with a script that does nothing.
    pub fn new(kernel: &'kernel Kernel) -> Self {
        let mut archive = Archive::default();
        for name in MERGED {
            archive.directory(&format!("usr/{name}"));
            archive.symlink(name, &format!("usr/{name}"));
        }
        for path in EMPTY {
            archive.directory(path);
        }
        archive.symlink("var/run", "/run");
        archive.file("init", INIT.into(), 0o755);
        archive.file("script", Vec::new(), 0o644);
        archive.file(
            "etc/passwd",
            b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n".into(),
            0o644,
        );
        archive.file("etc/group", b"root:x:0:\nnogroup:x:65534:\n".into(), 0o644);
        archive.file("etc/hosts", b"127.0.0.1 localhost\n::1 localhost\n".into(), 0o644);
        Self { kernel, archive, modules: BTreeSet::new(), preloaded: Vec::new(), has_modprobe: true }
    }

    /// The kernel it is for.
    pub fn kernel(&self) -> &Kernel {
        self.kernel
    }

    /// Adds modules and those that they depend on, ready to be loaded. What is compiled in is passed over.
    ///
    /// # Errors
    /// If the kernel does not have one of them.
    pub fn modules(&mut self, names: &[&str]) -> Result {
        for name in names {
            self.modules.extend(self.kernel.module_files(name)?.into_iter().map(str::to_owned));
        }
        Ok(())
    }

    /// As [`Self::modules`], and inserts them before the script runs.
    ///
    /// # Errors
    /// If the kernel does not have one of them.
    pub fn preload(&mut self, names: &[&str]) -> Result {
        for name in names {
            for file in self.kernel.module_files(name)? {
                if self.modules.insert(file.to_owned()) || !self.preloaded.iter().any(|present| present == file) {
                    self.preloaded.push(file.to_owned());
                }
            }
        }
        Ok(())
    }

    /// Leaves out `modprobe`, so that neither the kernel nor a program can load a module by name.
    pub fn without_modprobe(&mut self) {
        self.has_modprobe = false;
    }

    /// Adds a program of the host with its mode and the libraries that `ldd` finds.
    ///
    /// # Errors
    /// If it cannot be read or a library is missing.
    pub fn program(&mut self, host: impl AsRef<Path>, guest: &str) -> Result {
        let host = host.as_ref();
        self.copy(host, guest)?;
        for library in libraries(host)? {
            if !self.archive.contains(&place(&library)) {
                self.copy(Path::new(&library), &library)?;
            }
        }
        Ok(())
    }

    /// Adds a file.
    pub fn file(&mut self, guest: &str, bytes: impl Into<Vec<u8>>, permissions: u32) {
        self.archive.file(&place(guest), bytes.into(), permissions);
    }

    /// Adds the files in a directory of the host, and those in the directories there, with their modes. Links are
    /// followed.
    ///
    /// # Errors
    /// If something cannot be read.
    pub fn directory(&mut self, host: impl AsRef<Path>, guest: &str) -> Result {
        let host = host.as_ref();
        self.archive.directory(&place(guest));
        for entry in fs::read_dir(host).map_err(|error| Failure::io("read", host, &error))? {
            let path = entry.map_err(|error| Failure::io("read", host, &error))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let inside = format!("{}/{name}", guest.trim_end_matches('/'));
            if path.is_dir() { self.directory(&path, &inside)? } else { self.copy(&path, &inside)? }
        }
        Ok(())
    }

    /// Sets what is run, by `sh`; its exit code is the guest's.
    pub fn script(&mut self, text: &str) {
        self.archive.file("script", text.into(), 0o644);
    }

    /// The bytes for the kernel. Modules are prepared in the directory `work`.
    pub(super) fn pack(&self, work: &Path) -> Result<Vec<u8>> {
        let mut image = self.clone();
        let given = std::mem::take(&mut image.preloaded);
        image.preload(&DRIVERS)?;
        image.preloaded.extend(given.into_iter().filter(|file| {
            !DRIVERS
                .iter()
                .any(|driver| self.kernel.module_files(driver).is_ok_and(|files| files.contains(&file.as_str())))
        }));
        let preload: String = image.preloaded.iter().map(|file| format!("{}\n", uncompressed(file))).collect();
        image.file("/etc/preload", preload, 0o644);
        image.add_busybox()?;
        if self.has_modprobe {
            image.program(find_program("modprobe", "kmod")?, "/sbin/modprobe")?;
        }
        image.add_modules(work)?;
        image.archive.pack()
    }

    fn copy(&mut self, host: &Path, guest: &str) -> Result {
        let failed = |error| Failure::io("read", host, &error);
        let mode = fs::metadata(host).map_err(failed)?.permissions().mode();
        self.file(guest, fs::read(host).map_err(failed)?, mode);
        Ok(())
    }

    /// The shell and the applets.
    fn add_busybox(&mut self) -> Result {
        let busybox = find_program("busybox", "busybox-static")?;
        self.program(&busybox, "/bin/busybox")?;
        self.program(find_program("dash", "dash")?, "/bin/sh")?;
        let applets = output(Command::new(&busybox).arg("--list"))?;
        for applet in applets.lines().filter(|applet| self.has_modprobe || *applet != "modprobe") {
            self.archive.symlink(&format!("busybox/{applet}"), "/bin/busybox");
        }
        Ok(())
    }

    /// Copies the chosen modules into `work`, uncompressed, has them indexed, and adds all of it.
    fn add_modules(&mut self, work: &Path) -> Result {
        let depmod = find_program("depmod", "kmod")?;
        let (from, release) = (self.kernel.modules_directory(), self.kernel.release().to_owned());
        let root = work.join("modules");
        let to = root.join("usr/lib/modules").join(&release);
        fs::create_dir_all(&to).map_err(|error| Failure::io("make", &to, &error))?;
        std::os::unix::fs::symlink("usr/lib", root.join("lib"))
            .map_err(|error| Failure::io("link in", &root, &error))?;
        let lists = ["modules.builtin", "modules.builtin.modinfo", "modules.order"];
        let mut compressed = Vec::new();
        for file in lists.into_iter().chain(self.modules.iter().map(String::as_str)) {
            let (source, target) = (from.join(file), to.join(file));
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent).map_err(|error| Failure::io("make", parent, &error))?;
            }
            fs::copy(&source, &target).map_err(|error| Failure::io("copy", &source, &error))?;
            if uncompressed(file) != file {
                compressed.push(target);
            }
        }
        if !compressed.is_empty() {
            output(Command::new(find_program("xz", "xz-utils")?).arg("-d").args(compressed))?;
        }
        output(Command::new(depmod).arg("-b").arg(&root).arg(&release))?;
        self.directory(&to, &format!("/lib/modules/{release}"))
    }
}

/// Where a path of the guest lies in the archive: `/usr` is merged.
fn place(guest: &str) -> String {
    let path = guest.trim_matches('/');
    let top = path.split('/').next().unwrap_or_default();
    if MERGED.contains(&top) { format!("usr/{path}") } else { path.to_owned() }
}

/// The name of a module's file once it is decompressed.
fn uncompressed(file: &str) -> &str {
    file.strip_suffix(".xz").unwrap_or(file)
}

/// The paths of the loader and the shared libraries of a program; none if it is static or a script.
fn libraries(program: &Path) -> Result<Vec<String>> {
    let text = match output(Command::new("ldd").arg(program)) {
        Ok(text) => text,
        Err(failure) if failure.to_string().contains("not a dynamic executable") => return Ok(Vec::new()),
        Err(failure) => return Err(failure),
    };
    if let Some(missing) = text.lines().find(|line| line.contains("not found")) {
        return Err(Failure::new(format!("{}: {}", program.display(), missing.trim())));
    }
    Ok(text.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_guest_are_merged_into_usr() {
        assert_eq!(place("/bin/portreeve"), "usr/bin/portreeve");
        assert_eq!(place("/lib64/ld-linux-x86-64.so.2"), "usr/lib64/ld-linux-x86-64.so.2");
        assert_eq!(place("/etc/router.ron"), "etc/router.ron");
    }

    #[test]
    fn the_libraries_of_a_dynamic_program_are_found_and_a_script_has_none() {
        let found = libraries(Path::new("/bin/ls")).unwrap();
        assert!(found.iter().any(|path| path.contains("libc.so")), "{found:?}");
        assert!(found.iter().any(|path| path.contains("ld-linux")), "{found:?}");
        assert!(libraries(Path::new("/usr/bin/ldd")).unwrap().is_empty());
    }
}
