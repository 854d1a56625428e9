//! The language model's client against a real HTTP server that streams as OpenAI's does.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

mod llm_support;

use futures_util::StreamExt;
use llm_support::{Script, Server, call, done, event, finish, token};
use offhook::ai::llm::{
    ChatRequest, FinishReason, LlmClient, LlmConfig, LlmError, LlmEvent, Message, Role, ToolCall,
    Usage,
};
use serde_json::json;
use tokio::sync::oneshot;

fn hello() -> Script {
    Script::Stream(vec![token("Hel"), token("lo"), finish("stop"), done()])
}

fn question() -> ChatRequest {
    ChatRequest::new(vec![
        Message::new(Role::System, "Be brief."),
        Message::new(Role::User, "Hello?"),
    ])
}

async fn ask(client: &LlmClient) -> Vec<LlmEvent> {
    client.stream(question()).collect().await
}

/// The events of an answer but for those that only say that it grows.
async fn told(client: &LlmClient) -> Vec<LlmEvent> {
    let mut events = ask(client).await;
    events.retain(|event| *event != LlmEvent::Working);
    events
}

fn text(events: &[LlmEvent]) -> String {
    let token = |event: &LlmEvent| match event {
        LlmEvent::Token(text) => Some(text.clone()),
        _ => None,
    };
    events.iter().filter_map(token).collect()
}

fn failure(events: &[LlmEvent]) -> LlmError {
    match events.last() {
        Some(LlmEvent::Failed(error)) => error.clone(),
        other => panic!("{other:?}"),
    }
}

fn finished(reason: FinishReason) -> LlmEvent {
    LlmEvent::Done {
        finish_reason: Some(reason),
        usage: None,
    }
}

/// Cuts bytes into pieces of `size`.
fn cut(bytes: &[u8], size: usize) -> Vec<Vec<u8>> {
    bytes.chunks(size).map(<[u8]>::to_vec).collect()
}

#[tokio::test]
async fn an_answer_is_streamed_token_by_token() {
    let usage = event(&json!({
        "choices": [], "usage": { "prompt_tokens": 9, "completion_tokens": 2 },
    }));
    let role = event(&json!({ "choices": [{ "delta": { "role": "assistant", "content": "" } }] }));
    let chunks = vec![
        role,
        token("Hel"),
        token("lo"),
        finish("stop"),
        usage,
        done(),
    ];
    let server = Server::start(vec![Script::Stream(chunks)]).await;
    let usage = Some(Usage {
        prompt_tokens: 9,
        completion_tokens: 2,
    });
    let expected = [
        LlmEvent::Token("Hel".into()),
        LlmEvent::Token("lo".into()),
        LlmEvent::Done {
            finish_reason: Some(FinishReason::Stop),
            usage,
        },
    ];
    assert_eq!(ask(&server.client()).await, expected);
}

#[tokio::test]
async fn the_request_is_what_openai_compatible_servers_expect() {
    let server = Server::start(vec![hello()]).await;
    let mut config = server.config();
    config.api_key = Some("sk-test".into());
    config.headers.insert("X-Team".to_owned(), "phone".into());
    ask(&LlmClient::new(config).unwrap()).await;
    let requests = server.seen.requests.lock().unwrap();
    let (line, headers, body, _) = &requests[0];
    assert_eq!(line, "POST /v1/chat/completions");
    assert_eq!(headers["authorization"], "Bearer sk-test");
    assert_eq!(headers["x-team"], "phone");
    assert_eq!(
        (&body["model"], &body["stream"]),
        (&json!("test-model"), &json!(true))
    );
    assert_eq!(
        body["messages"][1],
        json!({ "role": "user", "content": "Hello?" })
    );
    assert_eq!(body["max_tokens"], 300);
}

#[tokio::test]
async fn where_the_network_cuts_the_stream_changes_nothing() {
    let whole = [
        token("Grüß "),
        token("Gott 😀, "),
        token("日本"),
        finish("stop"),
        done(),
    ]
    .concat();
    for size in [1, 2, 3, 7, 64] {
        let server = Server::start(vec![Script::Stream(cut(&whole, size))]).await;
        let events = ask(&server.client()).await;
        assert_eq!(text(&events), "Grüß Gott 😀, 日本", "{size}");
        assert_eq!(events.last(), Some(&finished(FinishReason::Stop)));
    }
}

#[tokio::test]
async fn tool_calls_split_over_chunks_are_put_together() {
    let pieces = [
        token("One moment."),
        call(&json!({ "index": 0, "id": "call_a", "type": "function",
                      "function": { "name": "book", "arguments": "" } })),
        call(&json!({ "index": 0, "function": { "arguments": "{\"when\": \"to" } })),
        call(&json!({ "index": 0, "function": { "arguments": "morrow\"}" } })),
        call(
            &json!({ "index": 1, "id": "call_b", "function": { "name": "note", "arguments": "{" } }),
        ),
        call(&json!({ "index": 1, "function": { "arguments": "}" } })),
        finish("tool_calls"),
        done(),
    ];
    let server = Server::start(vec![Script::Stream(cut(&pieces.concat(), 5))]).await;
    let tool = |id: &str, name: &str, arguments: &str| {
        LlmEvent::ToolCall(ToolCall {
            id: id.into(),
            name: name.into(),
            arguments: arguments.into(),
        })
    };
    let expected = [
        LlmEvent::Token("One moment.".into()),
        tool("call_a", "book", "{\"when\": \"tomorrow\"}"),
        tool("call_b", "note", "{}"),
        finished(FinishReason::ToolCalls),
    ];
    assert_eq!(told(&server.client()).await, expected);
}

#[tokio::test]
async fn a_whole_tool_call_in_one_chunk_without_an_index_is_understood() {
    let piece = json!({ "function": { "name": "book", "arguments": "{\"n\":1}" } });
    let chunks = vec![call(&piece), finish("stop"), done()];
    let server = Server::start(vec![Script::Stream(chunks)]).await;
    let events = told(&server.client()).await;
    let expected = ToolCall {
        id: "call_0".into(),
        name: "book".into(),
        arguments: "{\"n\":1}".into(),
    };
    assert_eq!(events.first(), Some(&LlmEvent::ToolCall(expected)));
}

#[tokio::test]
async fn comments_and_carriage_returns_are_read_and_a_missing_done_is_forgiven() {
    let text = "\u{feff}: warming up\r\n\r\ndata: {\"choices\":[{\"delta\":\r\ndata: \
                {\"content\":\"Hi\"}}]}\r\n\r\ndata: {\"choices\":[{\"delta\":{},\
                \"finish_reason\":\"stop\"}]}";
    let server = Server::start(vec![Script::Stream(cut(text.as_bytes(), 9))]).await;
    let expected = [LlmEvent::Token("Hi".into()), finished(FinishReason::Stop)];
    assert_eq!(ask(&server.client()).await, expected);
}

#[tokio::test]
async fn a_stream_that_ends_without_its_end_was_cut() {
    let server = Server::start(vec![Script::Stream(vec![token("Hel")])]).await;
    let events = ask(&server.client()).await;
    assert_eq!(
        (text(&events).as_str(), failure(&events)),
        ("Hel", LlmError::Cut)
    );
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn a_connection_cut_in_the_middle_fails_at_once_and_is_not_asked_again() {
    let (cut, told) = oneshot::channel();
    let server = Server::start(vec![Script::Cut(vec![token("Hel"), token("lo")], told)]).await;
    let mut answer = server.client().stream(question());
    assert_eq!(answer.next().await, Some(LlmEvent::Token("Hel".into())));
    assert_eq!(answer.next().await, Some(LlmEvent::Token("lo".into())));
    cut.send(()).unwrap();
    assert_eq!(answer.next().await, Some(LlmEvent::Failed(LlmError::Cut)));
    assert_eq!((answer.next().await, server.requests()), (None, 1));
}

#[tokio::test]
async fn a_connection_cut_before_the_first_token_is_asked_again() {
    let (cut, told) = oneshot::channel();
    let cut_off = Script::Cut(vec![b": hi\n\n".to_vec()], told);
    let server = Server::start(vec![cut_off, hello()]).await;
    cut.send(()).unwrap();
    assert_eq!(text(&ask(&server.client()).await), "Hello");
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn a_connection_cut_after_the_last_word_does_no_harm() {
    let (cut, told) = oneshot::channel();
    let chunk = [token("Hello"), finish("stop")].concat();
    let server = Server::start(vec![Script::Cut(vec![chunk], told)]).await;
    let mut answer = server.client().stream(question());
    assert_eq!(answer.next().await, Some(LlmEvent::Token("Hello".into())));
    cut.send(()).unwrap();
    assert_eq!(answer.next().await, Some(finished(FinishReason::Stop)));
    assert_eq!(answer.next().await, None);
}

#[tokio::test]
async fn a_server_that_is_busy_is_asked_again_when_it_says() {
    let server = Server::start(vec![
        Script::Answer(
            429,
            vec![("retry-after-ms", "20"), ("retry-after", "60")],
            "{}".into(),
        ),
        Script::Answer(503, vec![], "overloaded".into()),
        hello(),
    ])
    .await;
    assert_eq!(text(&ask(&server.client()).await), "Hello");
    assert_eq!(server.requests(), 3);
}

#[tokio::test]
async fn a_wait_that_is_too_long_is_not_begun() {
    let busy = Script::Answer(429, vec![("retry-after", "60")], "{}".into());
    let server = Server::start(vec![busy]).await;
    let retry_after = Some(std::time::Duration::from_secs(60));
    assert_eq!(
        failure(&ask(&server.client()).await),
        LlmError::RateLimited { retry_after }
    );
}

#[tokio::test]
async fn attempts_are_counted() {
    let busy = || Script::Answer(500, vec![], "{\"error\":{\"message\":\"no GPU\"}}".into());
    let server = Server::start(vec![busy(), busy(), busy()]).await;
    let error = failure(&ask(&server.client()).await);
    assert_eq!(
        error,
        LlmError::Status {
            status: 500,
            detail: "no GPU".into()
        }
    );
    assert_eq!(server.requests(), 3);
}

#[tokio::test]
async fn a_refused_key_and_an_unknown_model_say_so_without_the_key() {
    let body = "{\"error\":{\"message\":\"Incorrect API key provided: sk-secret\"}}".to_owned();
    let missing = "{\"error\":{\"message\":\"model 'x' not found\"}}".to_owned();
    let server = Server::start(vec![
        Script::Answer(401, vec![], body),
        Script::Answer(404, vec![], missing),
    ])
    .await;
    let config = LlmConfig {
        api_key: Some("sk-secret".into()),
        ..server.config()
    };
    let client = LlmClient::new(config).unwrap();
    let error = failure(&ask(&client).await);
    assert!(
        error
            .to_string()
            .contains("llm.api_key (401): Incorrect API key"),
        "{error}"
    );
    assert!(!format!("{error:?}{client:?}").contains("sk-secret"));
    let error = failure(&ask(&client).await);
    assert!(
        error.to_string().contains("no model \"test-model\""),
        "{error}"
    );
}

#[tokio::test]
async fn no_secret_is_in_an_error_even_in_the_middle_of_a_stream_or_where_its_words_are_cut() {
    let padding = "x".repeat(290);
    let words = format!("sk-secret and team-4711 were sent {padding} sk-secret");
    let echo = json!({ "error": { "message": words } });
    let server = Server::start(vec![
        Script::Stream(vec![token("Hel"), event(&echo)]),
        Script::Answer(400, vec![], echo.to_string()),
    ])
    .await;
    let mut config = server.config();
    config.api_key = Some("sk-secret".into());
    config
        .headers
        .insert("X-Team".to_owned(), "Token team-4711".into());
    let client = LlmClient::new(config).unwrap();
    for _ in 0..2 {
        let error = failure(&ask(&client).await).to_string();
        assert!(error.contains("*** and *** were sent"), "{error}");
        assert!(
            !error.contains("sk-s") && !error.contains("4711"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_tool_call_that_grows_is_progress_without_words() {
    let pieces = vec![
        call(&json!({ "index": 0, "id": "a", "function": { "name": "book", "arguments": "" } })),
        call(&json!({ "index": 0, "function": { "arguments": "{}" } })),
        finish("tool_calls"),
        done(),
    ];
    let server = Server::start(vec![Script::Stream(pieces)]).await;
    let events = ask(&server.client()).await;
    assert_eq!(events.first(), Some(&LlmEvent::Working), "{events:?}");
    let whole = events.iter().filter(|e| matches!(e, LlmEvent::ToolCall(_)));
    assert_eq!(whole.count(), 1, "{events:?}");
}

#[tokio::test]
async fn silence_before_the_first_token_is_a_stall_whatever_comments_come() {
    let beats = vec![b": alive\n\n".to_vec(); 3];
    let server = Server::start(vec![Script::Stall(beats, None)]).await;
    let config = LlmConfig {
        first_token_timeout_ms: 100,
        ..server.config()
    };
    let events = ask(&LlmClient::new(config).unwrap()).await;
    assert!(
        matches!(failure(&events), LlmError::Stalled { first: true, .. }),
        "{events:?}"
    );
}

#[tokio::test]
async fn silence_in_the_middle_is_a_stall() {
    let server = Server::start(vec![Script::Stall(vec![token("Hel")], None)]).await;
    let config = LlmConfig {
        token_timeout_ms: 100,
        ..server.config()
    };
    let events = ask(&LlmClient::new(config).unwrap()).await;
    assert_eq!(text(&events), "Hel");
    assert!(
        matches!(failure(&events), LlmError::Stalled { first: false, .. }),
        "{events:?}"
    );
}

#[tokio::test]
async fn dropping_the_stream_closes_the_connection() {
    let (sender, gone) = oneshot::channel();
    let server = Server::start(vec![Script::Stall(vec![token("Hel")], Some(sender))]).await;
    let mut answer = server.client().stream(question());
    assert_eq!(answer.next().await, Some(LlmEvent::Token("Hel".into())));
    drop(answer);
    gone.await.unwrap();
}

#[tokio::test]
async fn an_error_in_the_middle_of_the_stream_ends_it() {
    let error = event(&json!({ "error": { "message": "context length exceeded" } }));
    let server = Server::start(vec![Script::Stream(vec![token("Hel"), error])]).await;
    let events = ask(&server.client()).await;
    assert_eq!(
        failure(&events),
        LlmError::Refused("context length exceeded".into())
    );
}

#[tokio::test]
async fn a_page_instead_of_a_stream_is_named() {
    let kind = ("content-type", "text/html");
    let page = Script::Answer(200, vec![kind], "<html>Welcome to nginx</html>".into());
    let server = Server::start(vec![page]).await;
    let error = failure(&ask(&server.client()).await).to_string();
    assert!(
        error.contains("text/html") && error.contains("llm.base_url"),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_does_not_stream_is_understood_all_the_same() {
    let whole = json!({ "choices": [{ "finish_reason": "stop",
        "message": { "role": "assistant", "content": "Hello" } }] });
    let answer = Script::Answer(
        200,
        vec![("content-type", "application/json")],
        whole.to_string(),
    );
    let server = Server::start(vec![answer]).await;
    let expected = [
        LlmEvent::Token("Hello".into()),
        finished(FinishReason::Stop),
    ];
    assert_eq!(ask(&server.client()).await, expected);
}

#[tokio::test]
async fn a_line_without_an_end_is_refused() {
    let endless = vec![vec![b'x'; 64 * 1024]; 8];
    let server = Server::start(vec![Script::Stall(endless, None)]).await;
    let error = failure(&ask(&server.client()).await);
    assert!(matches!(error, LlmError::Malformed(_)), "{error}");
}

#[tokio::test]
async fn a_redirect_is_not_followed_with_the_key() {
    let elsewhere = ("location", "http://127.0.0.1:1/v1/chat/completions");
    let server = Server::start(vec![Script::Answer(307, vec![elsewhere], String::new())]).await;
    let error = failure(&ask(&server.client()).await);
    assert!(
        matches!(error, LlmError::Status { status: 307, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    let port = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let url = format!("http://127.0.0.1:{port}/v1").parse().unwrap();
    let config = LlmConfig {
        retries: 1,
        ..LlmConfig::new(url, "m")
    };
    let client = LlmClient::new(config).unwrap();
    client.warm().await;
    let error = failure(&ask(&client).await);
    assert!(
        matches!(&error, LlmError::Unreachable(words) if words.contains("refused")),
        "{error}"
    );
}

#[tokio::test]
async fn warming_up_opens_the_connection_that_the_answer_then_uses() {
    let server = Server::start(vec![hello()]).await;
    let client = server.client();
    client.warm().await;
    assert_eq!(text(&ask(&client).await), "Hello");
    let requests = server.seen.requests.lock().unwrap();
    assert_eq!(requests[0].0, "HEAD /v1/models");
    assert_eq!(
        requests[0].3, requests[1].3,
        "both came over one connection"
    );
}
