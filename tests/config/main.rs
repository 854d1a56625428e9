//! What a person who writes a configuration can rely on.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

mod calls;
mod tls;
mod trunks;

use std::path::{Path, PathBuf};

use offhook_media::SrtpPolicy;

use offhook::config::{
    Codec, Config, ConfigErrors, Env, FlowSource, RecordingFormat, RouteTarget, Secret, TrunkKind,
    schema,
};

fn none() -> Env {
    Env::default()
}

fn parse(source: &str) -> Result<Config, ConfigErrors> {
    Config::parse(source, Some(Path::new("conf/offhook.toml")), &none())
}

fn parse_with(source: &str, env: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let env = env.iter().copied().collect();
    Config::parse(source, Some(Path::new("conf/offhook.toml")), &env)
}

fn complaint(source: &str) -> String {
    parse(source).unwrap_err().to_string()
}

fn shipped() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/offhook.toml")).unwrap()
}

/// Lays a configuration and the flow that it names into a folder of their own.
fn lay_out(source: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("offhook.toml");
    std::fs::create_dir(folder.path().join("flows")).unwrap();
    std::fs::write(folder.path().join("flows/lead-qualification.toml"), "").unwrap();
    std::fs::write(&file, source).unwrap();
    (folder, file)
}

/// Turns on every setting that the shipped file shows as off.
fn everything_on(source: &str) -> String {
    let on = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => {
            format!("{rest}\n")
        }
        _ => format!("{line}\n"),
    };
    source.lines().map(on).collect()
}

const SECRETS: [(&str, &str); 7] = [
    ("OFFHOOK_KEY", "0123456789abcdef0123456789abcdef"),
    ("ALICE_PASSWORD", "correct horse battery"),
    ("TWILIO_PASSWORD", "tw1l10-p4ss"),
    ("LLM_API_KEY", "sk-llm"),
    ("LLM_TEAM", "phone-team"),
    ("PLOINK_API_KEY", "plk-key"),
    ("SALES_PIN", "847261"),
];

#[test]
fn the_shipped_file_loads_as_it_is_and_equals_the_defaults() {
    let (_folder, file) = lay_out(&shipped());
    let config = Config::load(&file, &none()).unwrap();
    assert_eq!(config.warnings, Vec::<String>::new());
    let defaults = Config::from_env(&none()).unwrap();
    assert_eq!(config.sip, defaults.sip);
    assert_eq!(config.media, defaults.media);
    assert_eq!(config.limits, defaults.limits);
    assert_eq!(config.http, defaults.http);
    assert_eq!(config.models, defaults.models);
    assert_eq!(config.log, defaults.log);
    assert_eq!(
        (config.llm, config.crm.ploink, config.trunks.len()),
        (None, None, 0)
    );
    let agent = config.agents.first().unwrap();
    let built_in = Config::demo(&none())
        .unwrap()
        .agents
        .first()
        .cloned()
        .unwrap();
    assert_eq!(
        offhook::config::AgentConfig {
            flow: built_in.flow.clone(),
            ..agent.clone()
        },
        built_in
    );
}

#[test]
fn the_shipped_file_with_everything_turned_on_loads_and_shows_no_secret() {
    let (_folder, file) = lay_out(&everything_on(&shipped()));
    let config = Config::load(&file, &SECRETS.into_iter().collect()).unwrap();
    assert_eq!(config.warnings, Vec::<String>::new());
    let trunk = config.trunk("twilio").unwrap();
    assert_eq!(trunk.password, Some(Secret::new("tw1l10-p4ss")));
    assert_eq!(trunk.codecs, Some(vec![Codec::Pcmu, Codec::Pcma]));
    assert_eq!(config.llm.as_ref().unwrap().max_tokens, 300);
    let shown = format!("{config:?}\n{}", config.summary());
    for (_, secret) in SECRETS {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[test]
fn the_shipped_file_and_the_manual_name_every_key() {
    let text = shipped();
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    let full: toml::Table = toml::from_str(&everything_on(&text)).unwrap();
    for key in schema() {
        let mut at = toml::Value::Table(full.clone());
        for part in key.path.split('.') {
            let inner = match &at {
                // Each key is in one of them: no route leads to all places.
                toml::Value::Array(items) => items.iter().find_map(|item| item.get(part).cloned()),
                other => other.get(part).cloned(),
            };
            at = inner.unwrap_or_else(|| panic!("{} is not in config/offhook.toml", key.path));
        }
        assert!(
            manual.contains(&format!("`{}`", key.path)),
            "{} is not in the manual",
            key.path
        );
    }
}

#[test]
fn the_design_s_least_configuration_is_accepted() {
    let source = r#"
        [sip]
        listen = ["udp://127.0.0.1:5060"]
        public_address = "203.0.113.7"
        local_networks = ["10.0.0.0/8"]
        [media]
        ports = "20000-29999"
        recordings = "data/recordings"
        [http]
        listen = "127.0.0.1:8080"
        [store]
        url = "sqlite://data/offhook.db"
        [models]
        dir = "~/.cache/offhook"
        [crm.ploink]
        base_url = "http://localhost:3005"
        [llm]
        base_url = "http://localhost:11434/v1"
        model = "m"
        api_key = "${LLM_API_KEY}"
        [[trunk]]
        name = "twilio"
        kind = "peer"
        host = "example.pstn.twilio.com"
        username = "u"
        password = "${TWILIO_PASSWORD}"
        caller_id = "+12025550100"
        [[agent]]
        name = "lead-qualification"
        flow = "builtin:lead-qualification"
        [[user]]
        name = "alice"
        password = "${ALICE_PASSWORD}"
        [[http.key]]
        name = "ops"
        key = "${OFFHOOK_KEY}"
        [[route]]
        to = "*"
        agent = "lead-qualification"
    "#;
    let mut env = SECRETS.to_vec();
    env.push(("HOME", "/home/me"));
    let config = parse_with(source, &env).unwrap();
    assert_eq!(config.models.dir, Path::new("/home/me/.cache/offhook"));
    assert_eq!(
        config.media.recordings.as_deref(),
        Some(Path::new("conf/data/recordings"))
    );
    assert_eq!(config.store.url.expose(), "sqlite://conf/data/offhook.db");
    assert_eq!(
        config.llm.unwrap().base_url.as_str(),
        "http://localhost:11434/v1"
    );
}

#[test]
fn recordings_are_wav_unless_the_configuration_says_opus() {
    let format = |text: &str| parse(text).map(|config| config.media.recording_format);
    assert_eq!(format("").unwrap(), RecordingFormat::Wav);
    let opus = format("[media]\nrecording_format = \"opus\"\n").unwrap();
    assert_eq!(opus, RecordingFormat::Opus);
    let refused = format("[media]\nrecording_format = \"mp3\"\n").unwrap_err();
    assert!(
        refused.to_string().contains("\"wav\", \"opus\""),
        "{refused}"
    );
}

#[test]
fn a_trunk_says_whether_it_is_recorded_and_what_is_said_of_that() {
    let trunk = |more: &str| {
        let text = "[[trunk]]\nname = \"pbx\"\nkind = \"inbound\"\nnetworks = [\"10.0.0.0/8\"]\n";
        parse(&format!("media.recordings = \"there\"\n{text}{more}"))
    };
    let silent = &trunk("").unwrap().trunks[0];
    assert!(silent.record && silent.recording_announcement.is_none());
    assert!(!trunk("record = false\n").unwrap().trunks[0].record);
    let told = trunk("recording_announcement = \"This call is recorded.\"\n").unwrap();
    let announcement = told.trunks[0].recording_announcement.as_deref();
    assert_eq!(announcement, Some("This call is recorded."));
    assert_eq!(told.warnings, Vec::<String>::new());
    for (wrong, why) in [
        (
            "record = false\nrecording_announcement = \"Yes.\"\n",
            "never be said",
        ),
        ("recording_announcement = \" \"\n", "at most 500"),
    ] {
        let refused = trunk(wrong).unwrap_err().to_string();
        assert!(refused.contains(why), "{refused}");
    }
}

#[test]
fn recordings_are_kept_for_ever_or_for_days() {
    let days = |text: &str| parse(text).map(|config| config.media.recordings_keep_days);
    let keep =
        |days: u32| format!("[media]\nrecordings = \"there\"\nrecordings_keep_days = {days}\n");
    assert_eq!(days("").unwrap(), None);
    assert_eq!(days(&keep(90)).unwrap(), Some(90));
    let refused = days(&keep(0)).unwrap_err().to_string();
    assert!(refused.contains("left out is for ever"), "{refused}");
    let useless = parse("media.recordings_keep_days = 9\n").unwrap();
    assert!(
        useless
            .warnings
            .iter()
            .any(|w| w.contains("removes nothing"))
    );
}

#[test]
fn a_recogniser_that_there_is_not_is_refused_with_those_that_there_are() {
    for good in ["tiny.en", "base", "whisper-base"] {
        parse(&format!("[models]\nwhisper = \"{good}\"\n")).unwrap();
    }
    let text = complaint("[models]\nwhisper = \"large\"\n");
    assert!(
        text.starts_with("conf/offhook.toml:2: models.whisper: "),
        "{text}"
    );
    assert!(text.contains("\"tiny.en\" or \"base\""), "{text}");
}

#[test]
fn an_unknown_key_names_file_line_key_and_the_nearest_known_one() {
    let text = complaint("[sip]\nlisen = [\"udp://127.0.0.1:5060\"]\n");
    assert_eq!(
        text,
        "conf/offhook.toml:2: sip.lisen: unknown key; the nearest known one is \"sip.listen\""
    );
    assert!(complaint("[medai]\nports = \"20000-20100\"").contains("\"media\""));
    let text = complaint("[sip]\nmax_calls = 3");
    assert!(
        text.contains("the nearest known one is \"limits.max_calls\""),
        "{text}"
    );
    let text = complaint("[log]\nzzz = 3");
    assert!(
        text.contains("nearest") && text.contains("level, format"),
        "{text}"
    );
}

#[test]
fn all_problems_are_reported_at_once_in_the_order_of_lines() {
    let source = "[limits]\nmax_calls = \"many\"\n[media]\nports = \"9\"\n[llm]\nmodel = 5\n";
    let errors = parse(source).unwrap_err();
    let text = errors.to_string();
    let starts: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split(": ").next())
        .collect();
    assert_eq!(
        starts,
        [
            "conf/offhook.toml:2",
            "conf/offhook.toml:4",
            "conf/offhook.toml:6"
        ]
    );
    assert!(text.contains("limits.max_calls: expected a whole number; got the text \"many\""));
    assert_eq!(ConfigErrors::EXIT_CODE, 2);
}

#[test]
fn a_database_that_would_forget_every_call_is_refused() {
    let told = complaint("[store]\nurl = \"sqlite::memory:\"\n");
    assert!(told.contains("would lose every call"), "{told}");
}

#[test]
fn broken_toml_names_its_line_and_never_quotes_it() {
    let text = complaint("[llm]\nmodel = \"x\"\napi_key = \"sk-secret\n");
    assert!(
        text.contains("conf/offhook.toml:3: not valid TOML"),
        "{text}"
    );
    assert!(!text.contains("sk-secret"), "{text}");
    assert!(complaint("[sip]\n[sip]\n").contains("not valid TOML"));
}

#[test]
fn a_wrong_type_never_shows_a_secret() {
    let source = "[[user]]\nname = \"alice\"\npassword = 12345678\n";
    let text = complaint(source);
    assert!(
        text.contains("user.password: expected text") && !text.contains("1234"),
        "{text}"
    );
    let text = parse_with("[limits]\nmax_calls = \"${PIN}\"", &[("PIN", "s3cret")]).unwrap_err();
    assert!(!text.to_string().contains("s3cret"), "{text}");
    let text = complaint("[store]\nurl = \"postgres://me:s3cret@db/x\"");
    assert!(
        text.contains("store.url: PostgreSQL") && !text.contains("s3cret"),
        "{text}"
    );
}

#[test]
fn a_missing_variable_names_file_line_key_and_variable() {
    let text = complaint("[[user]]\nname = \"alice\"\npassword = \"${ALICE_PASSWORD}\"\n");
    assert!(
        text.starts_with("conf/offhook.toml:3: user.password: "),
        "{text}"
    );
    assert!(
        text.contains("variable ALICE_PASSWORD is not set"),
        "{text}"
    );
}

#[test]
fn a_variable_in_a_value_may_hold_a_number_and_a_quote() {
    let source = "[limits]\nmax_calls = \"${N}\"\n[[user]]\nname = \"a\"\npassword = \"${P}\"";
    let config = parse_with(source, &[("N", "12"), ("P", "with \" and ${N}")]).unwrap();
    assert_eq!(config.limits.max_calls, 12);
    assert_eq!(
        config.users.first().unwrap().password.expose(),
        "with \" and ${N}"
    );
}

#[test]
fn the_environment_sets_every_kind_of_key_and_wins_over_the_file() {
    let source = "[sip]\nlisten = [\"udp://127.0.0.1:5060\"]\n\
                  [[trunk]]\nname = \"my-pbx\"\nkind = \"register\"\nhost = \"pbx\"\n\
                  username = \"u\"\npassword = \"${NOT_SET}\"\n";
    let config = parse_with(
        source,
        &[
            (
                "OFFHOOK__SIP__LISTEN",
                "udp://127.0.0.1:5070, tcp://127.0.0.1:5070",
            ),
            ("OFFHOOK__LIMITS__MAX_CALLS", "7"),
            ("OFFHOOK__TRUNK__MY_PBX__PASSWORD", "from-env"),
            ("OFFHOOK__TRUNK__0__EXPIRES_S", "120"),
            ("OFFHOOK__USER__0__NAME", "alice"),
            ("OFFHOOK__USER__0__PASSWORD", "long enough"),
            ("OFFHOOK__CRM__PLOINK__HEADERS__X_TENANT", "main"),
            ("OFFHOOK__HTTP__KEY__0__NAME", "ops"),
            ("OFFHOOK__HTTP__KEY__0__KEY", "0123456789abcdef"),
            ("OFFHOOK_UNRELATED", "ignored"),
        ],
    )
    .unwrap();
    assert_eq!(config.sip.listen.len(), 2);
    assert_eq!(config.limits.max_calls, 7);
    let trunk = config.trunk("my-pbx").unwrap();
    assert_eq!(
        (trunk.expires_s, trunk.password.clone()),
        (120, Some("from-env".into()))
    );
    assert_eq!(config.users.first().unwrap().name, "alice");
    assert_eq!(config.http.keys.len(), 1);
    assert!(config.crm.ploink.unwrap().headers.contains_key("x-tenant"));
}

#[test]
fn a_variable_that_sets_no_known_key_is_an_error_that_names_it() {
    let fails = |name: &str| parse_with("", &[(name, "x")]).unwrap_err().to_string();
    let text = fails("OFFHOOK__SIP__LISEN");
    assert!(
        text.starts_with("environment variable OFFHOOK__SIP__LISEN: sip.lisen"),
        "{text}"
    );
    assert!(text.contains("\"sip.listen\""), "{text}");
    assert!(fails("OFFHOOK__TRUNK__NOBODY__HOST").contains("no trunk is named nobody"));
    assert!(fails("OFFHOOK__TRUNK__9__HOST").contains("there are 0 of trunk"));
    assert!(fails("OFFHOOK__SIP").contains("OFFHOOK__SECTION__KEY"));
}

#[test]
fn the_api_is_never_opened_to_other_machines_without_a_key() {
    let text = complaint("[http]\nlisten = \"0.0.0.0:8080\"");
    assert!(text.contains("conf/offhook.toml:2: http.listen") && text.contains("[[http.key]]"));
    let keyed = "[http]\nlisten = \"0.0.0.0:8080\"\n[[http.key]]\nname = \"a\"\nkey = \"k\"";
    let config = parse(keyed).unwrap();
    assert!(
        config
            .warnings
            .iter()
            .any(|warning| warning.contains("guessed"))
    );
}

#[test]
fn an_open_sip_listener_that_admits_nobody_is_warned_of() {
    let config = parse("[sip]\nlisten = [\"udp://0.0.0.0:5060\"]").unwrap();
    assert!(
        config
            .warnings
            .iter()
            .any(|warning| warning.contains("refused"))
    );
}

#[test]
fn a_provider_that_is_gone_is_named_with_what_to_use_instead() {
    for name in ["playht", "play.ht", "PlayHT"] {
        let source = format!(
            "[[agent]]\nname = \"a\"\nflow = \"builtin:lead-qualification\"\ntts = \"{name}\""
        );
        let text = complaint(&source);
        assert!(
            text.contains("shut its API down") && text.contains("\"piper\""),
            "{text}"
        );
    }
}

#[test]
fn the_demo_needs_no_file_and_stays_on_this_machine() {
    let config = Config::demo(&none()).unwrap();
    assert!(config.sip.is_loopback_only() && config.http.listen.ip().is_loopback());
    assert_eq!(config.store.url.expose(), "sqlite://data/offhook.db");
    let RouteTarget::Agent(name) = &config
        .route("anything", "anyone", jiff::Timestamp::UNIX_EPOCH)
        .unwrap()
        .target
    else {
        panic!("the demonstration has no room");
    };
    let agent = config.agent(name).unwrap();
    assert_eq!(agent.flow, FlowSource::BuiltIn("lead-qualification".into()));
}

#[test]
fn an_unreadable_file_says_so() {
    let text = Config::load(Path::new("nowhere/offhook.toml"), &none())
        .unwrap_err()
        .to_string();
    assert!(
        text.starts_with("nowhere/offhook.toml: there is no such file"),
        "{text}"
    );
}

#[test]
fn the_summary_says_what_was_understood() {
    let config = Config::demo(&none()).unwrap();
    let text = config.summary().to_string();
    assert!(
        text.contains("udp://127.0.0.1:5060, this machine only"),
        "{text}"
    );
    assert!(text.contains("ports 20000-29999, 5000 calls"), "{text}");
    assert!(text.contains("none: flows run by grammar"), "{text}");
}
