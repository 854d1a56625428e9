//! Answers a digest challenge in the place of a mark within an input.

use offhook_sip::Credentials;
use offhook_sip::digest::DigestClient;
use offhook_sip::message::Method;
use rand::rngs::StdRng;

/// What stands for the answer.
const MARK: &[u8] = b"{auth}";

/// Puts answers into requests.
pub(crate) struct Answer {
    client: DigestClient,
    credentials: Credentials,
}

impl Answer {
    /// Answers the challenges that `client` has taken, as the user `alice`.
    pub(crate) fn new(client: DigestClient, password: &str) -> Self {
        Self {
            client,
            credentials: Credentials {
                username: "alice".to_owned(),
                password: password.to_owned(),
            },
        }
    }

    /// Replaces the first mark by the header lines that answer; tells whether there was one.
    pub(crate) fn put(&mut self, request: &[u8], rng: &mut StdRng) -> (Vec<u8>, bool) {
        let mark = request.windows(MARK.len()).position(|w| w == MARK);
        let Some(mark) = mark else {
            return (request.to_vec(), false);
        };
        let line = request.split(|byte| *byte == b'\r').next();
        let line = String::from_utf8_lossy(line.unwrap_or_default()).into_owned();
        let mut words = line.split(' ');
        let method = words.next().unwrap_or_default();
        let uri = words.next().unwrap_or_default();
        let body = request.windows(4).position(|w| w == b"\r\n\r\n");
        let body = body.and_then(|at| request.get(at + 4..)).unwrap_or_default();
        let lines: Vec<String> = self
            .client
            .authorize(&self.credentials, Method::new(method), uri, body, rng)
            .into_iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        let (before, after) = request.split_at(mark);
        let after = after.get(MARK.len()..).unwrap_or_default();
        let bytes = [before, lines.join("\r\n").as_bytes(), after].concat();
        (bytes, true)
    }
}
