//! The scripted caller: a phone of its own that dials in over SIP and RTP, hears the agent with
//! its own recogniser, and answers what it hears with an on-box voice.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::agent::caller::{CallerScript, ScriptedCaller};
use crate::agent::{Agent, Settings, WallClock};
use crate::ai::OnBox;
use crate::ai::hearing::Behind;
use crate::call::clerk::Clerk;
use crate::call::conversation::{Conversation, Parts, WORK_QUEUE};
use crate::call::dial::{DialFailure, Dialling, dial};
use crate::call::line::{Attached, next_leg};
use crate::call::task::{Ended, Running, Wishes};
use crate::call::trouble::Troubles;
use crate::call::{RecordingSwitch, Requests};
use crate::clock::{self, Epoch};
use crate::mailbox::mailbox;
use crate::phone::{Destination, Phone, PhoneError};
use crate::switch::EndReason;

/// The script that comes with the program.
const SCRIPT: &str = include_str!("../../config/demo-caller.toml");
/// How long the agent may take to answer.
const RING: Duration = Duration::from_secs(10);

/// Explains why the demonstration call did not come about.
#[derive(Debug, thiserror::Error)]
pub enum CallerError {
    /// The script cannot be read.
    #[error("the demonstration caller's script cannot be read: {0}")]
    Script(String),
    /// No phone.
    #[error(transparent)]
    Phone(#[from] PhoneError),
    /// Not answered.
    #[error("the demonstration call was not answered: {0}")]
    Dial(#[from] DialFailure),
    /// Nobody can hear the agent.
    #[error(transparent)]
    Hearing(#[from] Behind),
}

/// A caller with a script.
pub struct DemoCaller {
    script: CallerScript,
    phone: Phone,
    destination: Destination,
}

impl DemoCaller {
    /// Reads the script and opens a phone that can reach `uri`.
    ///
    /// # Errors
    /// When either fails.
    pub async fn new(uri: &str) -> Result<Self, CallerError> {
        let script = CallerScript::parse(SCRIPT).map_err(|e| CallerError::Script(e.to_string()))?;
        let destination = Destination::resolve(uri).await?;
        let phone = Phone::start(destination.local_address(), None).await?;
        Ok(Self {
            script,
            phone,
            destination,
        })
    }

    /// Calls, talks to the end, and tells why the call ended.
    ///
    /// # Errors
    /// When the call is not answered.
    pub async fn call(self, on_box: &OnBox) -> Result<EndReason, CallerError> {
        let line = Arc::clone(&self.phone.line);
        let leg = next_leg();
        let (ears, edges, sink) = on_box.hearing.listen(leg, false)?;
        let dialling = Dialling {
            ring_timeout: RING,
            ..self
                .destination
                .dialling("\"Demo caller\" <sip:+12025550143@127.0.0.1>")
        };
        let attached = Attached {
            sink: Some(sink),
            ..Attached::default()
        };
        let (_keep, mut give_up) = mpsc::channel(1);
        let answered = dial(&line, leg, &dialling, attached, |_| {}, &mut give_up).await?;
        let (results, work) = mailbox(WORK_QUEUE);
        let begun = clock::now();
        let wall = WallClock::new(begun, clock::wall());
        let settings = Settings {
            turn_model: on_box.judges_turns,
            ..Settings::default()
        };
        let dialogue = Box::new(ScriptedCaller::new(self.script));
        let conversation = Conversation::new(Parts {
            agent: Agent::new(settings, dialogue, wall, begun),
            leg,
            media: answered.leg.media.clone(),
            ears,
            voice: on_box.voice(None),
            requests: Requests::new(reqwest::Client::new(), None, None),
            work: results.clone(),
            rate_hz: answered.leg.rate_hz,
        });
        let (_control, control) = mailbox(1);
        let running = Running {
            line,
            call: answered.call,
            signals: answered.signals,
            leg: answered.leg,
            edges,
            work,
            conversation: Box::new(conversation),
            clerk: Clerk {
                journal: None,
                on_turn: None,
                results,
                epoch: Epoch::take(),
                recording: RecordingSwitch::new(false),
                hand_over: None,
            },
            control,
            troubles: Troubles::default(),
            wishes: watch::channel(Wishes::default()).1,
            done: Wishes::default(),
            left_to_trunk: false,
            on_joined: None,
            on_over: None,
        };
        match running.run().await {
            Ended::Over(over) => Ok(over.reason),
            // Nobody takes a demonstration's caller over.
            Ended::Taken(_) => Ok(EndReason::Transferred),
        }
    }
}
