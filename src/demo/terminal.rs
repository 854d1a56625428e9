//! What the demonstration shows: the live transcript, each turn's waterfall, the CRM's requests.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use uuid::Uuid;

use crate::agent::{self, TurnRecord, Who};
use crate::call::Watcher;
use crate::crm::stand_in::Recorded;
use crate::observe::{Latency, Stage, Waterfall};
use crate::store::CallRecord;

/// The longest text of a CRM request that is shown.
const BODY_MAX: usize = 600;

/// Prints conversations to standard output, or to standard error, as they happen.
#[derive(Default)]
pub struct Terminal {
    on_stderr: bool,
    turns: AtomicU64,
    names: Mutex<HashMap<Uuid, String>>,
}

impl Terminal {
    /// Makes a terminal that leaves standard output free.
    #[must_use]
    pub fn on_stderr() -> Self {
        Self {
            on_stderr: true,
            ..Self::default()
        }
    }

    /// Prints a line.
    #[allow(clippy::print_stdout, clippy::print_stderr)]
    pub fn say(&self, line: impl std::fmt::Display) {
        if self.on_stderr {
            eprintln!("{line}");
        } else {
            println!("{line}");
        }
    }

    /// Shows a request that reached the stand-in Ploink.
    pub fn crm_request(&self, request: &Recorded) {
        let body = request.body.to_string();
        let shown: String = body.chars().take(BODY_MAX).collect();
        let cut = if shown.len() < body.len() { "…" } else { "" };
        let body = if request.body == Value::Null {
            String::new()
        } else {
            format!(" {shown}{cut}")
        };
        self.say(paint(
            "35",
            &format!("  CRM     ◂ {} {}{body}", request.method, request.path),
        ));
    }
}

impl Watcher for Terminal {
    fn answered(&self, record: &CallRecord) {
        let names = self.names.lock();
        let agent = record.agent.clone().unwrap_or_default();
        names
            .unwrap_or_else(PoisonError::into_inner)
            .insert(record.id, agent.clone());
        self.say(format_args!(
            "\n☎ {} ▸ {} ({agent})",
            record.from, record.to
        ));
    }

    fn turn(&self, _call: Uuid, turn: &TurnRecord) {
        let said = turn.heard_text.as_deref().unwrap_or(&turn.text);
        let cut = if turn.interrupted {
            " — (interrupted)"
        } else {
            ""
        };
        match turn.who {
            Who::Caller => self.say(paint("36", &format!("  caller  ▸ {said}"))),
            Who::Agent => {
                self.say(paint("32", &format!("  agent   ▸ {said}{cut}")));
                if turn.latency.voice_to_voice_ms.is_some() {
                    let number = self.turns.fetch_add(1, Ordering::Relaxed) + 1;
                    self.say(Waterfall::for_stdout(number, shown(&turn.latency)));
                }
            }
        }
    }

    fn ended(&self, record: &CallRecord) {
        self.names
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&record.id);
        let outcome = record.outcome.as_deref().unwrap_or("-");
        self.say(format_args!(
            "☎ {} {}: {outcome}, {} s, {} turns",
            record.id,
            record.state.as_str(),
            record.duration_s(),
            record.turns.len()
        ));
    }
}

/// A turn's latency as the waterfall draws it.
fn shown(latency: &agent::Latency) -> Latency {
    let stage = |begins: Option<u32>, took: Option<u32>| {
        let (begins_ms, took_ms) = (f64::from(begins?), f64::from(took?));
        Some(Stage { begins_ms, took_ms })
    };
    let begins = &latency.begins;
    Latency {
        endpoint_ms: latency.endpoint_ms.map(f64::from),
        stt: stage(begins.stt_ms, latency.stt_ms),
        llm: stage(begins.llm_ms, latency.llm_first_token_ms),
        tts: stage(begins.tts_ms, latency.tts_first_audio_ms),
        voice_to_voice_ms: latency.voice_to_voice_ms.map(f64::from),
    }
}

fn paint(colour: &str, text: &str) -> String {
    if std::io::stdout().is_terminal() {
        format!("\x1b[{colour}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}
