//! The upgrade from HTTP (RFC 6455 §4.2, RFC 7118 §4): who gets a WebSocket, and what everyone else
//! is told.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use offhook_sip::stream::MAX_MESSAGE_BYTES;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Bytes;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::super::complaints::Complaints;
use crate::clock;

/// The longest head of a request, in bytes.
const HEAD_MAX: usize = 16 * 1024;
/// Header fields of a request.
const HEADERS_MAX: usize = 64;
/// Bytes read at once.
const READ_BYTES: usize = 8 * 1024;
/// What may wait to be written: a message of ours, and the pong to a ping.
const WRITE_BYTES: usize = 4 * MAX_MESSAGE_BYTES;
/// The subprotocol (RFC 7118 §4).
const SIP: &str = "sip";

/// A connection that has become a WebSocket.
pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;
type Answer = Response<Full<Bytes>>;

/// Which pages may connect, by their origins (RFC 6454).
///
/// A browser names the page that has it connect; a page of anybody's could else use what only this
/// browser reaches, a switch on its own machine for one. What is no browser names none, and is let
/// in: nobody has it do anything.
#[derive(Debug)]
pub(in crate::net::sip) struct Pages {
    origins: Arc<[String]>,
    refused: Mutex<Complaints>,
}

impl Pages {
    pub(in crate::net::sip) fn of(origins: Arc<[String]>) -> Self {
        let refused = Mutex::default();
        Self { origins, refused }
    }

    fn let_in(&self, headers: &HeaderMap) -> bool {
        headers.get_all(ORIGIN).iter().all(|origin| {
            let mut known = self.origins.iter();
            known.any(|known| known.as_bytes().eq_ignore_ascii_case(origin.as_bytes()))
        })
    }

    /// Tells whoever runs the switch which page was refused.
    fn complain(&self, remote: SocketAddr, headers: &HeaderMap) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(unwritten) = refused.note(clock::now(), remote.ip()) else {
            return;
        };
        let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
        let origin: String = origin.unwrap_or_default().chars().take(120).collect();
        tracing::warn!(
            %remote, origin, unwritten,
            "a page may not connect: if it is yours, add its origin to `sip.ws_origins`"
        );
    }
}

/// Answers the request that comes first; none where it did not become a WebSocket.
pub(super) async fn upgrade<S>(stream: S, remote: SocketAddr, pages: &Pages) -> Option<Socket>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let upgrading: Mutex<Option<OnUpgrade>> = Mutex::default();
    let service = service_fn(|mut request: Request<Incoming>| {
        let answer = match accept_key(&request, pages) {
            Ok(key) => {
                let mut upgrading = upgrading.lock().unwrap_or_else(PoisonError::into_inner);
                *upgrading = Some(hyper::upgrade::on(&mut request));
                switching(key)
            }
            Err(refusal) => {
                if refusal.status == StatusCode::FORBIDDEN {
                    pages.complain(remote, request.headers());
                }
                refusal.answer()
            }
        };
        async move { Ok::<_, Infallible>(answer) }
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .header_read_timeout(None)
        .max_buf_size(HEAD_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = serving.await {
        tracing::debug!(%error, %remote, "an upgrade to WebSocket failed");
        return None;
    }
    let upgrading = upgrading
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    let stream = TokioIo::new(upgrading?.await.ok()?);
    let bounds = WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BYTES)
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES));
    Some(WebSocketStream::from_raw_socket(stream, Role::Server, Some(bounds)).await)
}

/// Checks a request (RFC 6455 §4.2.1), and makes the key that shows that it was understood.
fn accept_key(request: &Request<Incoming>, pages: &Pages) -> Result<HeaderValue, Refusal> {
    let headers = request.headers();
    if request.method() != Method::GET {
        let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, ONLY_SIP);
        return Err(refusal.with(ALLOW, "GET"));
    }
    let upgrades = has(headers, UPGRADE, "websocket") && has(headers, CONNECTION, "upgrade");
    if !upgrades || request.version() != Version::HTTP_11 {
        let refusal = Refusal::new(StatusCode::UPGRADE_REQUIRED, ONLY_SIP);
        return Err(refusal.with(UPGRADE, "websocket"));
    }
    if !has(headers, SEC_WEBSOCKET_VERSION, "13") {
        let words = "This server speaks version 13 of WebSocket (RFC 6455).\n";
        let refusal = Refusal::new(StatusCode::UPGRADE_REQUIRED, words);
        return Err(refusal.with(SEC_WEBSOCKET_VERSION, "13"));
    }
    if !pages.let_in(headers) {
        return Err(Refusal::new(StatusCode::FORBIDDEN, FOREIGN));
    }
    if !has(headers, SEC_WEBSOCKET_PROTOCOL, SIP) {
        let words = "Sec-WebSocket-Protocol must name `sip` (RFC 7118).\n";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, words));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
    let key = key.filter(|key| is_key(key)).map(derive_accept_key);
    key.and_then(|key| key.try_into().ok())
        .ok_or(Refusal::new(StatusCode::BAD_REQUEST, NO_KEY))
}

const ONLY_SIP: &str = "Here is SIP over WebSocket (RFC 7118) and nothing else.\n";
const FOREIGN: &str = "Pages of this origin may not connect: `sip.ws_origins` does not list it.\n";
const NO_KEY: &str = "Sec-WebSocket-Key must be 16 bytes in base64 (RFC 6455).\n";

/// Whether a list of tokens has this one.
fn has(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter();
    let mut tokens = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    tokens.any(|found| found.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// Whether a text is 16 bytes in base64.
fn is_key(key: &[u8]) -> bool {
    let digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.strip_suffix(b"==")
        .is_some_and(|digits| digits.len() == 22 && digits.iter().all(digit))
}

/// Agrees (RFC 6455 §4.2.2).
fn switching(key: HeaderValue) -> Answer {
    let mut answer = Answer::default();
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, key);
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SIP));
    answer
}

/// Why a request does not become a WebSocket.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    words: &'static str,
    field: Option<(HeaderName, &'static str)>,
}

impl Refusal {
    fn new(status: StatusCode, words: &'static str) -> Self {
        Self {
            status,
            words,
            field: None,
        }
    }

    fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.field = Some((name, value));
        self
    }

    fn answer(self) -> Answer {
        let mut answer = Answer::new(Full::from(self.words));
        *answer.status_mut() = self.status;
        let headers = answer.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        if let Some((name, value)) = self.field {
            // A field of one hop is named in Connection (RFC 9110 §7.8).
            if name == UPGRADE {
                headers.insert(CONNECTION, HeaderValue::from_static("close, upgrade"));
            }
            headers.insert(name, HeaderValue::from_static(value));
        }
        answer
    }
}
