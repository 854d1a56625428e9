//! `[http]`, `[store]`, `[models]` and `[log]`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::listen::parse_address;
use super::reader::{Reader, Section};
use super::secret::Secret;
use super::trunk::read_name;
use super::value::text_value;

/// `[http]`: the API.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpConfig {
    /// The address and port; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// The keys that open it; without any it answers this machine only.
    pub keys: Vec<HttpKey>,
}

/// One `[[http.key]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpKey {
    /// Its name in logs.
    pub name: String,
    /// What a client sends as `Authorization: Bearer …`.
    pub key: Secret,
}

struct HttpListen(SocketAddr);

impl FromStr for HttpListen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix("http://").unwrap_or(text);
        let wrong = || format!("{text:?} is not an address and port such as \"127.0.0.1:8080\"");
        parse_address(text, 8080).map(Self).ok_or_else(wrong)
    }
}

text_value!(HttpListen, "an address and port such as \"127.0.0.1:8080\"");

impl HttpConfig {
    pub(super) fn read(r: &mut Reader<'_>, mut s: Section) -> Self {
        let origin = s.origin_of("listen");
        let default = SocketAddr::from(([127, 0, 0, 1], 8080));
        let listen = s.or(r, "listen", HttpListen(default)).0;
        let mut names = BTreeSet::new();
        let sections = s.sections(r, "key");
        let wrote_keys = !sections.is_empty();
        let keys = sections
            .into_iter()
            .filter_map(|key| HttpKey::read(r, key, &mut names));
        let keys: Vec<HttpKey> = keys.collect();
        if !listen.ip().is_loopback() && !wrote_keys {
            let message = "is reachable from other machines, and there is no [[http.key]]: \
                           add one, or listen on 127.0.0.1";
            s.wrong(r, "listen", &origin, message);
        }
        s.finish(r);
        Self { listen, keys }
    }
}

impl HttpKey {
    fn read(r: &mut Reader<'_>, mut s: Section, names: &mut BTreeSet<String>) -> Option<Self> {
        let name = read_name(r, &mut s, names);
        let origin = s.origin_of("key");
        let key: Option<Secret> = s.required(r, "key", "write \"${OFFHOOK_KEY}\" and set that");
        s.finish(r);
        let (name, key) = (name?, key?);
        if !key.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            let message = "cannot be sent in a header: use letters, digits and signs, no spaces";
            r.problem(&origin, "http.key.key", message);
            return None;
        }
        if key.expose().len() < 16 {
            let advice = "is short and can be guessed; `openssl rand -hex 24` makes a good one";
            r.warn(&origin, &format!("http.key {name}"), advice);
        }
        Some(Self { name, key })
    }
}

/// `[store]`: the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// The URL as the database driver takes it, its path resolved.
    pub url: Secret,
    /// The database's file.
    pub path: PathBuf,
}

impl StoreConfig {
    /// Makes a store of an SQLite file.
    pub fn sqlite(path: &Path) -> Self {
        // As in any URL, a question mark begins the parameters.
        let text = path
            .to_string_lossy()
            .replace('%', "%25")
            .replace('?', "%3F");
        Self {
            url: Secret::new(format!("sqlite://{text}")),
            path: path.to_owned(),
        }
    }

    pub(super) fn read(r: &mut Reader<'_>, mut s: Section) -> Self {
        let origin = s.origin_of("url");
        let default = Self::sqlite(&r.resolve("data/offhook.db"));
        let url: Option<Secret> = s.opt(r, "url");
        let store = match url.as_ref().map(Secret::expose) {
            None => default,
            Some(text) => match text.strip_prefix("sqlite:") {
                Some(path) => {
                    let path = path.strip_prefix("//").unwrap_or(path);
                    let path = path.split('?').next().unwrap_or_default();
                    if path.is_empty() {
                        s.wrong(r, "url", &origin, "names no file: sqlite://data/offhook.db");
                    }
                    if path == ":memory:" {
                        let wrong =
                            "would lose every call: name a file, as sqlite://data/offhook.db";
                        s.wrong(r, "url", &origin, wrong);
                    }
                    Self::sqlite(&r.resolve(path))
                }
                None => {
                    s.wrong(r, "url", &origin, refuse_url(text));
                    default
                }
            },
        };
        s.finish(r);
        store
    }
}

/// Says what is wrong with a URL without quoting it, since it may hold a password.
fn refuse_url(text: &str) -> &'static str {
    if text.starts_with("postgres:") || text.starts_with("postgresql:") {
        "PostgreSQL is not in this version: write sqlite://data/offhook.db"
    } else {
        "is not a database URL: write sqlite://data/offhook.db"
    }
}

/// The sizes of Whisper that there are.
const WHISPER_SIZES: [&str; 2] = ["tiny.en", "base"];

/// `[models]`: what runs on the box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelsConfig {
    /// The folder of the models.
    pub dir: PathBuf,
    /// The Whisper size, as the manifest names it.
    pub whisper: String,
    /// The default voice, as the manifest names it.
    pub voice: String,
    /// Inference threads; 0 takes one per processor, less one for media.
    pub workers: usize,
}

impl ModelsConfig {
    pub(super) fn read(r: &mut Reader<'_>, mut s: Section) -> Self {
        let dir = s.path(r, "dir").unwrap_or_else(|| r.env.cache());
        let origin = s.origin_of("whisper");
        let whisper = s.or(r, "whisper", "tiny.en".to_owned());
        if !WHISPER_SIZES.contains(&whisper.trim_start_matches("whisper-")) {
            let sizes = WHISPER_SIZES.map(|size| format!("{size:?}")).join(" or ");
            let message = format!("{whisper:?} is not known: write {sizes}");
            s.wrong(r, "whisper", &origin, message);
        }
        let voice = s.or(r, "voice", "en_US-joe-medium".to_owned());
        let workers = s.number(r, "workers", 0..=256, 0);
        s.finish(r);
        Self {
            dir,
            whisper,
            voice,
            workers: usize::try_from(workers).unwrap_or(0),
        }
    }
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "pretty" => Ok(Self::Pretty),
            "json" => Ok(Self::Json),
            _ => Err(format!("{text:?} is not one of \"pretty\", \"json\"")),
        }
    }
}

text_value!(LogFormat, "\"pretty\" or \"json\"");

/// `[log]`: what is logged and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// A filter: a level, or levels by module (`info,offhook::switch=debug`).
    pub level: String,
    /// The format; `None` is pretty on a terminal, JSON otherwise.
    pub format: Option<LogFormat>,
}

impl LogConfig {
    pub(super) fn read(r: &mut Reader<'_>, mut s: Section) -> Self {
        let origin = s.origin_of("level");
        let level = s.or(r, "level", "info,ort=warn".to_owned());
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&level) {
            let message = format!("{level:?} is not a filter such as \"info\": {error}");
            s.wrong(r, "level", &origin, message);
        }
        let format = s.opt(r, "format");
        s.finish(r);
        Self { level, format }
    }
}
