//! What the compiler does not guard of the house's rules: who may know whom, how long a file may
//! be, and that what is written in one place is written in the other.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

/// Lines that a file of Rust may have.
const FILE_LINES: usize = 500;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The Rust files under a folder of the repository, with their text.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "{folder} has no sources");
    found
}

/// The code of a file without its comments and without what follows `#[cfg(test)]`.
fn code(text: &str) -> String {
    let tests = text.find("#[cfg(test)]").unwrap_or(text.len());
    let lines = text[..tests].lines();
    let code = lines.filter(|line| !line.trim_start().starts_with("//"));
    code.collect::<Vec<_>>().join("\n")
}

/// What stands only in test builds, and may read a clock to have a moment to start from.
fn is_test(path: &Path) -> bool {
    let names = ["tests", "testing", "rig", "watch", "simulation"];
    let stems = path
        .iter()
        .filter_map(|part| Path::new(part).file_stem()?.to_str());
    stems.into_iter().any(|stem| names.contains(&stem))
}

fn assert_knows_nothing_of(folder: &str, words: &[&str], why: &str) {
    let sources = sources(folder).into_iter();
    for (path, text) in sources.filter(|(path, _)| !is_test(path)) {
        let code = code(&text);
        for word in words {
            assert!(
                !code.contains(word),
                "{} names {word}: {why}",
                path.display()
            );
        }
    }
}

#[test]
fn the_pure_cores_know_no_runtime_no_socket_and_no_clock() {
    let shell = [
        "tokio::",
        "std::net::UdpSocket",
        "std::net::TcpStream",
        "Instant::now",
        "SystemTime::now",
        "std::thread",
    ];
    for core in [
        "sip/src",
        "media/src/session",
        "media/src/jitter",
        "src/agent",
        "src/switch",
    ] {
        assert_knows_nothing_of(
            core,
            &shell,
            "time, sockets and threads are the shells' business",
        );
    }
}

#[test]
fn sip_and_media_do_not_know_each_other() {
    assert_knows_nothing_of("sip/src", &["offhook_media"], "bodies are bytes to SIP");
    assert_knows_nothing_of("media/src", &["offhook_sip"], "media knows no signalling");
    let switch = ["offhook", "offhook_sip", "crate::call"];
    for word in switch {
        assert_knows_nothing_of(
            "models/src",
            &[&format!("{word}::")],
            "models know media's Frame",
        );
    }
}

#[test]
fn cores_declare_no_runtime() {
    for core in ["sip", "media"] {
        let manifest = fs::read_to_string(root().join(core).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();
        let dependencies = manifest["dependencies"].as_table().unwrap();
        for runtime in ["tokio", "mio", "async-std", "reqwest", "chrono"] {
            assert!(
                !dependencies.contains_key(runtime),
                "{core} depends on {runtime}"
            );
        }
    }
}

#[test]
fn the_agent_knows_no_shell() {
    let shells = [
        "crate::net",
        "crate::ai",
        "crate::http",
        "crate::store",
        "crate::call",
    ];
    assert_knows_nothing_of("src/agent", &shells, "the agent is pure");
    assert_knows_nothing_of("src/switch", &shells, "the switch is pure");
}

#[test]
fn no_file_is_too_long_to_read() {
    let folders = [
        "src", "sip", "media", "models", "phonemes", "benches", "tests",
    ];
    let long: Vec<String> = folders
        .into_iter()
        .flat_map(sources)
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > FILE_LINES)
        .map(|(path, lines)| format!("{} has {lines} lines", path.display()))
        .collect();
    assert!(
        long.is_empty(),
        "more than {FILE_LINES} lines:\n{}",
        long.join("\n")
    );
}

#[test]
fn documents_point_at_files_that_are_there() {
    let documents = [
        "README.md",
        "ARCHITECTURE.md",
        "docs/api.md",
        "docs/flows.md",
    ];
    for document in documents {
        let text = fs::read_to_string(root().join(document)).unwrap();
        let folder = Path::new(document).parent().unwrap();
        for link in text.split("](").skip(1) {
            let target = link.split([')', '#']).next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let path = root().join(folder).join(target);
            assert!(
                path.exists(),
                "{document} points at {target}, which is not there"
            );
        }
    }
}
