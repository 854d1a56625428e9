//! Trunks, agents and routes: whose calls are taken, and by whom.

use offhook::call::codecs::Codecs;
use offhook::config::{Asked, Rejection};
use offhook_media::Codec as Media;
use offhook_sip::digest::Algorithm;

use super::*;

#[test]
fn a_trunk_s_kind_decides_what_it_needs() {
    let base = "[[trunk]]\nname = \"t\"\n";
    let text = complaint(&format!("{base}kind = \"inbound\""));
    assert!(text.contains("trunk.networks: is missing"), "{text}");
    let text = complaint(&format!("{base}kind = \"register\"\nhost = \"h\""));
    assert!(text.contains("trunk.username: is missing"), "{text}");
    let text = complaint(&format!(
        "{base}kind = \"peer\"\nhost = \"h\"\nusername = \"u\""
    ));
    assert!(text.contains("trunk.password: is missing"), "{text}");
    let text = complaint(&format!("{base}kind = \"peer\""));
    assert!(text.contains("trunk.host"), "{text}");
    let text = complaint(&format!(
        "{base}kind = \"inbound\"\nnetworks = [\"0.0.0.0/0\"]"
    ));
    assert!(text.contains("whole internet"), "{text}");
    let text = complaint(&format!("{base}kind = \"pear\""));
    assert!(text.contains("\"pear\" is not one of"), "{text}");
    let text = complaint(&format!(
        "{base}kind = \"peer\"\nhost = \"h\"\nport = 70000"
    ));
    assert!(text.contains("trunk.port: is not a port"), "{text}");
}

#[test]
fn encryption_is_what_a_trunk_or_user_says_or_else_what_media_says() {
    let source = "[media]\nsrtp = \"off\"\n\
                  [[trunk]]\nname = \"a\"\nkind = \"peer\"\nhost = \"h\"\nsrtp = \"required\"\n\
                  [[trunk]]\nname = \"b\"\nkind = \"peer\"\nhost = \"h\"\n\
                  [[user]]\nname = \"alice\"\npassword = \"long enough\"\nsrtp = \"optional\"\n\
                  [[user]]\nname = \"bob\"\npassword = \"long enough\"\n";
    let config = parse(source).unwrap();
    assert_eq!(config.trunk_srtp("a"), SrtpPolicy::Required);
    assert_eq!(config.trunk_srtp("b"), SrtpPolicy::Off);
    assert_eq!(config.user_srtp("alice"), SrtpPolicy::Optional);
    assert_eq!(config.user_srtp("bob"), SrtpPolicy::Off);
    assert_eq!(parse("").unwrap().media.srtp, SrtpPolicy::Optional);
    let text = complaint("[media]\nsrtp = \"on\"\n");
    assert!(text.contains("media.srtp: \"on\" is not one of"), "{text}");
}

#[test]
fn codecs_are_what_a_trunk_says_or_else_what_media_says() {
    let source = "[media]\ncodecs = [\"opus\", \"g722\", \"PCMU\", \"G722\"]\n\
                  [[trunk]]\nname = \"a\"\nkind = \"peer\"\nhost = \"h\"\ncodecs = [\"L16\"]\n\
                  [[trunk]]\nname = \"b\"\nkind = \"peer\"\nhost = \"h\"\n";
    let config = parse(source).unwrap();
    let trunk = |name| Codecs::configured(&config, config.trunk(name));
    assert_eq!(trunk("a").offered(), [Media::L16]);
    for codecs in [trunk("b"), Codecs::configured(&config, None)] {
        assert_eq!(codecs.offered(), [Media::Opus, Media::G722, Media::Pcmu]);
        assert_eq!(codecs.accepted(), codecs.offered());
        assert!(codecs.count_in_order());
        assert_eq!(codecs.likely_rate_hz(), 16_000);
    }
    let unsaid = Codecs::configured(&parse("").unwrap(), None);
    assert_eq!(unsaid.offered(), [Media::Pcmu, Media::Pcma]);
    assert_eq!(
        (unsaid.count_in_order(), unsaid.likely_rate_hz()),
        (false, 8_000)
    );
    assert!(unsaid.accepted().contains(&Media::G722));
}

#[test]
fn codecs_that_are_unknown_or_missing_are_told() {
    let text = complaint("[media]\ncodecs = [\"PCMU\", \"G729\"]\n");
    assert!(text.contains("media.codecs"), "{text}");
    assert!(
        text.contains("\"G729\"") && text.contains("\"opus\""),
        "{text}"
    );
    let text = complaint("[media]\ncodecs = []\n");
    assert!(
        text.contains("media.codecs: is empty: name at least one of"),
        "{text}"
    );
}

#[test]
fn twilio_s_networks_and_number_are_known() {
    let source = "[[trunk]]\nname = \"t\"\nkind = \"peer\"\nhost = \"acme.pstn.twilio.com\"";
    let config = parse_with(source, &[("TWILIO_PHONE_NUMBER", "+12025550100")]).unwrap();
    let trunk = config.trunk("t").unwrap();
    assert_eq!(trunk.kind, TrunkKind::Peer);
    assert!(
        trunk
            .networks
            .iter()
            .any(|net| net.contains("54.172.60.2".parse().unwrap()))
    );
    assert!(
        !trunk
            .networks
            .iter()
            .any(|net| net.contains("54.172.60.4".parse().unwrap()))
    );
    assert!(trunk.networks_from_host);
    assert_eq!(trunk.caller_id.as_deref(), Some("+12025550100"));
}

#[test]
fn the_openai_key_of_the_environment_goes_to_nobody_else_in_the_clear() {
    let env = [("OPENAI_API_KEY", "sk-env")];
    let llm = |url: &str| {
        let source = format!("[llm]\nmodel = \"m\"\nbase_url = \"{url}\"");
        parse_with(&source, &env).unwrap().llm.unwrap().api_key
    };
    assert_eq!(llm("https://llm.example.com/v1"), Some("sk-env".into()));
    assert_eq!(llm("http://127.0.0.1:9/v1/"), Some("sk-env".into()));
    assert_eq!(llm("http://llm.example.com/v1"), None);
    let config = parse_with("[llm]\nmodel = \"gpt\"", &env).unwrap();
    assert_eq!(
        config.llm.unwrap().base_url.as_str(),
        "https://api.openai.com/v1"
    );
    assert_eq!(parse_with("", &env).unwrap().llm, None);
}

#[test]
fn routes_and_agents_must_fit_together() {
    let source = "[[agent]]\nname = \"sales\"\nflow = \"builtin:lead-qualification\"\n\
                  [[route]]\nto = \"+1*\"\nagent = \"sale\"\n";
    let text = complaint(source);
    assert!(
        text.starts_with("conf/offhook.toml:6: route.agent: no [[agent]]"),
        "{text}"
    );
    assert!(text.contains("the nearest is \"sales\""), "{text}");
    let text = complaint("[[agent]]\nname = \"a\"\nflow = \"flows/none.toml\"");
    assert!(
        text.contains("there is no file conf/flows/none.toml"),
        "{text}"
    );
    let twice = "[[user]]\nname = \"a\"\npassword = \"12345678\"\n".repeat(2);
    assert!(complaint(&twice).contains("is used twice"));
    let text = complaint("[agent]\nname = \"a\"");
    assert!(text.contains("write [[agent]], not [agent]"), "{text}");
}

#[test]
fn the_first_route_that_matches_takes_the_call() {
    let source = "[[agent]]\nname = \"a\"\nflow = \"builtin:lead-qualification\"\n\
                  [[agent]]\nname = \"b\"\nflow = \"builtin:lead-qualification\"\n\
                  [[route]]\nto = \"+49*\"\nfrom = \"+1*\"\nagent = \"a\"\n\
                  [[route]]\nagent = \"b\"\n";
    let config = parse(source).unwrap();
    let target = |to, from| {
        config
            .route(to, from, jiff::Timestamp::UNIX_EPOCH)
            .unwrap()
            .target
            .to_string()
    };
    assert_eq!(target("+4930123", "+1202555"), "a");
    assert_eq!(target("+4930123", "+3312345"), "b");
}

#[test]
fn a_route_takes_calls_while_it_is_open_and_the_next_one_the_others() {
    let of = |when: &str| {
        format!(
            "[[agent]]\nname = \"day\"\nflow = \"builtin:lead-qualification\"\n\
             [[agent]]\nname = \"night\"\nflow = \"builtin:lead-qualification\"\n\
             [[route]]\nwhen = {when}\ntime_zone = \"America/New_York\"\nagent = \"day\"\n\
             [[route]]\nagent = \"night\"\n"
        )
    };
    let config = parse(&of("[\"mon-fri 09:00-17:00\"]")).unwrap();
    let target = |at: &str| {
        let route = config.route("1", "2", at.parse().unwrap()).unwrap();
        route.target.to_string()
    };
    assert_eq!(target("2026-11-30T14:00:00Z"), "day", "nine o'clock there");
    assert_eq!(target("2026-11-30T13:59:00Z"), "night");
    let text = complaint(&of("\"9 to 5\""));
    assert!(text.contains("mon-fri 09:00-17:30"), "{text}");
    let text = complaint(&of("\"mon 9:00-17:00\"").replace("America/New_York", "Mars/Base"));
    assert!(text.contains("time_zone"), "{text}");
}

#[test]
fn a_trunk_s_numbers_have_a_form_and_their_country() {
    let of = |more: &str| {
        format!("[[trunk]]\nname = \"carrier\"\nkind = \"peer\"\nhost = \"192.0.2.1\"\n{more}")
    };
    let config = parse(&of("numbers = \"national\"\ncountry_code = \"+44\"\n")).unwrap();
    let trunk = &config.trunks[0];
    assert_eq!(trunk.numbers.to_string(), "national");
    assert_eq!(trunk.country_code.as_deref(), Some("44"));
    for (bad, key) in [
        ("numbers = \"e.164\"\n", "\"plus\""),
        ("numbers = \"national\"\n", "country_code"),
        ("country_code = \"UK\"\n", "country_code"),
        ("caller_ids = [\"+1202*\"]\n", "caller_id"),
    ] {
        let text = complaint(&of(bad));
        assert!(text.contains(key), "{bad}: {text}");
    }
}

#[test]
fn a_trunk_s_calls_get_header_fields_but_none_that_the_switch_writes() {
    let of = |headers: &str| {
        format!(
            "[[trunk]]\nname = \"carrier\"\nkind = \"peer\"\nhost = \"192.0.2.1\"\n\
             headers = {{ {headers} }}\npass_headers = [\"X-Tenant\"]\n"
        )
    };
    let config = parse(&of("X-Account = \"42\"")).unwrap();
    assert_eq!(config.trunks[0].headers["X-Account"], "42");
    assert!(config.trunks[0].pass_headers[0].matches("x-tenant"));
    for bad in [
        "Via = \"x\"",
        "t = \"x\"",
        "X-A = \"a\\r\\nVia: b\"",
        "\"X A\" = \"1\"",
        "X-A = \"\"",
    ] {
        let text = complaint(&of(bad));
        assert!(text.contains("headers"), "{bad}: {text}");
    }
}

#[test]
fn a_route_of_a_trunk_is_for_its_calls_alone_and_the_trunk_must_be_there() {
    let agent = "[[agent]]\nname = \"a\"\nflow = \"builtin:lead-qualification\"\n\
                 [[trunk]]\nname = \"office\"\nkind = \"inbound\"\nnetworks = [\"10.0.0.1/32\"]\n";
    let of = |trunk: &str| format!("{agent}[[route]]\nfrom_trunk = \"{trunk}\"\nagent = \"a\"\n");
    let config = parse(&of("office")).unwrap();
    let [route] = config.routes.as_slice() else {
        panic!("one route");
    };
    let takes = |trunk| {
        let headers = &[];
        let (to, from) = ("1", "2");
        route.matches(&Asked {
            to,
            from,
            trunk,
            headers,
            at: jiff::Timestamp::UNIX_EPOCH,
        })
    };
    assert!(takes(Some("office")));
    assert!(!takes(Some("other")) && !takes(None));
    let text = complaint(&of("ofice"));
    assert!(
        text.contains("route.from_trunk: no [[trunk]]") && text.contains("\"office\""),
        "{text}"
    );
}

#[test]
fn a_route_leads_to_an_agent_or_to_a_room_and_not_to_both() {
    let config = parse("[[route]]\nto = \"8000\"\nroom = \"sales\"\n").unwrap();
    let target = &config
        .route("8000", "alice", jiff::Timestamp::UNIX_EPOCH)
        .unwrap()
        .target;
    assert_eq!(*target, RouteTarget::Room("sales".to_owned()));
    let plain = config.room("sales");
    assert_eq!((plain.max_parties, plain.pin), (32, None));
    let agent = "[[agent]]\nname = \"a\"\nflow = \"builtin:lead-qualification\"\n";
    let both = format!("{agent}[[route]]\nagent = \"a\"\nroom = \"sales\"\n");
    let text = complaint(&both);
    assert!(
        text.contains("conf/offhook.toml:6: route.room: a route leads to one place"),
        "{text}"
    );
    let text = complaint("[[route]]\nto = \"8000\"\n");
    assert!(
        text.contains("route.agent: is missing") && text.contains("a room, trunk or user"),
        "{text}"
    );
    let text = complaint("[[route]]\nroom = \"two words\"\n");
    assert!(text.contains("route.room: use letters"), "{text}");
}

#[test]
fn a_route_leads_over_a_trunk_that_places_calls_or_to_a_user_that_there_is() {
    let source = "[[trunk]]\nname = \"carrier\"\nkind = \"peer\"\nhost = \"h\"\n\
                  [[trunk]]\nname = \"pbx\"\nkind = \"inbound\"\nnetworks = [\"10.0.0.0/8\"]\n\
                  [[user]]\nname = \"alice\"\npassword = \"long enough\"\n";
    let route = |more: &str| parse(&format!("{source}[[route]]\nto = \"+44*\"\n{more}"));
    let out = route("trunk = \"carrier\"\nring_s = 20\n").unwrap();
    assert_eq!(out.routes[0].target.to_string(), "trunk carrier");
    assert_eq!(out.routes[0].ring_s, 20);
    let alice = route("user = \"alice\"\n").unwrap();
    assert_eq!(alice.routes[0].target.to_string(), "user alice");
    assert_eq!(alice.routes[0].ring_s, 60);
    for (wrong, why) in [
        ("trunk = \"carier\"\n", "the nearest is \"carrier\""),
        (
            "trunk = \"pbx\"\n",
            "no [[trunk]] that places calls is named \"pbx\"",
        ),
        (
            "user = \"alic\"\n",
            "route.user: no [[user]] is named \"alic\"",
        ),
        (
            "user = \"alice\"\ntrunk = \"carrier\"\n",
            "leads to one place",
        ),
        ("user = \"alice\"\nring_s = 0\n", "from 1 to 300"),
    ] {
        let text = route(wrong).unwrap_err().to_string();
        assert!(text.contains(why), "{text}");
    }
}

#[test]
fn a_room_may_be_small_and_have_a_pin() {
    let room = |more: &str| {
        let route = "[[route]]\nto = \"8000\"\nroom = \"sales\"\n";
        parse(&format!("{route}[[room]]\nname = \"sales\"\n{more}"))
    };
    let sales = room("max_parties = 5\npin = \"0472\"\n").unwrap();
    assert_eq!(sales.warnings, Vec::<String>::new());
    let sales = sales.room("sales");
    assert_eq!((sales.max_parties, sales.pin), (5, Some("0472".into())));
    for (wrong, why) in [
        ("max_parties = 33\n", "from 2 to 32"),
        ("max_parties = 1\n", "from 2 to 32"),
        ("pin = \"12\"\n", "4 to 12 digits"),
        ("pin = \"12ab\"\n", "4 to 12 digits"),
    ] {
        let text = room(wrong).unwrap_err().to_string();
        assert!(text.contains(why), "{text}");
    }
    let astray = parse(
        "[[route]]\nto = \"8000\"\nroom = \"sales\"\n[[room]]\nname = \"sale\"\npin = \"0472\"\n",
    );
    let warnings = astray.unwrap().warnings.join("\n");
    assert!(
        warnings.contains("leads to room \"sale\"; the nearest that one leads to is \"sales\""),
        "{warnings}"
    );
}

#[test]
fn a_route_leads_to_several_trunks_or_users_or_to_a_refusal() {
    let parties = "[[trunk]]\nname = \"one\"\nkind = \"peer\"\nhost = \"one.example\"\n\
                   [[trunk]]\nname = \"two\"\nkind = \"peer\"\nhost = \"two.example\"\n\
                   [[user]]\nname = \"ann\"\npassword = \"correct horse battery\"\n\
                   [[user]]\nname = \"bob\"\npassword = \"correct horse battery\"\n";
    let of = |route: &str| format!("{parties}[[route]]\n{route}\n");
    let target = |route: &str| parse(&of(route)).unwrap().routes[0].target.clone();
    let weights = |target| match target {
        RouteTarget::Trunks(trunks) => trunks.iter().map(|t| t.weight).collect::<Vec<_>>(),
        other => panic!("{other}"),
    };
    assert_eq!(weights(target("trunk = \"one\"")), [0]);
    assert_eq!(weights(target("trunk = [\"one\", \"two\"]")), [0, 0]);
    let weighted = "trunk = [\"one\", \"two\"]\nweights = [3, 1]";
    assert_eq!(weights(target(weighted)), [3, 1]);
    let users = target("user = [\"ann\", \"bob\"]\nhunt = \"in-turn\"");
    assert_eq!(users.to_string(), "user ann, bob");
    assert!(users.is_bridged());
    let rejects = target("reject = \"busy\"");
    assert_eq!(rejects, RouteTarget::Reject(Rejection::Busy));
    for (route, said) in [
        ("trunk = [\"one\", \"tow\"]", "the nearest is \"two\""),
        ("trunk = [\"one\", \"one\"]", "names \"one\" twice"),
        ("trunk = []", "names 0: from 1 to 10"),
        (
            "trunk = [\"one\", \"two\"]\nweights = [3]",
            "for each of the 2 trunks",
        ),
        (
            "user = \"ann\"\nweights = [3]",
            "route.weights: is for a route with `trunk`",
        ),
        (
            "trunk = \"one\"\nhunt = \"all\"",
            "route.hunt: is for a route with `user`",
        ),
        (
            "reject = \"busy\"\nheaders = { \"X Tenant\" = \"a\" }",
            "is not the name of a header",
        ),
        (
            "reject = \"busy\"\nheaders = { Authorization = \"a\" }",
            "holds credentials",
        ),
        ("reject = \"no\"", "write \"busy\", \"declined\""),
        (
            "user = \"ann\"\nreject = \"busy\"",
            "a route leads to one place",
        ),
    ] {
        let text = complaint(&of(route));
        assert!(text.contains(said), "{route}: {text}");
    }
}

#[test]
fn phones_that_know_one_digest_alone_are_offered_that_one() {
    let config = parse("[sip]\ndigest = [\"MD5\"]").unwrap();
    let named: Vec<_> = config.sip.digest.iter().map(|named| named.0).collect();
    assert_eq!(named, [Algorithm::Md5]);
    let said = complaint("[sip]\ndigest = [\"SHA-1\"]");
    assert!(
        said.contains("sip.digest") && said.contains("SHA-256"),
        "{said}"
    );
}

#[test]
fn a_trunk_says_how_long_it_may_be_silent_and_after_what_its_calls_go_elsewhere() {
    let trunk = "[[trunk]]\nname = \"a\"\nkind = \"peer\"\nhost = \"h\"\n";
    let usual = parse(trunk).unwrap().trunks[0].clone();
    assert_eq!(usual.trying_timeout_s, 6);
    assert!(usual.fail_over_on.holds(503) && !usual.fail_over_on.holds(480));
    let source = format!("{trunk}trying_timeout_s = 2\nfail_over_on = [480, \"5xx\"]\n");
    let own = parse(&source).unwrap().trunks[0].clone();
    assert_eq!(own.trying_timeout_s, 2);
    assert!(own.fail_over_on.holds(480) && !own.fail_over_on.holds(403));
    for wrong in ["603", "200", "\"busy\""] {
        let text = complaint(&format!("{trunk}fail_over_on = [{wrong}]\n"));
        assert!(text.contains("trunk.fail_over_on"), "{text}");
    }
    let text = complaint(&format!("{trunk}trying_timeout_s = 0\n"));
    assert!(text.contains("trunk.trying_timeout_s"), "{text}");
}

#[test]
fn a_route_leads_on_to_others_and_never_round() {
    let parties = "[[trunk]]\nname = \"one\"\nkind = \"peer\"\nhost = \"one.example\"\n\
                   [[agent]]\nname = \"sales\"\nflow = \"builtin:lead-qualification\"\n\
                   [[user]]\nname = \"ann\"\npassword = \"correct horse battery\"\n\
                   [[user]]\nname = \"bob\"\npassword = \"correct horse battery\"\n";
    let of = |route: &str| format!("{parties}[[route]]\nto = \"100\"\n{route}\n");
    let good = "user = \"ann\"\nthen = [{ user = \"bob\", ring_s = 5 }, \
                { trunk = \"one\", to = \"+442079460123\" }, { agent = \"sales\" }]";
    let then = parse(&of(good)).unwrap().routes[0].then.clone();
    let rings: Vec<u32> = then.iter().map(|next| next.ring_s).collect();
    assert_eq!(rings, [5, 60, 60]);
    assert_eq!(then[1].to.as_deref(), Some("+442079460123"));
    for (route, said) in [
        (
            "agent = \"sales\"\nthen = [{ user = \"bob\" }]",
            "route.then: is for a route with `user` or `trunk`",
        ),
        (
            "user = \"ann\"\nthen = [{ agent = \"sales\" }, { user = \"bob\" }]",
            "an agent always answers",
        ),
        (
            "user = \"ann\"\nthen = [{ room = \"talk\" }]",
            "or as the last to an agent",
        ),
        (
            "user = [\"ann\", \"bob\"]\nthen = [{ user = \"ann\" }]",
            "route.then: goes round: user \"ann\"",
        ),
        (
            "user = \"ann\"\nthen = [{ user = \"bob\", to = \"+44\" }]",
            "route.then.to: is for `trunk`",
        ),
        (
            "user = \"ann\"\nthen = [{ trunk = \"one\", to = \"mobile\" }]",
            "route.then.to: is no number",
        ),
        (
            "user = \"ann\"\nthen = [{ trunk = \"one\", to = \"100\" }]",
            "route.then: goes round: 100 leads back",
        ),
        (
            "user = \"ann\"\nthen = [{ trunk = \"one\", to = \"200\" }]\n\
             [[route]]\nto = \"200\"\nuser = \"bob\"\nthen = [{ trunk = \"one\", to = \"100\" }]",
            "route.then: goes round: 200 leads back",
        ),
    ] {
        let text = complaint(&of(route));
        assert!(text.contains(said), "{route}: {text}");
    }
}
