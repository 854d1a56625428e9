//! The switch.

pub mod crm;
pub mod store;
