//! A conversation in text with one flow.

use std::sync::Arc;

use jiff::Zoned;
use offhook::agent::flow::{FlowRun, RunOptions, load, parse};
use offhook::agent::{
    Act, BookRequest, Booking, Context, CutText, Dialogue, Event, HttpRequest, HttpResponse,
    LlmEvent, LlmRequest, RequestFailure, SayId, Variables,
};
use serde_json::Value;

/// Talks to a flow on Thursday, 4 June 2026, at ten in New York.
pub(crate) struct Talk {
    run: FlowRun,
    ids: u64,
    /// What was said since the caller last did something.
    said: String,
    everything: String,
    /// The texts of the agent's turn.
    turn: Vec<(SayId, String)>,
    ended: bool,
    http: Vec<HttpRequest>,
    llm: Vec<LlmRequest>,
    book: Vec<BookRequest>,
}

impl Talk {
    pub(crate) fn start(flow: &str, variables: &[(&str, &str)]) -> Self {
        Self::begin(flow, variables, false)
    }

    pub(crate) fn start_with_model(flow: &str, variables: &[(&str, &str)]) -> Self {
        Self::begin(flow, variables, true)
    }

    fn begin(flow: &str, variables: &[(&str, &str)], llm: bool) -> Self {
        let options = RunOptions {
            llm,
            ..RunOptions::default()
        };
        Self::told(flow, variables, options)
    }

    /// Talks to a flow of the repository whose agent was told something.
    pub(crate) fn told(flow: &str, variables: &[(&str, &str)], options: RunOptions) -> Self {
        let path = format!("{}/config/flows/{flow}.toml", env!("CARGO_MANIFEST_DIR"));
        let flow = load(path.as_ref()).unwrap();
        let variables: Variables = variables.iter().copied().collect();
        Self::run(FlowRun::new(Arc::new(flow), &variables, options))
    }

    pub(crate) fn of(text: &str, variables: &[(&str, Value)]) -> Self {
        let flow = parse("test.toml", text).unwrap();
        let variables: Variables = variables.iter().cloned().collect();
        Self::run(FlowRun::new(
            Arc::new(flow),
            &variables,
            RunOptions::default(),
        ))
    }

    /// Talks to a flow that a model leads.
    pub(crate) fn of_model(text: &str) -> Self {
        let flow = parse("test.toml", text).unwrap();
        let options = RunOptions {
            llm: true,
            ..RunOptions::default()
        };
        Self::run(FlowRun::new(Arc::new(flow), &Variables::new(), options))
    }

    fn run(run: FlowRun) -> Self {
        let mut talk = Self {
            run,
            ids: 0,
            said: String::new(),
            everything: String::new(),
            turn: Vec::new(),
            ended: false,
            http: Vec::new(),
            llm: Vec::new(),
            book: Vec::new(),
        };
        talk.happen(Event::Start);
        talk
    }

    /// Notes what the caller does, for a failure's message.
    fn note(&mut self, what: &str) {
        self.everything.push_str(&format!("\n> {what}\n"));
    }

    fn happen(&mut self, event: Event<'_>) -> &mut Self {
        let wall: Zoned = "2026-06-04T10:00:00-04:00[America/New_York]"
            .parse()
            .unwrap();
        let mut cx = Context::new(wall, &mut self.ids);
        self.run.handle(&mut cx, event);
        self.said.clear();
        for act in cx.into_acts() {
            match act {
                Act::Say { say, text, .. } => {
                    self.said.push_str(&text);
                    self.said.push(' ');
                    self.turn.push((say, text));
                }
                Act::Http(request) => self.http.push(request),
                Act::Llm(request) => self.llm.push(request),
                Act::Book(request) => self.book.push(request),
                Act::End => self.ended = true,
                Act::Wait | Act::Cancel(_) | Act::Transfer(_) => {}
            }
        }
        self.everything.push_str(&self.said);
        self
    }

    pub(crate) fn hear(&mut self, text: &str) -> &mut Self {
        self.note(text);
        self.turn.clear();
        self.happen(Event::Heard { text, aside: false })
    }

    pub(crate) fn not_understood(&mut self) -> &mut Self {
        self.happen(Event::NotUnderstood)
    }

    pub(crate) fn keys(&mut self, digits: &str) -> &mut Self {
        self.note(digits);
        self.happen(Event::Digits(digits))
    }

    pub(crate) fn silence(&mut self, nth: u32) -> &mut Self {
        self.happen(Event::Silence(nth))
    }

    /// The caller cuts the agent off, who had said so much since the caller last spoke.
    pub(crate) fn interrupted(&mut self, heard: &str) -> &mut Self {
        let mut left = heard;
        let cut = |(say, text): (SayId, String)| {
            let heard = left.strip_prefix(&text).map_or(left, |_| text.as_str());
            left = left.strip_prefix(heard).unwrap_or_default().trim_start();
            CutText {
                say,
                heard: heard.to_owned(),
            }
        };
        let cut: Vec<CutText> = std::mem::take(&mut self.turn)
            .into_iter()
            .map(cut)
            .collect();
        self.happen(Event::Interrupted { cut: &cut })
    }

    /// The caller hears out what is being said.
    pub(crate) fn heard_out(&mut self) -> &mut Self {
        self.turn.clear();
        self
    }

    /// A request takes its time, in silence.
    pub(crate) fn still_waiting(&mut self) -> &mut Self {
        self.happen(Event::StillWaiting)
    }

    pub(crate) fn book(&mut self, result: Result<(), RequestFailure>) -> &mut Self {
        let id = self.book.last().unwrap().id;
        self.happen(Event::Booked(id, result.map(|()| Booking::default())))
    }

    pub(crate) fn http(&mut self, status: u16, body: &str) -> &mut Self {
        let id = self.http.last().unwrap().id;
        let response = HttpResponse {
            status,
            body: body.to_owned(),
        };
        self.happen(Event::Http(id, Ok(response)))
    }

    pub(crate) fn llm(&mut self, event: LlmEvent) -> &mut Self {
        let id = self.llm.last().unwrap().id;
        self.happen(Event::Llm(id, event))
    }

    /// Requires that the last thing said contains a text.
    pub(crate) fn expect(&mut self, text: &str) -> &mut Self {
        assert!(
            self.said.contains(text),
            "wanted {text:?} in {:?}\n{}",
            self.said,
            self.everything
        );
        self
    }

    /// What was said since the caller, or anything else, last did something.
    pub(crate) fn said(&self) -> &str {
        self.said.trim_end()
    }

    pub(crate) fn request(&self) -> &LlmRequest {
        self.llm.last().unwrap()
    }

    pub(crate) fn take_booking(&self) -> BookRequest {
        let book = self.book.last();
        book.unwrap_or_else(|| panic!("nothing was booked\n{}", self.everything))
            .clone()
    }

    pub(crate) fn take_http(&self) -> HttpRequest {
        self.http.last().unwrap().clone()
    }

    pub(crate) fn var(&self, name: &str) -> String {
        self.run.variables().text(name)
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        let value = self.run.variables().value(name);
        value
            .unwrap_or_else(|| panic!("no {name}\n{}", self.everything))
            .clone()
    }

    pub(crate) fn everything(&self) -> &str {
        &self.everything
    }

    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    pub(crate) fn outcome(&self) -> String {
        self.run.outcome()
    }

    pub(crate) fn silence_after_s(&self) -> f64 {
        self.run.silence_after().as_secs_f64()
    }
}
