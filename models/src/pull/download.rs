//! Downloads over HTTP that go on where they were interrupted (RFC 9110 §14).

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

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

/// When a server is given up that does answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// How long it may send nothing.
    pub(super) silence: Duration,
    /// How long it may be too slow.
    pub(super) window: Duration,
    /// The bytes that must come in such a window.
    pub(super) least: u64,
}

impl Default for Patience {
    /// Half a minute; two kilobytes a second are less than any line that models come over.
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(30),
            window: Duration::from_secs(30),
            least: 64 * 1024,
        }
    }
}

/// Watches how fast an answer comes: one that trickles would never be silent, nor ever end.
#[derive(Debug)]
struct Pace {
    patience: Patience,
    since: Instant,
    came: u64,
}

impl Pace {
    fn new(patience: Patience, now: Instant) -> Self {
        Self {
            patience,
            since: now,
            came: 0,
        }
    }

    /// Takes bytes that came at `now`.
    ///
    /// # Errors
    /// [`SourceError::Slow`] when fewer came in the window that ends here than must.
    fn take(&mut self, now: Instant, bytes: usize) -> Result<(), SourceError> {
        self.came = self.came.saturating_add(bytes as u64);
        let Patience { window, least, .. } = self.patience;
        let took = now.saturating_duration_since(self.since);
        if took < window {
            return Ok(());
        }
        // A read that waited long is judged by all of its time.
        let wanted = least as f64 * took.as_secs_f64() / window.as_secs_f64().max(1e-3);
        if (self.came as f64) < wanted {
            return Err(SourceError::Slow {
                bytes: self.came,
                took,
            });
        }
        *self = Self::new(self.patience, now);
        Ok(())
    }
}

#[allow(clippy::disallowed_methods)] // downloads block on real servers: a shell
fn now() -> Instant {
    Instant::now()
}

/// Downloads files, one at a time.
#[derive(Debug)]
pub(super) struct Downloader {
    client: Client,
    patience: Patience,
}

impl Downloader {
    /// Makes a downloader that gives a server up which has used its `patience` up.
    pub(super) fn new(patience: Patience) -> Result<Self, SourceError> {
        let silence = patience.silence;
        // An error only says that a provider was installed before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            // The blocking client counts this anew for the head of an answer and for each read.
            .timeout(silence)
            .user_agent(concat!("offhook/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| failure(error, silence))?;
        Ok(Self { client, patience })
    }

    /// Reads a small answer, of the media type `accept`.
    pub(super) fn text(&self, url: &str, accept: &str) -> Result<String, SourceError> {
        let request = self.client.get(url).header(ACCEPT, accept);
        let answer = request.send().map_err(|error| self.failure(error))?;
        let mut answer = expect_success(answer)?.take(TEXT_MAX);
        let mut pace = Pace::new(self.patience, now());
        let (mut text, mut block) = (Vec::new(), vec![0; BLOCK]);
        loop {
            let read = answer.read(&mut block);
            let length = read.map_err(|error| self.read_failure(error))?;
            let Some(bytes) = block.get(..length).filter(|bytes| !bytes.is_empty()) else {
                break;
            };
            text.extend_from_slice(bytes);
            pace.take(now(), length)?;
        }
        String::from_utf8(text).map_err(|error| SourceError::Connection(error.to_string()))
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
        let mut pace = Pace::new(self.patience, now());
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
            pace.take(now(), length)?;
        }
        match whole {
            Some(whole) if reached < whole => Err(SourceError::Connection(format!(
                "cut off at {reached} of {whole} bytes"
            ))),
            _ => Ok(()),
        }
    }

    fn failure(&self, error: reqwest::Error) -> SourceError {
        failure(error, self.patience.silence)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trickle_is_too_slow_and_a_pause_in_a_stream_is_not() {
        let patience = Patience {
            window: Duration::from_secs(10),
            least: 1_000,
            ..Patience::default()
        };
        let start = now();
        let at = |second| start + Duration::from_secs(second);
        let mut trickle = Pace::new(patience, start);
        assert!((1..10).all(|second| trickle.take(at(second), 10).is_ok()));
        let given_up = trickle.take(at(10), 10);
        assert!(
            matches!(given_up, Err(SourceError::Slow { bytes: 100, .. })),
            "{given_up:?}"
        );
        let mut stream = Pace::new(patience, start);
        stream.take(at(1), 5_000).unwrap();
        stream.take(at(19), 10).unwrap();
        // The next window begins there.
        stream.take(at(28), 0).unwrap();
        assert!(stream.take(at(30), 900).is_err());
    }
}
