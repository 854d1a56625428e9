//! What an agent's conversation wants of the switch around its call: turns, facts and appointments
//! are written down, the recording pauses, a person is called. It goes on after the agent's part in
//! the call is over, until the flow is.

use std::sync::Arc;

use serde_json::{Value, json};
use tracing::Instrument;
use uuid::Uuid;

use super::conversation::{Conversation, Directive, Work};
use super::hand_over::HandOver;
use super::journal::Journal;
use super::recording::{PausedBy, RecordingSwitch, recording_event};
use super::refer_out::Told;
use super::task::CLOSING_TIME;
use crate::agent::{BookRequest, Booking, RequestFailure, TransferRequest, TurnRecord};
use crate::ai::TextToSpeech;
use crate::clock::{self, Epoch};
use crate::mailbox;
use crate::store::Appointment;

/// Hears of a turn as it is written down.
pub type OnTurn = Box<dyn FnMut(&TurnRecord) + Send>;

/// Does what a conversation wants beside talking.
pub struct Clerk {
    /// Where it is written down; a demonstration caller's side is not.
    pub journal: Option<Journal>,
    /// Hears of each turn as it is written down.
    pub on_turn: Option<OnTurn>,
    /// Where answers go.
    pub results: mailbox::Sender<Work>,
    /// Ties records to the wall clock.
    pub epoch: Epoch,
    /// What pauses the call's recording.
    pub recording: RecordingSwitch,
    /// What gives the call to a person; a demonstration caller's side is given to nobody.
    pub hand_over: Option<HandOver>,
}

impl Clerk {
    /// Does what the conversation wants; it speaks with this voice, also to a person who is briefed.
    pub fn write_down(&mut self, directive: Directive, voice: &Arc<dyn TextToSpeech>) {
        match directive {
            Directive::Record(turn) => {
                if let Some(tell) = &mut self.on_turn {
                    tell(&turn);
                }
                if let Some(journal) = &self.journal {
                    journal.turn(turn);
                }
            }
            Directive::Variables(variables) => {
                if let Some(journal) = &self.journal {
                    journal.variables(&variables);
                }
            }
            Directive::Book(request) => self.book(request),
            Directive::Transfer(request) => self.transfer(request, voice),
            Directive::CallOffTransfer => {
                if let Some(hand_over) = &self.hand_over {
                    hand_over.call_off();
                }
            }
            Directive::PauseRecording(pause) => self.pause_recording(pause),
            Directive::HangUp(_) | Directive::Finished(_) => {}
        }
    }

    /// Tells who watches that something happened now.
    pub fn event(&self, kind: &'static str, data: Value) {
        if let Some(journal) = &self.journal {
            journal.event(kind, self.epoch.timestamp(clock::now()), data);
        }
    }

    /// The other side says something of a transfer that it was asked for.
    pub(super) fn referred(&self, what: Told) {
        if let Some(hand_over) = &self.hand_over {
            hand_over.referred(what);
        }
    }

    /// Pauses the recording or lets it go on, as the flow has it.
    fn pause_recording(&self, pause: bool) {
        let by = PausedBy::Flow;
        let changed = match pause {
            true => self.recording.pause(by),
            false => self.recording.resume(by),
        };
        if changed {
            self.event(recording_event(pause), json!({ "by": by.as_str() }));
        }
    }

    fn transfer(&self, request: TransferRequest, voice: &Arc<dyn TextToSpeech>) {
        let (id, results) = (request.id, self.results.clone());
        let tell = move |why: String| {
            let failure = RequestFailure::Refused(why);
            let _ = results.try_send(Work::NotTransferred(id, failure));
        };
        match &self.hand_over {
            Some(hand_over) => hand_over.begin(request, voice, tell),
            None => tell("there is nobody else here".to_owned()),
        }
    }

    fn book(&self, request: BookRequest) {
        let results = self.results.clone();
        let Some(journal) = &self.journal else {
            let refused = RequestFailure::Refused("nothing is written down here".to_owned());
            let _ = results.try_send(Work::Booked(request.id, Err(refused)));
            return;
        };
        let appointment = Appointment {
            id: Uuid::now_v7(),
            call_id: journal.id,
            date_time: request.date_time,
            kind: request.kind,
            notes: request.notes,
            created_at: self.epoch.timestamp(clock::now()),
        };
        let (id, journal) = (request.id, journal.clone());
        let booking = async move {
            let booking = Booking {
                id: Some(appointment.id.to_string()),
            };
            let booked = journal.book(appointment).await;
            let answer = booked.map(|()| booking).map_err(RequestFailure::Refused);
            let _ = results.send(Work::Booked(id, answer)).await;
        };
        tokio::spawn(booking.in_current_span());
    }
}

/// What an agent has still to do whose call is somebody else's: its flow's last requests.
pub struct LastWords {
    /// The agent's side, which nobody hears any more.
    pub conversation: Box<Conversation>,
    /// Results of models and requests.
    pub work: mailbox::Receiver<Work>,
    /// Who writes down what it says.
    pub clerk: Clerk,
    /// Nothing is left to do.
    pub is_over: bool,
}

impl LastWords {
    /// Does it, as long as a flow may take after a call.
    pub async fn run(mut self) {
        let until = clock::now() + CLOSING_TIME;
        while !self.is_over && clock::now() < until {
            let due = clock::earliest(self.conversation.deadline(), Some(until));
            tokio::select! {
                Some(work) = self.work.recv() => {
                    self.conversation.handle_work(clock::now(), work);
                }
                () = clock::sleep_until(due) => self.conversation.handle_timeout(clock::now()),
            }
            for directive in self.conversation.take_directives() {
                self.is_over |= matches!(directive, Directive::Finished(_));
                self.clerk.write_down(directive, self.conversation.voice());
            }
        }
    }
}
