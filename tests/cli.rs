//! The commands as a person or a script meets them: the built program, its output, its exit codes.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const FLOW: &str = r#"
name = "reception"
start = "hello"
[nodes.hello]
type = "end"
say = "Goodbye."
"#;

/// Runs the program in a folder, with nothing of this machine's own configuration.
fn offhook(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_offhook"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OFFHOOK_")) {
        command.env_remove(name);
    }
    command.args(args).current_dir(folder).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The one JSON value that a command printed.
fn json(output: &Output) -> Value {
    let printed = text(&output.stdout);
    serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error} in {printed}"))
}

/// A folder with a flow and a configuration, to which `more` is appended.
fn folder(more: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("flow.toml"), FLOW).unwrap();
    let config = format!(
        "sip.listen = [\"udp://127.0.0.1:0\"]\nhttp.listen = \"127.0.0.1:0\"\n\
         [[agent]]\nname = \"reception\"\nflow = \"flow.toml\"\n{more}"
    );
    std::fs::write(folder.path().join("offhook.toml"), config).unwrap();
    folder
}

#[test]
fn every_command_has_help_with_an_example() {
    let here = folder("");
    for command in [
        "",
        "run",
        "call",
        "models",
        "models pull",
        "models list",
        "models verify",
        "config",
        "config check",
        "flow",
        "flow check",
        "flow schema",
        "bench",
        "bench turn",
        "bench capacity",
        "bench barge-in",
        "bench switch",
        "bench sip",
        "doctor",
        "health",
    ] {
        let mut args: Vec<&str> = command.split_whitespace().collect();
        args.push("--help");
        let help = offhook(here.path(), &args);
        assert_eq!(code(&help), 0, "{command}");
        let help = text(&help.stdout);
        let example = format!("offhook {command}");
        let (_, examples) = help.split_once("Example").expect(command);
        assert!(examples.contains(&example), "{command}: {help}");
    }
    assert_eq!(code(&offhook(here.path(), &["frobnicate"])), 2);
}

#[test]
fn the_bench_of_the_signalling_names_what_it_can_be_told() {
    let here = folder("");
    let help = text(&offhook(here.path(), &["bench", "sip", "--help"]).stdout);
    for option in [
        "--rate",
        "--seconds",
        "--hold-ms",
        "--even",
        "--held",
        "--max-rate",
        "--within-ms",
        "--parse",
        "--kamailio",
        "--rustpbx",
        "--json",
    ] {
        assert!(help.contains(option), "{option}: {help}");
    }
    let bench = text(&offhook(here.path(), &["bench", "--help"]).stdout);
    assert!(bench.contains("sip "), "{bench}");
    assert!(
        !bench.contains("sip-reader"),
        "nobody else runs that: {bench}"
    );
}

#[test]
fn reading_messages_is_measured_alone_and_told_to_machines() {
    let here = folder("");
    let measured = offhook(here.path(), &["bench", "sip", "--parse", "--json"]);
    let figures = json(&measured);
    assert_eq!(figures["parse"]["invite_bytes"], 1_048);
    assert_eq!(figures["parse"]["large_ms"].as_array().unwrap().len(), 13);
    assert!(figures["subjects"].as_array().unwrap().is_empty());
    // Where a C compiler is there to count them with.
    if let Some(allocations) = figures["parse"]["allocations"].as_f64() {
        assert_eq!(allocations, 0.0);
    }
}

#[test]
fn a_good_configuration_is_shown_and_a_bad_one_ends_with_2_and_the_mend() {
    let good = folder("");
    let shown = offhook(good.path(), &["config", "check", "offhook.toml"]);
    assert_eq!(code(&shown), 0, "{}", text(&shown.stderr));
    assert!(text(&shown.stdout).contains("reception"));
    let shown = json(&offhook(
        good.path(),
        &["config", "check", "offhook.toml", "--json"],
    ));
    assert_eq!(
        (&shown["ok"], &shown["problems"]),
        (&true.into(), &Value::Array(Vec::new()))
    );

    let bad = folder("[limits]\nmax_cals = 3\n[models]\nwhisper = \"large\"\n");
    let refused = offhook(bad.path(), &["config", "check", "offhook.toml"]);
    assert_eq!(code(&refused), 2);
    let words = text(&refused.stderr);
    assert!(
        words.contains("offhook.toml:7") && words.contains("max_calls"),
        "{words}"
    );
    assert!(
        words.contains("models.whisper") && words.contains("\"base\""),
        "{words}"
    );
    let refused = offhook(bad.path(), &["config", "check", "offhook.toml", "--json"]);
    assert_eq!(code(&refused), 2);
    let problems = json(&refused);
    assert_eq!(problems["ok"], false);
    let lines = problems["problems"].as_array().unwrap().iter();
    let lines: Vec<_> = lines.map(|problem| problem["line"].as_u64()).collect();
    assert_eq!(lines, [Some(7), Some(9)], "{problems:#}");
    let refused = offhook(bad.path(), &["run", "--config", "offhook.toml"]);
    assert_eq!(code(&refused), 2, "{}", text(&refused.stderr));
}

#[test]
fn what_a_configuration_names_must_be_there_for_check_and_for_run() {
    let broken = folder("");
    let flow = FLOW.replace("start = \"hello\"", "start = \"helo\"");
    std::fs::write(broken.path().join("flow.toml"), flow).unwrap();
    let voiceless = folder("voice = \"en_XX-nobody-low\"\n");
    for (folder, word) in [(&broken, "hello"), (&voiceless, "en_US-joe-medium")] {
        for args in [
            ["config", "check", "offhook.toml"],
            ["run", "--config", "offhook.toml"],
        ] {
            let refused = offhook(folder.path(), &args);
            assert_eq!(code(&refused), 2, "{args:?}");
            let words = text(&refused.stdout) + &text(&refused.stderr);
            assert!(words.contains(word), "{args:?}: {words}");
        }
        let refused = offhook(
            folder.path(),
            &["config", "check", "offhook.toml", "--json"],
        );
        assert_eq!(code(&refused), 2);
        assert!(json(&refused)["problems"][0].to_string().contains(word));
    }
}

#[test]
fn a_flow_is_checked_and_its_mistakes_end_with_2() {
    let here = folder("");
    let good = offhook(here.path(), &["flow", "check", "flow.toml"]);
    assert_eq!(code(&good), 0);
    assert!(text(&good.stdout).contains("the flow can run"));
    let good = offhook(here.path(), &["flow", "check", "flow.toml", "--json"]);
    assert_eq!(json(&good)["ok"], true);
    std::fs::write(
        here.path().join("flow.toml"),
        FLOW.replace("\"end\"", "\"edn\""),
    )
    .unwrap();
    let bad = offhook(here.path(), &["flow", "check", "flow.toml"]);
    assert_eq!(code(&bad), 2);
    let bad = offhook(here.path(), &["flow", "check", "flow.toml", "--json"]);
    assert_eq!((code(&bad), &json(&bad)["ok"]), (2, &Value::Bool(false)));
    let schema = offhook(here.path(), &["flow", "schema"]);
    assert!(json(&schema)["properties"]["nodes"].is_object());
}

#[test]
fn models_are_listed_and_verified_in_the_configurations_own_folder() {
    let here = folder("[models]\ndir = \"our-models\"\nwhisper = \"base\"\n");
    let ours = here.path().join("our-models");
    std::fs::create_dir(&ours).unwrap();
    let list = offhook(
        here.path(),
        &["models", "list", "--config", "offhook.toml", "--json"],
    );
    assert_eq!(code(&list), 0);
    let list = json(&list);
    assert!(
        list["dir"].as_str().unwrap().ends_with("our-models"),
        "{list:#}"
    );
    let models = list["models"].as_array().unwrap();
    assert!(models.len() > 5 && models.iter().all(|model| model["present"] == false));

    let verify = offhook(
        here.path(),
        &["models", "verify", "--config", "offhook.toml", "--json"],
    );
    assert_eq!(code(&verify), 1, "nothing is there");
    let wrong = json(&verify)["wrong"].to_string();
    // What this configuration needs, and not what others do.
    assert!(
        wrong.contains("whisper-base") && wrong.contains("silero"),
        "{wrong}"
    );
    assert!(!wrong.contains("whisper-tiny"), "{wrong}");
    let words = offhook(
        here.path(),
        &["models", "verify", "--config", "offhook.toml"],
    );
    assert!(text(&words.stdout).contains("offhook models pull"));
    let unknown = offhook(here.path(), &["models", "verify", "whisper-huge"]);
    assert_eq!(code(&unknown), 1);
    assert!(text(&unknown.stderr).contains("whisper-base"));
}

#[test]
fn models_are_pulled_as_the_configuration_needs_them() {
    let here = folder("[models]\ndir = \"our-models\"\nwhisper = \"base\"\n");
    let mirror = tempfile::tempdir().unwrap();
    // An empty mirror has nothing, and other sources are not asked: the first file's name tells.
    let pull = Command::new(env!("CARGO_BIN_EXE_offhook"))
        .args(["models", "pull", "--config", "offhook.toml", "--json"])
        .current_dir(here.path())
        .env("OFFHOOK_MODEL_MIRROR", mirror.path())
        .env("OFFHOOK_PACKAGE_INDEX", "http://127.0.0.1:9/simple")
        .env("PATH", "")
        .env("HTTPS_PROXY", "http://127.0.0.1:9")
        .output()
        .unwrap();
    assert_eq!(code(&pull), 1);
    assert!(
        text(&pull.stderr).contains("OFFHOOK_MODEL_MIRROR"),
        "{}",
        text(&pull.stderr)
    );
    assert!(
        here.path().join("our-models").is_dir(),
        "the configuration's folder is used"
    );

    let agentless = tempfile::tempdir().unwrap();
    std::fs::write(agentless.path().join("offhook.toml"), "").unwrap();
    let none = ["models", "pull", "--config", "offhook.toml", "--json"];
    let none = offhook(agentless.path(), &none);
    assert_eq!(
        (code(&none), &json(&none)["fetched"]),
        (0, &Value::Array(Vec::new()))
    );
}

#[test]
fn a_call_names_only_codecs_that_there_are() {
    let folder = folder("");
    let codecs = |codecs| {
        offhook(
            folder.path(),
            &["call", "sip:a@127.0.0.1:1", "--codec", codecs],
        )
    };
    let refused = codecs("G722,speex");
    let error = text(&refused.stderr);
    assert_eq!(code(&refused), 2, "{error}");
    assert!(
        error.contains("\"speex\" is not a codec of this version"),
        "{error}"
    );
    assert!(error.contains("\"opus\""), "{error}");
}
