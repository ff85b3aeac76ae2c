//! Where the core finds and keeps things.

use std::path::{Path, PathBuf};

use crate::plugin::cache::Cache;

/// Directories and files; the command line fills them in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// router.ron.
    pub config: PathBuf,
    /// Components that come with the image.
    pub plugins: PathBuf,
    /// What may be lost when the machine stops: volatile values, the control socket.
    pub state: PathBuf,
    /// What must last: the device key, compiled code, values on flash.
    pub flash: PathBuf,
    /// The control socket.
    pub control: PathBuf,
}

/// Default of [`Options::config`].
pub const CONFIG: &str = "/flash/router.ron";
/// Default of [`Options::plugins`].
pub const PLUGINS: &str = "/lib/portreeve/plugins";
/// Default of [`Options::state`].
pub const STATE: &str = "/run/portreeve";
/// Name of [`Options::control`] within [`Options::state`].
pub const SOCKET: &str = "control.sock";
/// Name of [`Options::flash`] beside router.ron.
pub const FLASH: &str = "portreeve";

impl Options {
    /// Fills in what was not given: the socket lies in `state`, the lasting directory beside router.ron.
    #[must_use]
    pub fn new(
        config: Option<PathBuf>,
        plugins: Option<PathBuf>,
        state: Option<PathBuf>,
        flash: Option<PathBuf>,
        control: Option<PathBuf>,
    ) -> Self {
        let config = config.unwrap_or_else(|| CONFIG.into());
        let state = state.unwrap_or_else(|| STATE.into());
        let beside = directory_of(&config);
        Self {
            flash: flash.unwrap_or_else(|| beside.join(FLASH)),
            control: control.unwrap_or_else(|| state.join(SOCKET)),
            plugins: plugins.unwrap_or_else(|| PLUGINS.into()),
            config,
            state,
        }
    }

    /// Where router.ron lies.
    #[must_use]
    pub fn directory(&self) -> &Path {
        directory_of(&self.config)
    }

    /// The compile cache on flash, or in the state directory if flash cannot be written.
    #[must_use]
    pub fn open_cache(&self) -> Option<Cache> {
        let failed = |directory: &Path, error: std::io::Error| {
            tracing::info!(directory = %directory.display(), %error, "no compile cache there");
        };
        match Cache::open(&self.flash) {
            Ok(cache) => Some(cache),
            Err(error) => {
                failed(&self.flash, error);
                Cache::open(&self.state.join("cache")).map_err(|error| failed(&self.state, error)).ok()
            }
        }
    }
}

fn directory_of(file: &Path) -> &Path {
    file.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_follows_from_what_is() {
        let o = Options::new(Some("/a/r.ron".into()), None, Some("/s".into()), None, None);
        assert_eq!((o.flash.as_path(), o.control.as_path()), (Path::new("/a/portreeve"), Path::new("/s/control.sock")));
        let o = Options::new(Some("r.ron".into()), None, None, None, None);
        assert_eq!((o.flash.as_path(), o.plugins.as_path()), (Path::new("./portreeve"), Path::new(PLUGINS)));
    }
}
