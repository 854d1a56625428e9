//! The switch.

pub mod config;
