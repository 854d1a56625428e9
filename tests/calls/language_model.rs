//! Calls whose agent thinks with a language model, over a real server that streams or fails.

use serde_json::{Value, json};

use crate::caller::Caller;
use crate::llm_support::{Script, Server, call, done, finish, token};
use crate::rig::{Switch, heard_words, voice};

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

fn llm(base_url: &str) -> String {
    format!(
        "[llm]\nbase_url = \"{base_url}\"\nmodel = \"test-model\"\nfirst_token_timeout_ms = 500\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_caller_hears_the_models_sentence_and_the_turn_says_where_its_time_went() {
    let answer = ["It is ", "sunny in ", "Berlin ", "today."].map(token);
    let mut chunks = answer.to_vec();
    chunks.extend([finish("stop"), done()]);
    let server = Server::start(vec![Script::Stream(chunks)]).await;
    let base_url = format!("http://{}/v1", server.address);
    let switch = Switch::start(FLOW, &llm(&base_url)).await;
    let mut events = switch.events();
    let mut caller = Caller::dial(&switch.uri).await.unwrap();
    events.agent_said("how can I help you").await;
    caller.say(&voice("weather_question.wav"));
    events.agent_said("sunny in Berlin").await;
    let heard = heard_words(&caller.hang_up().await);
    assert!(heard.contains("it is sunny in berlin today"), "{heard}");

    let record = switch.record(&mut events).await;
    let turns = record["turns"].as_array().unwrap();
    let [_, question, answer] = turns.as_slice() else {
        panic!("{record:#}")
    };
    let asked = question["text"].as_str().unwrap().to_lowercase();
    assert!(asked.contains("weather"), "{record:#}");
    // Nothing was cut off: what was heard is what was said.
    assert_eq!(answer["text"], "It is sunny in Berlin today.");
    assert_eq!(
        (&answer["heard_text"], &answer["interrupted"]),
        (&Value::Null, &json!(false))
    );
    for field in [
        "endpoint_ms",
        "stt_ms",
        "llm_first_token_ms",
        "tts_first_audio_ms",
        "voice_to_voice_ms",
    ] {
        assert!(answer["latency"][field].is_u64(), "{field}: {record:#}");
    }
    let (_, _, body, _) = server.seen.requests.lock().unwrap().pop().unwrap();
    let messages = body["messages"].as_array().unwrap();
    let last = messages.last().unwrap();
    assert_eq!(last["role"], "user");
    assert_eq!(last["content"], question["text"]);
}

/// A call whose model fails each time: the caller must hear so, and be told goodbye.
async fn call_with_dead_model(base_url: &str) -> Value {
    let switch = Switch::start(FLOW, &llm(base_url)).await;
    let mut events = switch.events();
    let mut caller = Caller::dial(&switch.uri).await.unwrap();
    events.agent_said("how can I help you").await;
    caller.say(&voice("weather_question.wav"));
    let heard = heard_words(&caller.until_over().await);
    assert!(heard.contains("sorry one moment"), "{heard}");
    let goodbye = "our assistant is not available today";
    assert!(heard.contains(goodbye), "{heard}");
    let record = switch.record(&mut events).await;
    assert_eq!(record["state"], "completed", "{record:#}");
    assert_eq!(record["outcome"], "no assistant", "{record:#}");
    let turns = record["turns"].as_array().unwrap();
    let said = |who: &str, words: &str| {
        let of = |turn: &&Value| turn["who"] == who;
        let has = |turn: &Value| turn["text"].as_str().unwrap().contains(words);
        assert!(turns.iter().filter(of).any(has), "{words}: {record:#}");
    };
    said("caller", "weather");
    said("agent", goodbye);
    record
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_is_not_there_costs_the_caller_a_sentence() {
    let port = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    call_with_dead_model(&format!("http://127.0.0.1:{port}/v1")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_stalls_for_ever_costs_the_caller_a_sentence() {
    let stalls = (0..20).map(|_| Script::Stall(Vec::new(), None)).collect();
    let server = Server::start(stalls).await;
    call_with_dead_model(&format!("http://{}/v1", server.address)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_is_busy_or_broken_costs_the_caller_a_sentence() {
    let busy = || Script::Answer(429, vec![("retry-after", "60")], "{}".into());
    let broken = || Script::Answer(500, Vec::new(), "{}".into());
    // The first request meets 429 and its repetition 500, however often each is tried again.
    let mut scripts = vec![busy()];
    scripts.extend((0..20).map(|_| broken()));
    let server = Server::start(scripts).await;
    call_with_dead_model(&format!("http://{}/v1", server.address)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_is_cut_off_in_its_sentence_goes_on_after_it() {
    let cut = Script::Stream(vec![token("We are open every day, ")]);
    let rest = vec![token("from nine to five."), finish("stop"), done()];
    let server = Server::start(vec![cut, Script::Stream(rest)]).await;
    let switch = Switch::start(FLOW, &llm(&format!("http://{}/v1", server.address))).await;
    let mut events = switch.events();
    let mut caller = Caller::dial(&switch.uri).await.unwrap();
    events.agent_said("how can I help you").await;
    caller.say(&voice("weather_question.wav"));
    events.agent_said("nine to five").await;
    let heard = heard_words(&caller.hang_up().await);
    assert!(heard.contains("we are open every day"), "{heard}");
    assert!(!heard.contains("sorry"), "{heard}");
}

/// Asks its stock at an address.
fn shop(address: std::net::SocketAddr) -> String {
    format!(
        r#"
name = "shop"
start = "talk"

[nodes.talk]
type = "llm"
prompt = "You sell roses."
say = "Hello, how can I help you?"

[[nodes.talk.http_tools]]
name = "stock"
description = "How many there are"
url = "http://{address}/stock"
timeout_s = 30
"#
    )
}

/// Who wrote each message after the system's, and which tools it called.
fn shape(messages: &[Value]) -> Vec<(&str, usize)> {
    let calls = |message: &Value| message["tool_calls"].as_array().map_or(0, Vec::len);
    let messages = messages.iter().skip(1);
    messages
        .map(|message| (message["role"].as_str().unwrap(), calls(message)))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_asks_a_tool_and_a_caller_who_speaks_meanwhile_is_answered_all_the_same() {
    let stock = |id: &str| {
        let function = json!({ "name": "stock", "arguments": "{}" });
        let piece = json!({ "index": 0, "id": id, "type": "function", "function": function });
        vec![call(&piece), finish("tool_calls"), done()]
    };
    let mut first = vec![token("Let me look. ")];
    first.extend(stock("call_a"));
    let server = Server::start(vec![
        Script::Stream(first),
        // The stock does not answer, and the caller asks again.
        Script::Stall(Vec::new(), None),
        Script::Stream(stock("call_b")),
        Script::Answer(200, Vec::new(), "12".into()),
        Script::Stream(vec![
            token("We have plenty of them."),
            finish("stop"),
            done(),
        ]),
    ])
    .await;
    let base_url = format!("http://{}/v1", server.address);
    let switch = Switch::start(&shop(server.address), &llm(&base_url)).await;
    let mut events = switch.events();
    let mut caller = Caller::dial(&switch.uri).await.unwrap();
    events.agent_said("how can I help you").await;
    caller.say(&voice("weather_question.wav"));
    server.asked("/stock", 1).await;
    caller.say(&voice("weather_question.wav"));
    events.agent_said("plenty of them").await;
    let heard = heard_words(&caller.hang_up().await);
    assert!(heard.contains("we have plenty of them"), "{heard}");

    let asked = server.conversations();
    let [_, again, last] = asked.as_slice() else {
        panic!("{asked:#?}")
    };
    let begin = [("assistant", 0), ("user", 0), ("assistant", 1), ("tool", 0)];
    // What was said before the tool was asked may have been cut off, but the order stands.
    assert_eq!(
        shape(again),
        [&begin[..], &[("user", 0)]].concat(),
        "{again:#?}"
    );
    assert_eq!(again[4]["tool_call_id"], "call_a");
    assert_eq!(again[4]["content"], "abandoned");
    let end = [("user", 0), ("assistant", 1), ("tool", 0)];
    assert_eq!(shape(last), [&begin[..], &end[..]].concat(), "{last:#?}");
    assert_eq!(
        (&last[7]["tool_call_id"], &last[7]["content"]),
        (&json!("call_b"), &json!("HTTP 200: 12"))
    );
}
