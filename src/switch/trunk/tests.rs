use super::*;

fn table() -> TrunkTable {
    let trunk = |name: &str, kind, host: Option<&str>| Trunk {
        name: name.to_owned(),
        kind,
        host: host.map(str::to_owned),
        port: None,
        username: None,
        domain: None,
        contact_user: None,
        identity: IdentityHeader::None,
        caller_id: Some("+12025550100".to_owned()),
        caller_ids: Vec::new(),
        plan: NumberPlan::default(),
    };
    TrunkTable::new(vec![
        trunk("pbx", TrunkKind::Inbound, None),
        trunk("twilio", TrunkKind::Peer, Some("acme.pstn.twilio.com")),
    ])
}

fn dial(to: &str) -> Dial {
    Dial {
        to: Target::parse(to).unwrap(),
        trunk: None,
        from: None,
    }
}

#[test]
fn a_trunk_is_shown_the_callers_that_it_may_be_and_nobody_as_nobody() {
    let mut trunk = table().trunks()[1].clone();
    trunk.caller_ids = vec!["+1202*".parse().unwrap()];
    for (from, shown) in [
        (Some("+12025550143"), "+12025550143"),
        (Some("+442079460123"), "+12025550100"),
        (Some("anonymous"), "anonymous"),
        (None, "+12025550100"),
    ] {
        assert_eq!(trunk.shown(from).unwrap(), shown, "{from:?}");
    }
}

/// The From of a call that wants to show a caller, and what else the trunk is told of it.
fn presented(trunk: &Trunk, from: Option<&str>) -> (String, Vec<String>) {
    let table = TrunkTable::new(vec![trunk.clone()]);
    let dial = Dial {
        from: from.map(str::to_owned),
        ..dial("+12025550123")
    };
    let dialled = table.dial(&dial, "192.0.2.1").unwrap();
    let fields = dialled.identity.into_iter();
    let fields = fields.map(|(name, value)| format!("{name}: {value}"));
    (dialled.from_uri, fields.collect())
}

#[test]
fn a_trunk_is_told_who_calls_as_it_wants_it_and_that_a_caller_is_not_to_be_known() {
    let mut trunk = table().trunks()[1].clone();
    let shown = "sip:+12025550143@acme.pstn.twilio.com".to_owned();
    let withheld = "sip:anonymous@acme.pstn.twilio.com".to_owned();
    let (known, nobody) = (Some("+12025550143"), Some("anonymous"));
    assert_eq!(presented(&trunk, known), (shown.clone(), Vec::new()));
    assert_eq!(presented(&trunk, nobody), (withheld, Vec::new()));
    for (identity, field) in [
        (IdentityHeader::Asserted, "P-Asserted-Identity"),
        (IdentityHeader::Preferred, "P-Preferred-Identity"),
    ] {
        trunk.identity = identity;
        let said = vec![format!("{field}: <{shown}>")];
        assert_eq!(presented(&trunk, known), (shown.clone(), said));
        let (from, fields) = presented(&trunk, nobody);
        assert_eq!(from, "sip:anonymous@anonymous.invalid");
        let own = format!("{field}: <sip:+12025550100@acme.pstn.twilio.com>");
        assert_eq!(fields, [own, "Privacy: id".to_owned()]);
    }
    trunk.caller_id = None;
    assert_eq!(presented(&trunk, nobody).1, ["Privacy: id"]);
}

#[test]
fn our_address_of_record_has_its_own_domain_and_a_number_of_ours_the_trunk_s() {
    let mut trunk = table().trunks()[1].clone();
    trunk.username = Some("us".to_owned());
    trunk.domain = Some("ims.test".to_owned());
    trunk.identity = IdentityHeader::Asserted;
    let numbered = "sip:+12025550100@acme.pstn.twilio.com";
    assert_eq!(presented(&trunk, None).0, numbered);
    trunk.caller_id = None;
    let (from, said) = presented(&trunk, None);
    assert_eq!(from, "sip:us@ims.test");
    assert_eq!(said, ["P-Asserted-Identity: <sip:us@ims.test>"]);
    let (from, said) = presented(&trunk, Some("anonymous"));
    assert_eq!(from, "sip:anonymous@anonymous.invalid");
    assert_eq!(said[0], "P-Asserted-Identity: <sip:us@ims.test>");
}

#[test]
fn a_number_leaves_by_the_first_trunk_that_places_calls() {
    let dialled = table()
        .dial(&dial("+1 (202) 555-0123"), "192.0.2.1")
        .unwrap();
    assert_eq!(dial("tel:+1-202-555-0123"), dial("+12025550123"));
    assert_eq!(dialled.request_uri, "sip:+12025550123@acme.pstn.twilio.com");
    assert_eq!(dialled.from_uri, "sip:+12025550100@acme.pstn.twilio.com");
    assert_eq!(dialled.trunk.as_deref(), Some("twilio"));
}

#[test]
fn a_number_may_leave_by_every_trunk_that_places_calls_and_a_uri_by_those_on_its_host() {
    let mut trunks = table().trunks().to_vec();
    let spare = |name: &str, host: &str| Trunk {
        name: name.to_owned(),
        host: Some(host.to_owned()),
        ..trunks[1].clone()
    };
    let spares = [
        spare("spare", "spare.example"),
        spare("again", "Spare.Example"),
    ];
    trunks.extend(spares);
    let table = TrunkTable::new(trunks);
    let names = |dial: &Dial| -> Vec<String> {
        let ways = table.ways(dial, "192.0.2.1").unwrap().into_iter();
        ways.filter_map(|way| way.trunk).collect()
    };
    assert_eq!(names(&dial("+12025550123")), ["twilio", "spare", "again"]);
    assert_eq!(names(&dial("sip:bob@spare.example")), ["spare", "again"]);
    let mut named = dial("+12025550123");
    named.trunk = Some("spare".to_owned());
    assert_eq!(
        names(&named),
        ["spare"],
        "no other than the one that is named"
    );
}

#[test]
fn the_api_is_no_open_relay() {
    let refused = table().dial(&dial("sip:victim@203.0.113.9"), "192.0.2.1");
    assert!(matches!(refused, Err(DialError::NotOnTrunk(_))));
    let mut over_trunk = dial("sip:victim@203.0.113.9");
    over_trunk.trunk = Some("twilio".to_owned());
    let refused = table().dial(&over_trunk, "192.0.2.1");
    assert!(matches!(refused, Err(DialError::NotOnTrunk(_))));
    let local = table()
        .dial(&dial("sip:bob@127.0.0.1:5090"), "192.0.2.1")
        .unwrap();
    assert_eq!((local.trunk, local.port), (None, Some(5090)));
}

#[test]
fn what_cannot_be_dialled_is_said_in_words() {
    for text in ["hello", "+1202\r\nX", "sip:"] {
        assert!(matches!(Target::parse(text), Err(DialError::BadTarget(_))));
    }
    let mut inbound = dial("+12025550123");
    inbound.trunk = Some("pbx".to_owned());
    assert!(matches!(
        table().dial(&inbound, "h"),
        Err(DialError::InboundOnly(_))
    ));
    inbound.trunk = Some("nope".to_owned());
    let error = table().dial(&inbound, "h").unwrap_err().to_string();
    assert!(error.contains("pbx, twilio"), "{error}");
    let mut spoofed = dial("+12025550123");
    spoofed.from = Some("x@y>".to_owned());
    assert!(matches!(
        table().dial(&spoofed, "h"),
        Err(DialError::BadCaller(_))
    ));
    let none = TrunkTable::default().dial(&dial("+12025550123"), "h");
    assert_eq!(none, Err(DialError::NoTrunk));
}
