//! Calls out and in, against a peer that the test plays message by message.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

#[path = "../common/answers.rs"]
mod answers;

mod access;
mod addresses;
mod answering;
mod bounds;
mod calling;
mod challenged;
mod early_updates;
mod flows;
mod guarding;
mod ipv6_answered;
mod large;
mod lost_connections;
mod pings;
mod provisionals_heard;
mod provisionals_sent;
mod referred;
mod referring;
mod refreshes;
mod replacing;
mod requests;
mod strangers;
mod timers;
mod torture;
mod torture_answered;
mod websockets;
