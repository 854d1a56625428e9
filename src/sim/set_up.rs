//! What a call of the switch begins with: its record, its agent, its first words.

use std::sync::{Arc, OnceLock};

use offhook_sip::Incoming;
use uuid::Uuid;

use super::conversation::Conversation;
use super::models::Models;
use super::recording::Recording;
use super::world::Cx;
use crate::agent::flow::{Flow, FlowRun, RunOptions, parse};
use crate::agent::{
    Act, Agent, BookRequest, Context, Dialogue, Event, Settings, Variables, clauses,
};
use crate::store::{Appointment, CallRecord, CallState, Direction};

const LEAD: &str = include_str!("../../config/flows/lead-qualification.toml");
const SUPPORT: &str = include_str!("../../config/flows/customer-support.toml");

/// What is asked in the first of them and not recorded.
const SECRET: &str = "slot = \"caller_email\"\n";

/// In the simulation each of them also tells a web server that the caller has hung up: a request
/// that outlives the call.
const ON_HANGUP: &str = "on_hangup = \"told\"\n";
const TOLD: &str = r#"
[nodes.told]
type = "http"
url = "/told"
next = "told_over"
[nodes.told_over]
type = "end"
say = "Goodbye!"
"#;

/// The flows that ship; parsed once.
fn flow(llm: bool) -> Option<Arc<Flow>> {
    static FLOWS: OnceLock<[Option<Arc<Flow>>; 2]> = OnceLock::new();
    let read = |name: &str, text: &str| {
        let secret = format!("{SECRET}record = false\n");
        let text = text.replacen(SECRET, &secret, 1);
        let text = format!("{ON_HANGUP}{text}{TOLD}");
        parse(name, &text).ok().map(Arc::new)
    };
    let flows = FLOWS.get_or_init(|| {
        [
            read("lead-qualification.toml", LEAD),
            read("customer-support.toml", SUPPORT),
        ]
    });
    flows.get(usize::from(llm)).cloned().flatten()
}

fn dialogue(cx: &Cx, variables: &Variables) -> Option<Box<dyn Dialogue>> {
    let llm = cx.plan.models.llm;
    let options = RunOptions {
        llm,
        ..RunOptions::default()
    };
    let run = FlowRun::new(flow(llm)?, variables, options);
    Some(Box::new(run))
}

/// The record of a call that rings here or, without an INVITE, that is to be placed.
pub(super) fn record(cx: &mut Cx, number: usize, invite: Option<&Incoming>) -> CallRecord {
    let id = Uuid::from_u128(u128::from(cx.plan.seed) << 16 | number as u128);
    let at = cx.timestamp(cx.clock.now());
    let theirs = format!("+1202555010{number}");
    let mut record = match invite {
        Some(invite) => {
            let to = invite.to.user.clone();
            CallRecord::new(id, Direction::Inbound, theirs, to, CallState::Ringing, at)
        }
        None => {
            let from = "+12025550199".to_owned();
            CallRecord::new(id, Direction::Outbound, from, theirs, CallState::Queued, at)
        }
    };
    record.trunk = Some("carrier".to_owned());
    record
}

/// The recording of a call, which the disk may be too slow for now and then.
pub(super) fn recording(cx: &Cx, number: usize) -> Recording {
    let plan = cx.plan.callers.get(number);
    let drops = plan.map_or(0, |plan| plan.recording_drops);
    Recording::new(plan.is_some_and(|plan| plan.recorded), drops)
}

pub(super) fn conversation(cx: &mut Cx, number: usize, record: &CallRecord) -> Conversation {
    let mut known = Variables::new();
    known.insert("caller_phone", record.remote().to_owned());
    if record.direction == Direction::Outbound {
        known.insert("direction", "outbound");
    }
    let now = cx.clock.now();
    let settings = Settings {
        turn_model: cx.plan.models.turn_model,
        ..Settings::default()
    };
    let dialogue = dialogue(cx, &known).unwrap_or_else(|| Box::new(Mute(known)));
    let agent = Agent::new(settings, dialogue, cx.wall(), now);
    let models = Models::new(
        cx.plan.seed.wrapping_add(number as u64),
        cx.plan.models.clone(),
    );
    Conversation::new(agent, models, number)
}

/// What will be said first, so that it is synthesised while the phone rings.
pub(super) fn first_words(cx: &Cx) -> Option<String> {
    let mut trial = dialogue(cx, &Variables::new())?;
    let mut requests = 0;
    let mut context = Context::new(cx.wall().zoned(cx.clock.now()), &mut requests);
    trial.handle(&mut context, Event::Start);
    let first = context.into_acts().into_iter().find_map(|act| match act {
        Act::Say { text, .. } => Some(text),
        _ => None,
    })?;
    clauses::split(&first).into_iter().next()
}

pub(super) fn appointment(cx: &mut Cx, record: &CallRecord, request: BookRequest) -> Appointment {
    Appointment {
        id: Uuid::from_u128(record.id.as_u128() << 32 | u128::from(request.id.0)),
        call_id: record.id,
        date_time: request.date_time,
        kind: request.kind,
        notes: request.notes,
        created_at: cx.timestamp(cx.clock.now()),
    }
}

/// Stands in for a flow that cannot be read; a test sees to it that both can.
struct Mute(Variables);

impl Dialogue for Mute {
    fn handle(&mut self, cx: &mut Context<'_>, _event: Event<'_>) {
        cx.end();
    }

    fn fork(&self) -> Box<dyn Dialogue> {
        Box::new(Self(self.0.clone()))
    }

    fn variables(&self) -> &Variables {
        &self.0
    }

    fn outcome(&self) -> String {
        "no_flow".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_flows_can_be_read() {
        assert!(flow(false).is_some() && flow(true).is_some());
    }
}
