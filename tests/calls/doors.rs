//! What is refused at the door, and how: by status, before any agent is asked.

use std::sync::atomic::Ordering;

use offhook::store::Options;
use offhook_media::SrtpPolicy;
use tokio::net::UdpSocket;

use super::caller::Caller;
use super::rig::{Switch, heard_words};

const FLOW: &str = r#"
name = "door"
start = "hello"
[nodes.hello]
type = "ask"
say = "Hello. What is your name?"
slot = "caller_name"
grammar = "name"
next = "bye"
[nodes.bye]
type = "end"
say = "Goodbye."
"#;

/// Sends a request with the socket's own address and returns the first final answer.
async fn answer(switch: &Switch, user: &str, from: &str, sdp: &str) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let here = socket.local_addr().unwrap();
    let host = switch.uri.split('@').nth(1).unwrap();
    let request = format!(
        "INVITE sip:{user}@{host} SIP/2.0\r\n\
         Via: SIP/2.0/UDP {here};branch=z9hG4bK{user}{port};rport\r\n\
         Max-Forwards: 70\r\nTo: <sip:{user}@{host}>\r\n{from}\
         Call-ID: {user}{port}@127.0.0.1\r\nCSeq: 1 INVITE\r\nContact: <sip:caller@{here}>\r\n\
         Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{sdp}",
        port = here.port(),
        length = sdp.len(),
    );
    final_answer(&socket, host, &request).await
}

async fn final_answer(socket: &UdpSocket, host: &str, request: &str) -> String {
    socket.send_to(request.as_bytes(), host).await.unwrap();
    let mut buffer = [0; 4096];
    loop {
        let (length, _) = socket.recv_from(&mut buffer).await.unwrap();
        let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if !answer.starts_with("SIP/2.0 1") {
            return answer;
        }
    }
}

/// Asks by OPTIONS, as a proxy that watches the switch does, until the answer has this status.
pub(crate) async fn until_options_says(switch: &Switch, wanted: &str) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let here = socket.local_addr().unwrap();
    let host = switch.uri.split('@').nth(1).unwrap();
    for n in 1.. {
        let request = format!(
            "OPTIONS sip:{host} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{n};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:watcher@{here}>;tag=1\r\nTo: <sip:{host}>\r\n\
             Call-ID: watch-{n}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        );
        let answer = final_answer(&socket, host, &request).await;
        if status(&answer) == wanted {
            return;
        }
    }
}

fn offer(profile: &str) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio 40000 {profile} 0\r\n"
    )
}

const CALLER: &str = "From: <sip:caller@127.0.0.1>;tag=1\r\n";

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_served_is_refused_with_the_status_that_says_why() {
    let switch = Switch::start(FLOW, "").await;
    let unknown = answer(&switch, "nobody", CALLER, &offer("RTP/AVP")).await;
    assert_eq!(status(&unknown), "404", "{unknown}");
    let no_key = answer(&switch, "test", CALLER, &offer("RTP/SAVP")).await;
    assert_eq!(status(&no_key), "488", "{no_key}");
    let no_from = answer(&switch, "test", "", &offer("RTP/AVP")).await;
    assert_eq!(status(&no_from), "400", "{no_from}");
    let no_sdp = answer(&switch, "test", CALLER, "this is no description\r\n").await;
    assert!(["400", "488"].contains(&status(&no_sdp)), "{no_sdp}");
    let calls = switch.json("/v1/calls").await;
    let answered = calls["calls"].as_array().unwrap().iter();
    let answered = answered.filter(|call| !call["answered_at"].is_null());
    assert_eq!(answered.count(), 0, "{calls:#}");
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_call_is_heard_and_its_record_names_the_suite() {
    let trunk = "[[trunk]]\nname = \"carrier\"\nkind = \"inbound\"\n\
                 networks = [\"127.0.0.0/8\"]\nsrtp = \"required\"\n";
    let switch = Switch::start(FLOW, trunk).await;
    let mut events = switch.events();
    let plain = Caller::dial(&switch.uri).await;
    let refused = plain.err().and_then(|failure| failure.status());
    assert_eq!(refused, Some(488));
    let caller = Caller::dial_with(&switch.uri, SrtpPolicy::Required)
        .await
        .unwrap();
    events.agent_said("your name").await;
    let heard = caller.hang_up().await;
    assert!(heard_words(&heard).contains("name"));
    let record = switch.record(&mut events).await;
    assert_eq!(record["media"]["srtp"], "AEAD_AES_256_GCM", "{record:#}");
    assert!(record["media"]["packets"].as_u64() > Some(50), "{record:#}");
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_more_than_configured_is_told_when_to_try_again() {
    let limits = "[limits]\nmax_calls = 1\nretry_after_s = 7\n";
    let switch = Switch::start_with(FLOW, limits, Options::default()).await;
    let mut events = switch.events();
    let caller = Caller::dial(&switch.uri).await.unwrap();
    let second = answer(&switch, "test", CALLER, &offer("RTP/AVP")).await;
    assert_eq!(status(&second), "503", "{second}");
    assert!(second.contains("Retry-After: 7\r\n"), "{second}");
    let refused = switch.post_call("sip:someone@127.0.0.1:9").await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "7");
    caller.hang_up().await;
    switch.record(&mut events).await;
    // Its place is free again.
    let third = Caller::dial(&switch.uri).await.unwrap();
    third.hang_up().await;
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_a_free_media_port_is_told_when_to_try_again() {
    let config = "[media]\nports = \"19000-19001\"\n[limits]\nretry_after_s = 7\n";
    let switch = Switch::start_with(FLOW, config, Options::default()).await;
    let mut events = switch.events();
    let caller = Caller::dial(&switch.uri).await.unwrap();
    let second = answer(&switch, "test", CALLER, &offer("RTP/AVP")).await;
    assert_eq!(status(&second), "503", "{second}");
    assert!(second.contains("Retry-After: 7\r\n"), "{second}");
    caller.hang_up().await;
    switch.record(&mut events).await;
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_come_faster_than_configured_are_told_to_try_again_in_a_second() {
    let limits = "[limits]\nmax_cps = 2\nretry_after_s = 7\n";
    let switch = Switch::start(FLOW, limits).await;
    let sdp = offer("RTP/AVP");
    let ask = |user| answer(&switch, user, CALLER, &sdp);
    // All at once; whatever becomes of those that may come, they have come.
    let (one, two, three) = tokio::join!(ask("nobody"), ask("nowhere"), ask("never"));
    let mut all = [one, two, three];
    all.sort_by_key(|answer| status(answer).to_owned());
    assert_eq!(all.each_ref().map(|one| status(one)), ["404", "404", "503"]);
    assert!(all[2].contains("Retry-After: 1\r\n"), "{}", all[2]);
    until_options_says(&switch, "200").await;
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_come_in_over_a_trunk_faster_than_it_may_are_told_so() {
    let more = "[[trunk]]\nname = \"carrier\"\nkind = \"inbound\"\nnetworks = [\"127.0.0.0/8\"]\n\
                max_cps_in = 1\n[[route]]\nto = \"8000\"\nroom = \"talk\"\n";
    let switch = Switch::start(FLOW, more).await;
    let sdp = offer("RTP/AVP");
    let ask = || answer(&switch, "8000", CALLER, &sdp);
    let (one, two) = tokio::join!(ask(), ask());
    let mut all = [one, two];
    all.sort_by_key(|answer| status(answer).to_owned());
    assert_eq!(all.each_ref().map(|one| status(one)), ["200", "503"]);
    assert!(all[1].contains("Retry-After: 1\r\n"), "{}", all[1]);
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_media_is_late_calls_are_told_when_to_try_again() {
    let switch = Switch::start(FLOW, "[limits]\nretry_after_s = 9\n").await;
    until_options_says(&switch, "200").await;
    let services = std::sync::Arc::clone(&switch.services);
    let late = tokio::spawn(async move {
        let mut periods = tokio::time::interval(std::time::Duration::from_millis(100));
        loop {
            periods.tick().await;
            for thread in services.line.media() {
                let counters = thread.counters();
                counters.ticks.fetch_add(1_000, Ordering::Relaxed);
                counters.late_ticks.fetch_add(100, Ordering::Relaxed);
            }
        }
    });
    until_options_says(&switch, "503").await;
    let refused = answer(&switch, "test", CALLER, &offer("RTP/AVP")).await;
    assert_eq!(status(&refused), "503", "{refused}");
    assert!(refused.contains("Retry-After: 9\r\n"), "{refused}");
    late.abort();
    // Once it is in time again, so are calls.
    until_options_says(&switch, "200").await;
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_that_rejects_tells_telephone_networks_why() {
    let causes = [
        ("busy", "486", 17),
        ("declined", "603", 21),
        ("not-found", "404", 1),
        ("unavailable", "480", 20),
        ("gone", "410", 22),
    ];
    let route = |(word, _, _): &(&str, &str, u8)| {
        format!("[[route]]\nto = \"x-{word}\"\nreject = \"{word}\"\n")
    };
    let routes: String = causes.iter().map(route).collect();
    let switch = Switch::start(FLOW, &routes).await;
    for (word, wanted, cause) in causes {
        let refused = answer(&switch, &format!("x-{word}"), CALLER, &offer("RTP/AVP")).await;
        assert_eq!(status(&refused), wanted, "{refused}");
        let reason = format!("Reason: Q.850;cause={cause}\r\n");
        assert!(refused.contains(&reason), "{refused}");
    }
    switch.stop().await;
}
