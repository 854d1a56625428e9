//! Recordings, whole and in part.

use crate::support::{problem, start};

#[tokio::test]
async fn a_recording_is_streamed_whole_or_in_part() {
    let api = start().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(file.path(), &bytes).unwrap();
    api.memory
        .recordings
        .lock()
        .unwrap()
        .insert("c1".into(), file.path().to_owned());
    let path = "/v1/calls/c1/recording.wav";
    let whole = api.get(path).await;
    assert_eq!(whole.headers()["content-type"], "audio/wav");
    assert_eq!(whole.headers()["content-length"], "200000");
    let tag = whole.headers()["etag"].clone();
    assert_eq!(whole.bytes().await.unwrap(), bytes);
    let get = |headers: Vec<(&'static str, String)>| {
        let request = api.client.get(api.url(path));
        let request = headers
            .into_iter()
            .fold(request, |request, (k, v)| request.header(k, v));
        async move { request.send().await.unwrap() }
    };
    let tagged = vec![
        ("range", "bytes=100000-100009".into()),
        ("if-range", tag.to_str().unwrap().into()),
    ];
    let part = get(tagged).await;
    assert_eq!(
        (
            part.status().as_u16(),
            part.headers()["content-range"].to_str().unwrap()
        ),
        (206, "bytes 100000-100009/200000")
    );
    assert_eq!(part.bytes().await.unwrap(), bytes[100_000..100_010]);
    let stale = get(vec![
        ("range", "bytes=0-1".into()),
        ("if-range", "\"old\"".into()),
    ])
    .await;
    assert_eq!(stale.status(), 200);
    let beyond = get(vec![("range", "bytes=200000-".into())]).await;
    assert_eq!(beyond.headers()["content-range"], "bytes */200000");
    problem(beyond, 416).await;
    let head = api.client.head(api.url(path)).send().await.unwrap();
    assert_eq!(head.headers()["content-length"], "200000");
}

/// A recording of so many sound bytes, of which its header names the first.
fn unfinished(named: u32, there: usize) -> Vec<u8> {
    let mut bytes = b"RIFF____WAVEfmt ________________________data".to_vec();
    bytes.truncate(40);
    bytes[36..40].copy_from_slice(b"data");
    bytes.extend(named.to_le_bytes());
    bytes.extend((0..there).map(|n| (n % 251) as u8));
    bytes
}

#[tokio::test]
async fn a_recording_that_goes_on_is_served_as_far_as_its_header_names_it() {
    let api = start().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = "/v1/calls/c3/recording.wav";
    let recordings = &api.memory.recordings;
    let place = file.path().to_owned();
    recordings.lock().unwrap().insert("c3".into(), place);
    let first = unfinished(64_000, 70_000);
    std::fs::write(file.path(), &first).unwrap();
    let got = api.get(path).await;
    let tag = got.headers()["etag"].clone();
    assert_eq!(got.headers()["content-length"], "64044");
    assert_eq!(got.bytes().await.unwrap(), first[..64_044]);
    // What came since is got from a whole that has grown.
    let second = unfinished(96_000, 96_000);
    std::fs::write(file.path(), &second).unwrap();
    let rest = api.client.get(api.url(path));
    let rest = rest.header("range", "bytes=64044-").header("if-range", tag);
    let rest = rest.send().await.unwrap();
    assert_eq!(rest.status(), 200);
    assert_eq!(rest.bytes().await.unwrap(), second);
    let part = api.client.get(api.url(path));
    let part = part.header("range", "bytes=40-99999").send().await.unwrap();
    assert_eq!(part.headers()["content-range"], "bytes 40-96043/96044");
    assert_eq!(part.bytes().await.unwrap(), second[40..]);
}

#[tokio::test]
async fn a_recording_has_the_format_that_it_was_made_in() {
    let api = start().await;
    let folder = tempfile::tempdir().unwrap();
    for (call, name) in [("c1", "one.wav"), ("c2", "two.opus")] {
        let path = folder.path().join(name);
        std::fs::write(&path, name).unwrap();
        let recordings = &api.memory.recordings;
        recordings.lock().unwrap().insert(call.into(), path);
    }
    let wav = api.get("/v1/calls/c1/recording").await;
    assert_eq!(wav.headers()["content-type"], "audio/wav");
    let opus = api.get("/v1/calls/c2/recording").await;
    assert_eq!(opus.headers()["content-type"], "audio/ogg; codecs=opus");
    let name = "inline; filename=\"c2.opus\"";
    assert_eq!(opus.headers()["content-disposition"], name);
    assert_eq!(opus.bytes().await.unwrap(), "two.opus");
    let refused = problem(api.get("/v1/calls/c2/recording.wav").await, 404).await;
    let said = refused["detail"].as_str().unwrap();
    assert!(said.contains("/v1/calls/c2/recording answers"), "{said}");
}

#[tokio::test]
async fn a_recording_that_was_removed_is_gone() {
    let api = start().await;
    let recordings = &api.memory.recordings;
    recordings.lock().unwrap().insert("c1".into(), "".into());
    let gone = problem(api.get("/v1/calls/c1/recording").await, 410).await;
    assert_eq!(gone["code"], "recording-removed");
}

#[tokio::test]
async fn a_recording_is_paused_only_while_there_is_one() {
    let api = start().await;
    let ask = async |call: &str, what: &str| {
        let path = format!("/v1/calls/{call}/recording/{what}");
        api.post(&path, &serde_json::Value::Null).await
    };
    problem(ask("c9", "pause").await, 404).await;
    let over = problem(ask("c1", "pause").await, 409).await;
    assert_eq!(over["code"], "already-ended");
    let unrecorded = problem(ask("c3", "resume").await, 409).await;
    assert_eq!(unrecorded["code"], "conflict");
    let recordings = &api.memory.recordings;
    recordings
        .lock()
        .unwrap()
        .insert("c3".into(), "c3.wav".into());
    for (what, paused) in [("pause", true), ("pause", true), ("resume", false)] {
        let answer = ask("c3", what).await;
        assert_eq!(answer.status(), 200);
        let said: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(said, serde_json::json!({ "id": "c3", "paused": paused }));
    }
}

#[tokio::test]
async fn a_recording_that_is_not_there_says_why() {
    let api = start().await;
    let missing = problem(api.get("/v1/calls/c1/recording.wav").await, 404).await;
    assert!(
        missing["detail"]
            .as_str()
            .unwrap()
            .contains("media.recordings is not set")
    );
    let gone = "/nowhere/c2.wav".into();
    api.memory
        .recordings
        .lock()
        .unwrap()
        .insert("c2".into(), gone);
    let missing = problem(api.get("/v1/calls/c2/recording.wav").await, 404).await;
    assert!(
        missing["detail"]
            .as_str()
            .unwrap()
            .contains("its file is gone")
    );
    assert!(!missing.to_string().contains("nowhere"));
}
