//! An INVITE parsed, typed, validated and printed: ours, and `rsip` beside it.
//!
//! `cargo bench -p offhook-sip` prints times and, by the counting allocator, allocations.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use divan::counter::BytesCount;
use divan::{AllocProfiler, Bencher, black_box};
use offhook_sip::message::{HeaderName, Message, Method, OwnedMessage, RequestBuilder};
use offhook_sip::message::{MessageWriter, ResponseBuilder};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

static INVITE: &[u8] =
    include_bytes!("../tests/corpora/carriers/03_twilio_termination_invite_noauth.sip");

fn main() {
    divan::main();
}

#[divan::bench]
fn ours_parse(bencher: Bencher) {
    bencher
        .counter(BytesCount::of_slice(INVITE))
        .bench(|| Message::parse(black_box(INVITE)).map(|message| message.body().len()));
}

/// Goal C6: everything that handling the request begins with, checked.
#[divan::bench]
fn ours_parse_type_validate(bencher: Bencher) {
    bencher.counter(BytesCount::of_slice(INVITE)).bench(|| {
        let message = Message::parse(black_box(INVITE)).unwrap();
        let request = message.essentials().unwrap();
        black_box(&request);
        request.cseq.number
    });
}

/// The same by single questions, each of which reads its header anew, and validation apart.
#[divan::bench]
fn ours_parse_ask_each_validate(bencher: Bencher) {
    bencher.counter(BytesCount::of_slice(INVITE)).bench(|| {
        let message = Message::parse(black_box(INVITE)).unwrap();
        black_box(message.validate().is_ok());
        black_box(message.top_via().unwrap());
        black_box(message.from().unwrap());
        black_box(message.to().unwrap());
        black_box(message.contacts().next());
        black_box(message.cseq().unwrap());
        black_box(message.call_id().unwrap());
        black_box(message.request_uri().unwrap());
        black_box(message.max_forwards());
        black_box(message.content_type().unwrap());
    });
}

#[divan::bench]
fn ours_keep_and_view(bencher: Bencher) {
    let kept = OwnedMessage::parse(INVITE).unwrap();
    bencher.bench(|| black_box(&kept).clone().view().body().len());
}

#[divan::bench]
fn ours_print(bencher: Bencher) {
    let message = Message::parse(INVITE).unwrap();
    let body = message.body();
    bencher.bench(|| {
        RequestBuilder::new(
            Method::Invite,
            black_box("sip:+12025550123@acme.pstn.twilio.com"),
        )
        .via(
            "TLS",
            "203.0.113.10:5061",
            "z9hG4bKPj52eff699-c3fa-4186-b036-44b77ac58373",
        )
        .from(
            "Acme",
            "sip:+12025550100@203.0.113.10",
            "c42e26f4-f0f1-4fd0-a17a-39eb79c68b86",
        )
        .to("", "sip:+12025550123@acme.pstn.twilio.com", None::<&str>)
        .contact("sip:asterisk@203.0.113.10:5061;transport=TLS")
        .call_id("5a93782f-a93a-4a96-b6bf-2af927d9ab96")
        .cseq(30121)
        .header(
            HeaderName::Allow,
            "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE",
        )
        .header(HeaderName::Supported, "timer, replaces")
        .max_forwards(70)
        .header(HeaderName::UserAgent, "Offhook")
        .body("application/sdp", body)
    });
}

#[divan::bench]
fn ours_copy_all_headers(bencher: Bencher) {
    let message = Message::parse(INVITE).unwrap();
    bencher.bench(|| {
        let mut writer = MessageWriter::request(Method::Invite, "sip:a@b");
        for header in black_box(&message).all_headers() {
            writer.header_bytes(header.name, header.bytes);
        }
        writer.finish()
    });
}

#[divan::bench]
fn ours_respond_100(bencher: Bencher) {
    let message = Message::parse(INVITE).unwrap();
    let source = "203.0.113.10:33549".parse().unwrap();
    bencher.bench(|| {
        ResponseBuilder::to(black_box(&message), 100, "")
            .source(source)
            .build()
    });
}

#[divan::bench]
fn rsip_parse(bencher: Bencher) {
    bencher
        .counter(BytesCount::of_slice(INVITE))
        .bench(|| rsip::SipMessage::try_from(black_box(INVITE)).unwrap());
}

#[divan::bench]
fn rsip_parse_type(bencher: Bencher) {
    use rsip::message::HasHeaders;
    use rsip::prelude::{HeadersExt, ToTypedHeader};
    bencher.counter(BytesCount::of_slice(INVITE)).bench(|| {
        let message = rsip::SipMessage::try_from(black_box(INVITE)).unwrap();
        let rsip::SipMessage::Request(request) = message else {
            return 0;
        };
        black_box(request.via_header().unwrap().typed().unwrap());
        black_box(request.from_header().unwrap().typed().unwrap());
        black_box(request.to_header().unwrap().typed().unwrap());
        black_box(request.contact_header().unwrap().typed().unwrap());
        black_box(request.cseq_header().unwrap().typed().unwrap());
        black_box(request.call_id_header().unwrap());
        black_box(request.max_forwards_header().unwrap());
        black_box(&request.uri);
        request.headers().iter().count()
    });
}

#[divan::bench]
fn rsip_print(bencher: Bencher) {
    let message = rsip::SipMessage::try_from(INVITE).unwrap();
    bencher.bench(|| Vec::<u8>::from(black_box(&message).clone()));
}
