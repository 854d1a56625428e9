//! A telephone that the switch calls, and that the test plays message by message.

use std::net::{IpAddr, SocketAddr};

use tokio::net::UdpSocket;

use crate::peer::{field, message};

/// Somebody whom the switch calls.
pub(crate) struct Callee {
    sip: UdpSocket,
}

impl Callee {
    pub(crate) async fn listen() -> Self {
        Self::listen_at([127, 0, 0, 1]).await
    }

    /// Listens at an address of this machine.
    pub(crate) async fn listen_at(address: [u8; 4]) -> Self {
        let sip = UdpSocket::bind((IpAddr::from(address), 0)).await.unwrap();
        Self { sip }
    }

    pub(crate) fn port(&self) -> u16 {
        self.sip.local_addr().unwrap().port()
    }

    /// Waits for the next message, whatever it is.
    pub(crate) async fn hears(&self) -> (String, SocketAddr) {
        message(&self.sip).await
    }

    pub(crate) fn uri(&self) -> String {
        format!("sip:callee@{}", self.sip.local_addr().unwrap())
    }

    /// Waits for a request.
    pub(crate) async fn asked(&self, method: &str) -> (String, SocketAddr) {
        loop {
            let (request, from) = message(&self.sip).await;
            if request.starts_with(method) {
                return (request, from);
            }
        }
    }

    /// Answers a request with 200 and no body.
    pub(crate) async fn agree(&self, request: &str, from: SocketAddr) {
        self.answer(request, from, "200 OK", "").await;
    }

    /// Answers a request with a status and its phrase, and a description if there is one.
    pub(crate) async fn answer(&self, request: &str, from: SocketAddr, status: &str, sdp: &str) {
        let here = self.sip.local_addr().unwrap();
        let to = field(request, "To");
        let tag = if to.contains(";tag=") {
            ""
        } else {
            ";tag=callee"
        };
        let ok = format!(
            "SIP/2.0 {status}\r\nVia: {}\r\nFrom: {}\r\nTo: {to}{tag}\r\nCall-ID: {}\r\n\
             CSeq: {}\r\nContact: <sip:callee@{here}>\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{sdp}",
            field(request, "Via"),
            field(request, "From"),
            field(request, "Call-ID"),
            field(request, "CSeq"),
            sdp.len(),
        );
        self.sip.send_to(ok.as_bytes(), from).await.unwrap();
    }
}
