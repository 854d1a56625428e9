use super::*;

fn uri(text: &str) -> Uri<'_> {
    Uri::parse(text).unwrap_or_else(|_| panic!("{text}"))
}

#[test]
fn the_parts_of_a_sip_uri_are_told_apart() {
    let uri = uri("sips:alice:secret@atlanta.example.com:5061;transport=tcp;lr?subject=x&to=y");
    assert_eq!(uri.scheme, Scheme::Sips);
    assert_eq!((uri.user, uri.password), (Some("alice"), Some("secret")));
    assert_eq!(
        (uri.host, uri.port),
        (Host::Name("atlanta.example.com"), Some(5061))
    );
    assert_eq!(uri.transport(), Some("tcp"));
    assert!(uri.is_loose_route());
    assert_eq!(
        uri.headers().collect::<Vec<_>>(),
        [("subject", Some("x")), ("to", Some("y"))]
    );
}

#[test]
fn a_semicolon_may_belong_to_the_user() {
    let uri = uri("sip:user;par=u%40example.net@example.com");
    assert_eq!(uri.user, Some("user;par=u%40example.net"));
    assert_eq!(uri.user_text(), "user;par=u@example.net");
    assert_eq!(uri.host, Host::Name("example.com"));
    assert_eq!(uri.params().count(), 0);
}

#[test]
fn every_character_that_a_user_may_have_is_read() {
    let user = "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*";
    let text = format!("sip:{user}:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com");
    assert_eq!(uri(&text).user, Some(user));
    assert_eq!(
        uri(&text).password,
        Some("&it+has=1,weird!*pas$wo~d_too.(doesn't-it)")
    );
}

#[test]
fn ipv6_hosts_stand_in_brackets() {
    assert_eq!(uri("sip:[2001:db8::10]:5070").port, Some(5070));
    let ambiguous = uri("sip:[2001:db8::10:5070]");
    assert_eq!(
        ambiguous.host,
        Host::V6("2001:db8::10:5070".parse().unwrap())
    );
    assert_eq!(ambiguous.port, None);
    assert!(Uri::parse("sip:2001:db8::10").is_err());
    let mapped = uri("sip:ted@[::ffff:192.0.2.2]");
    assert_eq!(mapped.host, Host::V6("::ffff:192.0.2.2".parse().unwrap()));
    let three = uri("sip:user@[2001:db8:::192.0.2.1]");
    assert_eq!(three.host, uri("sip:user@[2001:db8::192.0.2.1]").host);
}

#[test]
fn tel_and_foreign_uris_keep_what_they_say() {
    let tel = uri("tel:+1-201-555-0123;phone-context=example.com");
    assert_eq!(tel.number(), Some("+1-201-555-0123"));
    assert_eq!(tel.param("phone-context"), Some("example.com"));
    let other = uri("soap.beep://192.0.2.103:3002");
    assert_eq!(other.scheme, Scheme::Other("soap.beep"));
}

#[test]
fn what_is_no_uri_is_refused() {
    for text in [
        "",
        "sip",
        "sip:",
        "sip:@host",
        "sip:user@",
        "sip:user@host:",
        "sip:user@host:99999",
        "sip:a b@host",
        "<sip:a@host>",
        "sip:a@host;",
        "sip:a@host;;x",
        "sip:a@host?",
        "sip:a@[::1",
        "sip:a@1.2.3.4.5",
        "sip:a@1.2.3.256",
        "sip:a@host\r\n",
        "tel:",
        ":x",
        "sip:user@host; lr",
        "sip:a@b@c",
    ] {
        assert!(Uri::parse(text).is_err(), "{text}");
    }
}

#[test]
fn uris_that_rfc3261_calls_equal_are_equivalent() {
    for (a, b) in [
        (
            "sip:%61lice@atlanta.com;transport=TCP",
            "sip:alice@AtLanTa.CoM;Transport=tcp",
        ),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        (
            "sip:carol@chicago.com;newparam=5",
            "sip:carol@chicago.com;security=on",
        ),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
        ("tel:+1-201-555-0123", "tel:+12015550123"),
    ] {
        assert!(uri(a).equivalent(&uri(b)), "{a} {b}");
        assert!(uri(b).equivalent(&uri(a)), "{b} {a}");
    }
}

#[test]
fn uris_that_rfc3261_calls_different_are_not_equivalent() {
    for (a, b) in [
        (
            "SIP:ALICE@AtLanTa.CoM;Transport=udp",
            "sip:alice@AtLanTa.CoM;Transport=UDP",
        ),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        (
            "sip:bob@biloxi.com",
            "sip:bob@biloxi.com:6000;transport=tcp",
        ),
        (
            "sip:carol@chicago.com",
            "sip:carol@chicago.com?Subject=next%20meeting",
        ),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:a@b;security=on", "sip:a@b;security=off"),
        ("sip:a@b", "sips:a@b"),
        ("sip:a@b", "tel:a"),
        ("sip:%00@host5.example.com", "sip:%00%00@host5.example.com"),
    ] {
        assert!(!uri(a).equivalent(&uri(b)), "{a} {b}");
        assert!(!uri(b).equivalent(&uri(a)), "{b} {a}");
    }
}

#[test]
fn escapes_resolve_and_are_written() {
    assert_eq!(
        uri("sip:sips%3Auser%40example.com@example.net").user_text(),
        "sips:user@example.com"
    );
    assert_eq!(uri("sip:a@b;%6C%72").param("lr"), Some(""));
    assert_eq!(unescape("null-%00-null").as_ref(), b"null-\0-null");
    assert_eq!(unescape("100%").as_ref(), b"100%");
    assert_eq!(Escaped("a b@c").to_string(), "a%20b%40c");
}

#[test]
fn a_kept_uri_gives_the_same_view() {
    let kept = UriBuf::new("sip:a@b;lr").unwrap();
    assert!(kept.view().unwrap().is_loose_route());
    assert!(UriBuf::new("not a uri").is_err());
}

#[test]
fn a_password_never_shows_in_debug() {
    assert_eq!(
        format!("{:?}", uri("sip:a:secret@b;lr")),
        "Uri(\"sip:a:…@b\")"
    );
    assert_eq!(format!("{:?}", uri("sip:a@b;lr")), "Uri(\"sip:a@b;lr\")");
}
