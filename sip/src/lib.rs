//! SIP for Offhook.

pub mod flow;
pub mod network;
pub mod stream;
pub mod transaction;
