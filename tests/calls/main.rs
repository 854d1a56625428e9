//! Whole calls on the real switch: SIP and RTP on loopback, the real models, a real database, and
//! real servers for the language model and the CRM, which fail as servers do.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "in tests, also in what they share"
)]

mod accounts;
mod api;
mod bridging;
mod callee;
mod caller;
mod chains;
mod changes;
#[path = "../http_api/conforms.rs"]
mod conforms;
mod crm;
mod delayed;
mod desk;
mod disk;
mod doctor;
mod doors;
mod failing_over;
mod faults;
mod headers;
mod holding;
mod hunting;
mod identities;
mod ipv6;
mod keys;
mod language_model;
#[path = "../llm_support/mod.rs"]
mod llm_support;
mod logs;
mod numbers;
mod pages;
mod peer;
mod phones;
mod reasons;
mod recording;
mod records;
mod redirecting;
mod referring;
mod rig;
mod rooms;
mod service_route;
mod sound;
mod supervision;
mod tones;
mod transferring;
mod voice;
mod ways_out;
