//! The Portreeve core.

pub mod config;
pub mod grants;
pub mod host;
pub mod plugin;
pub mod stores;
pub mod supervisor;
pub mod sys;
