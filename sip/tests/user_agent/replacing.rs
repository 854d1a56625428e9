//! INVITEs that take the place of a call (RFC 3891).

use offhook_sip::message::HeaderName;
use offhook_sip::{CallHandle, Event, Incoming};

use crate::support::*;

/// Sends an INVITE of somebody else with these fields.
fn come(desk: &mut Desk, fields: &str) {
    let fields = format!("{fields}{CONTACT}");
    let text = request("INVITE", 1, "z9hG4bKother", "", &fields, OFFER);
    desk.receive(&text.replace("Call-ID: call-1", "Call-ID: call-other"));
}

fn rings(desk: &mut Desk) -> (CallHandle, Incoming) {
    assert_eq!(desk.one().what(), "100");
    match desk.event() {
        Event::Incoming { call, invite } => (call, *invite),
        other => panic!("{other:?}"),
    }
}

fn refused(desk: &mut Desk, fields: &str) -> String {
    come(desk, fields);
    let status = desk.one().what();
    desk.no_event();
    status
}

/// Names a call that the peer has placed by its own tags.
fn of(tag: &str) -> String {
    format!("Replaces: call-1;to-tag={tag};from-tag=them")
}

#[test]
fn a_call_that_is_named_by_its_tags_is_told_to_the_switch() {
    let mut desk = Desk::new();
    let (old, tag) = desk.pick_up();
    come(&mut desk, &format!("{}\r\nRequire: replaces\r\n", of(&tag)));
    let (new, invite) = rings(&mut desk);
    assert_eq!(invite.replaces, Some(old));
    assert!(!invite.replaces_is_early_only);
    assert!(desk.ua.answer(desk.now, new, ANSWER.into()));
    assert_eq!(desk.one().header("Supported").unwrap(), SUPPORTED);
    desk.ua.hang_up(desk.now, old, None);
    assert_eq!(desk.one().what(), "BYE");
    assert_eq!(desk.ua.call_count(), 2);
}

#[test]
fn an_invite_without_replaces_replaces_nothing() {
    let mut desk = Desk::new();
    desk.pick_up();
    come(&mut desk, "");
    assert_eq!(rings(&mut desk).1.replaces, None);
}

#[test]
fn a_call_that_is_not_there_gets_481() {
    let mut desk = Desk::new();
    let (_, tag) = desk.pick_up();
    for fields in [
        of("0123456789abcdef"),
        of("them"),
        of("0"),
        of(&tag).replace("call-1", "call-2"),
        of(&tag).replace("from-tag=them", "from-tag=0"),
        of(&tag).replace("from-tag=them", "from-tag=THEM"),
        format!("Replaces: call-1;to-tag=them;from-tag={tag}"),
    ] {
        assert_eq!(refused(&mut desk, &format!("{fields}\r\n")), "481");
    }
    assert_eq!(desk.ua.call_count(), 1);
}

#[test]
fn early_only_gets_486_where_the_call_is_answered() {
    let mut desk = Desk::new();
    let (_, tag) = desk.pick_up();
    let fields = format!("{};early-only\r\n", of(&tag));
    assert_eq!(refused(&mut desk, &fields), "486");
}

#[test]
fn a_call_that_we_place_may_be_replaced_before_its_answer_and_one_that_rings_here_not() {
    let mut desk = Desk::new();
    let (old, invite) = desk.call(None);
    let (id, ours) = (
        invite.header("Call-ID").unwrap(),
        invite.tag(HeaderName::From),
    );
    let fields = format!("Replaces: {id};to-tag={ours};from-tag=them;early-only\r\n");
    assert_eq!(
        refused(&mut desk, &fields),
        "481",
        "nobody has answered yet"
    );
    desk.receive(&respond(&invite, 180, "them", CONTACT, ""));
    desk.events();
    come(&mut desk, &fields);
    let (_, incoming) = rings(&mut desk);
    assert_eq!(incoming.replaces, Some(old));
    assert!(incoming.replaces_is_early_only);

    let mut desk = Desk::new();
    let (_, tag) = desk.ring();
    assert_eq!(refused(&mut desk, &format!("{}\r\n", of(&tag))), "481");
}

#[test]
fn a_call_that_is_ending_gets_603() {
    let mut desk = Desk::new();
    let (call, tag) = desk.pick_up();
    desk.ua.hang_up(desk.now, call, None);
    let bye = desk.one();
    let fields = format!("{}\r\n", of(&tag));
    assert_eq!(refused(&mut desk, &fields), "603");
    desk.receive(&respond(&bye, 200, "", "", ""));
    desk.events();
    assert_eq!(refused(&mut desk, &fields), "481", "it is forgotten");
    desk.ends_empty();
}

#[test]
fn what_is_not_one_replaces_gets_400() {
    let mut desk = Desk::new();
    let (_, tag) = desk.pick_up();
    let one = of(&tag);
    for fields in [
        format!("{one}\r\n{one}\r\n"),
        format!("{one}, call-2;to-tag=1;from-tag=2\r\n"),
        format!("{one}\r\nJoin: call-1;to-tag={tag};from-tag=them\r\n"),
        format!("{one};to-tag={tag}\r\n"),
        format!("Replaces: call-1;to-tag={tag}\r\n"),
        "Replaces: call-1;from-tag=them\r\n".to_owned(),
        "Replaces:\r\n".to_owned(),
        "Replaces: call-1\r\n".to_owned(),
    ] {
        assert_eq!(refused(&mut desk, &fields), "400", "{fields}");
    }
    assert_eq!(desk.ua.call_count(), 1);
}

#[test]
fn a_peer_without_a_tag_is_named_by_0() {
    let mut desk = Desk::new();
    let untagged = |text: &str| text.replace(";tag=them", "");
    desk.receive(&untagged(&request(
        "INVITE",
        1,
        "z9hG4bKinv",
        "",
        CONTACT,
        OFFER,
    )));
    let (old, _) = rings(&mut desk);
    desk.ua.answer(desk.now, old, ANSWER.into());
    let tag = desk.one().tag(HeaderName::To);
    desk.receive(&untagged(&request("ACK", 1, "z9hG4bKack", &tag, "", "")));
    desk.events();
    let fields = format!("Replaces: call-1;to-tag={tag};from-tag=0\r\n");
    come(&mut desk, &fields);
    assert_eq!(rings(&mut desk).1.replaces, Some(old));
    let transfer = desk.ua.transfer_to(old).unwrap();
    assert_eq!(transfer.replaces.unwrap().to_tag, "0");
}

#[test]
fn what_an_attended_transfer_names_is_found_by_who_receives_it() {
    for caller_transfers in [true, false] {
        let (mut caller, mut callee) = (Desk::new(), Desk::new());
        let (theirs, invite) = caller.call(None);
        callee.receive(&invite.text);
        let (ours, _) = rings(&mut callee);
        callee.ua.answer(callee.now, ours, ANSWER.into());
        caller.receive(&callee.one().text);
        let ack = caller.one();
        callee.receive(&ack.text);
        callee.events();
        caller.events();
        let (from, call, at, expected) = match caller_transfers {
            true => (&caller, theirs, &mut callee, ours),
            false => (&callee, ours, &mut caller, theirs),
        };
        let transfer = from.ua.transfer_to(call).unwrap();
        come(at, &format!("Replaces: {}\r\n", transfer.replaces.unwrap()));
        assert_eq!(rings(at).1.replaces, Some(expected));
    }
}
