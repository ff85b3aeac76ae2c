//! Kernel parameters below `net`, as files of /proc/sys, and what /sys tells of a link's hardware.
//!
//! Names come checked (`portreeve_network::Sysctl::is_legal`); the check is made here once more, since a path is built.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use portreeve_network::Sysctl;

use crate::sys::network::Hardware;

/// Reads a parameter, without the newline.
///
/// # Errors
/// ENOENT if the kernel has none of this name.
pub fn get(name: &str) -> io::Result<String> {
    let text = fs::read_to_string(path(name)?)?;
    Ok(text.trim_end().to_owned())
}

/// Writes a parameter.
///
/// # Errors
/// ENOENT, EINVAL (not a value of this parameter), EACCES.
pub fn set(name: &str, value: &str) -> io::Result<()> {
    fs::write(path(name)?, value)
}

fn path(name: &str) -> io::Result<PathBuf> {
    if !(Sysctl { name: name.to_owned(), value: String::new() }).is_legal() {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    Ok(Path::new("/proc/sys/net").join(name))
}

/// Driver and place of a link's device; empty for virtual links.
#[must_use]
pub fn hardware(index: u32, name: &str, permanent_mac: Vec<u8>) -> Hardware {
    let device = Path::new("/sys/class/net").join(name).join("device");
    let file_name = |path: PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let driver = fs::read_link(device.join("driver")).ok().and_then(file_name);
    let path = fs::canonicalize(&device).ok();
    let path = path.and_then(|p| p.strip_prefix("/sys/devices").ok().map(|p| p.to_string_lossy().into_owned()));
    Hardware { index, permanent_mac, driver, path }
}
