//! The switch.

pub mod config;
pub mod http;
pub mod observe;
