//! A call that is joined to a conference room: answered, asked for the room's PIN if it has one, and
//! heard by all others in it until it is over.

use std::sync::Arc;
use std::time::Duration;

use offhook_media::UtteranceId;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::party::News;
use super::places::Permit;
use super::ringing::{Over, PickedUp, Ringing};
use super::room::Seat;
use super::services::Services;
use super::spans;
use super::talk::end_reason_of;
use crate::clock::{self, Epoch};
use crate::config::{RoomConfig, Secret};
use crate::net::media::{Command, LegId, Part};
use crate::net::sip::{Held, IncomingCall};
use crate::store::CallRecord;
use crate::switch::{EndReason, PinVerdict};

/// How often a PIN may be wrong.
const TRIES: u32 = 3;
/// How long it may take to press it.
const PIN_TIME: Duration = Duration::from_secs(30);
/// Tells that a PIN is asked for, and that it was wrong, in Hz.
const ASKS_HZ: f64 = 880.0;
const WRONG_HZ: f64 = 220.0;

/// A call that may come into a room.
pub(super) struct Guest {
    pub(super) room: RoomConfig,
    pub(super) leg: LegId,
    /// Its place in the room; none where it has to press the PIN first.
    pub(super) seat: Option<Seat>,
    pub(super) permit: Permit,
}

/// Answers a call, joins it to its room and stays until it is over.
pub(super) async fn serve(
    services: Arc<Services>,
    incoming: (IncomingCall, Held),
    guest: Guest,
    (mut record, epoch): (CallRecord, Epoch),
) {
    let Guest {
        room,
        leg,
        seat,
        permit,
    } = guest;
    record.room = Some(room.name.clone());
    spans::name_room(record.id, &room.name);
    let Some(mut ringing) = Ringing::begin(services, incoming, (record, Vec::new()), epoch).await
    else {
        return;
    };
    if seat.is_none() {
        // A PIN that is pressed in tones is in the sound.
        ringing.written.record(false);
    }
    ringing.rings(180).await;
    let Some(mut answered) = ringing.answer(leg).await else {
        return;
    };
    let admitted = match seat {
        Some(seat) => Ok(seat),
        None => admit(&mut answered, &room, leg).await,
    };
    let over = match admitted {
        Ok(seat) => {
            answered.written.record(true);
            answered.announce(&[]);
            let over = confer(&mut answered, &room, &seat).await;
            // The others are alone with each other from here on.
            answered.party.leg.close();
            drop(seat);
            over
        }
        Err(over) => over,
    };
    answered.end(over).await;
    drop(permit);
}

/// Asks for the room's PIN, and takes a place there for who knows it.
async fn admit(answered: &mut PickedUp, room: &RoomConfig, leg: LegId) -> Result<Seat, Over> {
    if let Some(pin) = &room.pin {
        ask_for_pin(answered, room, pin).await?;
    }
    let rooms = &answered.services.rooms;
    match rooms.seat(&room.name, room.max_parties, leg) {
        Some(seat) => Ok(seat),
        None => Err(turn_away(answered, "room full", "the room is full").await),
    }
}

async fn ask_for_pin(answered: &mut PickedUp, room: &RoomConfig, pin: &Secret) -> Result<(), Over> {
    let mut pressed = String::new();
    let mut tries = 0;
    let until = Instant::now() + PIN_TIME;
    beep(answered, tries, ASKS_HZ);
    loop {
        let key = tokio::select! {
            key = next_key(answered) => key?,
            () = sleep_until(until) => {
                let reason = "the room's PIN was not pressed in time";
                return Err(turn_away(answered, "no PIN", reason).await);
            }
        };
        match key {
            '*' => pressed.clear(),
            '#' => {}
            key => pressed.push(key),
        }
        let ends = key == '#' && !pressed.is_empty();
        if !ends && pressed.len() < pin.expose().len() {
            continue;
        }
        // Compared in constant time, as a secret is.
        let right = Secret::new(std::mem::take(&mut pressed)) == *pin;
        let rooms = &answered.services.rooms;
        tries += 1;
        match rooms.judge_pin(clock::now(), &room.name, right) {
            PinVerdict::Right => return Ok(()),
            PinVerdict::Wrong if tries < TRIES => beep(answered, tries, WRONG_HZ),
            PinVerdict::Wrong => {
                let reason = format!("the room's PIN was wrong {TRIES} times");
                return Err(turn_away(answered, "wrong PIN", &reason).await);
            }
            PinVerdict::Locked => {
                let reason = "too many of the room's PINs were wrong lately";
                return Err(turn_away(answered, "wrong PIN", reason).await);
            }
        }
    }
}

/// Hangs up on who is not let in.
async fn turn_away(answered: &PickedUp, outcome: &'static str, reason: &str) -> Over {
    answered.party.hang_up().await;
    Over {
        outcome: Some(outcome),
        ..Over::because(EndReason::Failed(reason.to_owned()))
    }
}

/// Waits for the next key of a call; an error is its end.
async fn next_key(answered: &mut PickedUp) -> Result<char, Over> {
    loop {
        match next_news(answered).await? {
            Some(News::Key {
                digit,
                again: false,
                ..
            }) => return Ok(digit),
            Some(News::Over(reason)) => return Err(Over::because(reason)),
            _ => {}
        }
    }
}

/// Takes what the party or somebody outside says next.
async fn next_news(answered: &mut PickedUp) -> Result<Option<News>, Over> {
    let heard = tokio::select! {
        heard = answered.party.hear() => heard,
        control = answered.controls.recv() => {
            answered.party.hang_up().await;
            return Err(Over::because(end_reason_of(control)));
        }
    };
    let news = answered.party.take(clock::now(), heard).await;
    if let Some(News::Sound(words)) = &news {
        tracing::info!(trouble = %words, "a call's sound");
        let data = json!({ "trouble": words });
        answered.written.event("call.sound", data);
    }
    Ok(news)
}

/// Lets the call hear and be heard in its room until it is over.
async fn confer(answered: &mut PickedUp, room: &RoomConfig, seat: &Seat) -> Over {
    let parties = match seat.enter(&answered.party.leg) {
        Ok(parties) => parties,
        Err(error) => {
            answered.party.hang_up().await;
            return Over::because(EndReason::Failed(error.to_string()));
        }
    };
    let data = json!({ "room": room.name, "parties": parties });
    answered.written.event("call.joined", data);
    hear_or_hold(answered);
    loop {
        match next_news(answered).await {
            Ok(Some(News::Hold)) => hear_or_hold(answered),
            Ok(Some(News::Joined(Err(error)))) => {
                answered.party.hang_up().await;
                return Over::because(EndReason::Failed(error.to_string()));
            }
            Ok(Some(News::Over(reason))) => return Over::because(reason),
            Ok(_) => {}
            Err(over) => return over,
        }
    }
}

/// Whoever holds the call may have music on its line, which is for nobody in the room.
fn hear_or_hold(answered: &PickedUp) {
    let leg = &answered.party.leg;
    let part = match leg.is_held() {
        true => Part::Listens,
        false => Part::Talks,
    };
    answered.party.ask(Command::SetPart(leg.id, part));
}

/// Plays a short tone to the call.
fn beep(answered: &PickedUp, number: u32, hz: f64) {
    let leg = &answered.party.leg;
    let rate_hz = f64::from(leg.rate_hz);
    let step = std::f64::consts::TAU * hz / rate_hz;
    let samples: Vec<i16> = (0..leg.rate_hz / 4)
        .map(|n| (6_000.0 * (step * f64::from(n)).sin()) as i16)
        .collect();
    let (leg, utterance) = (leg.id, UtteranceId(u64::from(number)));
    answered.party.ask(Command::Play {
        leg,
        utterance,
        samples: samples.into(),
    });
    answered.party.ask(Command::Finish(leg, utterance));
}
