//! `[llm]` and `[crm.ploink]`: the servers that the switch talks to over HTTP.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;

use reqwest::Url;

use super::error::Origin;
use super::network::is_private;
use super::reader::{Reader, Section};
use super::secret::Secret;
use super::sip::small;
use super::value::text_value;
use crate::crm::ploink::{PloinkConfig, PloinkTemplates};

/// The base URL of an HTTP API, without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(Url);

impl BaseUrl {
    /// Returns the URL as text without a slash at its end.
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    /// Reports whether the server is on this machine.
    pub fn is_loopback(&self) -> bool {
        let host = self.0.host_str().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let address = bare.parse::<IpAddr>();
        host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|a| a.is_loopback())
    }

    /// Reports whether what is sent there can be read on the way by strangers.
    fn is_in_the_clear(&self) -> bool {
        let host = self.0.host_str().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let near = match bare.parse::<IpAddr>() {
            Ok(address) => is_private(address),
            // A name without a dot is this machine, or a neighbour in a compose network.
            Err(_) => !host.contains('.') || host.ends_with(".local"),
        };
        self.0.scheme() == "http" && !near
    }
}

impl FromStr for BaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let example = "write for instance \"http://localhost:11434/v1\"";
        let url: Url = text
            .parse()
            .map_err(|error| format!("not a URL ({error}): {example}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("must begin with http:// or https://: {example}"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not hold a name and password: use api_key or headers".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!(
                "must end with its path, without \"?\" or \"#\": {example}"
            ));
        }
        Ok(Self(url))
    }
}

impl std::fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

text_value!(BaseUrl, "a URL");

/// `[llm]`: any OpenAI-compatible server.
#[derive(Debug, Clone, PartialEq)]
pub struct LlmConfig {
    /// The base URL, ending in `/v1` for most servers.
    pub base_url: BaseUrl,
    /// The model's name.
    pub model: String,
    /// The bearer key.
    pub api_key: Option<Secret>,
    /// Headers sent with each request.
    pub headers: BTreeMap<String, Secret>,
    /// The sampling temperature; `None` leaves it to the server.
    pub temperature: Option<f64>,
    /// The most tokens of one answer.
    pub max_tokens: u32,
    /// How long the first token may take, retries included, in ms.
    pub first_token_timeout_ms: u32,
    /// How long each token after the first may take, in ms.
    pub token_timeout_ms: u32,
    /// How often a request is tried again before its first token.
    pub retries: u32,
}

impl LlmConfig {
    /// Makes a configuration with the default limits.
    pub fn new(base_url: BaseUrl, model: impl Into<String>) -> Self {
        Self {
            base_url,
            model: model.into(),
            api_key: None,
            headers: BTreeMap::new(),
            temperature: None,
            max_tokens: 300,
            first_token_timeout_ms: 5_000,
            token_timeout_ms: 3_000,
            retries: 2,
        }
    }

    /// Takes the key and the headers' values out of a text that came from outside.
    pub fn redact(&self, text: &str) -> String {
        let secrets = self.headers.values().chain(&self.api_key);
        secrets.fold(text.to_owned(), |text, secret| secret.redact(&text))
    }

    pub(super) fn read(r: &mut Reader<'_>, mut s: Section) -> Option<Self> {
        let present = s.present;
        let base_url = s.opt::<BaseUrl>(r, "base_url");
        let model = if present {
            s.required(r, "model", "name the model that the server offers")
        } else {
            s.opt::<String>(r, "model")
        };
        let api_key = s.opt::<Secret>(r, "api_key");
        let headers = read_headers(r, &mut s);
        let origin = s.origin_of("temperature");
        let temperature = s.opt::<f64>(r, "temperature");
        if temperature.is_some_and(|t| !(0.0..=2.0).contains(&t)) {
            s.wrong(r, "temperature", &origin, "is out of range: from 0 to 2");
        }
        let max_tokens = small(s.number(r, "max_tokens", 1..=100_000, 300));
        let first_token_timeout_ms =
            small(s.number(r, "first_token_timeout_ms", 100..=120_000, 5_000));
        let token_timeout_ms = small(s.number(r, "token_timeout_ms", 100..=120_000, 3_000));
        let retries = small(s.number(r, "retries", 0..=10, 2));
        s.finish(r);
        let base_url = match base_url {
            Some(url) => url,
            None => "https://api.openai.com/v1".parse().ok()?,
        };
        let api_key = api_key.or_else(|| openai_key(r, &base_url));
        let model = model.filter(|_| present)?;
        Some(Self {
            base_url,
            model,
            api_key,
            headers,
            temperature,
            max_tokens,
            first_token_timeout_ms,
            token_timeout_ms,
            retries,
        })
    }
}

/// Takes the key of the environment, unless strangers could read it on the way.
fn openai_key(r: &mut Reader<'_>, base_url: &BaseUrl) -> Option<Secret> {
    let key = r.env.var("OPENAI_API_KEY")?;
    if base_url.is_in_the_clear() {
        let message = "OPENAI_API_KEY is not sent over plain http:// to another network; \
                       use https://, or write api_key yourself";
        r.warn(&Origin::Absent, "llm", message);
        return None;
    }
    Some(Secret::new(key))
}

fn read_headers(r: &mut Reader<'_>, s: &mut Section) -> BTreeMap<String, Secret> {
    let origin = s.origin_of("headers");
    let mut headers = BTreeMap::new();
    for (name, value) in s.map::<Secret>(r, "headers") {
        let name_ok = reqwest::header::HeaderName::from_bytes(name.as_bytes()).is_ok();
        let value_ok = reqwest::header::HeaderValue::from_str(value.expose()).is_ok();
        if name_ok && value_ok {
            headers.insert(name, value);
        } else {
            s.wrong(
                r,
                "headers",
                &origin,
                format!("{name:?} is not a header that can be sent"),
            );
        }
    }
    headers
}

/// `[crm]`: where calls, contacts and appointments go.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CrmConfig {
    /// The Ploink CRM.
    pub ploink: Option<PloinkConfig>,
}

impl CrmConfig {
    pub(super) fn read(r: &mut Reader<'_>, mut s: Section) -> Self {
        let mut p = s.section(r, "ploink");
        s.finish(r);
        let present = p.present;
        let base_url = p.opt::<BaseUrl>(r, "base_url");
        let api_key = p.opt(r, "api_key");
        let headers = read_headers(r, &mut p);
        let default = PloinkConfig::default();
        let timeout_ms = p.number(r, "timeout_ms", 100..=60_000, default.timeout_ms);
        let look_up_timeout_ms = p.number(
            r,
            "look_up_timeout_ms",
            50..=10_000,
            default.look_up_timeout_ms,
        );
        let segment = p.opt(r, "segment");
        let templates = read_templates(r, &mut p);
        p.finish(r);
        let ploink = present.then(|| PloinkConfig {
            base_url: base_url.map_or(default.base_url, |url| url.as_str().to_owned()),
            api_key,
            headers,
            timeout_ms,
            look_up_timeout_ms,
            segment,
            templates,
        });
        Self { ploink }
    }
}

/// Reads the requests' bodies, so that a broken one is found with the rest of the configuration.
fn read_templates(r: &mut Reader<'_>, p: &mut Section) -> PloinkTemplates {
    let origin = p.origin_of("templates");
    let written: serde_json::Map<_, _> = p.json(r, "templates").into_iter().collect();
    let read = serde_json::from_value(written.into());
    read.unwrap_or_else(|error: serde_json::Error| {
        p.wrong(r, "templates", &origin, error.to_string());
        PloinkTemplates::default()
    })
}
