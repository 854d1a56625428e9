//! Downloads over HTTP that go on where they were interrupted (RFC 9110 §14).

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::blocking::{Client, Response};
use reqwest::header::{ACCEPT, CONTENT_RANGE, RANGE};

use super::Progress;
use super::error::SourceError;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How often an interrupted download is taken up again without having got any further.
const ATTEMPTS: u32 = 5;
/// The largest answer that is read as text.
const TEXT_MAX: u64 = 32 << 20;
/// Bytes read at once.
const BLOCK: usize = 256 * 1024;

/// Downloads files, one at a time.
#[derive(Debug)]
pub(super) struct Downloader {
    client: Client,
    silence: Duration,
}

impl Downloader {
    /// Makes a downloader that gives a server up which sends nothing for as long as `silence`.
    pub(super) fn new(silence: Duration) -> Result<Self, SourceError> {
        // An error only says that a provider was installed before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            // The blocking client counts this anew for the head of an answer and for each read.
            .timeout(silence)
            .user_agent(concat!("offhook/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| failure(error, silence))?;
        Ok(Self { client, silence })
    }

    /// Reads a small answer, of the media type `accept`.
    pub(super) fn text(&self, url: &str, accept: &str) -> Result<String, SourceError> {
        let request = self.client.get(url).header(ACCEPT, accept);
        let answer = request.send().map_err(|error| self.failure(error))?;
        let mut text = String::new();
        let answer = expect_success(answer)?;
        let read = answer.take(TEXT_MAX).read_to_string(&mut text);
        read.map_err(|error| self.read_failure(error))?;
        Ok(text)
    }

    /// Downloads at most `most` bytes into `path`, from where an earlier attempt ended.
    pub(super) fn download(
        &self,
        url: &str,
        path: &Path,
        most: u64,
        progress: &mut dyn Progress,
    ) -> Result<(), SourceError> {
        let mut furthest = length(path);
        let mut attempt = 1;
        loop {
            let error = match self.attempt(url, path, most, progress) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let reached = length(path);
            // An attempt that got further than all before it is not counted.
            attempt = if reached > furthest { 1 } else { attempt + 1 };
            furthest = furthest.max(reached);
            if !error.may_be_gone_on_with() || attempt > ATTEMPTS {
                return Err(error);
            }
            progress.note(&format!("interrupted ({error}); going on"));
        }
    }

    fn attempt(
        &self,
        url: &str,
        path: &Path,
        most: u64,
        progress: &mut dyn Progress,
    ) -> Result<(), SourceError> {
        let mut reached = length(path);
        let mut request = self.client.get(url);
        if reached > 0 {
            request = request.header(RANGE, format!("bytes={reached}-"));
        }
        let answer = request.send().map_err(|error| self.failure(error))?;
        if answer.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            // All of it is there already, or it is another file: the checksum tells.
            return Ok(());
        }
        let mut answer = expect_success(answer)?;
        let mut file = if goes_on_at(&answer, reached) {
            OpenOptions::new().append(true).open(path)?
        } else {
            reached = 0;
            File::create(path)?
        };
        let whole = answer.content_length().map(|rest| reached + rest);
        let mut block = vec![0; BLOCK];
        loop {
            let read = answer.read(&mut block);
            let length = read.map_err(|error| self.read_failure(error))?;
            let Some(bytes) = block.get(..length).filter(|bytes| !bytes.is_empty()) else {
                break;
            };
            reached += bytes.len() as u64;
            if reached > most {
                return Err(SourceError::TooLong(most));
            }
            file.write_all(bytes)?;
            progress.reach(reached);
        }
        match whole {
            Some(whole) if reached < whole => Err(SourceError::Connection(format!(
                "cut off at {reached} of {whole} bytes"
            ))),
            _ => Ok(()),
        }
    }

    fn failure(&self, error: reqwest::Error) -> SourceError {
        failure(error, self.silence)
    }

    /// What a failed read of an answer's body means.
    fn read_failure(&self, error: io::Error) -> SourceError {
        match error.downcast::<reqwest::Error>() {
            Ok(error) => self.failure(error),
            Err(error) => SourceError::Connection(error.to_string()),
        }
    }
}

fn goes_on_at(answer: &Response, reached: u64) -> bool {
    if reached == 0 || answer.status() != StatusCode::PARTIAL_CONTENT {
        return false;
    }
    let range = answer
        .headers()
        .get(CONTENT_RANGE)
        .and_then(|value| value.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {reached}-")))
}

fn expect_success(answer: Response) -> Result<Response, SourceError> {
    match answer.status() {
        status if status.is_success() => Ok(answer),
        StatusCode::NOT_FOUND => Err(SourceError::Absent),
        status => Err(SourceError::Status(status.as_u16())),
    }
}

fn failure(error: reqwest::Error, silence: Duration) -> SourceError {
    if error.is_timeout() && !error.is_connect() {
        return SourceError::Silent(silence);
    }
    // An index's address may hold a password.
    let error = error.without_url();
    let mut reason = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(deeper) = cause {
        reason = deeper.to_string();
        cause = deeper.source();
    }
    SourceError::Connection(reason)
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |found| found.len())
}
