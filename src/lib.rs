//! Offhook: a phone switch that talks. A SIP trunk comes in, speech is understood and made on the
//! box, and what came of a call reaches the CRM.
//!
//! `ARCHITECTURE.md` tells how the rooms of the house hang together.

pub mod agent;
pub mod ai;
mod archive;
pub mod backend;
pub mod call;
pub mod cli;
pub mod clock;
pub mod config;
pub mod crm;
pub mod demo;
pub mod http;
pub mod mailbox;
pub mod meters;
pub mod net;
pub mod observe;
pub mod phone;
mod realtime;
pub mod sim;
pub mod store;
pub mod switch;
pub mod switchboard;
pub mod tls;
pub mod trunks;
