//! The switch.

pub mod agent;
