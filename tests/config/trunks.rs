//! The examples of `config/trunks`: each is understood as it stands, and dials nobody in the clear
//! that it should not.

use std::path::Path;

use offhook::config::{
    DiversionHeader, FollowRedirects, IdentityHeader, Transport, TrunkConfig, TrunkKind,
};
use offhook::switch::{Number, NumberPlan};
use offhook_media::SrtpPolicy;

use super::*;

/// What the examples take from the environment.
const FILLED_IN: [(&str, &str); 27] = [
    ("TWILIO_TRUNK_HOST", "example.pstn.twilio.com"),
    ("TWILIO_TRUNK_USER", "u"),
    ("TWILIO_TRUNK_PASSWORD", "long-enough-a-secret"),
    ("TWILIO_PHONE_NUMBER", "+12025550100"),
    ("TWILIO_SIP_DOMAIN", "example.sip.twilio.com"),
    ("TWILIO_SIP_USER", "u"),
    ("TWILIO_SIP_PASSWORD", "long-enough-a-secret"),
    ("TELNYX_USER", "u"),
    ("TELNYX_PASSWORD", "long-enough-a-secret"),
    ("TELNYX_NUMBER", "+12025550101"),
    ("PLIVO_TERMINATION_DOMAIN", "example.zt.plivo.com"),
    ("PLIVO_TRUNK_USER", "u"),
    ("PLIVO_TRUNK_PASSWORD", "long-enough-a-secret"),
    ("PLIVO_NUMBER", "+12025550102"),
    ("VONAGE_API_KEY", "k"),
    ("VONAGE_API_SECRET", "long-enough-a-secret"),
    ("VONAGE_NUMBER", "+12025550103"),
    ("BANDWIDTH_SBC_HOST", "192.0.2.1"),
    ("BANDWIDTH_SBC_NETWORK", "192.0.2.0/29"),
    ("BANDWIDTH_NUMBER", "+12025550104"),
    ("SIP_REGISTRAR", "sip.example"),
    ("SIP_USER", "u"),
    ("SIP_PASSWORD", "long-enough-a-secret"),
    ("SIP_NUMBER", "+12025550105"),
    ("ASTERISK_HOST", "192.0.2.9"),
    ("FRITZBOX_USER", "u"),
    ("FRITZBOX_PASSWORD", "long-enough-a-secret"),
];

fn examples() -> Vec<(String, TrunkConfig)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/trunks");
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        let config = Config::load(&path, &FILLED_IN.into_iter().collect());
        let config = config.unwrap_or_else(|errors| panic!("{}: {errors}", path.display()));
        assert_eq!(config.trunks.len(), 1, "{}", path.display());
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        (name, config.trunks[0].clone())
    };
    std::fs::read_dir(folder).unwrap().map(read).collect()
}

#[test]
fn every_carrier_s_example_is_understood_as_it_stands() {
    let examples = examples();
    assert_eq!(examples.len(), 10);
    for (name, trunk) in &examples {
        let registers = matches!(
            name.as_str(),
            "twilio-domain" | "telnyx" | "registrar" | "fritzbox"
        );
        assert_eq!(trunk.kind == TrunkKind::Register, registers, "{name}");
        assert!(trunk.transport.is_some(), "{name}");
    }
}

#[test]
fn twilio_s_trunk_is_secure_in_both_or_in_neither() {
    for (name, trunk) in examples() {
        let secure = match name.as_str() {
            "twilio" => (Transport::Udp, SrtpPolicy::Off),
            "twilio-secure" => (Transport::Tls, SrtpPolicy::Required),
            _ => continue,
        };
        assert_eq!((trunk.transport.unwrap(), trunk.srtp.unwrap()), secure);
        // Its calls come from addresses that its name does not resolve to.
        let network = "54.172.60.0/30".parse().unwrap();
        assert!(trunk.networks.contains(&network));
    }
}

#[test]
fn what_carriers_say_of_calls_a_second_and_of_numbers_is_in_their_examples() {
    for (name, trunk) in examples() {
        let max_cps = match name.as_str() {
            "plivo" => 2,
            "vonage" => 3,
            _ => 0,
        };
        assert_eq!(trunk.max_cps, max_cps, "{name}");
        if name == "telnyx" {
            let plan = NumberPlan::of(&trunk);
            for number in ["12025550143", "442079460123"] {
                let known = plan.read(number);
                assert_eq!(known, format!("+{number}"));
                let number = Number::parse(&known).unwrap();
                assert_eq!(plan.write(&number), known);
            }
        }
    }
}

/// A trunk of which something more is said.
fn of(more: &str) -> Result<TrunkConfig, String> {
    let text = format!("[[trunk]]\nname = \"a\"\nkind = \"peer\"\nhost = \"a.example\"\n{more}");
    let config = Config::parse(&text, None, &Env::process());
    let config = config.map_err(|errors| errors.to_string())?;
    Ok(config.trunks[0].clone())
}

#[test]
fn who_we_are_at_a_trunk_and_who_proves_it_may_be_two() {
    let password = "password = \"long-enough-a-secret\"\n";
    let who = |more: &str| {
        let trunk = of(&format!("{more}{password}")).unwrap();
        let digest = trunk.digest_user().unwrap().to_owned();
        let aor = format!("{}@{}", trunk.aor_user().unwrap(), trunk.domain());
        (aor, digest)
    };
    let pair = |aor: &str, digest: &str| (aor.to_owned(), digest.to_owned());
    assert_eq!(who("username = \"u\"\n"), pair("u@a.example", "u"));
    assert_eq!(
        who("username = \"u\"\nauth_username = \"d\"\n"),
        pair("u@a.example", "d")
    );
    assert_eq!(
        who("username = \"u@realm.example\"\n"),
        pair("u@realm.example", "u@realm.example")
    );
    for (wrong, named) in [
        ("username = \"u@\"\n", "user@domain"),
        ("username = \"@a.example\"\n", "user@domain"),
        ("username = \"u@b c\"\n", "user@domain"),
        ("auth_username = \"d\"\n", "auth_username"),
    ] {
        let errors = of(&format!("{wrong}{password}")).unwrap_err();
        assert!(errors.contains(named), "{errors}");
    }
}

#[test]
fn how_a_trunk_is_told_who_calls_is_one_of_three_and_is_not_written_twice() {
    let told = |more: &str| of(more).unwrap().identity;
    assert_eq!(told(""), IdentityHeader::None);
    assert_eq!(told("identity = \"pai\"\n"), IdentityHeader::Asserted);
    assert_eq!(told("identity = \"ppi\"\n"), IdentityHeader::Preferred);
    let errors = of("identity = \"yes\"\n").unwrap_err();
    assert!(errors.contains("\"pai\""), "{errors}");
    let asserted = "headers = { p-asserted-identity = \"<sip:us@a.example>\" }\n";
    assert!(of(asserted).is_ok(), "by hand");
    let twice = of(&format!("identity = \"pai\"\n{asserted}")).unwrap_err();
    assert!(twice.contains("`identity` writes"), "{twice}");
}

#[test]
fn what_a_trunk_is_rid_of_is_nothing_that_a_call_needs() {
    let trunk = of("remove_headers = [\"X-Internal-*\", \"Identity\"]\n").unwrap();
    assert!(trunk.remove_headers[0].matches("x-internal-id"));
    for (wrong, named) in [
        ("remove_headers = [\"Contact\"]\n", "itself writes"),
        (
            "headers = { X-A = \"1\" }\nremove_headers = [\"X-*\"]\n",
            "takes away",
        ),
    ] {
        let errors = of(wrong).unwrap_err();
        assert!(
            errors.contains("remove_headers") && errors.contains(named),
            "{errors}"
        );
    }
}

#[test]
fn what_would_ask_too_often_or_refuse_itself_is_refused() {
    let often = "[[trunk]]\nname = \"a\"\nkind = \"peer\"\nhost = \"a.example\"\nping_s = 3\n";
    let errors = Config::parse(often, None, &Env::process()).unwrap_err();
    assert!(errors.to_string().contains("ping_s"), "{errors}");
    let short = "[sip]\nsession_expires_s = 120\nmin_se_s = 600\n";
    let errors = Config::parse(short, None, &Env::process()).unwrap_err();
    assert!(errors.to_string().contains("min_se_s (600)"), "{errors}");
}

#[test]
fn where_a_trunk_s_redirects_may_lead_is_one_of_three() {
    let of = |more: &str| {
        let text =
            format!("[[trunk]]\nname = \"a\"\nkind = \"peer\"\nhost = \"a.example\"\n{more}");
        Config::parse(&text, None, &Env::process())
    };
    let follows = |more: &str| of(more).unwrap().trunks[0].follow_redirects;
    assert_eq!(follows(""), FollowRedirects::Trunk);
    assert_eq!(
        follows("follow_redirects = \"anywhere\"\n"),
        FollowRedirects::Anywhere
    );
    let errors = of("follow_redirects = \"yes\"\n").unwrap_err().to_string();
    assert!(errors.contains("\"never\""), "{errors}");
}

#[test]
fn how_a_trunk_is_told_of_diversions_is_one_of_three() {
    let of = |more: &str| {
        let text =
            format!("[[trunk]]\nname = \"a\"\nkind = \"peer\"\nhost = \"a.example\"\n{more}");
        Config::parse(&text, None, &Env::process())
    };
    let told = |more: &str| of(more).unwrap().trunks[0].diversion;
    assert_eq!(told(""), DiversionHeader::None);
    let history = told("diversion = \"history-info\"\n");
    assert_eq!(history, DiversionHeader::HistoryInfo);
    let errors = of("diversion = \"yes\"\n").unwrap_err().to_string();
    assert!(errors.contains("\"history-info\""), "{errors}");
}
