//! Keys over the trunk in the three ways that there are: with the sound as telephone-events, in the
//! sound as tones, and by INFO.

use std::time::Duration;

use offhook_media::dtmf::Tone;
use offhook_media::{Codec, Digit, UtteranceId};

use super::Findings;
use super::seen::Seen;
use crate::call::dial::Answered;
use crate::call::digits::{INFO_DIGIT, Key, key_info};
use crate::clock;
use crate::net::media::Command;
use crate::phone::Phone;

/// Keys that are sent in the way that was agreed on …
const KEYS: &str = "159";
/// … as tones …
const TONES: &str = "50";
/// … and by INFO.
const INFO: char = '8';
/// How long a tone sounds, and how long nothing does after it.
const TONE_MS: u32 = 120;
/// How long an INFO may take to be answered.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// Presses them all.
pub(super) async fn press(
    phone: &Phone,
    seen: &mut Seen,
    answered: &Answered,
    findings: &mut Findings,
) {
    as_agreed(answered, findings);
    by_info(phone, seen, answered, findings).await;
    as_tones(answered, findings);
}

fn as_agreed(answered: &Answered, findings: &mut Findings) {
    let leg = &answered.leg;
    let _ = leg.media.send(Command::SendDtmf(leg.id, KEYS.to_owned()));
    match leg.tells_keys_with_sound() {
        true => findings.good(
            "keys",
            format!("{KEYS} sent as telephone-events (RFC 4733)"),
        ),
        false => findings.doubtful(
            "keys",
            format!("telephone-events were not agreed on: {KEYS} sent as tones"),
            "tones pass only in PCMU, PCMA and L16: ask the carrier for RFC 4733 (RFC 2833)",
        ),
    }
}

async fn by_info(phone: &Phone, seen: &mut Seen, answered: &Answered, findings: &mut Findings) {
    let key = Key {
        digit: INFO,
        held: Duration::ZERO,
    };
    let asked = phone.line.sip();
    let asked = asked.info(answered.call, INFO_DIGIT, key_info(key)).await;
    if asked.is_err() {
        return;
    }
    let until = clock::now() + ANSWERS_WITHIN;
    let leave = "leave `dtmf = \"auto\"`, or \"events\"";
    match seen.final_answer("INFO", until).await {
        Some(200..=299) => findings.good(
            "keys by INFO",
            format!("{INFO} is taken: `dtmf = \"info\"` would do as well"),
        ),
        Some(status) => findings.good(
            "keys by INFO",
            format!("refused with {status}, as by many: {leave}"),
        ),
        None => findings.doubtful(
            "keys by INFO",
            format!("an INFO is not answered: {leave}"),
            "requests within a call do not arrive: a proxy in between may have lost its Record-Route",
        ),
    }
}

fn as_tones(answered: &Answered, findings: &mut Findings) {
    let leg = &answered.leg;
    if !matches!(leg.codec, Codec::Pcmu | Codec::Pcma | Codec::L16) {
        let found = format!(
            "not sent: {} keeps no tones, so keys must go as telephone-events",
            leg.codec.name()
        );
        return findings.good("tones", found);
    }
    let utterance = UtteranceId(1);
    let _ = leg.media.send(Command::Play {
        leg: leg.id,
        utterance,
        samples: tones(leg.rate_hz).into(),
    });
    let _ = leg.media.send(Command::Finish(leg.id, utterance));
    findings.good(
        "tones",
        format!("{TONES} sent in the sound: whether they were heard, who was called knows"),
    );
}

/// The tones, each with its pause.
fn tones(rate_hz: u32) -> Vec<i16> {
    let samples = (rate_hz * TONE_MS / 1_000) as usize;
    let keys = TONES.chars().filter_map(Digit::from_char);
    keys.flat_map(|key| {
        let mut sound = vec![0; 2 * samples];
        Tone::new(key, rate_hz).fill(0, sound.get_mut(..samples).unwrap_or_default());
        sound
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tones_are_as_long_as_said_and_never_clip() {
        let sound = tones(8_000);
        assert_eq!(sound.len(), 2 * 2 * 960);
        let peak = sound.iter().map(|s| s.unsigned_abs()).max().unwrap();
        assert!(peak > 10_000 && peak < 13_000, "{peak}");
        assert!(sound.iter().skip(960).take(960).all(|s| *s == 0));
    }
}
