//! The examples of `config/trunks`: each is understood as it stands, and dials nobody in the clear
//! that it should not.

use std::path::Path;

use offhook::config::{DiversionHeader, FollowRedirects, Transport, TrunkConfig, TrunkKind};
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
