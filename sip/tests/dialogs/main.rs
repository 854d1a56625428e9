//! What calls promise within a dialog: order, routes, targets, offers.
#![allow(missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod matching;
mod offers;
