//! What an operator reads of a call: each line says which call it is about.

use std::io;
use std::sync::{Arc, Mutex};

use offhook::config::LogConfig;
use offhook::observe;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::rig::{Switch, voice};

/// A conversation that has a language model, which is not there.
const FLOW: &str = r#"
name = "reception"
start = "talk"

[nodes.talk]
type = "llm"
prompt = "You are the receptionist."
say = "Hello, how can I help you?"
on_error = "sorry"

[nodes.sorry]
type = "end"
say = "I am afraid our assistant is not available today."
outcome = "no assistant"
"#;

const NO_MODEL: &str = "[llm]\nbase_url = \"http://127.0.0.1:9/v1\"\nmodel = \"none\"\n";

/// Everything that this process logs.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Lines with this message, within a call's span with this id: as their list of spans.
    fn of_call(&self, id: &str, message: &str) -> Vec<Vec<Value>> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let lines = lines.filter(|line: &Value| line["message"] == message);
        let spans = lines.map(|line| line["spans"].as_array().cloned().unwrap_or_default());
        spans
            .filter(|spans| spans.first().is_some_and(|call| call["id"] == id))
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_about_a_call_carries_its_id() {
    let log = Log::default();
    let writer = log.clone();
    // Spans are there also when only warnings are asked for.
    let config = LogConfig {
        level: "warn,offhook::call::ending=info".to_owned(),
        format: None,
    };
    observe::init_to(&config, move || writer.clone(), false).unwrap();
    let switch = Switch::start(FLOW, NO_MODEL).await;
    let mut events = switch.events();
    let mut caller = Caller::dial(&switch.uri).await.unwrap();
    events.agent_said("how can I help you").await;
    caller.say(&voice("weather_question.wav"));
    caller.until_over().await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["outcome"], "no assistant");
    let id = record["id"].as_str().unwrap();

    let ended = log.of_call(id, "a call ended");
    let call = json!({ "name": "call", "id": id, "direction": "inbound", "agent": "test" });
    assert_eq!(ended, [[call.clone()]]);
    // This one comes from a task of its own, in the middle of a turn.
    let failed = log.of_call(id, "the language model failed");
    assert!(!failed.is_empty());
    for spans in failed {
        let names: Vec<_> = spans
            .iter()
            .map(|span| span["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["call", "leg", "turn"], "{spans:?}");
        assert_eq!(spans[0], call);
        assert!(spans[2]["number"].as_u64() > Some(1), "{spans:?}");
    }
    let all = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(
        !all.contains("+12025550143") && !all.to_lowercase().contains("weather"),
        "{all}"
    );
    switch.stop().await;
}
