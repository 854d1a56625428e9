//! What `offhook config check` prints: the configuration as it was understood.

use std::fmt::{self, Write as _};

use super::{Ambience, Config, FlowSource, TrunkConfig, TrunkKind};

/// The configuration in a person's words; secrets are never part of it.
pub struct Summary<'a>(&'a Config);

impl Config {
    /// Returns what was understood, to be printed line by line.
    pub fn summary(&self) -> Summary<'_> {
        Summary(self)
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = self.0;
        sockets(f, config)?;
        services(f, config)?;
        for trunk in &config.trunks {
            line(f, "trunk", &describe_trunk(trunk))?;
        }
        for agent in &config.agents {
            let flow = match &agent.flow {
                FlowSource::File(path) => path.display().to_string(),
                FlowSource::BuiltIn(name) => format!("{name} (built in)"),
            };
            let voice = agent.voice.as_ref().unwrap_or(&config.models.voice);
            let behind = match &agent.ambience {
                Some(Ambience::Room) => ", a quiet room behind it".to_owned(),
                Some(Ambience::File(path)) => format!(", {} behind it", path.display()),
                None => String::new(),
            };
            line(
                f,
                "agent",
                &format!("{}: flow {flow}, voice {voice}{behind}", agent.name),
            )?;
        }
        for user in &config.users {
            let srtp = user.srtp.map(|srtp| format!(", SRTP {srtp}"));
            let srtp = srtp.unwrap_or_default();
            let text = format!("{}: may register and call{srtp}", user.name);
            line(f, "user", &text)?;
        }
        for room in &config.rooms {
            let pin = if room.pin.is_some() {
                ", with a PIN"
            } else {
                ""
            };
            let text = format!("{}: {} parties at most{pin}", room.name, room.max_parties);
            line(f, "room", &text)?;
        }
        for route in &config.routes {
            let (to, from) = (&route.to, &route.from);
            let text = format!("to {to} from {from} -> {}", route.target);
            line(f, "route", &text)?;
        }
        for warning in &config.warnings {
            line(f, "warning", warning)?;
        }
        Ok(())
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, text: &str) -> fmt::Result {
    writeln!(f, "{name:<10} {text}")
}

fn sockets(f: &mut fmt::Formatter<'_>, config: &Config) -> fmt::Result {
    let mut sip = join(&config.sip.listen);
    match config.sip.public_address {
        Some(address) => write!(sip, ", known outside as {address}")?,
        None if config.sip.is_loopback_only() => sip.push_str(", this machine only"),
        None => {}
    }
    line(f, "sip", &sip)?;
    let mut media = format!(
        "ports {}, {} calls",
        config.media.ports,
        config.media.ports.pairs()
    );
    match &config.media.recordings {
        Some(folder) => {
            let (folder, format) = (folder.display(), config.media.recording_format);
            write!(media, ", recordings in {folder} as {format}")?;
        }
        None => media.push_str(", no recording"),
    }
    write!(media, ", SRTP {}", config.media.srtp)?;
    line(f, "media", &media)?;
    let limits = &config.limits;
    let over = format!("over that 503 with Retry-After {} s", limits.retry_after_s);
    line(f, "limits", &format!("{} calls, {over}", limits.max_calls))?;
    let keys: Vec<&str> = config
        .http
        .keys
        .iter()
        .map(|key| key.name.as_str())
        .collect();
    let access = match keys.as_slice() {
        [] => "no key, this machine only".to_owned(),
        keys => format!("keys {}", keys.join(", ")),
    };
    line(
        f,
        "http",
        &format!("http://{}, {access}", config.http.listen),
    )
}

fn services(f: &mut fmt::Formatter<'_>, config: &Config) -> fmt::Result {
    let store = format!("SQLite, {}", config.store.path.display());
    line(f, "store", &store)?;
    let models = &config.models;
    let folder = models.dir.display();
    line(
        f,
        "models",
        &format!(
            "{folder}, Whisper {}, voice {}",
            models.whisper, models.voice
        ),
    )?;
    let llm = match &config.llm {
        Some(llm) => {
            let key = if llm.api_key.is_some() {
                "with a key"
            } else {
                "without a key"
            };
            format!("{} at {}, {key}", llm.model, llm.base_url)
        }
        None => "none: flows run by grammar".to_owned(),
    };
    line(f, "llm", &llm)?;
    let crm = match &config.crm.ploink {
        Some(ploink) => format!("Ploink at {}", ploink.base_url),
        None => "none".to_owned(),
    };
    line(f, "crm", &crm)
}

fn describe_trunk(trunk: &TrunkConfig) -> String {
    let mut text = format!("{}: {}", trunk.name, trunk.kind);
    if trunk.kind != TrunkKind::Inbound {
        text.push_str(match trunk.kind {
            TrunkKind::Register => " at ",
            _ => " ",
        });
        text.push_str(&trunk.host);
    }
    if let Some(port) = trunk.port {
        text.push_str(&format!(":{port}"));
    }
    if let Some(transport) = trunk.transport {
        text.push_str(&format!(" over {transport}"));
    }
    if trunk.username.is_some() {
        text.push_str(", digest");
    }
    if let Some(srtp) = trunk.srtp {
        text.push_str(&format!(", SRTP {srtp}"));
    }
    if !trunk.record {
        text.push_str(", not recorded");
    } else if trunk.recording_announcement.is_some() {
        text.push_str(", recording announced");
    }
    if let Some(caller_id) = &trunk.caller_id {
        text.push_str(&format!(", caller id {caller_id}"));
    }
    let mut sources: Vec<String> = trunk.networks.iter().map(ToString::to_string).collect();
    if trunk.networks_from_host {
        sources.insert(0, "its host's addresses".to_owned());
    }
    text.push_str(&format!(", calls from {}", sources.join(", ")));
    text
}

fn join<T: ToString>(items: &[T]) -> String {
    items
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}
