//! Session descriptions: what the field sends, what is answered, what is refused.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::PathBuf;

use offhook_media::sdp::{self, Connection, SdpError};
use offhook_media::{Codec, Direction, LocalMedia, Negotiated, Refusal, SessionDescription};

fn corpus(name: &str) -> Vec<u8> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/corpora"));
    fs::read(root.join(name)).unwrap()
}

fn body(message: &[u8]) -> Option<&[u8]> {
    [&b"\r\n\r\n"[..], b"\n\n"].into_iter().find_map(|end| {
        let at = message
            .windows(end.len())
            .position(|window| window == end)?;
        Some(&message[at + end.len()..])
    })
}

fn parse(text: &str) -> SessionDescription {
    SessionDescription::parse(text.as_bytes()).unwrap()
}

fn local() -> LocalMedia {
    LocalMedia::new("203.0.113.9:20000".parse().unwrap(), 77)
}

const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
    m=audio 4000 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n\
    a=ptime:20\r\na=sendrecv\r\n";

#[test]
fn every_carriers_description_is_read_and_printed_alike() {
    let mut descriptions = 0;
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/corpora"));
    for folder in ["carriers", "rfc4475", "rfc5118"] {
        for file in fs::read_dir(root.join(folder)).unwrap() {
            let path = file.unwrap().path();
            let message = fs::read(&path).unwrap();
            let Some(body) = body(&message).filter(|body| body.starts_with(b"v=0")) else {
                continue;
            };
            let read = SessionDescription::parse(body).unwrap_or_else(|e| panic!("{path:?}: {e}"));
            let again = SessionDescription::parse(read.to_string().as_bytes()).unwrap();
            assert_eq!(again.to_string(), read.to_string(), "{path:?}");
            assert_eq!(again.media, read.media, "{path:?}");
            descriptions += 1;
        }
    }
    assert!(descriptions >= 20, "{descriptions}");
}

#[test]
fn a_carriers_plain_offer_is_answered_with_its_first_codec_and_its_numbers() {
    let message = corpus("carriers/14_telnyx_invite_auth.sip");
    let offer = SessionDescription::parse(body(&message).unwrap()).unwrap();
    let (answer, agreed) = sdp::answer(&offer, &local()).unwrap();
    assert_eq!((agreed.codec, agreed.send_payload_type), (Codec::Pcmu, 0));
    assert_eq!((agreed.dtmf, agreed.ptime_ms), (Some(101), 20));
    assert_eq!(agreed.remote, "203.0.113.20:42554".parse().unwrap());
    assert_eq!(agreed.remote_rtcp, "203.0.113.20:42555".parse().unwrap());
    assert_eq!(agreed.direction, Direction::SendRecv);
    assert_eq!(
        answer.to_string(),
        "v=0\r\no=- 77 77 IN IP4 203.0.113.9\r\ns=Offhook\r\nc=IN IP4 203.0.113.9\r\nt=0 0\r\n\
         m=audio 20000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=maxptime:60\r\n\
         a=sendrecv\r\n"
    );
}

#[test]
fn an_offer_of_srtp_alone_is_refused() {
    let message = corpus("carriers/03_twilio_termination_invite_noauth.sip");
    let offer = SessionDescription::parse(body(&message).unwrap()).unwrap();
    let refusal = sdp::answer(&offer, &local()).unwrap_err();
    assert_eq!(refusal, Refusal::SecureOnly("RTP/SAVP".to_owned()));
    // With plain audio beside it, that one is taken and SRTP declined in its place.
    let mut both = offer.clone();
    both.media.extend(parse(OFFER).media);
    let (answer, agreed) = sdp::answer(&both, &local()).unwrap();
    let ports: Vec<u16> = answer.media.iter().map(|media| media.port).collect();
    assert_eq!((ports, agreed.codec), (vec![0, 20000], Codec::Pcma));
}

#[test]
fn other_media_are_declined_in_their_place() {
    let message = corpus("rfc4475/sdp01.dat");
    let offer = SessionDescription::parse(body(&message).unwrap()).unwrap();
    let (answer, agreed) = sdp::answer(&offer, &local()).unwrap();
    assert_eq!(answer.media.len(), 2);
    assert_eq!(
        (answer.media[1].kind.as_str(), answer.media[1].port),
        ("video", 0)
    );
    assert_eq!(answer.media[1].formats, ["31"]);
    assert_eq!((agreed.codec, agreed.dtmf), (Codec::Pcmu, None));
}

#[test]
fn what_cannot_be_done_is_refused_with_its_reason() {
    let refusal = |text: &str| sdp::answer(&parse(text), &local()).unwrap_err();
    assert_eq!(
        refusal(&OFFER.replace("8 0 101", "18 101")),
        Refusal::NoCommonCodec
    );
    assert_eq!(
        refusal(&OFFER.replace("audio 4000", "audio 0")),
        Refusal::NoAudio
    );
    assert_eq!(
        refusal(&OFFER.replace("m=audio", "m=video")),
        Refusal::NoAudio
    );
    assert_eq!(
        refusal(&OFFER.replace("RTP/AVP", "udptl")),
        Refusal::Protocol("udptl".to_owned())
    );
    assert_eq!(
        refusal(&OFFER.replace("c=IN IP4 192.0.2.1", "c=IN IP4 phone.example.com")),
        Refusal::Address("phone.example.com".to_owned())
    );
    assert_eq!(
        refusal(&OFFER.replace("c=IN IP4 192.0.2.1", "c=IN IP4 224.2.1.1/127")),
        Refusal::Address("224.2.1.1".to_owned())
    );
    assert_eq!(
        refusal(&OFFER.replace("c=IN IP4 192.0.2.1\r\n", "")),
        Refusal::NoAddress
    );
}

#[test]
fn telephone_events_follow_the_codecs_clock() {
    let offer = parse(
        "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\n\
         m=audio 4000 RTP/AVP 9 0 100 101\na=rtpmap:100 telephone-event/48000\n\
         a=rtpmap:101 telephone-event/8000\n",
    );
    let (_, agreed) = sdp::answer(&offer, &local()).unwrap();
    assert_eq!((agreed.codec, agreed.dtmf), (Codec::Pcmu, Some(101)));
}

#[test]
fn dynamic_numbers_are_each_sides_own() {
    let mut offering = local();
    offering.codecs = vec![Codec::Pcma];
    let offer = sdp::offer(&offering);
    let answer = parse(
        "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
         m=audio 4000 RTP/AVP 97 96\r\na=rtpmap:97 PCMA/8000\r\n\
         a=rtpmap:96 telephone-event/8000\r\n",
    );
    let agreed = Negotiated::from_answer(&offer, &answer).unwrap();
    assert_eq!((agreed.codec, agreed.send_payload_type), (Codec::Pcma, 97));
    assert_eq!((agreed.dtmf, agreed.dtmf_receive), (Some(96), Some(101)));
    assert!(agreed.receive_payload_types.contains(&(8, Codec::Pcma)));
}

#[test]
fn an_answer_that_takes_both_codecs_lets_the_peer_change_between_them() {
    let offer = sdp::offer(&local());
    let (mut answer, _) = sdp::answer(&parse(OFFER), &local()).unwrap();
    answer.media[0].formats = vec!["8".to_owned(), "0".to_owned()];
    answer.media[0].attributes.clear();
    let agreed = Negotiated::from_answer(&offer, &answer).unwrap();
    assert_eq!(agreed.codec, Codec::Pcma);
    assert_eq!(
        agreed.receive_payload_types,
        [(0, Codec::Pcmu), (8, Codec::Pcma)]
    );
    assert_eq!((agreed.dtmf, agreed.dtmf_receive), (None, None));
}

#[test]
fn a_declined_or_foreign_answer_is_no_agreement() {
    let offer = sdp::offer(&local());
    let refusal = |text: &str| Negotiated::from_answer(&offer, &parse(text)).unwrap_err();
    assert_eq!(
        refusal(&OFFER.replace("audio 4000", "audio 0")),
        Refusal::NoAudio
    );
    assert_eq!(
        refusal(&OFFER.replace("8 0 101", "18")),
        Refusal::NoCommonCodec
    );
    let secure = OFFER.replace("RTP/AVP", "RTP/SAVP");
    assert_eq!(refusal(&secure), Refusal::Protocol("RTP/SAVP".to_owned()));
}

#[test]
fn each_kind_of_hold_is_answered_rightly() {
    let none = OFFER.replace("a=sendrecv\r\n", "");
    let zero = OFFER.replace("c=IN IP4 192.0.2.1", "c=IN IP4 0.0.0.0");
    let session = none.replace("t=0 0\r\n", "t=0 0\r\na=sendonly\r\n");
    for (offer, ours) in [
        (OFFER.to_owned(), Direction::SendRecv),
        (OFFER.replace("sendrecv", "sendonly"), Direction::RecvOnly),
        (OFFER.replace("sendrecv", "recvonly"), Direction::SendOnly),
        (OFFER.replace("sendrecv", "inactive"), Direction::Inactive),
        (none, Direction::SendRecv),
        (zero.clone(), Direction::RecvOnly),
        (zero.replace("sendrecv", "inactive"), Direction::Inactive),
        (session, Direction::RecvOnly),
    ] {
        let (answer, agreed) = sdp::answer(&parse(&offer), &local()).unwrap();
        assert_eq!(agreed.direction, ours, "{offer}");
        assert_eq!(answer.media[0].direction(&answer), ours, "{offer}");
        assert_eq!(answer.media[0].port, 20000);
    }
}

#[test]
fn our_own_hold_is_offered_and_read_back() {
    let mut holding = local();
    holding.direction = Direction::SendOnly;
    let offer = sdp::offer(&holding);
    assert!(offer.to_string().contains("a=sendonly"));
    let answer = parse(&OFFER.replace("sendrecv", "recvonly"));
    let agreed = Negotiated::from_answer(&offer, &answer).unwrap();
    assert_eq!(agreed.direction, Direction::SendOnly);
}

#[test]
fn the_version_rises_only_when_something_changes() {
    let (first, _) = sdp::answer(&parse(OFFER), &local()).unwrap();
    let (same, _) = sdp::answer(&parse(OFFER), &local()).unwrap();
    let same = same.succeeding(&first);
    assert_eq!(same, first);
    let held = OFFER.replace("sendrecv", "sendonly");
    let (held, _) = sdp::answer(&parse(&held), &local()).unwrap();
    let held = held.succeeding(&same);
    assert_eq!(
        (
            held.origin.session_id.as_str(),
            held.origin.version.as_str()
        ),
        ("77", "78")
    );
    let (resumed, _) = sdp::answer(&parse(OFFER), &local()).unwrap();
    assert_eq!(resumed.succeeding(&held).origin.version, "79");
}

#[test]
fn an_offer_within_a_session_keeps_places_and_numbers() {
    let first = parse(&format!(
        "{}m=video 5000 RTP/AVP 31\r\n",
        OFFER
            .replace("101", "96")
            .replace("m=audio", "m=image 9 udptl t38\r\nm=audio")
    ));
    let (previous, _) = sdp::answer(&first, &local()).unwrap();
    let unchanged = sdp::reoffer(&previous, &local());
    let again = sdp::reoffer(&unchanged, &local());
    assert_eq!(again, unchanged);
    let lines: Vec<(&str, u16)> = again
        .media
        .iter()
        .map(|media| (media.kind.as_str(), media.port))
        .collect();
    assert_eq!(lines, [("image", 0), ("audio", 20000), ("video", 0)]);
    assert_eq!(again.media[1].formats, ["0", "8", "96"]);
    assert_eq!(again.origin.session_id, previous.origin.session_id);
    let mut holding = local();
    holding.direction = Direction::SendOnly;
    let held = sdp::reoffer(&again, &holding);
    let version = |of: &SessionDescription| of.origin.version.parse::<u64>().unwrap();
    assert_eq!(version(&held), version(&again) + 1);
}

#[test]
fn packet_times_are_kept_within_what_is_sent() {
    let ptime = |attributes: &str| {
        let offer = OFFER.replace("a=ptime:20\r\n", attributes);
        sdp::answer(&parse(&offer), &local()).unwrap().1.ptime_ms
    };
    assert_eq!(ptime(""), 20);
    assert_eq!(ptime("a=ptime:40\r\n"), 40);
    assert_eq!(ptime("a=ptime:40\r\na=maxptime:30\r\n"), 30);
    assert_eq!(ptime("a=ptime:0\r\n"), 20);
    assert_eq!(ptime("a=ptime:500\r\n"), 60);
    assert_eq!(ptime("a=ptime:20.5\r\na=maxptime:x\r\n"), 20);
}

#[test]
fn rtcp_goes_where_the_peer_says() {
    let rtcp = |attribute: &str| {
        let offer = format!("{OFFER}{attribute}\r\n");
        sdp::answer(&parse(&offer), &local()).unwrap().1
    };
    assert_eq!(
        rtcp("a=rtcp:53020").remote_rtcp,
        "192.0.2.1:53020".parse().unwrap()
    );
    let elsewhere = rtcp("a=rtcp:53020 IN IP4 192.0.2.7");
    assert_eq!(elsewhere.remote_rtcp, "192.0.2.7:53020".parse().unwrap());
    let shared = rtcp("a=rtcp-mux");
    assert_eq!((shared.remote_rtcp, shared.rtcp_mux), (shared.remote, true));
    assert!(!rtcp("a=rtcp:junk").rtcp_mux);
}

#[test]
fn ipv6_is_read_and_written() {
    let message = corpus("rfc5118/ipv6-in-sdp");
    let offer = SessionDescription::parse(body(&message).unwrap()).unwrap();
    assert_eq!(
        offer.connection,
        Some(Connection::Address("2001:db8::20".parse().unwrap()))
    );
    let mut ours = local();
    ours.address = "[2001:db8::9]:20000".parse().unwrap();
    assert!(
        sdp::offer(&ours)
            .to_string()
            .contains("c=IN IP6 2001:db8::9\r\n")
    );
    assert!(
        sdp::offer(&ours)
            .to_string()
            .contains("o=- 77 77 IN IP6 2001:db8::9\r\n")
    );
}

#[test]
fn what_the_field_gets_wrong_is_read_all_the_same() {
    let sloppy = "\r\n v=0\n\no=user name 1 2 IN IP4 192.0.2.1\nc= IN IP4 192.0.2.1 \n\
                  m=audio 4000/1 rtp/avp 0  101 \nz=whatever\na=rtpmap: 101 Telephone-Event/8000/1\n\
                  a=SENDRECV\n";
    let read = parse(sloppy);
    assert_eq!(
        (read.origin.username.as_str(), read.timing.as_str()),
        ("user name", "0 0")
    );
    let (answer, agreed) = sdp::answer(&read, &local()).unwrap();
    assert_eq!((agreed.codec, agreed.dtmf), (Codec::Pcmu, Some(101)));
    assert_eq!(answer.media[0].protocol, "rtp/avp");
}

#[test]
fn what_is_no_description_is_refused_with_its_line() {
    let error = |bytes: &[u8]| SessionDescription::parse(bytes).unwrap_err();
    assert_eq!(error(b""), SdpError::Missing('v'));
    assert_eq!(error(b"v=0\r\ns=-\r\n"), SdpError::Missing('o'));
    assert_eq!(error(b"v=1\r\n"), SdpError::Version);
    assert_eq!(error(b"o=- 1 1 IN IP4 a\r\n"), SdpError::Missing('v'));
    assert_eq!(error(b"v=0\r\nhello\r\n"), SdpError::Line { line: 2 });
    assert_eq!(
        error(b"v=0\r\no=- 1 1 IN IP4 a\r\nm=audio 70000 RTP/AVP 0"),
        SdpError::Line { line: 3 }
    );
    assert_eq!(error(b"v=0\r\n\0"), SdpError::NotText);
    assert_eq!(
        error(&vec![b'v'; 65_537]),
        SdpError::TooLarge { bytes: 65_537 }
    );
    let many = format!(
        "v=0\r\no=- 1 1 IN IP4 a\r\n{}",
        "m=audio 1 RTP/AVP 0\r\n".repeat(33)
    );
    assert_eq!(
        error(many.as_bytes()),
        SdpError::TooMany {
            line: 35,
            what: "medium"
        }
    );
}
