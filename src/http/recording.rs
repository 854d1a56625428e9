//! `/v1/calls/{id}/recording`: a file, whole or in part (RFC 9110 section 14), also while it is
//! being written: then it is what a WAV file's header names at that moment, or the pages of an Ogg
//! file that there are.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt};
use offhook_media::wav;
use serde_json::{Value, json};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::Shared;
use super::api::{Api, ApiError};
use super::extract::Id;
use super::problem::Problem;

/// How much of the file is in memory at a time, in bytes.
const CHUNK: usize = 64 * 1024;
/// Bytes of a WAV file's header.
const HEADER: usize = 44;

/// `GET /v1/calls/{id}/recording`: in the format that it was made in.
pub(super) async fn serve_any<A: Api>(
    State(shared): State<Shared<A>>,
    Id(id): Id,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let path = shared.api.recording(&id).await?;
    answer(path, id, headers).await
}

/// `GET /v1/calls/{id}/recording.wav`
pub(super) async fn serve_wav<A: Api>(
    State(shared): State<Shared<A>>,
    Id(id): Id,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let path = shared.api.recording(&id).await?;
    if is_opus(&path) {
        let reason = format!("it was made as Opus, which /v1/calls/{id}/recording answers with");
        return Err(ApiError::NoRecording { id, reason }.into());
    }
    answer(path, id, headers).await
}

/// `POST /v1/calls/{id}/recording/pause`
pub(super) async fn pause<A: Api>(
    State(shared): State<Shared<A>>,
    Id(id): Id,
) -> Result<axum::Json<Value>, Problem> {
    set_paused(&shared, id, true).await
}

/// `POST /v1/calls/{id}/recording/resume`
pub(super) async fn resume<A: Api>(
    State(shared): State<Shared<A>>,
    Id(id): Id,
) -> Result<axum::Json<Value>, Problem> {
    set_paused(&shared, id, false).await
}

async fn set_paused<A: Api>(
    shared: &Shared<A>,
    id: String,
    pause: bool,
) -> Result<axum::Json<Value>, Problem> {
    let paused = shared.api.pause_recording(&id, pause).await?;
    Ok(axum::Json(json!({ "id": id, "paused": paused })))
}

fn is_opus(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "opus")
}

async fn answer(path: PathBuf, id: String, headers: HeaderMap) -> Result<Response, Problem> {
    match serve(&path, &id, &headers).await {
        Ok(response) => Ok(response),
        Err(error) => {
            tracing::warn!(call = id, %error, "recording cannot be read");
            let reason = match error.kind() {
                std::io::ErrorKind::NotFound => "its file is gone",
                _ => "its file cannot be read",
            };
            Err(ApiError::NoRecording {
                id,
                reason: reason.to_owned(),
            }
            .into())
        }
    }
}

async fn serve(path: &Path, id: &str, headers: &HeaderMap) -> std::io::Result<Response> {
    let mut file = File::open(path).await?;
    // The time before the header, the length after it: of a file that grows meanwhile there is what
    // the header names, and a later request finds another tag.
    let meta = file.metadata().await?;
    let head = beginning(&mut file).await?;
    let there = file.metadata().await?.len();
    let length = wav::named_bytes(&head).map_or(there, |named| named.min(there));
    let modified = meta
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let tag = format!(
        "\"{length:x}-{:x}\"",
        modified.unwrap_or_default().as_nanos()
    );
    let asked = match headers.get(header::IF_RANGE) {
        // The file changed since the client got the first part: it gets the whole again.
        Some(seen) if seen.as_bytes() != tag.as_bytes() => Part::Whole,
        _ => part(headers.get(header::RANGE), length),
    };
    let (status, first, count) = match asked {
        Part::Whole => (StatusCode::OK, 0, length),
        Part::Some { first, count } => (StatusCode::PARTIAL_CONTENT, first, count),
        Part::Beyond => return Ok(beyond(length)),
    };
    let sound = first.max(head.len() as u64);
    file.seek(SeekFrom::Start(sound)).await?;
    let until = first.saturating_add(count);
    let head = head.get(first as usize..until.min(sound) as usize);
    let head = Bytes::copy_from_slice(head.unwrap_or_default());
    let body = body(head, file, until.saturating_sub(sound));
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    let mut set = |name, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    };
    let (kind, extension) = match is_opus(path) {
        true => ("audio/ogg; codecs=opus", "opus"),
        false => ("audio/wav", "wav"),
    };
    set(header::CONTENT_TYPE, kind);
    set(header::CONTENT_LENGTH, &count.to_string());
    set(header::ACCEPT_RANGES, "bytes");
    set(header::ETAG, &tag);
    set(header::CACHE_CONTROL, "private, no-cache");
    set(
        header::CONTENT_DISPOSITION,
        &format!("inline; filename=\"{id}.{extension}\""),
    );
    if status == StatusCode::PARTIAL_CONTENT {
        set(
            header::CONTENT_RANGE,
            &format!("bytes {first}-{}/{length}", first + count - 1),
        );
    }
    Ok(response)
}

fn beyond(length: u64) -> Response {
    let status = StatusCode::RANGE_NOT_SATISFIABLE;
    let detail = format!("the recording has {length} bytes");
    let problem = Problem::new(
        status,
        "range-not-satisfiable",
        "Range out of bounds",
        detail,
    );
    match HeaderValue::from_str(&format!("bytes */{length}")) {
        Ok(value) => problem
            .with_header(header::CONTENT_RANGE, value)
            .into_response(),
        Err(_) => problem.into_response(),
    }
}

/// Reads the header that a recording begins with, at once: it changes while the file is written,
/// and what is sent has to fit what is sent after it.
async fn beginning(file: &mut File) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEADER);
    file.take(HEADER as u64).read_to_end(&mut head).await?;
    Ok(head)
}

/// Sends `head` and then so many bytes of the file.
fn body(head: Bytes, file: File, count: u64) -> Body {
    let head = stream::once(async move { Ok(head) });
    Body::from_stream(head.chain(stream::unfold(
        (file, count),
        |(mut file, left)| async move {
            if left == 0 {
                return None;
            }
            let most = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            let mut buffer = vec![0; most];
            match file.read(&mut buffer).await {
                Ok(0) => {
                    let error = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
                    Some((Err(error), (file, 0)))
                }
                Ok(read) => {
                    buffer.truncate(read);
                    let left = left.saturating_sub(read as u64);
                    Some((Ok(Bytes::from(buffer)), (file, left)))
                }
                Err(error) => Some((Err(error), (file, 0))),
            }
        },
    )))
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Whole,
    Some { first: u64, count: u64 },
    Beyond,
}

/// Reads one byte range; several, or what is not understood, get the whole (RFC 9110 §14.2).
fn part(range: Option<&HeaderValue>, length: u64) -> Part {
    let Some(spec) = range
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.trim().strip_prefix("bytes="))
        .map(str::trim)
    else {
        return Part::Whole;
    };
    let Some((first, last)) = spec.split_once('-') else {
        return Part::Whole;
    };
    let number = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| text.parse().ok())
    };
    match (first, last) {
        ("", suffix) => match number(suffix).flatten() {
            None => Part::Whole,
            Some(0) => Part::Beyond,
            Some(_) if length == 0 => Part::Beyond,
            Some(count) => {
                let count = length.min(count);
                Part::Some {
                    first: length - count,
                    count,
                }
            }
        },
        (first, last) => {
            let open = last.is_empty();
            let (Some(first), last) = (number(first).flatten(), number(last).flatten()) else {
                return Part::Whole;
            };
            match last {
                None if !open => Part::Whole,
                Some(last) if last < first => Part::Whole,
                _ if first >= length => Part::Beyond,
                last => {
                    let last = last.unwrap_or(u64::MAX).min(length - 1);
                    Part::Some {
                        first,
                        count: last - first + 1,
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str) -> Part {
        part(Some(&HeaderValue::from_static(text)), 1_000)
    }

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        assert_eq!(
            read("bytes=0-499"),
            Part::Some {
                first: 0,
                count: 500
            }
        );
        assert_eq!(
            read("bytes=900-"),
            Part::Some {
                first: 900,
                count: 100
            }
        );
        assert_eq!(
            read("bytes=900-5000"),
            Part::Some {
                first: 900,
                count: 100
            }
        );
        assert_eq!(
            read("bytes=-100"),
            Part::Some {
                first: 900,
                count: 100
            }
        );
        assert_eq!(
            read("bytes=-5000"),
            Part::Some {
                first: 0,
                count: 1_000
            }
        );
        assert_eq!(read("bytes=1000-"), Part::Beyond);
        assert_eq!(read("bytes=-0"), Part::Beyond);
        for whole in [
            "bytes=5-1",
            "bytes=a-b",
            "bytes=0-1,5-6",
            "lines=1-2",
            "bytes=-",
            "bytes",
        ] {
            assert_eq!(read(whole), Part::Whole, "{whole}");
        }
        assert_eq!(
            part(Some(&HeaderValue::from_static("bytes=0-")), 0),
            Part::Beyond
        );
        assert_eq!(part(None, 10), Part::Whole);
    }
}
