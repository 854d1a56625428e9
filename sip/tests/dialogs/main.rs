//! What calls promise within a dialog: order, routes, targets, offers.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod matching;
mod offers;
