//! The committed corpora.
#![allow(dead_code, reason = "each test uses what it needs")]

use std::path::{Path, PathBuf};

pub(crate) mod check;

fn folder(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/corpora")).join(name)
}

/// The bytes of one carrier's message.
pub(crate) fn carrier(file: &str) -> Vec<u8> {
    std::fs::read(folder("carriers").join(file)).unwrap()
}

/// The bytes of one message of RFC 4475.
pub(crate) fn torture(name: &str) -> Vec<u8> {
    std::fs::read(folder("rfc4475").join(format!("{name}.dat"))).unwrap()
}

/// The bytes of one message of RFC 5118, with the line ends that it has on the wire.
pub(crate) fn ipv6(name: &str) -> Vec<u8> {
    let text = std::fs::read_to_string(folder("rfc5118").join(name)).unwrap();
    text.replace('\n', "\r\n").into_bytes()
}

/// Every message of a corpus with its file's name, in order.
pub(crate) fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder(name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_none_or(|extension| extension != "json"))
        .map(|path| {
            let file = path.file_name().unwrap().to_str().unwrap().to_owned();
            let bytes = if name == "rfc5118" {
                ipv6(&file)
            } else {
                std::fs::read(&path).unwrap()
            };
            (file, bytes)
        })
        .collect();
    files.sort();
    files
}
