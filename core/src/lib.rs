//! The Portreeve core.

pub mod commands;
pub mod config;
pub mod control;
pub mod grants;
pub mod host;
pub mod plugin;
pub mod runtime;
pub mod stores;
pub mod supervisor;
pub mod sys;
