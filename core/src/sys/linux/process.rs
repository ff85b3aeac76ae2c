//! Our own process and machine: limits, memory, host name, the clocks, randomness.
#![cfg_attr(target_env = "gnu", expect(unsafe_code, reason = "malloc_trim has no safe wrapper"))]

use std::io;

/// Raises the soft limit of open files to the hard one: a socket for each interface adds up.
pub fn raise_open_files_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// Sets the host name.
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN in the UTS namespace.
pub fn set_hostname(name: &str) -> io::Result<()> {
    Ok(rustix::system::sethostname(name.as_bytes())?)
}

/// Resident memory of this process in bytes, from /proc/self/statm; none where there is no /proc.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Gives freed memory back to the kernel: compiling leaves tens of megabytes that nobody needs again. Only
/// glibc keeps that much; elsewhere nothing is to be done.
pub fn release_free_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointer, and glibc locks its own arenas.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Nanoseconds of CLOCK_BOOTTIME: never goes back, and counts while the machine sleeps.
#[must_use]
pub fn boot_time_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0))
}

/// CPU time that the calling thread has used.
#[must_use]
pub fn thread_cpu_time() -> std::time::Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    std::time::Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Whether what `metadata` describes is ours, and nobody else may write to it. Whoever could would be us.
#[must_use]
pub fn is_ours_alone(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o022 == 0
}

/// A directory that only we may write to, made with its parents if it is not there.
///
/// # Errors
/// The file system's; or the directory is there and is not ours alone.
pub fn private_directory(path: &std::path::Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    if is_ours_alone(&std::fs::metadata(path)?) {
        return Ok(());
    }
    let text = format!("{} belongs to somebody else, or others may write to it", path.display());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
}

/// Fills `buffer` from the kernel's generator.
///
/// # Errors
/// ENOSYS on kernels before 3.17.
pub fn random(buffer: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        filled += rustix::rand::getrandom(&mut buffer[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(())
}

/// Zeroes bytes that are not used again, in a way that the compiler has no reason to leave out.
pub fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    std::hint::black_box(bytes);
}
