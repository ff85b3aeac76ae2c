//! `files`: what the operator's section names, to read.

use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use wasmtime::Result;
use wasmtime::component::{Accessor, HasSelf, Resource};

use super::State;
use super::bindings::portreeve::plugin::files::{Host, HostFile, HostFileWithStore};
use super::bindings::portreeve::plugin::types::ErrorCode;
use crate::grants::Access;

/// Bytes of a file.
const MAX_FILE: u64 = 16 * 1024 * 1024;
/// Between two looks at a file: no file is worth an inotify watch in each instance.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Between two looks whether other reads have ended.
const WAIT_FOR_OTHERS: Duration = Duration::from_millis(10);
/// Of the clock that stamps files, at most (CONFIG_HZ is 100 or more), and so many are waited for.
const TICK: Duration = Duration::from_millis(12);
const MAX_TICKS: u32 = 4;

/// A file that is named.
pub struct FileHandle {
    /// As the section names it.
    name: Arc<str>,
    path: PathBuf,
    seen: Arc<Mutex<Option<Stamp>>>,
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    /// Of the inode: also if the time above was set back.
    changed: (i64, i64),
}

impl Stamp {
    /// It was changed within a tick of the file system's clock: another change may leave the same stamp.
    fn is_fresh(&self, now: SystemTime) -> bool {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (seconds, nanoseconds) = self.changed.max(self.modified);
        let Ok(seconds) = u64::try_from(seconds) else { return false };
        let then = Duration::new(seconds, u32::try_from(nanoseconds).unwrap_or(0));
        now.abs_diff(then) < TICK
    }
}

/// How a file is before it is read: as it has been for longer than a tick, unless it is written all the time.
fn settled_stamp(path: &Path) -> Option<Stamp> {
    let mut found = stamp(path);
    for _ in 0..MAX_TICKS {
        if !found.is_some_and(|stamp| stamp.is_fresh(SystemTime::now())) {
            break;
        }
        std::thread::sleep(TICK);
        found = stamp(path);
    }
    found
}

/// How a file is now; none if it is not there.
fn stamp(path: &Path) -> Option<Stamp> {
    let found = std::fs::metadata(path).ok()?;
    Some(Stamp {
        device: found.dev(),
        inode: found.ino(),
        size: found.size(),
        modified: (found.mtime(), found.mtime_nsec()),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}

/// Bytes.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read as _;
    // A pipe in its place must not hold up the thread.
    let file = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let kind = file.metadata()?;
    if !kind.is_file() {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
    }
    Ok(bytes)
}

fn is_plain(path: &Path) -> bool {
    let plain = |part| matches!(part, Component::Normal(_) | Component::RootDir | Component::CurDir);
    path.components().next().is_some() && path.components().all(plain)
}

impl Host for State {}

impl HostFile for State {
    fn open(&mut self, path: String) -> Result<Result<Resource<FileHandle>, ErrorCode>> {
        if !is_plain(Path::new(&path)) {
            return Ok(Err(ErrorCode::InvalidArgument));
        }
        if let Err(denied) = self.check(Access::Read(&path)) {
            return Ok(Err(denied));
        }
        let full = self.shared.files.join(&path);
        Ok(self.push(FileHandle { name: path.into(), path: full, seen: Arc::default() }))
    }

    fn drop(&mut self, this: Resource<FileHandle>) -> Result<()> {
        self.handles.delete(this)?;
        Ok(())
    }
}

impl<T: Send + 'static> HostFileWithStore<T> for HasSelf<State> {
    async fn read(accessor: &Accessor<T, Self>, this: Resource<FileHandle>) -> Result<Result<Vec<u8>, ErrorCode>> {
        let (path, seen, checked, _call) = accessor.with(|mut access| -> Result<_> {
            let state = access.get();
            let call = state.begin_call()?;
            let handle = state.handles.get(&this)?;
            let (name, path, seen) = (handle.name.clone(), handle.path.clone(), handle.seen.clone());
            Ok((path, seen, state.check(Access::Read(&name)), call))
        })?;
        if let Err(denied) = checked {
            return Ok(Err(denied));
        }
        let _one = loop {
            match accessor.with(|mut access| access.get().counts.read()) {
                Some(one) => break one,
                None => tokio::time::sleep(WAIT_FOR_OTHERS).await,
            }
        };
        // How it was before reading counts, well or not: a write meanwhile is noticed later.
        let work = move || (settled_stamp(&path), read(&path));
        let done = tokio::task::spawn_blocking(work).await;
        let (stamp, done) = done.unwrap_or_else(|error| (None, Err(io::Error::other(error))));
        *seen.lock().unwrap_or_else(PoisonError::into_inner) = stamp;
        Ok(done.map_err(|error| accessor.with(|mut access| access.get().os_error("read a file", &error))))
    }

    async fn changed(accessor: &Accessor<T, Self>, this: Resource<FileHandle>) -> Result<Result<(), ErrorCode>> {
        let (name, path, seen, _call) = accessor.with(|mut access| -> Result<_> {
            let state = access.get();
            let call = state.begin_call()?;
            let handle = state.handles.get(&this)?;
            Ok((handle.name.clone(), handle.path.clone(), handle.seen.clone(), call))
        })?;
        loop {
            if let Err(denied) = accessor.with(|mut access| access.get().check(Access::Read(&name))) {
                return Ok(Err(denied));
            }
            // A file system that does not answer must not hold up the instance, or its end.
            let looked_at = path.clone();
            let found = tokio::task::spawn_blocking(move || stamp(&looked_at)).await.unwrap_or(None);
            if *seen.lock().unwrap_or_else(PoisonError::into_inner) != found {
                return Ok(Ok(()));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_climb_are_not_plain() {
        for plain in ["bad.txt", "lists/bad.txt", "/flash/bad.txt", "./bad.txt"] {
            assert!(is_plain(Path::new(plain)), "{plain}");
        }
        for other in ["", "../bad.txt", "lists/../../etc/shadow", "/flash/.."] {
            assert!(!is_plain(Path::new(other)), "{other}");
        }
    }

    #[test]
    fn only_ordinary_files_of_a_bounded_size_are_read_and_a_new_one_has_another_stamp() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("list");
        assert_eq!(stamp(&path), None);
        assert_eq!(read(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::write(&path, "192.0.2.1\n").unwrap();
        let seen = stamp(&path);
        assert_eq!(read(&path).unwrap(), b"192.0.2.1\n");
        assert!(seen.is_some());
        std::fs::write(&path, "192.0.2.1\n192.0.2.2\n").unwrap();
        assert_ne!(stamp(&path), seen);
        assert_eq!(read(directory.path()).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        std::fs::File::create(&path).unwrap().set_len(MAX_FILE + 1).unwrap();
        assert_eq!(read(&path).unwrap_err().raw_os_error(), Some(libc::EMSGSIZE));
    }

    #[test]
    fn a_file_that_is_written_again_at_once_has_another_stamp() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("list");
        for round in 0..20 {
            std::fs::write(&path, "192.0.2.1\n").unwrap();
            let seen = settled_stamp(&path);
            std::fs::write(&path, "192.0.2.2\n").unwrap();
            assert_ne!(stamp(&path), seen, "round {round}");
        }
    }

    #[test]
    fn a_file_whose_time_was_set_back_has_another_stamp() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("list");
        std::fs::write(&path, "192.0.2.1\n").unwrap();
        let (seen, modified) = (settled_stamp(&path), std::fs::metadata(&path).unwrap().modified().unwrap());
        std::fs::write(&path, "192.0.2.2\n").unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        assert_eq!(stamp(&path).map(|stamp| stamp.modified), seen.map(|stamp| stamp.modified));
        assert_ne!(stamp(&path), seen);
    }

    #[test]
    fn only_what_was_changed_a_moment_ago_is_fresh() {
        let at =
            |seconds| Stamp { device: 1, inode: 1, size: 1, modified: (seconds, 0), changed: (seconds, 5_000_000) };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000) + Duration::from_millis(10);
        assert!(at(1000).is_fresh(now));
        for other in [999, 1001, 0, -5, i64::MAX] {
            assert!(!at(other).is_fresh(now), "{other}");
        }
    }
}
