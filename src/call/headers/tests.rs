//! What a flow, a trunk and a record are told of a call's header fields.

use super::*;
use crate::call::caller::incoming;

fn trunk() -> Source {
    Source::Trunk("carrier".to_owned())
}

fn value(told: &[(String, Value)], name: &str) -> Option<Value> {
    let mut told = told.iter();
    told.find(|(n, _)| n == name)
        .map(|(_, value)| value.clone())
}

#[test]
fn a_flow_is_told_of_a_calls_own_headers() {
    let headers = [
        ("X-Order-Id", " 42 "),
        ("x-tenant", "acme"),
        ("Subject", "hello"),
        ("X-", "?"),
    ];
    let told = told(&incoming(trunk(), "+12025550143", &headers), false);
    assert_eq!(
        value(&told, "headers"),
        Some(json!({ "x_order_id": "42", "x_tenant": "acme" }))
    );
}

#[test]
fn who_does_not_want_it_known_that_they_had_a_call_is_told_of_here_alone() {
    let had = |field: &str, value: &str, of| {
        let invite = incoming(trunk(), "+12025550143", &[(field, value)]);
        had_it_before(&invite, of)
    };
    let diversion = "<sip:+12025550111@x>;privacy=\"full\", <sip:+12025550112@x>;privacy=off";
    assert_eq!(
        had("Diversion", diversion, Of::All),
        ["+12025550111", "+12025550112"]
    );
    assert_eq!(had("Diversion", diversion, Of::Public), ["+12025550112"]);
    let history = "<sip:+12025550111@x?Privacy=history>;index=1, <sip:+12025550112@x>;index=1.1";
    assert_eq!(had("History-Info", history, Of::All), ["+12025550111"]);
    assert!(had("History-Info", history, Of::Public).is_empty());
}

#[test]
fn who_had_the_call_before_is_the_topmost_diversion_or_the_last_but_one_of_the_history() {
    let diverted = |headers: &[(&str, &str)]| {
        let invite = incoming(trunk(), "+12025550143", headers);
        value(&told(&invite, false), "diverted_from")
    };
    let diversions = [
        (
            "Diversion",
            "\"a, b\" <sip:+12025550111@x;user=phone>;reason=no-answer, <sip:+1202@y>",
        ),
        ("Diversion", "<sip:+12025550112@z>"),
    ];
    assert_eq!(diverted(&diversions), Some(json!("+12025550111")));
    let history = [(
        "History-Info",
        "<sip:+12025550113@x?Reason=SIP%3Bcause%3D302>;index=1, <sip:desk@here>;index=1.1",
    )];
    assert_eq!(diverted(&history), Some(json!("+12025550113")));
    assert_eq!(
        diverted(&[("History-Info", "<sip:desk@here>;index=1")]),
        None
    );
    assert_eq!(diverted(&[("Diversion", ",,\"")]), None);
}

#[test]
fn what_a_carrier_made_of_the_number_is_told_and_nobody_else_is_believed() {
    let asserted = [(
        "P-Asserted-Identity",
        "<sip:+12025550143;verstat=TN-Validation-Passed@carrier.example>",
    )];
    let said = |source, headers: &[(&str, &str)]| {
        verdict(&incoming(source, "+12025550143", headers), false)
    };
    let passed = Some("TN-Validation-Passed");
    assert_eq!(said(trunk(), &asserted), passed);
    assert_eq!(said(Source::Local, &asserted), None);
    let forged = [(
        "From",
        "\"x;verstat=TN-Validation-Passed\" <sip:+12025550143@carrier.example>;tag=1",
    )];
    assert_eq!(said(trunk(), &forged), None);
    let odd = [("From", "<tel:+12025550143;verstat=Trust-Me>;tag=1")];
    assert_eq!(said(trunk(), &odd), None);
    let from = [("From", "<tel:+12025550143;verstat=No-TN-Validation>;tag=1")];
    assert_eq!(said(trunk(), &from), Some("No-TN-Validation"));
}

fn verdict(invite: &Incoming, is_twilios: bool) -> Option<&'static str> {
    verstat(invite, is_twilios).map(|verstat| verstat.verdict)
}

#[test]
fn a_verdict_may_say_how_well_the_caller_is_known_and_which_way_it_came() {
    let read = |said| Verstat::parse(said).map(|verstat| (verstat.verdict, verstat.level));
    let (passed, failed) = ("TN-Validation-Passed", "TN-Validation-Failed");
    for (said, wanted) in [
        ("TN-Validation-Passed", Some((passed, None))),
        ("TN-Validation-Passed-A", Some((passed, Some("A")))),
        (" tn-validation-passed-b ", Some((passed, Some("B")))),
        ("TN-Validation-Failed-C", Some((failed, Some("C")))),
        ("TN-Validation-Passed-A-Diverted", Some((passed, Some("A")))),
        ("TN-Validation-Failed-Passthrough", Some((failed, None))),
        ("No-TN-Validation", Some(("No-TN-Validation", None))),
        ("TN-Validation-Passed-D", None),
        ("TN-Validation-Passed-", None),
        ("TN-Validation-PassedA", None),
        ("TN-Validation-Passed-A-B", None),
        ("TN-Validation", None),
        ("TN-Validation-Passe\u{301}", None),
        ("", None),
    ] {
        assert_eq!(read(said), wanted, "{said:?}");
    }
    let asserted = [(
        "P-Asserted-Identity",
        "<sip:+12025550143;verstat=TN-Validation-Passed-B@carrier.example>",
    )];
    let told = told(&incoming(trunk(), "+12025550143", &asserted), false);
    assert_eq!(value(&told, "verstat"), Some(json!("TN-Validation-Passed")));
    assert_eq!(value(&told, "attestation"), Some(json!("B")));
}

#[test]
fn twilio_s_own_verdict_is_believed_of_twilio_alone() {
    let headers = [("X-Twilio-VerStat", "TN-Validation-Passed-A")];
    let invite = incoming(trunk(), "+12025550143", &headers);
    assert_eq!(verdict(&invite, true), Some("TN-Validation-Passed"));
    assert_eq!(verdict(&invite, false), None);
    let local = incoming(Source::Local, "+12025550143", &headers);
    assert_eq!(verdict(&local, true), None);
    // What an address says goes first.
    let both = [
        headers[0],
        (
            "P-Asserted-Identity",
            "<tel:+12025550143;verstat=TN-Validation-Failed>",
        ),
    ];
    let invite = incoming(trunk(), "+12025550143", &both);
    assert_eq!(verdict(&invite, true), Some("TN-Validation-Failed"));
}

#[test]
fn a_flow_is_told_why_a_call_was_sent_here() {
    let said = |headers: &[(&str, &str)]| {
        let told = told(&incoming(trunk(), "+12025550143", headers), false);
        value(&told, "call_reason")
    };
    let reasons = [
        ("Reason", "SIP;cause=302;text=\"Moved Temporarily\""),
        ("reason", " Q.850;cause=19"),
    ];
    let both = "SIP;cause=302;text=\"Moved Temporarily\", Q.850;cause=19";
    assert_eq!(said(&reasons), Some(json!(both)));
    assert_eq!(said(&[]), None);
    let long = "x".repeat(VALUE_MAX + 1);
    assert_eq!(said(&[("Reason", &long)]), None);
}

#[test]
fn a_signed_identity_goes_on_and_other_headers_where_a_trunk_wants_them() {
    let headers = [
        (
            "Identity",
            "eyJ;info=<https://cert.example/a.pem>;alg=ES256;ppt=shaken",
        ),
        ("X-Tenant", "acme"),
        ("X-Secret", "1"),
        ("Via", "SIP/2.0/UDP inside"),
    ];
    let invite = incoming(trunk(), "+12025550143", &headers);
    let names = |patterns: &[&str]| {
        let wanted: Vec<Pattern> = patterns.iter().map(|text| text.parse().unwrap()).collect();
        let passed = passed_on(&invite, &wanted);
        passed.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), ["Identity"]);
    assert_eq!(names(&["x-ten*", "Via"]), ["Identity", "X-Tenant"]);
    let user = incoming(Source::User("bob".to_owned()), "bob", &headers);
    assert!(
        passed_on(&user, &[]).is_empty(),
        "it has no number of its own"
    );
    let private = [headers[0], ("Privacy", "id")];
    assert!(passed_on(&incoming(trunk(), "anonymous", &private), &[]).is_empty());
}

/// Pieces of what carriers write, of which values are put together at random.
const PIECES: &[&str] = &[
    "<sip:+12025550143@a.test>",
    "sip:",
    "tel:+1",
    "<",
    ">",
    "\"",
    "\\",
    ",",
    ";",
    "=",
    "?",
    "&",
    "reason=no-answer",
    ";privacy=full",
    ";privacy=off",
    "?Privacy=history",
    "Privacy=",
    ";index=1.1",
    ";cause=302",
    "%",
    "%00",
    "%2B",
    "@",
    ":",
    "[::1]",
    " ",
    "\t",
    "verstat=TN-Validation-Passed-A",
    "id",
    "none",
    "\u{fffd}",
    "é",
    "9999999999999999999999",
    "*",
];

#[test]
fn whatever_a_carriers_fields_say_is_read_within_bounds() {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    let names = [
        "Diversion",
        "History-Info",
        "Privacy",
        "P-Asserted-Identity",
        "P-Preferred-Identity",
        "P-Called-Party-ID",
        "X-Twilio-VerStat",
        "Identity",
        "X-Any",
        "Reason",
    ];
    let plan = crate::switch::NumberPlan::default();
    for seed in 0..20_000_u64 {
        let mut draws = StdRng::seed_from_u64(seed);
        let mut value = || -> String {
            let pieces =
                (0..draws.random_range(0..40)).map(|_| draws.random_range(0..PIECES.len()));
            let pieces: Vec<usize> = pieces.collect();
            pieces.into_iter().map(|piece| PIECES[piece]).collect()
        };
        let values = names.map(|name| (name, value()));
        let headers = values
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        let mut invite = incoming(trunk(), &value(), &headers);
        invite.request_uri = value();
        let before = had_it_before(&invite, Of::All);
        assert!(before.len() <= FIELDS_MAX, "seed {seed}: {before:?}");
        let public = had_it_before(&invite, Of::Public);
        assert!(public.len() <= FIELDS_MAX, "seed {seed}: {public:?}");
        let said = told(&invite, true);
        assert!(said.len() <= 16, "seed {seed}: {said:?}");
        let seen = [
            crate::call::caller::routed_as(&invite),
            crate::call::caller::shown_on_trunk(&invite),
            crate::call::called::called_party(&invite),
        ];
        assert!(
            seen.iter().all(|text| text.len() < 4_096),
            "seed {seed}: {seen:?}"
        );
        let _ = crate::call::caller::asserted_identity(&invite, &plan);
        let _ = crate::call::caller::is_private(&invite);
        for (_, value) in &values {
            let parts: usize = split_at_commas(value).map(|part| part.len() + 1).sum();
            assert_eq!(
                parts,
                value.len() + 1,
                "seed {seed}: nothing is lost of {value:?}"
            );
        }
    }
}
