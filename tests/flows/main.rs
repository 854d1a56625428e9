//! The flows of the repository as conversations in text: what callers say, and what comes of it.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::collapsible_if
)]

mod answers;
mod asides;
mod callers;
mod effects;
mod files;
mod lead;
mod model;
mod talk;

const LEAD: &str = "lead-qualification";
