//! The configuration: TOML with `${ENV}` in values and `OFFHOOK__SECTION__KEY` over it, read once
//! into types that the rest of the switch can trust.
//!
//! [`Config::load`] reports everything that is wrong at once, each problem with its file, line,
//! key and mend. Relative paths start at the file's folder.

mod account;
mod agent;
mod codec;
mod env;
mod error;
mod fail_over;
mod forwarding;
mod headers;
mod hours;
mod identity;
mod keys;
mod listen;
mod network;
mod next;
mod numbers;
mod pattern;
mod providers;
mod reader;
mod recording;
mod room;
mod route;
mod secret;
mod services;
mod sip;
mod suggest;
mod summary;
mod target;
mod tree;
mod trunk;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub use agent::{
    AgentConfig, Ambience, BUILT_IN_FLOWS, FlowSource, SpeechToText, TextToSpeech, UserConfig,
};
pub use codec::Codec;
pub use env::{ENV_PREFIX, Env};
pub use error::{ConfigErrors, Origin, Problem};
pub use fail_over::FailOverOn;
pub use forwarding::{DiversionHeader, FollowRedirects};
pub use headers::cannot_set;
pub use hours::{Hours, Opening};
pub use identity::IdentityHeader;
pub use keys::Keys;
pub use listen::{PageOrigin, SipListen, Transport};
pub use network::{Network, comes_from_twilio};
pub use next::Next;
pub use numbers::NumberForm;
pub use pattern::Pattern;
pub use providers::{BaseUrl, CrmConfig, LlmConfig};
pub use reader::Key;
pub use recording::RecordingFormat;
pub use room::{PARTIES_MAX, RoomConfig};
pub use route::{Asked, RouteConfig};
pub use secret::Secret;
pub use services::{HttpConfig, HttpKey, LogConfig, LogFormat, ModelsConfig, StoreConfig};
pub use sip::{LimitsConfig, MediaConfig, PortRange, SipConfig};
pub use target::{Hunt, Rejection, RouteTarget, WeightedTrunk};
pub use trunk::{TrunkConfig, TrunkKind};

use offhook_media::SrtpPolicy;
use reader::{Reader, Section};
use suggest::nearest;

/// The largest configuration file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Where a configuration is looked for when none is named, in this order.
const PLACES: [&str; 3] = [
    "offhook.toml",
    "config/offhook.toml",
    "/etc/offhook/offhook.toml",
];

/// Everything that the switch was told.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The file that was read; `None` for [`Config::demo`] and for the environment alone.
    pub file: Option<PathBuf>,
    /// `[sip]`.
    pub sip: SipConfig,
    /// `[media]`.
    pub media: MediaConfig,
    /// `[limits]`.
    pub limits: LimitsConfig,
    /// `[http]`.
    pub http: HttpConfig,
    /// `[store]`.
    pub store: StoreConfig,
    /// `[models]`.
    pub models: ModelsConfig,
    /// `[llm]`; without it flows run by grammar.
    pub llm: Option<LlmConfig>,
    /// `[crm]`.
    pub crm: CrmConfig,
    /// `[log]`.
    pub log: LogConfig,
    /// `[[trunk]]`.
    pub trunks: Vec<TrunkConfig>,
    /// `[[agent]]`.
    pub agents: Vec<AgentConfig>,
    /// `[[user]]`.
    pub users: Vec<UserConfig>,
    /// `[[room]]`.
    pub rooms: Vec<RoomConfig>,
    /// `[[route]]`, in the order in which they are tried.
    pub routes: Vec<RouteConfig>,
    /// What is allowed but deserves a word.
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads the configuration of a file, with the environment over it.
    ///
    /// # Errors
    /// Returns everything that is wrong: unreadable file, TOML errors, unknown keys, wrong types,
    /// missing variables, and settings that contradict each other.
    pub fn load(path: &Path, env: &Env) -> Result<Self, ConfigErrors> {
        let source = read_file(path).map_err(|message| {
            let problem = Problem {
                origin: Origin::Absent,
                key: String::new(),
                message,
            };
            ConfigErrors::new(Some(path), vec![problem])
        })?;
        Self::parse(&source, Some(path), env)
    }

    /// Reads a configuration from text; relative paths start at the folder of `file`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(source: &str, file: Option<&Path>, env: &Env) -> Result<Self, ConfigErrors> {
        let base = file.and_then(Path::parent).unwrap_or(Path::new(""));
        let mut reader = Reader::new(env, base);
        let mut table = tree::parse(source, &mut reader.problems);
        tree::overlay(&mut table, env, &mut reader.problems);
        let config = read(&mut reader, Section::root(table), file);
        let unknown = std::mem::take(&mut reader.unknown);
        if !unknown.is_empty() {
            let schema = schema().into_iter().collect();
            let problems = unknown
                .into_iter()
                .map(|key| suggest::problem_of(key, &schema));
            reader.problems.extend(problems);
        }
        if reader.problems.is_empty() {
            return Ok(Self {
                warnings: reader.warnings,
                ..config
            });
        }
        Err(ConfigErrors::new(file, reader.problems))
    }

    /// Reads the configuration that there is when no file is: the defaults and the environment.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_env(env: &Env) -> Result<Self, ConfigErrors> {
        Self::parse("", None, env)
    }

    /// Returns the configuration of `offhook run --demo`: this machine only, the built-in lead
    /// qualification agent for every call, no trunk.
    ///
    /// # Errors
    /// As [`Config::load`], for what the environment sets.
    pub fn demo(env: &Env) -> Result<Self, ConfigErrors> {
        let mut config = Self::from_env(env)?;
        if config.agents.is_empty() {
            config
                .agents
                .push(AgentConfig::built_in("lead-qualification"));
        }
        if config.routes.is_empty() {
            let agent = config
                .agents
                .first()
                .map(|agent| agent.name.clone())
                .unwrap_or_default();
            config.routes.push(RouteConfig {
                to: Pattern::any(),
                from: Pattern::any(),
                from_trunk: None,
                headers: BTreeMap::new(),
                opening: None,
                target: RouteTarget::Agent(agent),
                ring_s: 60,
                then: Vec::new(),
            });
        }
        Ok(config)
    }

    /// Looks for the configuration file: `OFFHOOK_CONFIG`, then the usual places.
    pub fn locate(env: &Env) -> Option<PathBuf> {
        if let Some(named) = env.var("OFFHOOK_CONFIG") {
            return Some(PathBuf::from(named));
        }
        PLACES.iter().map(PathBuf::from).find(|path| path.is_file())
    }

    /// Returns the route that takes a call that comes in over no trunk at that moment.
    pub fn route(&self, to: &str, from: &str, at: jiff::Timestamp) -> Option<&RouteConfig> {
        let mut routes = self.routes.iter();
        let asked = Asked {
            to,
            from,
            trunk: None,
            headers: &[],
            at,
        };
        routes.find(|route| route.matches(&asked))
    }

    /// Returns the voices in use, each with the key that names it.
    pub fn voices(&self) -> impl Iterator<Item = (String, &str)> {
        let default = ("models.voice".to_owned(), self.models.voice.as_str());
        let own = self.agents.iter().filter_map(|agent| {
            let key = format!("agent {:?}: voice", agent.name);
            Some((key, agent.voice.as_deref()?))
        });
        std::iter::once(default).chain(own)
    }

    /// Returns an agent by name.
    pub fn agent(&self, name: &str) -> Option<&AgentConfig> {
        self.agents.iter().find(|agent| agent.name == name)
    }

    /// Returns a room by name; one of which nothing is said is as any other.
    pub fn room(&self, name: &str) -> RoomConfig {
        let named = self.rooms.iter().find(|room| room.name == name);
        named.cloned().unwrap_or_else(|| RoomConfig::plain(name))
    }

    /// Returns a trunk by name.
    pub fn trunk(&self, name: &str) -> Option<&TrunkConfig> {
        self.trunks.iter().find(|trunk| trunk.name == name)
    }

    /// Returns whether media of a trunk's calls is encrypted.
    pub fn trunk_srtp(&self, name: &str) -> SrtpPolicy {
        let own = self.trunk(name).and_then(|trunk| trunk.srtp);
        own.unwrap_or(self.media.srtp)
    }

    /// Returns whether media of a user's calls is encrypted.
    pub fn user_srtp(&self, name: &str) -> SrtpPolicy {
        let user = self.users.iter().find(|user| user.name == name);
        user.and_then(|user| user.srtp).unwrap_or(self.media.srtp)
    }
}

/// Returns every key that the configuration knows, sorted.
pub fn schema() -> Vec<Key> {
    let env = Env::default();
    let mut reader = Reader::new(&env, Path::new(""));
    // One empty element of each kind, so that the keys of each are asked for.
    let source = "[[trunk]]\n[[agent]]\n[[user]]\n[[room]]\n[[route]]\n[[http.key]]";
    let table = tree::parse(source, &mut reader.problems);
    read(&mut reader, Section::root(table), None);
    let keys: BTreeSet<Key> = reader.keys.into_iter().collect();
    keys.into_iter().collect()
}

fn read_file(path: &Path) -> Result<String, String> {
    let describe = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            "there is no such file; name one with --config, or begin with config/offhook.toml"
                .to_owned()
        }
        std::io::ErrorKind::InvalidData => "is not UTF-8 text".to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    let size = std::fs::metadata(path).map_err(describe)?.len();
    if size > MAX_FILE {
        return Err(format!(
            "is {size} bytes long; a configuration has at most {MAX_FILE}"
        ));
    }
    std::fs::read_to_string(path).map_err(describe)
}

fn read(r: &mut Reader<'_>, mut root: Section, file: Option<&Path>) -> Config {
    let section = root.section(r, "sip");
    let sip = SipConfig::read(r, section);
    let section = root.section(r, "media");
    let media = MediaConfig::read(r, section);
    let section = root.section(r, "limits");
    let limits = LimitsConfig::read(r, section);
    let section = root.section(r, "http");
    let http = HttpConfig::read(r, section);
    let section = root.section(r, "store");
    let store = StoreConfig::read(r, section);
    let section = root.section(r, "models");
    let models = ModelsConfig::read(r, section);
    let section = root.section(r, "llm");
    let llm = LlmConfig::read(r, section);
    let section = root.section(r, "crm");
    let crm = CrmConfig::read(r, section);
    let section = root.section(r, "log");
    let log = LogConfig::read(r, section);
    let sections = root.sections(r, "trunk");
    let trunks = TrunkConfig::read_all(r, sections);
    let sections = root.sections(r, "agent");
    let written = sections.iter().filter_map(Section::name).collect();
    let agents = AgentConfig::read_all(r, sections);
    let sections = root.sections(r, "user");
    let users = UserConfig::read_all(r, sections);
    let sections = root.sections(r, "room");
    let rooms = RoomConfig::read_all(r, sections);
    let sections = root.sections(r, "route");
    let outbound = trunks.iter().filter(|t| t.kind != TrunkKind::Inbound);
    let known = route::Known {
        agents: written,
        trunks: outbound.map(|trunk| trunk.name.clone()).collect(),
        all_trunks: trunks.iter().map(|trunk| trunk.name.clone()).collect(),
        users: users.iter().map(|user| user.name.clone()).collect(),
    };
    let routes = RouteConfig::read_all(r, sections, &known);
    root.finish(r);
    let file = file.map(Path::to_owned);
    let warnings = Vec::new();
    let config = Config {
        file,
        sip,
        media,
        limits,
        http,
        store,
        models,
        llm,
        crm,
        log,
        trunks,
        agents,
        users,
        rooms,
        routes,
        warnings,
    };
    weigh(r, &config);
    config
}

/// Warns of what is said of recordings that there are not.
fn weigh_recordings(r: &mut Reader<'_>, config: &Config) {
    if config.media.recordings.is_some() {
        return;
    }
    for trunk in &config.trunks {
        if trunk.recording_announcement.is_some() {
            let name = &trunk.name;
            let message = format!(
                "trunk {name} has a recording_announcement that is never said: without \
                 media.recordings nothing is recorded"
            );
            r.warnings.push(message);
        }
    }
    if config.media.recordings_keep_days.is_some() {
        let message = "media.recordings_keep_days removes nothing without media.recordings, also \
                       not what was recorded before";
        r.warnings.push(message.to_owned());
    }
}

/// Warns of rooms that nobody can call.
fn weigh_rooms(r: &mut Reader<'_>, config: &Config) {
    let called = |route: &RouteConfig| match &route.target {
        RouteTarget::Room(name) => Some(name.clone()),
        _ => None,
    };
    let called: BTreeSet<String> = config.routes.iter().filter_map(called).collect();
    for room in config.rooms.iter().filter(|r| !called.contains(&r.name)) {
        let name = &room.name;
        let near = nearest(name, called.iter().map(String::as_str));
        let near = near.map(|near| format!("; the nearest that one leads to is {near:?}"));
        let near = near.unwrap_or_default();
        let message = format!("no [[route]] leads to room {name:?}{near}");
        r.warnings.push(message);
    }
}

/// Warns of listeners of WebSockets that serve nobody.
fn weigh_pages(r: &mut Reader<'_>, config: &Config) {
    let websocket = |listen: &SipListen| matches!(listen.transport, Transport::Ws | Transport::Wss);
    if !config.sip.listen.iter().any(websocket) {
        return;
    }
    if config.users.is_empty() {
        let message = "sip.listen has a WebSocket, but there is no [[user]]: only users call over \
                       one, and nobody can";
        r.warnings.push(message.to_owned());
    }
    if config.sip.ws_origins.is_empty() {
        let message = "sip.listen has a WebSocket, but sip.ws_origins is empty: no page in a \
                       browser may connect";
        r.warnings.push(message.to_owned());
    }
}

/// Warns of what is allowed but probably not meant.
fn weigh(r: &mut Reader<'_>, config: &Config) {
    if !config.sip.is_loopback_only() && config.trunks.is_empty() && config.users.is_empty() {
        let message = "sip.listen is reachable from other machines, but there is no [[trunk]] and \
                       no [[user]]: every call from outside will be refused";
        r.warnings.push(message.to_owned());
    }
    weigh_pages(r, config);
    let (calls, pairs) = (config.limits.max_calls, config.media.ports.pairs());
    let bridges = config.routes.iter().any(|route| route.target.is_bridged());
    if calls > pairs {
        let message = format!(
            "media.ports has ports for {pairs} calls, fewer than limits.max_calls ({calls})"
        );
        r.warnings.push(message);
    } else if bridges && calls > pairs / 2 {
        let bridged = pairs / 2;
        let message = format!(
            "media.ports has ports for {bridged} bridged calls, which take two pairs each: fewer \
             than limits.max_calls ({calls})"
        );
        r.warnings.push(message);
    }
    if !config.agents.is_empty() && config.routes.is_empty() {
        let message = "there is no [[route]]: no incoming call reaches an agent";
        r.warnings.push(message.to_owned());
    }
    weigh_recordings(r, config);
    weigh_rooms(r, config);
    for trunk in config
        .trunks
        .iter()
        .filter(|trunk| trunk.kind != TrunkKind::Inbound)
    {
        if trunk.caller_id.is_none() {
            let name = &trunk.name;
            let message = format!("trunk {name} has no caller_id: calls out must name their own");
            r.warnings.push(message);
        }
    }
}
