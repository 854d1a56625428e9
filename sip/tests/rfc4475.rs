//! The 49 torture messages of RFC 4475: each read or refused as its section says.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use offhook_sip::digest::Challenge;
use offhook_sip::message::{
    Contact, HeaderError, HeaderName, Message, Method, ParseErrorKind, ResponseBuilder, StartLine,
    Support,
};
use offhook_sip::uri::{Scheme, unescape};

mod common;
use common::{corpus, torture};

/// What a user agent server does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It is read, and nothing in it is to be refused.
    Read,
    /// It is refused with this status.
    Refused(u16),
    /// It is a response that is dropped.
    Discarded,
}
use Outcome::{Discarded, Read, Refused};

/// A user agent server like the switch: no extensions, session descriptions, the usual methods.
const SUPPORT: Support<'static> = Support {
    methods: &[
        Method::Invite,
        Method::Ack,
        Method::Bye,
        Method::Cancel,
        Method::Options,
        Method::Register,
        Method::Message,
    ],
    options: &["timer"],
    content_types: &["application/sdp", "text/plain", "multipart/mixed"],
};

/// File, section of RFC 4475, and what is done. Where the RFC leaves a choice, the stricter one
/// is taken for syntax (a request that two elements may read differently is refused), the more
/// tolerant one where nothing is ambiguous.
const EXPECTED: &[(&str, &str, Outcome)] = &[
    ("wsinv", "3.1.1.1", Read),
    ("intmeth", "3.1.1.2", Refused(501)),
    ("esc01", "3.1.1.3", Read),
    ("escnull", "3.1.1.4", Read),
    ("esc02", "3.1.1.5", Refused(501)),
    ("lwsdisp", "3.1.1.6", Read),
    ("longreq", "3.1.1.7", Read),
    ("dblreq", "3.1.1.8", Read),
    ("semiuri", "3.1.1.9", Read),
    ("transports", "3.1.1.10", Read),
    ("mpart01", "3.1.1.11", Read),
    ("unreason", "3.1.1.12", Read),
    ("noreason", "3.1.1.13", Read),
    ("badinv01", "3.1.2.1", Refused(400)),
    ("clerr", "3.1.2.2", Refused(400)),
    ("ncl", "3.1.2.3", Refused(400)),
    ("scalar02", "3.1.2.4", Refused(400)),
    ("scalarlg", "3.1.2.5", Discarded),
    ("quotbal", "3.1.2.6", Refused(400)),
    ("ltgtruri", "3.1.2.7", Refused(400)),
    ("lwsruri", "3.1.2.8", Refused(400)),
    ("lwsstart", "3.1.2.9", Refused(400)),
    ("trws", "3.1.2.10", Refused(400)),
    ("escruri", "3.1.2.11", Refused(400)),
    // The Date is of no use to a user agent, so a bad one may be passed over.
    ("baddate", "3.1.2.12", Read),
    ("regbadct", "3.1.2.13", Refused(400)),
    ("badaspec", "3.1.2.14", Refused(400)),
    ("baddn", "3.1.2.15", Refused(400)),
    ("badvers", "3.1.2.16", Refused(505)),
    ("mismatch01", "3.1.2.17", Refused(400)),
    ("mismatch02", "3.1.2.18", Refused(400)),
    ("bigcode", "3.1.2.19", Discarded),
    // Falls back to the transaction matching of RFC 2543.
    ("badbranch", "3.2.1", Read),
    ("insuf", "3.3.1", Refused(400)),
    ("unkscm", "3.3.2", Refused(416)),
    ("novelsc", "3.3.3", Refused(416)),
    // Well-formed; the registrar answers by what it makes of the To.
    ("unksm2", "3.3.4", Read),
    ("bext01", "3.3.5", Refused(420)),
    ("invut", "3.3.6", Refused(415)),
    // Well-formed; the registrar challenges as if there were no credentials.
    ("regaut01", "3.3.7", Read),
    ("multi01", "3.3.8", Refused(400)),
    ("mcl01", "3.3.9", Refused(400)),
    ("bcast", "3.3.10", Discarded),
    // Only a proxy refuses what may go no further.
    ("zeromf", "3.3.11", Read),
    ("cparam01", "3.3.12", Read),
    ("cparam02", "3.3.13", Read),
    ("regescrt", "3.3.14", Read),
    ("sdp01", "3.3.15", Refused(406)),
    ("inv2543", "3.4.1", Read),
];

fn outcome(bytes: &[u8]) -> Outcome {
    let message = match Message::parse(bytes) {
        Ok(message) => message,
        Err(error) if error.answerable().is_some() => return Refused(error.refusal().status),
        Err(_) => return Discarded,
    };
    if !message.is_request() {
        let good = message.validate().is_ok() && message.has_single_via();
        return if good { Read } else { Discarded };
    }
    match message
        .validate()
        .and_then(|()| message.check_support(&SUPPORT))
    {
        Ok(()) => Read,
        Err(refusal) => Refused(refusal.status),
    }
}

#[test]
fn every_message_is_read_or_refused_as_its_section_says() {
    let files = corpus("rfc4475");
    assert_eq!(files.len(), 49);
    assert_eq!(EXPECTED.len(), 49);
    for (name, section, expected) in EXPECTED {
        assert_eq!(outcome(&torture(name)), *expected, "{name} ({section})");
    }
}

#[test]
fn the_short_tortuous_invite_is_read_to_the_last_parameter() {
    let bytes = torture("wsinv");
    let message = Message::parse(&bytes).unwrap();
    let request = message.essentials().unwrap();
    assert_eq!(request.to.tag(), Some("1918181833n"));
    assert_eq!(request.from.display_name(), "J Rosenberg \\\"");
    assert_eq!(request.from.tag(), Some("98asjd8"));
    assert_eq!(request.max_forwards, Some(68));
    assert_eq!(request.cseq.number, 9);
    let vias: Vec<_> = message.vias().map(Result::unwrap).collect();
    let hops: Vec<_> = vias
        .iter()
        .map(|via| (via.transport, via.sent_by))
        .collect();
    let expected = [
        ("UDP", "192.0.2.2"),
        ("TCP", "spindle.example.com"),
        ("UDP", "192.168.255.111"),
    ];
    assert_eq!(hops, expected);
    let branches: Vec<_> = vias.iter().filter_map(|via| via.branch).collect();
    assert_eq!(branches, ["390skdjuw", "z9hG4bK9ikj8", "z9hG4bK30239"]);
    assert_eq!(message.header(HeaderName::Subject), Some(""));
    assert_eq!(
        message.header_named("newfangledheader"),
        Some("newfangled value\r\n continued newfangled value")
    );
    assert_eq!(
        message.header_named("UnknownHeaderWithUnusualValue"),
        Some(";;,,;;,;")
    );
    let route = message.routes().next().unwrap().unwrap();
    assert!(route.uri.is_loose_route());
    assert_eq!(route.uri.param("unknownwith"), Some("value"));
    let Some(Contact::Address(contact)) = request.contact else {
        panic!("no contact")
    };
    assert_eq!(contact.display_name(), "Quoted string \"\"");
    assert_eq!(contact.params.get("newparam"), Some("newvalue"));
    assert_eq!(request.contact.unwrap().q_thousandths(), 330);
    assert_eq!(message.body().len(), 150);
}

#[test]
fn the_wide_range_of_characters_is_read() {
    let bytes = torture("intmeth");
    let message = Message::parse(&bytes).unwrap();
    let request = message.essentials().unwrap();
    assert_eq!(
        request.method,
        Method::Other("!interesting-Method0123456789_*+`.%indeed'~")
    );
    assert_eq!(request.to.display_name(), "BEL:\u{7} NUL:\0 DEL:\u{7f}");
    assert_eq!(request.from.tag(), Some("_token~1'+`*%!-."));
    assert_eq!(
        request.from.params.get("fromParam''~+*_!.-%"),
        Some("работающий")
    );
    assert_eq!(
        request.call_id,
        "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"
    );
    assert!(message.header_named("extensionHeader-!.%*+_`'~").is_some());
}

#[test]
fn escapes_are_resolved_only_where_they_are_escapes() {
    let bytes = torture("esc01");
    let request = Message::parse(&bytes).unwrap().essentials().unwrap();
    assert_eq!(request.uri.scheme, Scheme::Sip);
    assert_eq!(request.uri.user_text(), "sips:user@example.com");
    assert_eq!(request.to.uri.user_text(), "user");
    let contact = request.contact.unwrap().uri().unwrap();
    assert_eq!(contact.user_text(), "caller");
    assert!(contact.is_loose_route());
    assert_eq!(
        unescape(contact.param("name").unwrap()).as_ref(),
        b"value%41"
    );

    let bytes = torture("esc02");
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.method(), Some(Method::Other("RE%47IST%45R")));
    assert_eq!(message.from().unwrap().display_name(), "%Z%45");
    assert_eq!(message.contacts().count(), 2, "C%6Fntact is no Contact");

    let bytes = torture("escnull");
    let message = Message::parse(&bytes).unwrap();
    let users: Vec<_> = message
        .contacts()
        .map(|contact| unescape(contact.unwrap().uri().unwrap().user.unwrap()).into_owned())
        .collect();
    assert_eq!(users, [vec![0], vec![0, 0]]);
}

#[test]
fn a_long_request_keeps_all_its_hops() {
    let bytes = torture("longreq");
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.vias().filter(Result::is_ok).count(), 34);
    assert!(
        message
            .from()
            .unwrap()
            .tag()
            .unwrap()
            .starts_with("1298298")
    );
    assert_eq!(message.to().unwrap().uri.port, Some(6000));
}

#[test]
fn octets_after_the_body_of_a_datagram_are_ignored() {
    let bytes = torture("dblreq");
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.method(), Some(Method::Register));
    assert_eq!(message.body(), b"");
}

#[test]
fn a_binary_multipart_body_is_kept_as_it_is() {
    let bytes = torture("mpart01");
    let message = Message::parse(&bytes).unwrap();
    let boundary = message.content_type().unwrap().params.get("boundary");
    assert_eq!(boundary, Some("7a9cbec02ceef655"));
    assert_eq!(message.body().len(), 553);
}

#[test]
fn unusual_reason_phrases_are_read() {
    let bytes = torture("unreason");
    let start = Message::parse(&bytes).unwrap().start_line();
    let StartLine::Response {
        status: 200,
        reason,
    } = start
    else {
        panic!("{start:?}")
    };
    assert!(reason.starts_with("= 2**3 * 5**2 но сто девяносто девять"));
    let bytes = torture("noreason");
    let start = Message::parse(&bytes).unwrap().start_line();
    assert_eq!(
        start,
        StartLine::Response {
            status: 100,
            reason: ""
        }
    );
}

#[test]
fn numbers_over_their_range_are_held_or_malformed() {
    let bytes = torture("scalar02");
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(
        message.cseq(),
        Err(HeaderError::Malformed(HeaderName::CSeq))
    );
    assert_eq!(message.expires(), Some(u32::MAX));
    assert_eq!(
        message.contacts().next().unwrap().unwrap().expires(),
        Some(u32::MAX)
    );
    let bytes = torture("scalarlg");
    assert_eq!(
        Message::parse(&bytes).unwrap().retry_after(),
        Some(u32::MAX)
    );
}

#[test]
fn what_cannot_be_read_says_why() {
    let kind = |name: &str| {
        Message::parse(&torture(name))
            .err()
            .map(|error| error.kind())
    };
    assert_eq!(kind("clerr"), Some(ParseErrorKind::TruncatedBody));
    assert_eq!(kind("ncl"), Some(ParseErrorKind::BadContentLength));
    assert_eq!(kind("mcl01"), Some(ParseErrorKind::BadContentLength));
    assert_eq!(kind("bigcode"), Some(ParseErrorKind::BadStatus));
}

#[test]
fn refusals_carry_what_the_peer_needs_to_know() {
    let refusal = |name: &str| {
        let bytes = torture(name);
        let refusal = Message::parse(&bytes)
            .unwrap()
            .check_support(&SUPPORT)
            .unwrap_err();
        refusal.headers
    };
    let tags = "nothingSupportsThis, nothingSupportsThisEither".to_owned();
    assert_eq!(refusal("bext01"), [(HeaderName::Unsupported, tags)]);
    let types = "application/sdp, text/plain, multipart/mixed".to_owned();
    assert_eq!(refusal("invut"), [(HeaderName::Accept, types)]);
    assert_eq!(refusal("intmeth")[0].0, HeaderName::Allow);
}

#[test]
fn an_unknown_authentication_scheme_is_no_digest() {
    let bytes = torture("regaut01");
    let message = Message::parse(&bytes).unwrap();
    assert!(
        message
            .authorization()
            .all(|credentials| !credentials.is_digest())
    );
    assert_eq!(
        message.authenticate().filter(Challenge::is_digest).count(),
        0
    );
}

#[test]
fn parameters_go_to_the_header_or_the_uri_by_the_angle_brackets() {
    let bytes = torture("cparam01");
    let contact = Message::parse(&bytes)
        .unwrap()
        .essentials()
        .unwrap()
        .contact
        .unwrap();
    assert!(contact.address().unwrap().params.contains("unknownparam"));
    let bytes = torture("cparam02");
    let contact = Message::parse(&bytes)
        .unwrap()
        .essentials()
        .unwrap()
        .contact
        .unwrap();
    assert_eq!(contact.uri().unwrap().param("unknownparam"), Some(""));
    let bytes = torture("regescrt");
    let contact = Message::parse(&bytes)
        .unwrap()
        .essentials()
        .unwrap()
        .contact
        .unwrap();
    let headers: Vec<_> = contact.uri().unwrap().headers().collect();
    assert_eq!(headers, [("Route", Some("%3Csip:sip.example.com%3E"))]);
}

#[test]
fn a_request_of_rfc2543_is_read() {
    let bytes = torture("inv2543");
    let request = Message::parse(&bytes).unwrap().essentials().unwrap();
    assert_eq!(request.from.tag(), None);
    assert_eq!(request.via.branch, None);
    assert_eq!(request.max_forwards, None);
    assert!(!request.via.has_rfc3261_branch());
}

#[test]
fn a_response_copies_what_it_answers_to_the_last_control_character() {
    let bytes = torture("intmeth");
    let message = Message::parse(&bytes).unwrap();
    let answer = ResponseBuilder::to(&message, 501, "").to_tag("t").build();
    let answer = Message::parse(&answer).unwrap();
    assert_eq!(
        answer.header(HeaderName::From),
        message.header(HeaderName::From)
    );
    assert_eq!(
        answer.to().unwrap().display_name(),
        "BEL:\u{7} NUL:\0 DEL:\u{7f}"
    );
    assert_eq!(answer.to().unwrap().tag(), Some("t"));
}
