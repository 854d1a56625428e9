//! The switch.

pub mod ai;
pub mod config;
pub mod http;
pub mod observe;
