//! The traps of turn-taking, one test each.

mod barge_in;
mod hold;
mod manners;
mod patience;
mod secret;
mod transfer;
mod turns;

use std::time::Duration;

use super::flow::RunOptions;
use super::rig::{HANGOVER_MS, Rig, STT_MS, flow, flow_of};
use super::*;

const CHAT: &str = r#"
name = "chat"
start = "a"
[nodes.a]
type = "ask"
say = "Thank you very much for calling us today. There is a lot to say about this. What is your name?"
slot = "caller_name"
grammar = "name"
next = "b"
on_fail = "bye"
[nodes.b]
type = "ask"
say = "And your phone number?"
slot = "number"
grammar = "phone"
next = "c"
on_fail = "bye"
[nodes.c]
type = "ask"
say = "Shall we call you back?"
slot = "back"
grammar = "yes_no"
next = "bye"
on_fail = "bye"
[nodes.bye]
type = "end"
say = "Goodbye!"
"#;

fn chat() -> Rig {
    let mut rig = Rig::new(flow_of(CHAT));
    rig.answer();
    rig
}

fn cancelled(c: &Command) -> bool {
    matches!(c, Command::CancelTurn { .. })
}
fn paused(c: &Command) -> bool {
    matches!(c, Command::PausePlayout)
}
fn resumed(c: &Command) -> bool {
    matches!(c, Command::ResumePlayout)
}
fn spoke(c: &Command) -> bool {
    matches!(c, Command::Speak { .. })
}
