//! Downloads over HTTP that go on where they were interrupted (RFC 9110 §14).

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::blocking::{Client, Response};
use reqwest::header::{ACCEPT, CONTENT_RANGE, RANGE};

use super::Progress;
use super::error::SourceError;

/// How long a connection may take, and how long nothing may come.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);
/// How often an interrupted download is taken up again.
const ATTEMPTS: u32 = 5;
/// The largest answer that is read as text.
const TEXT_MAX: u64 = 32 << 20;
/// Bytes read at once.
const BLOCK: usize = 256 * 1024;

/// Downloads files, one at a time.
#[derive(Debug)]
pub struct Downloader {
    client: Client,
}

impl Downloader {
    /// Makes a downloader.
    ///
    /// # Errors
    /// The system's certificates cannot be read.
    pub fn new() -> Result<Self, SourceError> {
        // An error only says that a provider was installed before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(None)
            .read_timeout_or_default()
            .user_agent(concat!("offhook/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(connection)?;
        Ok(Self { client })
    }

    /// Reads a small answer, of the media type `accept`.
    pub(super) fn text(&self, url: &str, accept: &str) -> Result<String, SourceError> {
        let answer = self
            .client
            .get(url)
            .header(ACCEPT, accept)
            .send()
            .map_err(connection)?;
        let mut text = String::new();
        let answer = expect_success(answer)?;
        answer.take(TEXT_MAX).read_to_string(&mut text)?;
        Ok(text)
    }

    /// Downloads into `path`, from where an earlier attempt ended.
    pub(super) fn download(
        &self,
        url: &str,
        path: &Path,
        progress: &mut dyn Progress,
    ) -> Result<(), SourceError> {
        let mut attempt = 1;
        loop {
            let before = length(path);
            match self.attempt(url, path, progress) {
                Ok(()) => return Ok(()),
                Err(SourceError::Connection(reason)) if attempt < ATTEMPTS => {
                    // An attempt that got somewhere is not counted.
                    attempt = if length(path) > before {
                        1
                    } else {
                        attempt + 1
                    };
                    progress.note(&format!("interrupted ({reason}); going on"));
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn attempt(
        &self,
        url: &str,
        path: &Path,
        progress: &mut dyn Progress,
    ) -> Result<(), SourceError> {
        let mut reached = length(path);
        let mut request = self.client.get(url);
        if reached > 0 {
            request = request.header(RANGE, format!("bytes={reached}-"));
        }
        let answer = request.send().map_err(connection)?;
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
            let length = answer
                .read(&mut block)
                .map_err(|e| SourceError::Connection(e.to_string()))?;
            let Some(bytes) = block.get(..length).filter(|bytes| !bytes.is_empty()) else {
                break;
            };
            file.write_all(bytes)?;
            reached += bytes.len() as u64;
            progress.reach(reached);
        }
        match whole {
            Some(whole) if reached < whole => Err(SourceError::Connection(format!(
                "cut off at {reached} of {whole} bytes"
            ))),
            _ => Ok(()),
        }
    }
}

/// Keeps a stalled server from holding a pull up for ever.
trait ReadTimeout {
    fn read_timeout_or_default(self) -> Self;
}

impl ReadTimeout for reqwest::blocking::ClientBuilder {
    fn read_timeout_or_default(self) -> Self {
        self.tcp_keepalive(SILENCE_TIMEOUT)
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

fn connection(error: reqwest::Error) -> SourceError {
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
