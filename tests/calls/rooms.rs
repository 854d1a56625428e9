//! Conference rooms by number: who hears whom, who waits, who is let in.

use offhook::call::dial::DialFailure;
use serde_json::json;

use crate::caller::Caller;
use crate::peer::{LISTENER, Peer};
use crate::rig::{Events, Switch, voice};
use crate::tones::{PIECE, is_audible, share, tone};

/// What each caller sounds like, in Hz.
const ADA: f64 = 500.0;
const BOB: f64 = 700.0;
const CYD: f64 = 1_000.0;

const ROOM: &str = "[[route]]\nto = \"8000\"\nroom = \"sales\"\n";

/// The number of the room on a switch.
fn number(switch: &Switch) -> String {
    switch.uri.replace("sip:test@", "sip:8000@")
}

/// Waits until a call is in the room as the so-many-th; gives its id.
async fn joined(events: &mut Events, parties: u64) -> String {
    let event = events
        .until("call.joined", |data| data["parties"] == parties)
        .await;
    assert_eq!(event.data.read()["room"], "sales");
    event.call_id.clone().unwrap()
}

/// Whether these two tones and nothing else are heard.
fn both(piece: &[i16], one: f64, other: f64) -> bool {
    let (one, other) = (share(piece, one), share(piece, other));
    one > 0.3 && other > 0.3 && one + other > 0.95
}

/// Whether something is heard that is none of the callers.
fn music(piece: &[i16]) -> bool {
    is_audible(piece) && [ADA, BOB, CYD].iter().all(|hz| share(piece, *hz) < 0.5)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_callers_of_a_room_hear_each_other_and_who_is_alone_hears_music() {
    let switch = Switch::start(LISTENER, ROOM).await;
    let mut events = switch.events();
    let mut ada = Caller::dial(&number(&switch)).await.unwrap();
    let id = joined(&mut events, 1).await;
    ada.until_heard(music).await;
    let mut bob = Caller::dial(&number(&switch)).await.unwrap();
    joined(&mut events, 2).await;
    let mut cyd = Caller::dial(&number(&switch)).await.unwrap();
    let last = joined(&mut events, 3).await;
    for (caller, hz) in [(&mut ada, ADA), (&mut bob, BOB), (&mut cyd, CYD)] {
        caller.say(&tone(hz, 60));
    }
    ada.until_heard(|piece| both(piece, BOB, CYD)).await;
    bob.until_heard(|piece| both(piece, ADA, CYD)).await;
    cyd.until_heard(|piece| both(piece, ADA, BOB)).await;

    // An agent's call there is none to supervise.
    let supervise = json!({ "to": "sip:boss@127.0.0.1:9" });
    let path = format!("/v1/calls/{id}/supervise");
    assert_eq!(switch.post(&path, &supervise, None).await.status(), 409);
    // One is hung up over the API, one hangs up, and the third waits again.
    assert_eq!(switch.delete_call(&last).await, 202);
    cyd.until_over().await;
    events.until("call.ended", |_| true).await;
    ada.until_heard_now(|piece| share(piece, BOB) > 0.9).await;
    bob.hang_up().await;
    ada.until_heard_now(music).await;
    // The switch stops: the last one is hung up, and its record closed.
    switch.services.stop_taking();
    switch.services.end_all();
    ada.until_over().await;
    while events.until("call.ended", |_| true).await.call_id.as_ref() != Some(&id) {}
    let record = switch.json(&format!("/v1/calls/{id}")).await;
    assert_eq!(record["room"], "sales", "{record:#}");
    assert_eq!(
        (&record["agent"], &record["state"]),
        (&json!(null), &json!("completed"))
    );
    assert_eq!(record["turns"], json!([]));
    assert!(record["media"]["packets"].as_u64().unwrap() > 0);
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_room_is_busy_until_somebody_goes() {
    let more = format!("{ROOM}[[room]]\nname = \"sales\"\nmax_parties = 2\n");
    let switch = Switch::start(LISTENER, &more).await;
    let mut events = switch.events();
    let ada = Caller::dial(&number(&switch)).await.unwrap();
    let bob = Caller::dial(&number(&switch)).await.unwrap();
    let refused = Caller::dial(&number(&switch)).await.map(drop);
    assert!(
        matches!(refused, Err(DialFailure::Refused { status: 486, .. })),
        "{refused:?}"
    );
    bob.hang_up().await;
    events.until("call.ended", |_| true).await;
    let cyd = Caller::dial(&number(&switch)).await.unwrap();
    let listed = switch.json("/v1/calls").await;
    let rooms: Vec<_> = listed["calls"].as_array().unwrap().iter().collect();
    assert!(rooms.iter().all(|call| call["room"] == "sales"));
    assert_eq!(rooms.len(), 3, "who was refused left no record");
    ada.hang_up().await;
    cyd.hang_up().await;
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_with_a_pin_lets_in_who_knows_it_and_hangs_up_on_who_guesses() {
    let more = format!("{ROOM}[[room]]\nname = \"sales\"\npin = \"0472\"\n");
    let switch = Switch::start(LISTENER, &more).await;
    let mut events = switch.events();
    let ada = Caller::dial(&number(&switch)).await.unwrap();
    // The tone asks.
    ada.until_heard(is_audible).await;
    ada.press("0473W0472");
    joined(&mut events, 1).await;
    ada.until_heard_now(music).await;
    let guesser = Caller::dial(&number(&switch)).await.unwrap();
    guesser.press("1111W2222W3333");
    guesser.until_over().await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["outcome"], "wrong PIN", "{record:#}");
    ada.hang_up().await;
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_heard_before_a_room_lets_a_caller_in_is_in_no_recording() {
    let more = format!("{ROOM}[[room]]\nname = \"sales\"\npin = \"0472\"\n");
    let switch = Switch::start(LISTENER, &more).await;
    let mut events = switch.events();
    let mut ada = Caller::dial(&number(&switch)).await.unwrap();
    // The tone asks, and a phone without telephone-events would press in tones.
    ada.until_heard(is_audible).await;
    ada.say(&tone(BOB, 1));
    ada.until_said().await;
    ada.press("0472");
    let id = joined(&mut events, 1).await;
    ada.until_heard_now(music).await;
    ada.say(&tone(ADA, 2));
    let path = format!("/v1/calls/{id}/recording.wav");
    let (said, played) = loop {
        let file = switch.get(&path).await.bytes().await.unwrap();
        let pairs = || file.get(44..).unwrap_or_default().chunks_exact(4);
        let channel = |at: usize| pairs().map(move |p| i16::from_le_bytes([p[at], p[at + 1]]));
        let (said, played): (Vec<_>, Vec<_>) = (channel(0).collect(), channel(2).collect());
        let is_ada = |piece: &[i16]| share(piece, ADA) > 0.9;
        if said.chunks_exact(PIECE).any(is_ada) {
            break (said, played);
        }
    };
    let before = said.chunks_exact(PIECE);
    let before = before.take_while(|piece| share(piece, ADA) < 0.9).count();
    assert!(before > 1_000 / 20, "the file keeps the call's time");
    let sounds = |piece: &[i16]| is_audible(piece) && share(piece, ADA) < 0.1;
    assert!(!said.chunks_exact(PIECE).any(sounds));
    let asks = |piece: &[i16]| share(piece, 880.0) > 0.9;
    assert!(!played.chunks_exact(PIECE).any(asks));
    ada.hang_up().await;
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_yet_to_press_the_pin_takes_nobodys_place() {
    let more = format!("{ROOM}[[room]]\nname = \"sales\"\npin = \"0472\"\nmax_parties = 2\n");
    let switch = Switch::start(LISTENER, &more).await;
    let mut events = switch.events();
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(Caller::dial(&number(&switch)).await.unwrap());
    }
    let late = waiting.pop().unwrap();
    let ada = Caller::dial(&number(&switch)).await.unwrap();
    ada.press("0472");
    joined(&mut events, 1).await;
    let bob = Caller::dial(&number(&switch)).await.unwrap();
    bob.press("0472");
    joined(&mut events, 2).await;
    let refused = Caller::dial(&number(&switch)).await.map(drop);
    assert!(
        matches!(refused, Err(DialFailure::Refused { status: 486, .. })),
        "{refused:?}"
    );
    late.press("0472");
    late.until_over().await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["outcome"], "room full", "{record:#}");
    for caller in waiting.into_iter().chain([ada, bob]) {
        caller.hang_up().await;
    }
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_pins_are_counted_over_all_calls_of_a_room() {
    let more = format!("{ROOM}[[room]]\nname = \"sales\"\npin = \"0472\"\n");
    let switch = Switch::start(LISTENER, &more).await;
    let mut events = switch.events();
    let patient = Caller::dial(&number(&switch)).await.unwrap();
    let mut guessers = Vec::new();
    for _ in 0..4 {
        let guesser = Caller::dial(&number(&switch)).await.unwrap();
        guesser.press("111122223333");
        guessers.push(guesser);
    }
    for guesser in guessers {
        guesser.until_over().await;
        assert_eq!(switch.record(&mut events).await["outcome"], "wrong PIN");
    }
    let refused = Caller::dial(&number(&switch)).await.map(drop);
    assert!(
        matches!(refused, Err(DialFailure::Refused { status: 480, .. })),
        "{refused:?}"
    );
    // Who was asked before is not let in either.
    patient.press("0472");
    patient.until_over().await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["outcome"], "wrong PIN", "{record:#}");
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_holds_the_room_is_not_heard_in_it_until_it_is_back() {
    let switch = Switch::start(LISTENER, ROOM).await;
    let mut events = switch.events();
    let caller = Caller::dial(&number(&switch)).await.unwrap();
    joined(&mut events, 1).await;
    let mut peer = Peer::call(&number(&switch)).await;
    joined(&mut events, 2).await;
    let speech = voice("weather_question.wav");
    let heard = |piece: &[i16]| is_audible(piece);
    tokio::join!(peer.say(&speech), caller.until_heard_now(heard));
    let held = peer.offer("INVITE", "sendonly", "127.0.0.1").await;
    assert!(held.contains("a=recvonly"), "{held}");
    peer.say(&[0; 1_600]).await;
    let before = caller.heard_so_far().len();
    // Its phone plays music to the room, and the room does not hear it.
    peer.say(&tone(BOB, 2)).await;
    let meanwhile = caller.heard_so_far().split_off(before);
    assert!(meanwhile.len() > 8_000 && !meanwhile.chunks(160).any(is_audible));
    peer.offer("INVITE", "sendrecv", "127.0.0.1").await;
    let back = |piece: &[i16]| share(piece, BOB) > 0.9;
    let again = tone(BOB, 5);
    tokio::join!(peer.say(&again), caller.until_heard_now(back));
    peer.hang_up().await;
    events.until("call.ended", |_| true).await;
    caller.until_heard_now(music).await;
    caller.hang_up().await;
    switch.stop().await;
}
