//! What a client of the API can rely on, over real HTTP.
#![allow(
    missing_docs,
    clippy::collapsible_if,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

mod access;
mod calls;
mod conforms;
mod description;
mod events;
mod probes;
mod recordings;
mod refusals;
mod support;
