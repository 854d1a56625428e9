//! `rsip`, a parser of another hand, reads what it can read as we do.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use offhook_sip::message::{Message, StartLine};
use rsip::message::HasHeaders;
use rsip::prelude::{HeadersExt, ToTypedHeader, UntypedHeader};

mod common;
use common::corpus;

/// Compares what both read; false where `rsip` does not read the message at all.
fn agrees(name: &str, bytes: &[u8]) -> bool {
    let (Ok(ours), Ok(theirs)) = (Message::parse(bytes), rsip::SipMessage::try_from(bytes)) else {
        return false;
    };
    match (ours.start_line(), &theirs) {
        (StartLine::Request { method, .. }, rsip::SipMessage::Request(request)) => {
            assert_eq!(method.as_str(), request.method.to_string(), "{name}");
        }
        (StartLine::Response { status, .. }, rsip::SipMessage::Response(response)) => {
            assert_eq!(status, response.status_code.code(), "{name}");
        }
        other => panic!("{name}: {other:?}"),
    }
    let unfolded = ours
        .all_headers()
        .filter(|header| !header.bytes.contains(&b'\n'))
        .count();
    assert_eq!(unfolded, theirs.headers().iter().count(), "{name}");
    if let Ok(header) = theirs.call_id_header() {
        assert_eq!(ours.call_id(), Ok(header.value()), "{name}");
    }
    if let Some(from) = theirs.from_header().ok().and_then(|from| from.typed().ok()) {
        let tag = from.params.iter().find_map(|param| match param {
            rsip::Param::Tag(tag) => Some(tag.value().to_owned()),
            _ => None,
        });
        assert_eq!(ours.from().unwrap().tag().map(str::to_owned), tag, "{name}");
    }
    if let Some(cseq) = theirs.cseq_header().ok().and_then(|cseq| cseq.typed().ok()) {
        assert_eq!(ours.cseq().unwrap().number, cseq.seq, "{name}");
    }
    if let Some(via) = theirs.via_header().ok().and_then(|via| via.typed().ok()) {
        let branch = via.branch().map(|branch| branch.value().to_owned());
        assert_eq!(
            ours.top_via().unwrap().branch.map(str::to_owned),
            branch,
            "{name}"
        );
    }
    true
}

#[test]
fn carriers_messages_read_alike() {
    let files = corpus("carriers");
    let read = files
        .iter()
        .filter(|(name, bytes)| agrees(name, bytes))
        .count();
    // The one that is left out has header fields in their compact form.
    assert!(read >= 15, "{read}");
}
