//! Keys in session descriptions (RFC 4568): which are taken, which are offered, which are kept.
#![allow(clippy::unwrap_used, clippy::panic)]

use offhook_media::sdp::{self, Crypto, LocalSrtp};
use offhook_media::srtp::{MasterKey, Mki, Suite};
use offhook_media::{LocalMedia, Negotiated, Refusal, SessionDescription, SrtpPolicy};
use rand::SeedableRng;
use rand::rngs::StdRng;

/// 30 bytes from RFC 4568 §9.
const INLINE: &str = "inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";
const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";

fn parse(text: &str) -> SessionDescription {
    SessionDescription::parse(text.as_bytes()).unwrap()
}

/// An offer of PCMU under a profile, with these lines below it.
fn offer(profile: &str, lines: &str) -> SessionDescription {
    parse(&format!("{OFFER}m=audio 4000 {profile} 0\r\n{lines}"))
}

fn local(policy: SrtpPolicy) -> LocalMedia {
    let mut local = LocalMedia::new("203.0.113.9:20000".parse().unwrap(), 77);
    local.srtp = LocalSrtp::new(policy, &mut StdRng::seed_from_u64(1));
    local
}

fn cryptos(description: &SessionDescription) -> Vec<String> {
    let media = description.media.iter();
    media
        .flat_map(|media| &media.attributes)
        .filter(|attribute| attribute.name == "crypto")
        .map(|attribute| attribute.value.clone().unwrap())
        .collect()
}

fn suites(description: &SessionDescription) -> Vec<String> {
    let second = |value: String| value.split(' ').nth(1).unwrap().to_owned();
    cryptos(description).into_iter().map(second).collect()
}

#[test]
fn an_offer_of_srtp_alone_is_answered_with_srtp_its_tag_and_a_key_of_ours() {
    for policy in [SrtpPolicy::Optional, SrtpPolicy::Required] {
        let lines = format!(
            "a=crypto:1 F8_128_HMAC_SHA1_80 {INLINE}|2^20|1:4;inline:QUJDREVGR0hJSktM|2^20|2:4\r\n\
             a=crypto:7 AES_CM_128_HMAC_SHA1_80 {INLINE}|2^31\r\n\
             a=crypto:8 AES_CM_128_HMAC_SHA1_32 {INLINE}\r\n"
        );
        let (answer, agreed) = sdp::answer(&offer("RTP/SAVP", &lines), &local(policy)).unwrap();
        assert_eq!(answer.media[0].protocol, "RTP/SAVP");
        let keys = agreed.srtp.unwrap();
        assert_eq!(keys.suite(), Suite::AesCm128HmacSha1_80);
        assert_eq!(keys.theirs.expose(), b"wDfvg&T+)xG7@fb5jU,RaA}\\|p0%*#");
        let printed = cryptos(&answer);
        assert_eq!(printed.len(), 1);
        assert!(printed[0].starts_with("7 AES_CM_128_HMAC_SHA1_80 inline:"));
        assert_eq!(Crypto::parse(&printed[0]).unwrap().key, keys.ours);
    }
}

#[test]
fn what_the_policy_does_not_allow_is_refused() {
    let crypto = format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 {INLINE}\r\n");
    let refusal = |policy, profile, lines: &str| {
        sdp::answer(&offer(profile, lines), &local(policy)).unwrap_err()
    };
    assert_eq!(
        refusal(SrtpPolicy::Required, "RTP/AVP", ""),
        Refusal::InTheClear("RTP/AVP".to_owned())
    );
    assert_eq!(
        refusal(SrtpPolicy::Off, "RTP/SAVP", &crypto),
        Refusal::SecureOnly("RTP/SAVP".to_owned())
    );
    for lines in ["", "a=crypto:1 AES_192_CM_HMAC_SHA1_80 inline:AAAA\r\n"] {
        assert_eq!(
            refusal(SrtpPolicy::Optional, "RTP/SAVP", lines),
            Refusal::NoCommonSuite("RTP/SAVP".to_owned())
        );
    }
    // DTLS-SRTP.
    assert_eq!(
        refusal(SrtpPolicy::Required, "UDP/TLS/RTP/SAVPF", &crypto),
        Refusal::Protocol("UDP/TLS/RTP/SAVPF".to_owned())
    );
}

#[test]
fn keys_under_the_plain_profile_are_taken_and_answered_under_it() {
    let crypto = format!("a=crypto:3 AEAD_AES_128_GCM {}\r\n", inline(28));
    let answered = |policy, lines: &str| {
        let (answer, agreed) = sdp::answer(&offer("RTP/AVP", lines), &local(policy)).unwrap();
        assert_eq!(answer.media[0].protocol, "RTP/AVP");
        (suites(&answer), agreed.srtp.is_some())
    };
    let secure = (vec!["AEAD_AES_128_GCM".to_owned()], true);
    assert_eq!(answered(SrtpPolicy::Optional, &crypto), secure);
    assert_eq!(answered(SrtpPolicy::Required, &crypto), secure);
    let plain = (Vec::new(), false);
    assert_eq!(answered(SrtpPolicy::Off, &crypto), plain);
    assert_eq!(answered(SrtpPolicy::Optional, ""), plain);
    assert_eq!(answered(SrtpPolicy::Optional, "a=crypto:junk\r\n"), plain);
}

fn inline(bytes: usize) -> String {
    // A multiple of three bytes, but for the last group.
    let whole = "QUFB".repeat(bytes / 3);
    format!("inline:{whole}{}", ["", "QQ==", "QUE="][bytes % 3])
}

#[test]
fn the_encrypted_one_of_two_media_is_taken_wherever_it_stands() {
    let crypto = format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 {INLINE}\r\n");
    let (plain, secure) = ("m=audio 4000 RTP/AVP 0\r\n", "m=audio 4002 RTP/SAVP 0\r\n");
    for text in [
        format!("{OFFER}{plain}{secure}{crypto}"),
        format!("{OFFER}{secure}{crypto}{plain}"),
    ] {
        let (answer, agreed) = sdp::answer(&parse(&text), &local(SrtpPolicy::Optional)).unwrap();
        assert!(agreed.srtp.is_some(), "{text}");
        let taken = answer.media.iter().find(|media| media.port != 0).unwrap();
        assert_eq!(taken.protocol, "RTP/SAVP");
        let (answer, agreed) = sdp::answer(&parse(&text), &local(SrtpPolicy::Off)).unwrap();
        assert!(agreed.srtp.is_none() && cryptos(&answer).is_empty());
    }
}

#[test]
fn our_offers_carry_the_profile_and_the_keys_that_the_policy_asks_for() {
    let ours = |policy| {
        let offer = sdp::offer(&local(policy));
        (offer.media[0].protocol.clone(), suites(&offer))
    };
    let all = [
        "AEAD_AES_256_GCM",
        "AES_256_CM_HMAC_SHA1_80",
        "AES_CM_128_HMAC_SHA1_80",
    ];
    let all: Vec<String> = all.map(str::to_owned).into();
    assert_eq!(ours(SrtpPolicy::Off), ("RTP/AVP".to_owned(), Vec::new()));
    assert_eq!(
        ours(SrtpPolicy::Optional),
        ("RTP/AVP".to_owned(), all.clone())
    );
    assert_eq!(ours(SrtpPolicy::Required), ("RTP/SAVP".to_owned(), all));
    let keys = cryptos(&sdp::offer(&local(SrtpPolicy::Optional)));
    assert!(keys.iter().all(|value| Crypto::parse(value).is_some()));
}

#[test]
fn an_answer_agrees_on_what_it_names_and_an_offer_of_srtp_is_not_talked_down() {
    let crypto = format!("a=crypto:3 AES_CM_128_HMAC_SHA1_80 {INLINE}\r\n");
    let read = |policy, profile: &str, lines: &str| {
        Negotiated::from_answer(&sdp::offer(&local(policy)), &offer(profile, lines))
            .map(|agreed| agreed.srtp.map(|keys| keys.suite()))
    };
    let agreed = Ok(Some(Suite::AesCm128HmacSha1_80));
    assert_eq!(read(SrtpPolicy::Required, "RTP/SAVP", &crypto), agreed);
    assert_eq!(read(SrtpPolicy::Optional, "RTP/AVP", &crypto), agreed);
    // Microsoft's phones answer RTP/AVP with keys this way.
    assert_eq!(read(SrtpPolicy::Optional, "RTP/SAVP", &crypto), agreed);
    assert_eq!(read(SrtpPolicy::Optional, "RTP/AVP", ""), Ok(None));
    let unoffered = format!("a=crypto:1 AEAD_AES_128_GCM {}\r\n", inline(28));
    assert_eq!(
        read(SrtpPolicy::Required, "RTP/SAVP", &unoffered),
        Err(Refusal::NoCommonSuite("RTP/SAVP".to_owned()))
    );
    assert_eq!(
        read(SrtpPolicy::Required, "RTP/AVP", ""),
        Err(Refusal::Protocol("RTP/AVP".to_owned()))
    );
    assert_eq!(
        read(SrtpPolicy::Optional, "RTP/SAVP", ""),
        Err(Refusal::Protocol("RTP/SAVP".to_owned()))
    );
    assert_eq!(
        read(SrtpPolicy::Off, "RTP/SAVP", &crypto),
        Err(Refusal::Protocol("RTP/SAVP".to_owned()))
    );
}

#[test]
fn what_one_side_offers_and_the_other_answers_fits() {
    for (offering, answering) in [
        (SrtpPolicy::Optional, SrtpPolicy::Required),
        (SrtpPolicy::Required, SrtpPolicy::Optional),
    ] {
        let mut answerer = local(answering);
        answerer.srtp = LocalSrtp::new(answering, &mut StdRng::seed_from_u64(2));
        let offer = sdp::offer(&local(offering));
        let (answer, theirs) = sdp::answer(&offer, &answerer).unwrap();
        let ours = Negotiated::from_answer(&offer, &answer).unwrap();
        let (ours, theirs) = (ours.srtp.unwrap(), theirs.srtp.unwrap());
        assert_eq!(ours.suite(), Suite::AeadAes256Gcm);
        assert_eq!((&ours.ours, &ours.theirs), (&theirs.theirs, &theirs.ours));
        assert_ne!(ours.ours, ours.theirs);
    }
}

#[test]
fn a_later_offer_with_another_key_changes_theirs_and_keeps_ours() {
    let mut local = local(SrtpPolicy::Optional);
    let line = |key: &str| format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 {key}\r\n");
    let first = offer("RTP/SAVP", &line(INLINE));
    let (answer, before) = sdp::answer(&first, &local).unwrap();
    local
        .srtp
        .renew_unused(before.srtp.as_ref(), &mut StdRng::seed_from_u64(3));
    let (same, unchanged) = sdp::answer(&first, &local).unwrap();
    assert_eq!(same.succeeding(&answer), answer);
    assert_eq!(unchanged, before);
    let (_, after) = sdp::answer(&offer("RTP/SAVP", &line(&inline(30))), &local).unwrap();
    let (before, after) = (before.srtp.unwrap(), after.srtp.unwrap());
    assert_eq!(before.ours, after.ours);
    assert_ne!(before.theirs, after.theirs);
}

#[test]
fn a_key_that_was_given_up_is_never_taken_up_again() {
    let mut local = local(SrtpPolicy::Optional);
    let mut random = StdRng::seed_from_u64(3);
    let lines = |suite: &str, bytes| format!("a=crypto:1 {suite} {}\r\n", inline(bytes));
    let short = offer("RTP/SAVP", &lines("AES_CM_128_HMAC_SHA1_80", 30));
    let long = offer("RTP/SAVP", &lines("AES_256_CM_HMAC_SHA1_80", 46));
    let mut seen: Vec<MasterKey> = Vec::new();
    for offer in [&short, &long, &short] {
        let keys = sdp::answer(offer, &local).unwrap().1.srtp.unwrap();
        assert!(!seen.contains(&keys.ours));
        local.srtp.renew_unused(Some(&keys), &mut random);
        seen.push(keys.ours);
    }
}

#[test]
fn an_offer_within_a_session_offers_the_key_that_is_in_use_and_no_other() {
    let local = local(SrtpPolicy::Optional);
    let crypto = format!("a=crypto:4 AES_CM_128_HMAC_SHA1_80 {INLINE}\r\n");
    let (answer, _) = sdp::answer(&offer("RTP/SAVP", &crypto), &local).unwrap();
    let again = sdp::reoffer(&answer, &local);
    assert_eq!(cryptos(&again), cryptos(&answer));
    assert_eq!(again.media[0].protocol, "RTP/SAVP");
    let (plain, _) = sdp::answer(&offer("RTP/AVP", ""), &local).unwrap();
    assert!(cryptos(&sdp::reoffer(&plain, &local)).is_empty());
}

#[test]
fn a_line_is_read_as_the_rfc_says_and_passed_over_when_it_asks_for_more() {
    let read = |value: &str| Crypto::parse(value);
    let with = |rest: &str| read(&format!("1 AES_CM_128_HMAC_SHA1_80 {INLINE}{rest}"));
    for rest in [
        "",
        "|2^20",
        "|2^48",
        "|1000000",
        "|2^31|1:4",
        "|1:1",
        " WSH=64",
        " KDR=0 -EXTRA",
    ] {
        assert!(with(rest).is_some(), "{rest}");
    }
    assert_eq!(with("|2^31|7:2").unwrap().mki, Mki::new(7, 2));
    for rest in [
        "|",
        "|0",
        "|2^49",
        "|2^200",
        "|x",
        "|1:0",
        "|1:129",
        "|256:1",
        "|2^20|1:4|3",
        "|2^20|",
        ";inline:AAAA",
        " KDR=1",
        " UNENCRYPTED_SRTP",
        " UNENCRYPTED_SRTCP",
        " UNAUTHENTICATED_SRTP",
        " FEC_ORDER=FEC_SRTP",
        " WSH=x",
        " EXTRA",
        "A",
        "=",
    ] {
        assert!(with(rest).is_none(), "{rest}");
    }
    for value in [
        "",
        "1",
        "1 AES_CM_128_HMAC_SHA1_80",
        "1 AES_CM_128_HMAC_SHA1_80 inline:",
        "1 AES_CM_128_HMAC_SHA1_80 uri:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj",
        "+1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj",
        "1234567890 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj",
        "1 AES_256_CM_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj",
    ] {
        assert!(read(value).is_none(), "{value}");
    }
    // Padding may be left out.
    let bare = inline(28);
    let bare = bare.trim_end_matches('=');
    assert!(read(&format!("1 AEAD_AES_128_GCM {bare}")).is_some());
}

#[test]
fn no_key_shows_in_what_is_printed_for_a_person() {
    let ours = local(SrtpPolicy::Required);
    let offer = sdp::offer(&ours);
    let shown = format!("{offer:?} {ours:?}");
    for value in cryptos(&offer) {
        let key = value.split_once("inline:").unwrap().1;
        assert!(!shown.contains(key) && offer.to_string().contains(key));
    }
}
