//! A switch of a test's own, with everything that `offhook run` starts; the models are shared.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use futures_util::StreamExt;
use offhook::ai::{Audio, OnBox, Voicing, Words};
use offhook::call::{Services, Watcher};
use offhook::cli::run::{assemble, finish, serve_api};
use offhook::config::{Config, Env};
use offhook::http::{Event, EventFilter, EventStream, StreamItem};
use offhook::observe::metrics::Metrics;
use offhook::store::Options;
use offhook::{meters, switchboard};
use offhook_models::whisper::{Size, Step, Whisper};
use offhook_models::{Runtime, voice::convert_rate};
use reqwest::Response;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// The models, loaded once for all tests of this program.
fn on_box(config: &Config) -> Arc<OnBox> {
    static LOADED: OnceLock<Arc<OnBox>> = OnceLock::new();
    let load = || {
        let loaded = OnBox::load(&config.models, [], Voicing::Repeatable, Words::Recognise);
        Arc::new(loaded.expect("`offhook models pull` fetches the models"))
    };
    Arc::clone(LOADED.get_or_init(load))
}

/// A running switch.
pub(crate) struct Switch {
    pub(crate) services: Arc<Services>,
    /// The agent's URI.
    pub(crate) uri: String,
    api: String,
    pub(crate) stop: CancellationToken,
    pub(crate) folder: tempfile::TempDir,
}

impl Switch {
    /// Starts a switch with one agent that has this flow; `more` is appended to its configuration.
    pub(crate) async fn start(flow: &str, more: &str) -> Self {
        Self::start_with(flow, more, Options::default()).await
    }

    pub(crate) async fn start_with(flow: &str, more: &str, options: Options) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), flow, more, options).await
    }

    /// Starts a switch whose conversations somebody watches.
    pub(crate) async fn start_watched(flow: &str, watcher: Arc<dyn Watcher>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::assemble(folder, flow, "", Options::default(), Some(watcher)).await
    }

    /// Starts a switch in a folder where one may have run before.
    pub(crate) async fn start_in(
        folder: tempfile::TempDir,
        flow: &str,
        more: &str,
        options: Options,
    ) -> Self {
        Self::assemble(folder, flow, more, options, None).await
    }

    async fn assemble(
        folder: tempfile::TempDir,
        flow: &str,
        more: &str,
        options: Options,
        watcher: Option<Arc<dyn Watcher>>,
    ) -> Self {
        offhook::tls::install();
        std::fs::write(folder.path().join("flow.toml"), flow).unwrap();
        let media = if more.contains("[media]") {
            ""
        } else {
            "media = { recordings = \"recordings\", threads = 2 }\n"
        };
        let sip = if more.contains("[sip]") {
            ""
        } else {
            "sip.listen = [\"udp://127.0.0.1:0\"]\n"
        };
        let text = format!(
            "{sip}http.listen = \"127.0.0.1:0\"\n\
             {media}\
             [[agent]]\nname = \"test\"\nflow = \"flow.toml\"\n{more}"
        );
        let file = folder.path().join("offhook.toml");
        let config = Config::parse(&text, Some(&file), &Env::process()).unwrap();
        let models = on_box(&config);
        let stop = CancellationToken::new();
        let (services, news) = assemble(config, options, watcher, &stop).await.unwrap();
        let metrics = Metrics::install().unwrap();
        tokio::spawn(switchboard::run(Arc::clone(&services), news));
        tokio::spawn(meters::run(Arc::clone(&services), metrics.clone()));
        let api = serve_api(&services, metrics, &stop).await.unwrap();
        assert!(services.models_loaded(models));
        let (_, sip) = services.line.sip().listeners()[0];
        Self {
            services,
            uri: format!("sip:test@{sip}"),
            api: format!("http://{api}"),
            stop,
            folder,
        }
    }

    /// Sends a request to the API.
    pub(crate) async fn get(&self, path: &str) -> Response {
        let url = format!("{}{path}", self.api);
        reqwest::get(url).await.unwrap()
    }

    /// Opens a stream of events after one that was seen.
    pub(crate) async fn resume(&self, path: &str, seen: u64) -> Response {
        let url = format!("{}{path}", self.api);
        let request = reqwest::Client::new().get(url);
        let request = request.header("last-event-id", seen.to_string());
        request.send().await.unwrap()
    }

    /// Asks the API for a call by the test's agent.
    pub(crate) async fn post_call(&self, to: &str) -> Response {
        let body = serde_json::json!({ "to": to, "agent": "test" });
        self.post("/v1/calls", &body, None).await
    }

    /// Sends a request with a body, and with an `Idempotency-Key` when one is given.
    pub(crate) async fn post(&self, path: &str, body: &Value, key: Option<&str>) -> Response {
        let url = format!("{}{path}", self.api);
        let request = reqwest::Client::new().post(url).json(body);
        let request = match key {
            Some(key) => request.header("idempotency-key", key),
            None => request,
        };
        request.send().await.unwrap()
    }

    /// Changes something with a request; returns its status.
    pub(crate) async fn patch(&self, path: &str, body: &Value) -> u16 {
        let url = format!("{}{path}", self.api);
        let request = reqwest::Client::new().patch(url).json(body);
        request.send().await.unwrap().status().as_u16()
    }

    /// Asks the API for a call's end.
    pub(crate) async fn delete_call(&self, id: &str) -> reqwest::StatusCode {
        self.delete(&format!("/v1/calls/{id}")).await
    }

    /// Takes something away.
    pub(crate) async fn delete(&self, path: &str) -> reqwest::StatusCode {
        let url = format!("{}{path}", self.api);
        let request = reqwest::Client::new().delete(url);
        request.send().await.unwrap().status()
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        self.get(path).await.json().await.unwrap()
    }

    /// Listens to what happens from now on.
    pub(crate) fn events(&self) -> Events {
        let stream = self.services.bus.subscribe(EventFilter::all(), None);
        Events(stream.unwrap())
    }

    /// Waits for a call's end and returns its record as the API gives it.
    pub(crate) async fn record(&self, events: &mut Events) -> Value {
        let ended = events.until("call.ended", |_| true).await;
        let id = ended.call_id.clone().unwrap();
        self.json(&format!("/v1/calls/{id}")).await
    }

    /// Stops as Ctrl-C does: what can be delivered is.
    pub(crate) async fn stop(self) -> tempfile::TempDir {
        finish(&self.services, &self.stop).await;
        self.folder
    }
}

/// What happens on a switch.
pub(crate) struct Events(EventStream);

impl Events {
    /// Waits for an event of a kind whose data is as asked.
    pub(crate) async fn until(&mut self, kind: &str, pick: impl Fn(&Value) -> bool) -> Arc<Event> {
        loop {
            match self.0.next().await {
                Some(StreamItem::Event(event))
                    if event.kind == kind && pick(&event.data.read()) =>
                {
                    return event;
                }
                Some(StreamItem::Event(_)) => {}
                other => panic!("the events ended with {other:?}"),
            }
        }
    }

    /// Waits until the agent has said something with these words, and that is written down.
    pub(crate) async fn agent_said(&mut self, words: &str) {
        let said = |turn: &Value| {
            turn["text"]
                .as_str()
                .is_some_and(|text| text.contains(words))
        };
        self.until("call.turn", |turn| turn["who"] == "agent" && said(turn))
            .await;
    }
}

/// The words of a text, without case and punctuation.
pub(crate) fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric() && c != '\'')
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// How many words of a text are missing, added or others.
pub(crate) fn wrong_words(heard: &str, said: &str) -> usize {
    strsim::generic_levenshtein(&words(heard), &words(said))
}

/// What Whisper hears in a telephone's sound, in words.
pub(crate) fn heard_words(samples: &[i16]) -> String {
    heard_words_at(8_000, samples)
}

/// What Whisper hears in sound, in words.
pub(crate) fn heard_words_at(rate_hz: u32, samples: &[i16]) -> String {
    static WHISPER: OnceLock<Whisper> = OnceLock::new();
    let whisper = WHISPER.get_or_init(|| {
        let dir = offhook_models::manifest::default_dir();
        let runtime = Runtime::load(&dir).unwrap();
        Whisper::load(&runtime, &dir, Size::TinyEn).unwrap()
    });
    let samples = samples.to_vec();
    let audio = Audio { rate_hz, samples };
    let mut transcription = whisper.begin(&audio.for_models(), &Default::default());
    loop {
        if let Step::Done(transcript) = transcription.step().unwrap() {
            return words(&transcript.text).join(" ");
        }
    }
}

/// A real voice of the corpora, at a telephone's rate.
pub(crate) fn voice(name: &str) -> Vec<i16> {
    voice_at(8_000, name)
}

/// A real voice of the corpora.
pub(crate) fn voice_at(to_hz: u32, name: &str) -> Vec<i16> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpora/speech");
    let mut wav = hound::WavReader::open(path.join(name)).unwrap();
    let rate_hz = wav.spec().sample_rate;
    let samples: Vec<f32> = wav
        .samples::<i16>()
        .map(|sample| f32::from(sample.unwrap()) / 32_768.0)
        .collect();
    let converted = convert_rate(&samples, rate_hz, to_hz);
    converted.iter().map(|s| (s * 32_767.0) as i16).collect()
}
