//! Which codec, which numbers, which parameters: offers as phones send them, and our own.
#![allow(clippy::unwrap_used, clippy::panic)]

use offhook_media::codec::OpusWishes;
use offhook_media::sdp::{self, LocalSrtp, MediaDescription};
use offhook_media::{Codec, LocalMedia, Negotiated, Refusal, SessionDescription, SrtpPolicy};
use rand::SeedableRng;
use rand::rngs::StdRng;

/// baresip 1.0 with all of its audio codecs.
const BARESIP: &str = "v=0\r\no=- 3163788266 1854077955 IN IP4 192.0.2.1\r\ns=-\r\n\
    c=IN IP4 192.0.2.1\r\nt=0 0\r\na=tool:baresip 1.0.0\r\n\
    m=audio 21084 RTP/AVP 96 9 97 10 98 99 100 101 11 102 103 104 0 8 105\r\n\
    a=rtpmap:96 opus/48000/2\r\n\
    a=fmtp:96 stereo=1;sprop-stereo=1;maxaveragebitrate=28000;useinbandfec=1\r\n\
    a=rtpmap:9 G722/8000\r\na=rtpmap:97 L16/48000/2\r\na=rtpmap:10 L16/44100/2\r\n\
    a=rtpmap:98 L16/32000/2\r\na=rtpmap:99 L16/16000/2\r\na=rtpmap:100 L16/8000/2\r\n\
    a=rtpmap:101 L16/48000\r\na=rtpmap:11 L16/44100\r\na=rtpmap:102 L16/32000\r\n\
    a=rtpmap:103 L16/16000\r\na=rtpmap:104 L16/8000\r\na=rtpmap:0 PCMU/8000\r\n\
    a=rtpmap:8 PCMA/8000\r\na=rtpmap:105 telephone-event/8000\r\na=fmtp:105 0-15\r\n\
    a=sendrecv\r\na=label:1\r\na=rtcp-rsize\r\na=minptime:4\r\na=ptime:20\r\n";

/// PJSUA 2.15 as it comes.
const PJSUA: &str = "v=0\r\no=- 4004880570 4004880570 IN IP4 192.0.2.2\r\ns=pjmedia\r\nb=AS:84\r\n\
    t=0 0\r\na=X-nat:0\r\nm=audio 4000 RTP/AVP 96 97 98 99 3 0 8 9 120 121 122\r\n\
    c=IN IP4 192.0.2.2\r\nb=TIAS:64000\r\na=rtcp:4001 IN IP4 192.0.2.2\r\na=sendrecv\r\n\
    a=rtpmap:96 speex/16000\r\na=rtpmap:97 speex/8000\r\na=rtpmap:98 speex/32000\r\n\
    a=rtpmap:99 iLBC/8000\r\na=fmtp:99 mode=30\r\na=rtpmap:3 GSM/8000\r\na=rtpmap:0 PCMU/8000\r\n\
    a=rtpmap:8 PCMA/8000\r\na=rtpmap:9 G722/8000\r\na=rtpmap:120 telephone-event/16000\r\n\
    a=fmtp:120 0-16\r\na=rtpmap:121 telephone-event/8000\r\na=fmtp:121 0-16\r\n\
    a=rtpmap:122 telephone-event/32000\r\na=fmtp:122 0-16\r\n";

/// A gateway in front of a mobile network: its own codecs first, then what everyone has.
const GATEWAY: &str = "v=0\r\no=SBC 1 1 IN IP4 192.0.2.3\r\ns=SIP Call\r\nc=IN IP4 192.0.2.3\r\n\
    t=0 0\r\nm=audio 30000 RTP/AVP 104 102 18 111 9 110 100\r\na=rtpmap:104 AMR-WB/16000\r\n\
    a=fmtp:104 mode-change-capability=2;max-red=0\r\na=rtpmap:102 AMR/8000\r\n\
    a=rtpmap:18 G729/8000\r\na=fmtp:18 annexb=no\r\na=rtpmap:111 opus/48000/2\r\n\
    a=fmtp:111 maxplaybackrate=16000; usedtx=1; cbr=1\r\na=rtpmap:110 telephone-event/48000\r\n\
    a=rtpmap:100 telephone-event/8000\r\na=fmtp:100 0-15\r\na=ptime:30\r\na=maxptime:40\r\n";

fn parse(text: &str) -> SessionDescription {
    SessionDescription::parse(text.as_bytes()).unwrap()
}

fn local(codecs: &[Codec]) -> LocalMedia {
    LocalMedia {
        codecs: codecs.to_vec(),
        ..LocalMedia::new("203.0.113.9:20000".parse().unwrap(), 77)
    }
}

fn audio(description: &SessionDescription) -> MediaDescription {
    description.audio().unwrap().clone()
}

/// The formats and attributes of an answer to this offer, and what was agreed on.
fn answered(offer: &str, local: &LocalMedia) -> (Vec<String>, Vec<String>, Negotiated) {
    let (answer, agreed) = sdp::answer(&parse(offer), local).unwrap();
    let audio = audio(&answer);
    let lines = audio.attributes.iter();
    let lines = lines.map(|line| line.to_string().trim_end().to_owned());
    (audio.formats, lines.collect(), agreed)
}

#[test]
fn the_offerers_first_codec_that_we_have_is_taken_under_its_own_number() {
    let everything = local(&Codec::ALL);
    let (formats, lines, agreed) = answered(BARESIP, &everything);
    assert_eq!(formats, ["96", "105"]);
    assert_eq!((agreed.codec, agreed.send_payload_type), (Codec::Opus, 96));
    assert!(
        lines.contains(&"a=rtpmap:96 opus/48000/2".to_owned()),
        "{lines:?}"
    );
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("a=fmtp:96 ") && line.contains("stereo=0"))
    );
    let wishes = OpusWishes {
        max_average_bitrate_bps: 28_000,
        in_band_fec: true,
        ..OpusWishes::default()
    };
    assert_eq!(agreed.opus, wishes);
    // It knows telephone-events of 8,000 only.
    assert_eq!((agreed.dtmf, agreed.dtmf_clock_rate_hz), (Some(105), 8_000));
    let (formats, _, agreed) = answered(PJSUA, &everything);
    assert_eq!(formats, ["0", "121"]);
    assert_eq!((agreed.codec, agreed.dtmf), (Codec::Pcmu, Some(121)));
}

#[test]
fn what_we_lack_is_left_out_of_the_answer_and_is_no_error() {
    let (formats, lines, agreed) = answered(GATEWAY, &local(&Codec::ALL));
    assert_eq!(formats, ["111", "110"]);
    assert_eq!((agreed.codec, agreed.dtmf), (Codec::Opus, Some(110)));
    assert_eq!(agreed.dtmf_clock_rate_hz, 48_000);
    assert!(
        !lines
            .iter()
            .any(|line| line.contains("AMR") || line.contains("G729"))
    );
    assert!(agreed.opus.dtx && agreed.opus.cbr && !agreed.opus.in_band_fec);
    assert_eq!(agreed.opus.max_playback_rate_hz, 16_000);
    let (formats, _, agreed) = answered(GATEWAY, &local(&[Codec::Pcmu, Codec::G722]));
    assert_eq!(
        (formats, agreed.codec),
        (vec!["9".into(), "100".into()], Codec::G722)
    );
    let none = sdp::answer(&parse(GATEWAY), &local(&[Codec::Pcmu, Codec::L16]));
    assert_eq!(none.unwrap_err(), Refusal::NoCommonCodec);
}

#[test]
fn our_own_order_decides_where_it_was_asked_for() {
    let ours = LocalMedia {
        prefers_own_order: true,
        ..local(&[Codec::L16, Codec::Pcma, Codec::G722])
    };
    let (formats, _, agreed) = answered(BARESIP, &ours);
    assert_eq!(
        (formats, agreed.codec),
        (vec!["103".into(), "105".into()], Codec::L16)
    );
    let (_, _, agreed) = answered(PJSUA, &ours);
    assert_eq!(agreed.codec, Codec::Pcma);
    let (_, _, agreed) = answered(GATEWAY, &ours);
    assert_eq!(agreed.codec, Codec::G722);
}

#[test]
fn packet_times_are_what_the_peer_wishes_and_the_codec_can() {
    let (_, lines, agreed) = answered(GATEWAY, &local(&[Codec::G722]));
    assert_eq!(agreed.ptime_ms, 30);
    assert!(lines.contains(&"a=maxptime:60".to_owned()), "{lines:?}");
    let longer = GATEWAY.replace("a=ptime:30", "a=ptime:60");
    assert_eq!(answered(&longer, &local(&[Codec::G722])).2.ptime_ms, 40);
    assert_eq!(Codec::Opus.packet_time_ms(30), 20);
}

#[test]
fn an_offer_numbers_each_codec_and_each_clocks_events_once() {
    let offer = sdp::offer(&local(&[Codec::Opus, Codec::G722, Codec::Pcmu, Codec::L16]));
    assert_eq!(
        audio(&offer).formats,
        ["111", "9", "0", "112", "102", "101", "96"]
    );
    let text = offer.to_string();
    for line in [
        "a=rtpmap:111 opus/48000/2\r\n",
        "a=fmtp:111 maxplaybackrate=16000;sprop-maxcapturerate=16000;maxaveragebitrate=64000;\
         stereo=0;useinbandfec=1\r\n",
        "a=rtpmap:9 G722/8000\r\n",
        "a=rtpmap:0 PCMU/8000\r\n",
        "a=rtpmap:112 L16/16000\r\n",
        "a=rtpmap:102 telephone-event/48000\r\na=fmtp:102 0-15\r\n",
        "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n",
        "a=rtpmap:96 telephone-event/16000\r\na=fmtp:96 0-15\r\n",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[test]
fn an_answer_tells_which_codec_which_events_and_what_the_peer_wishes() {
    let offer = sdp::offer(&local(&[Codec::Opus, Codec::G722, Codec::Pcmu]));
    let answer = |formats: &str, lines: &str| {
        parse(&format!(
            "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
             m=audio 4000 RTP/AVP {formats}\r\n{lines}"
        ))
    };
    let opus = "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=1\r\n";
    let agreed = |formats: &str, events: &str| {
        Negotiated::from_answer(&offer, &answer(formats, &format!("{opus}{events}"))).unwrap()
    };
    let at_48k = agreed("111 102", "a=rtpmap:102 telephone-event/48000\r\n");
    assert_eq!((at_48k.codec, at_48k.dtmf), (Codec::Opus, Some(102)));
    assert_eq!(
        (at_48k.dtmf_receive, at_48k.dtmf_clock_rate_hz),
        (Some(102), 48_000)
    );
    assert!(at_48k.opus.in_band_fec);
    let at_8k = agreed("111 101", "a=rtpmap:101 telephone-event/8000\r\n");
    assert_eq!((at_8k.dtmf, at_8k.dtmf_receive), (Some(101), Some(101)));
    assert_eq!(at_8k.dtmf_clock_rate_hz, 8_000);
    let without = agreed("111", "");
    assert_eq!((without.dtmf, without.dtmf_receive), (None, None));
    // A peer that numbers Opus its own way is sent its number, and understood under both.
    let other = answer("96", "a=rtpmap:96 opus/48000/2\r\n");
    let other = Negotiated::from_answer(&offer, &other).unwrap();
    assert_eq!(other.send_payload_type, 96);
    assert_eq!(
        other.receive_payload_types,
        [(111, Codec::Opus), (96, Codec::Opus)]
    );
}

#[test]
fn a_later_offer_keeps_the_numbers_that_the_session_knows() {
    // The peer called Opus 96 and its events 101; 111 was another codec of its own.
    let first = BARESIP.replace("105", "111");
    let (previous, _) = sdp::answer(&parse(&first), &local(&Codec::ALL)).unwrap();
    assert_eq!(audio(&previous).formats, ["96", "111"]);
    let wider = local(&[Codec::Pcmu, Codec::Opus, Codec::L16]);
    let again = audio(&sdp::reoffer(&previous, &wider));
    assert_eq!(again.formats, ["0", "96", "112", "111", "102", "97"]);
    let twice = audio(&sdp::reoffer(&sdp::reoffer(&previous, &wider), &wider));
    assert_eq!(twice.formats, again.formats);
}

#[test]
fn opus_that_names_one_channel_is_opus() {
    let sloppy = BARESIP.replace("opus/48000/2", "OPUS/48000");
    let (_, lines, agreed) = answered(&sloppy, &local(&Codec::ALL));
    assert_eq!(agreed.codec, Codec::Opus);
    assert!(lines.contains(&"a=rtpmap:96 opus/48000/2".to_owned()));
}

#[test]
fn an_offer_leaves_room_for_the_invite_around_it_in_one_datagram() {
    // RFC 3261 §18.1.1 wants TCP beyond 1,300 bytes; the headers of our INVITE take some 500.
    let size = |codecs: &[Codec], srtp: SrtpPolicy| {
        let offering = LocalMedia {
            srtp: LocalSrtp::new(srtp, &mut StdRng::seed_from_u64(1)),
            ..local(codecs)
        };
        sdp::offer(&offering).to_string().len()
    };
    let telephone = [Codec::Pcmu, Codec::Pcma];
    assert!(size(&telephone, SrtpPolicy::Off) < 350);
    assert!(size(&telephone, SrtpPolicy::Optional) < 800);
    assert!(size(&Codec::ALL, SrtpPolicy::Off) < 800);
    println!(
        "{} {} {} {}",
        size(&telephone, SrtpPolicy::Off),
        size(&telephone, SrtpPolicy::Optional),
        size(&Codec::ALL, SrtpPolicy::Off),
        size(&Codec::ALL, SrtpPolicy::Optional)
    );
}
