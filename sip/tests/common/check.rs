//! What holds of any bytes at all, for the mutation test and the fuzz target.

use offhook_sip::message::{
    Header, HeaderName, Message, MessageWriter, OwnedMessage, ParseErrorKind, RAck,
    ResponseBuilder, StartLine, sipfrag_status,
};

/// Asks a message everything that a peer's bytes could answer wrongly.
fn interrogate(message: &Message<'_>) {
    let _ = message.essentials().map(|request| {
        std::hint::black_box((
            request.from.to_string(),
            request.to.to_string(),
            request.via.to_string(),
        ));
        request.uri.equivalent(&request.from.uri);
        std::hint::black_box((
            request.uri.user_text(),
            request.contact.map(|contact| contact.q_thousandths()),
        ));
    });
    let _ = message.validate();
    for via in message.vias().flatten() {
        let _ = (
            via.received_address(),
            via.maddr(),
            via.has_rfc3261_branch(),
        );
    }
    message
        .contacts()
        .flatten()
        .for_each(|contact| assert!(contact.q_thousandths() <= 1000));
    message
        .routes()
        .chain(message.record_routes())
        .flatten()
        .for_each(|route| {
            let _ = (
                route.display_name(),
                route.uri.is_loose_route(),
                route.params.iter().count(),
            );
        });
    for challenge in message.authenticate() {
        let _ = (
            challenge.realm(),
            challenge.is_supported(),
            challenge.stale(),
        );
    }
    for credentials in message.authorization() {
        let _ = (
            credentials.username(),
            credentials.algorithm(),
            credentials.nc(),
        );
    }
    let _ = (
        message.expires(),
        message.min_expires(),
        message.retry_after(),
        message.max_forwards(),
        message.session_expires(),
        message.min_se(),
        message.content_type(),
        message.call_id(),
        message.cseq(),
        message.has_single_via(),
    );
    transfers(message);
    if let Ok(rack) = message.rack() {
        let written = rack.to_string();
        assert_eq!(RAck::parse(&written), Some(rack), "{written}");
        assert!(rack.rseq > 0);
    }
    assert_ne!(message.rseq(), Ok(0));
    let _ = (
        message.reason().count(),
        message.supported().count(),
        message.require().count(),
    );
    for header in message.all_headers() {
        let _ = (header.value(), message.header_named(header.label));
        assert_eq!(HeaderName::new(header.label.as_bytes()), header.name);
    }
}

/// Asks what REFER, its reports and Replaces say (RFC 3515, 3891, 4488, 6665).
fn transfers(message: &Message<'_>) {
    let _ = (message.referred_by(), message.refer_sub());
    if let Ok(target) = message.refer_to() {
        let _ = (target.uri.user_text(), target.display_name());
    }
    if let Ok(Some(replaces)) = message.replaces() {
        assert!(!replaces.call_id.is_empty());
    }
    if let Some(event) = message.event() {
        assert!(!event.name.is_empty());
    }
    if let Some(state) = message.subscription_state() {
        let _ = (state.expires_s, state.reason);
    }
    let _ = sipfrag_status(message.body());
}

/// Prints a message from what was read of it.
fn print(message: &Message<'_>) -> Vec<u8> {
    let mut writer = match message.start_line() {
        StartLine::Request { method, uri } => MessageWriter::request(method, uri),
        StartLine::Response { status, reason } => MessageWriter::response(status, reason),
    };
    for header in message.all_headers() {
        match (header.name, header.value()) {
            (HeaderName::ContentLength, _) => {}
            (HeaderName::Other, Some(value)) => drop(writer.header_named(header.label, value)),
            (HeaderName::Other, None) => {}
            (name, _) => drop(writer.header_bytes(name, header.bytes)),
        }
    }
    writer.end(message.body())
}

/// What must survive printing: names in order, and values but for white space.
fn essence(message: &Message<'_>) -> Vec<(HeaderName, Vec<u8>)> {
    let survives = |header: &Header<'_>| match header.name {
        HeaderName::ContentLength => false,
        HeaderName::Other => header.value().is_some(),
        _ => true,
    };
    let solid = |bytes: &[u8]| {
        bytes
            .iter()
            .copied()
            .filter(|b| !b" \t\r\n".contains(b))
            .collect()
    };
    let headers = message.all_headers().filter(survives);
    headers
        .map(|header| (header.name, solid(header.bytes)))
        .collect()
}

/// Reads bytes, asks them everything, and holds what is printed against what was read.
pub(crate) fn check(bytes: &[u8]) {
    let message = match Message::parse(bytes) {
        Ok(message) => message,
        Err(error) => {
            error.partial().into_iter().for_each(interrogate);
            if let Some(message) = error.answerable() {
                let refusal = error.refusal();
                let answer = ResponseBuilder::refuse(message, &refusal)
                    .to_tag("t")
                    .build();
                assert!(Message::parse(&answer).is_ok());
            }
            return;
        }
    };
    interrogate(&message);
    let printed = print(&message);
    let again = match Message::parse(&printed) {
        Ok(again) => again,
        // At the limit of lines there is no room for the Content-Length that printing adds.
        Err(error) if error.kind() == ParseErrorKind::TooManyHeaders => return,
        Err(error) => panic!("{error}: {}", String::from_utf8_lossy(&printed)),
    };
    assert_eq!(essence(&again), essence(&message));
    assert_eq!(again.body(), message.body());
    let twice = String::from_utf8_lossy(&printed);
    assert_eq!(
        String::from_utf8_lossy(&print(&again)),
        twice,
        "printed twice"
    );
    let kept = OwnedMessage::from(&message);
    assert_eq!(kept.view().start_line(), message.start_line());
    if message.is_request() {
        let source = "192.0.2.1:5060".parse().unwrap();
        let answer = ResponseBuilder::to(&message, 200, "")
            .source(source)
            .to_tag("t")
            .build();
        assert!(Message::parse(&answer).is_ok());
    }
}
