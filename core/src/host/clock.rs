//! `clock`: CLOCK_BOOTTIME, the time of day, and sleeping.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wasmtime::Result;
use wasmtime::component::{Accessor, HasSelf};

use super::State;
use super::bindings::portreeve::plugin::clock::{Datetime, Host, HostWithStore, Instant};
use crate::sys::linux::process::boot_time_ns;

impl Host for State {
    fn now(&mut self) -> Result<Instant> {
        Ok(boot_time_ns())
    }

    fn wall(&mut self) -> Result<Datetime> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Datetime { seconds: since.as_secs(), nanoseconds: since.subsec_nanos() })
    }
}

impl<T: Send + 'static> HostWithStore<T> for HasSelf<State> {
    async fn sleep_until(accessor: &Accessor<T, Self>, deadline: Instant) -> Result<()> {
        let _call = accessor.with(|mut access| access.get().begin_call())?;
        let left = deadline.saturating_sub(boot_time_ns());
        tokio::time::sleep(Duration::from_nanos(left)).await;
        Ok(())
    }
}
