//! A call over the trunk: the answer, its sound, keys, hold and the session's refresh.

use std::time::Duration;

use offhook_media::srtp::Suite;

use super::seen::Seen;
use super::{Findings, Hop, keys};
use crate::call::codecs::Codecs;
use crate::call::dial::{Answered, DialFailure, Dialling, dial};
use crate::call::line::{Attached, next_leg};
use crate::call::{credentials, first_hop, headers_of};
use crate::clock;
use crate::config::{Config, TrunkConfig};
use crate::net::media::LegEvent;
use crate::net::sip::Signal;
use crate::phone::Phone;
use crate::switch::{Dial, Target, TrunkTable};
use crate::trunks::mends;

/// How long it may ring.
const RINGS: Duration = Duration::from_secs(45);
/// How long is listened for sound.
const LISTENS: Duration = Duration::from_secs(3);
/// How long the other side may take to answer a new offer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

pub(super) async fn examine(
    (config, trunk): (&Config, &TrunkConfig),
    (number, hop): (&str, &Hop),
    (phone, seen): (&Phone, &mut Seen),
    findings: &mut Findings,
) {
    let dialling = match dialling((config, trunk), number, hop) {
        Ok(dialling) => dialling,
        Err(error) => {
            let mend = "write the number as the trunk wants it: digits, or + and digits";
            return findings.bad("call", error, mend);
        }
    };
    let began = clock::now();
    let mut rang = None;
    let progress = |status: u16| {
        let at = clock::now().duration_since(began);
        if status > 100 {
            rang.get_or_insert((status, at));
        }
    };
    let (_keep, mut give_up) = tokio::sync::mpsc::channel(1);
    let line = &phone.line;
    let attached = Attached::default();
    let answered = dial(
        line,
        next_leg(),
        &dialling,
        attached,
        progress,
        &mut give_up,
    )
    .await;
    let took = clock::now().duration_since(began);
    seen.look().challenge("INVITE", trunk, findings);
    match rang {
        Some((status, after)) => {
            let ms = after.as_millis();
            findings.good("ringing", format!("{status} after {ms} ms"));
        }
        None if answered.is_ok() => findings.good("ringing", "it was answered at once"),
        None => {}
    }
    let mut answered = match answered {
        Ok(answered) => answered,
        Err(DialFailure::Refused {
            status,
            reason,
            explanation,
            ..
        }) => {
            let found = format!("refused with {status} {reason}{explanation}");
            return findings.bad("call", found, mends::of_call(status));
        }
        Err(failure) => {
            let mend = "look at what was found above; a number that surely answers helps";
            return findings.bad("call", failure.to_string(), mend);
        }
    };
    let codec = answered.leg.codec.name();
    let secret = answered.leg.srtp().map_or("not encrypted", Suite::name);
    let (remote, ms) = (answered.remote, took.as_millis());
    findings.good(
        "call",
        format!("answered by {remote} after {ms} ms, {codec}, {secret}"),
    );
    seen.timer(findings);
    listen(&mut answered, findings).await;
    keys::press(phone, seen, &answered, findings).await;
    hold(phone, &mut answered, findings).await;
    hang_up(phone, answered, findings).await;
}

fn dialling(
    (config, trunk): (&Config, &TrunkConfig),
    number: &str,
    hop: &Hop,
) -> Result<Dialling, String> {
    let table = TrunkTable::new(config.trunks.iter().map(super::super::run::trunk).collect());
    let dial = Dial {
        to: Target::parse(number).map_err(|error| error.to_string())?,
        trunk: Some(trunk.name.clone()),
        from: None,
    };
    let dialled = table.dial(&dial, &hop.local.to_string());
    let dialled = dialled.map_err(|error| error.to_string())?;
    let headers = headers_of(Some(trunk), &dialled);
    Ok(Dialling {
        pinned: trunk.transport.is_some(),
        whom: Some(first_hop::whom(trunk)),
        route: first_hop::route(trunk, &[]),
        credentials: credentials(trunk),
        codecs: Codecs::configured(config, Some(trunk)),
        srtp: config.trunk_srtp(&trunk.name),
        headers,
        ring_timeout: RINGS,
        ..Dialling::new(
            dialled.request_uri,
            format!("<{}>", dialled.from_uri),
            hop.targets.clone(),
            hop.transport,
        )
    })
}

/// Listens whether anything comes.
async fn listen(answered: &mut Answered, findings: &mut Findings) {
    let until = clock::now() + LISTENS;
    loop {
        tokio::select! {
            event = answered.leg.event() => match event {
                Some(LegEvent::OneWay { why, silent_for }) => {
                    let ms = silent_for.as_millis();
                    let found = format!("nothing is heard of the other side for {ms} ms: {why:?}");
                    let mend = "open `media.ports` (UDP) in the firewall, and set `sip.public_address` where there is NAT";
                    return findings.bad("sound", found, mend);
                }
                Some(_) => {}
                None => return,
            },
            () = clock::sleep_until(Some(until)) => break,
        }
    }
    findings.good("sound", "packets come from the other side");
}

/// Puts the call on hold, and takes it back: the session is offered anew each time.
async fn hold(phone: &Phone, answered: &mut Answered, findings: &mut Findings) {
    for (hold, of) in [(true, "hold"), (false, "resume")] {
        answered.leg.hold(hold);
        let Some(offer) = answered.leg.offer() else {
            return findings.doubtful(of, "an offer of theirs is under way", "try it once more");
        };
        let sip = phone.line.sip();
        if sip.reoffer(answered.call, offer).await.is_err() {
            return;
        }
        let answer = tokio::time::timeout(ANSWERS_WITHIN, new_answer(answered)).await;
        match answer {
            Ok(Some(Ok(()))) => findings.good(of, "the session is offered anew, and taken"),
            Ok(Some(Err(status))) => {
                let found = format!("a new offer within the call is refused with {status}");
                let mend = "hold and changes of codec will not work over this trunk; calls go on all the same";
                return findings.doubtful(of, found, mend);
            }
            Ok(None) => {
                let mend = "the carrier ends calls whose session is offered anew: avoid hold, and set `sip.session_expires_s = 0`";
                return findings.bad(of, "the call ended", mend);
            }
            Err(_) => {
                let mend = "requests within a call do not arrive: a proxy in between may have lost its Record-Route";
                return findings.bad(of, "a new offer within the call is not answered", mend);
            }
        }
    }
}

/// What the other side made of a new offer; none when the call is over.
async fn new_answer(answered: &mut Answered) -> Option<Result<(), u16>> {
    loop {
        match answered.signals.recv().await? {
            Signal::ReofferAnswered { offer, result } => {
                let taken = result.map(|answer| {
                    let _ = answered.leg.offer_answered(&offer, answer.as_deref());
                });
                return Some(taken);
            }
            Signal::ReofferOvertaken => return Some(Err(491)),
            Signal::Ended { .. } => return None,
            _ => {}
        }
    }
}

async fn hang_up(phone: &Phone, mut answered: Answered, findings: &mut Findings) {
    // What was pressed last is still on its way.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let _ = phone.line.sip().hang_up(answered.call, None).await;
    let closed = tokio::time::timeout(ANSWERS_WITHIN, answered.leg.closed()).await;
    let Some(stats) = closed.ok().flatten() else {
        return;
    };
    let (sent, received, lost) = (stats.packets_sent, stats.received, stats.lost);
    let found = format!(
        "{sent} packets sent, {received} received, {lost} lost, {:.1} ms jitter",
        stats.jitter_ms
    );
    match lost * 50 > received {
        true => findings.doubtful("quality", found, "over 2 % are lost: look at the line"),
        false => findings.good("quality", found),
    }
    // What they hear of us only they can tell (RFC 3550 §6.4).
    match stats.rtt_ms {
        Some(rtt_ms) => {
            let (lost, jitter_ms) = (stats.remote_loss * 100.0, stats.remote_jitter_ms);
            let found = format!(
                "they hear us: {lost:.1} % lost, {jitter_ms:.1} ms jitter, {rtt_ms:.0} ms there and back"
            );
            match lost > 2.0 {
                true => findings.doubtful("their side", found, "look at the line towards them"),
                false => findings.good("their side", found),
            }
        }
        None => findings.good(
            "their side",
            "no report of theirs came in so short a call: whether they hear us, who was called knows",
        ),
    }
}
