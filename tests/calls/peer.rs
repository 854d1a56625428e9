//! A telephone that the test plays message by message and packet by packet.

use std::net::SocketAddr;
use std::time::Duration;

use offhook_media::codec::g711;
use offhook_media::rtcp::{self, RtcpPacket};
use offhook_media::rtp::{self, RtpPacket};
use tokio::net::UdpSocket;

/// A flow that hears a peer out, again and again.
pub(crate) const LISTENER: &str = r#"
name = "listener"
start = "first"

[nodes.first]
type = "ask"
say = "Welcome. What can I do for you?"
slot = "first"
grammar = "text"
next = "second"

[nodes.second]
type = "ask"
say = "I see. Please go on."
slot = "second"
grammar = "text"
next = "first"
"#;

/// A sample that only speech has.
const AUDIBLE: u16 = 1_500;

/// The value of a header field.
pub(crate) fn field<'t>(message: &'t str, name: &str) -> &'t str {
    let mut lines = message.lines().take_while(|line| !line.is_empty());
    let line = lines.find_map(|line| line.split_once(':').filter(|(n, _)| *n == name));
    line.unwrap_or_else(|| panic!("no {name} in {message}"))
        .1
        .trim()
}

pub(crate) fn body(message: &str) -> &str {
    message.split_once("\r\n\r\n").unwrap().1
}

/// The version in an SDP's `o=` line.
pub(crate) fn version(sdp: &str) -> u64 {
    let origin = sdp.lines().find(|line| line.starts_with("o=")).unwrap();
    origin.split(' ').nth(2).unwrap().parse().unwrap()
}

/// Where an SDP wants its RTP.
pub(crate) fn media(sdp: &str) -> SocketAddr {
    let after = |start: &str| {
        let mut lines = sdp.lines().filter_map(|line| line.strip_prefix(start));
        lines.next().unwrap().split(' ').next().unwrap().to_owned()
    };
    let (ip, port) = (after("c=IN IP4 "), after("m=audio "));
    format!("{ip}:{port}").parse().unwrap()
}

/// Reads one message from a SIP socket.
pub(crate) async fn message(sip: &UdpSocket) -> (String, SocketAddr) {
    let mut buffer = [0; 8192];
    let (length, from) = sip.recv_from(&mut buffer).await.unwrap();
    (String::from_utf8(buffer[..length].to_vec()).unwrap(), from)
}

/// One RTP packet that was heard.
pub(crate) struct Packet {
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) audible: bool,
}

/// Somebody who has called the switch.
pub(crate) struct Peer {
    sip: UdpSocket,
    rtp: UdpSocket,
    uri: String,
    switch: SocketAddr,
    /// Where the switch wants our RTP.
    media: SocketAddr,
    to: String,
    cseq: u32,
    version: u32,
    sequence: u16,
    timestamp: u32,
    /// The payload type of what it says.
    pub(crate) payload_type: u8,
    /// The switch's first SDP.
    pub(crate) answer: String,
}

impl Peer {
    /// Calls the switch, and is answered.
    pub(crate) async fn call(uri: &str) -> Self {
        let mut peer = Self::invite(uri).await;
        peer.answered().await;
        peer
    }

    /// Calls the switch.
    pub(crate) async fn invite(uri: &str) -> Self {
        let mut peer = Self::open(uri).await;
        let offer = peer.sdp("sendrecv", "127.0.0.1");
        peer.send("INVITE", &offer).await;
        peer
    }

    /// Calls the switch without an offer.
    pub(crate) async fn invite_without_an_offer(uri: &str) -> Self {
        let mut peer = Self::open(uri).await;
        peer.send("INVITE", "").await;
        peer
    }

    async fn open(uri: &str) -> Self {
        let rtp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let switch: SocketAddr = uri.split('@').nth(1).unwrap().parse().unwrap();
        Self {
            sip: UdpSocket::bind("127.0.0.1:0").await.unwrap(),
            media: rtp.local_addr().unwrap(),
            rtp,
            uri: uri.to_owned(),
            switch,
            to: format!("<{uri}>"),
            cseq: 0,
            version: 1,
            sequence: 0,
            timestamp: 0,
            payload_type: 0,
            answer: String::new(),
        }
    }

    /// Waits for the first word about our call but 100 Trying.
    pub(crate) async fn progress(&mut self) -> String {
        loop {
            let (answer, _) = message(&self.sip).await;
            if answer.starts_with("SIP/2.0 1") && !answer.starts_with("SIP/2.0 100") {
                return answer;
            }
        }
    }

    /// Sends our sound to where a response says.
    pub(crate) fn listen_to(&mut self, response: &str) {
        self.media = media(body(response));
    }

    /// Waits for the answer to our call.
    pub(crate) async fn answered(&mut self) {
        let ok = self.settled("INVITE").await;
        self.to = field(&ok, "To").to_owned();
        self.acknowledge("").await;
        self.answer = body(&ok).to_owned();
        self.media = media(&self.answer);
    }

    /// Waits for the answer to our call, which offers, and answers that.
    pub(crate) async fn answered_with_an_offer(&mut self) -> String {
        let ok = self.settled("INVITE").await;
        self.to = field(&ok, "To").to_owned();
        let answer = self.sdp("sendrecv", "127.0.0.1");
        self.acknowledge(&answer).await;
        self.listen_to(&ok);
        ok
    }

    /// What we describe: one codec, keys, and this direction and address.
    pub(crate) fn sdp(&self, direction: &str, address: &str) -> String {
        format!(
            "v=0\r\no=- 1 {} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n\
             m=audio {} RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=rtcp-mux\r\n\
             a={direction}\r\n",
            self.version,
            self.rtp.local_addr().unwrap().port()
        )
    }

    /// Tells of a key by INFO, as phones do.
    pub(crate) async fn inform(&mut self, key: char) {
        let told = format!("Signal={key}\r\nDuration=160\r\n");
        self.ask("INFO", &told).await;
    }

    /// Presses a key for 80 ms, as telephone-events (RFC 4733 §2.3).
    pub(crate) async fn press(&mut self, key: u8) {
        for (n, end) in [false, false, false, true, true, true]
            .into_iter()
            .enumerate()
        {
            let marker = if n == 0 { 0x80 } else { 0 };
            let mut packet = vec![0x80, 101 | marker];
            packet.extend(self.sequence.to_be_bytes());
            packet.extend(self.timestamp.to_be_bytes());
            packet.extend(9_u32.to_be_bytes());
            let duration = 160 * (n as u16 + 1).min(4);
            packet.extend([key, if end { 0x8a } else { 0x0a }]);
            packet.extend(duration.to_be_bytes());
            self.rtp.send_to(&packet, self.media).await.unwrap();
            self.sequence = self.sequence.wrapping_add(1);
        }
        self.timestamp = self.timestamp.wrapping_add(640);
    }

    fn request(&self, method: &str, sdp: &str) -> String {
        let here = self.sip.local_addr().unwrap();
        let (uri, to, cseq) = (&self.uri, &self.to, self.cseq);
        let port = here.port();
        let content = match method {
            "INFO" => "application/dtmf-relay",
            _ => "application/sdp",
        };
        format!(
            "{method} {uri} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {here};branch=z9hG4bK{port}{method}{cseq};rport\r\n\
             Max-Forwards: 70\r\nTo: {to}\r\nFrom: <sip:peer@127.0.0.1>;tag=p{port}\r\n\
             Call-ID: peer{port}@127.0.0.1\r\nCSeq: {cseq} {method}\r\n\
             Contact: <sip:peer@{here}>\r\n\
             Content-Type: {content}\r\nContent-Length: {}\r\n\r\n{sdp}",
            sdp.len()
        )
    }

    /// Sends a request and waits for its 200.
    async fn ask(&mut self, method: &str, sdp: &str) -> String {
        self.send(method, sdp).await;
        self.settled(method).await
    }

    async fn send(&mut self, method: &str, sdp: &str) {
        self.cseq += 1;
        let request = self.request(method, sdp);
        let sent = self.sip.send_to(request.as_bytes(), self.switch).await;
        sent.unwrap();
    }

    /// Waits for the 200 to what was sent last.
    async fn settled(&mut self, method: &str) -> String {
        let wanted = format!("{} {method}", self.cseq);
        loop {
            let (answer, _) = message(&self.sip).await;
            let ours = answer.starts_with("SIP/2.0 ") && field(&answer, "CSeq") == wanted;
            if ours && !answer.starts_with("SIP/2.0 1") {
                assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
                return answer;
            }
        }
    }

    async fn acknowledge(&mut self, sdp: &str) {
        let ack = self.request("ACK", sdp);
        self.sip.send_to(ack.as_bytes(), self.switch).await.unwrap();
    }

    /// Offers a change within the call, and returns the SDP that answers it.
    pub(crate) async fn offer(&mut self, method: &str, direction: &str, address: &str) -> String {
        self.version += 1;
        let offer = self.sdp(direction, address);
        self.send_offer(method, &offer).await
    }

    /// Says again what holds already.
    pub(crate) async fn refresh(&mut self, method: &str) -> String {
        let offer = self.sdp("sendrecv", "127.0.0.1");
        self.send_offer(method, &offer).await
    }

    async fn send_offer(&mut self, method: &str, offer: &str) -> String {
        let ok = self.ask(method, offer).await;
        if method == "INVITE" {
            self.acknowledge("").await;
        }
        body(&ok).to_owned()
    }

    /// Asks by a re-INVITE without SDP, and answers what the switch offers.
    pub(crate) async fn resume_without_an_offer(&mut self) -> String {
        let ok = self.ask("INVITE", "").await;
        self.version += 1;
        let answer = self.sdp("sendrecv", "127.0.0.1");
        self.acknowledge(&answer).await;
        body(&ok).to_owned()
    }

    /// Waits for the switch's own re-INVITE and takes what it offers; gives the offer.
    pub(crate) async fn take_reoffer(&mut self) -> String {
        self.take_reoffer_as("sendrecv").await
    }

    /// Waits for the switch's own re-INVITE and answers it with this direction; gives the offer.
    pub(crate) async fn take_reoffer_as(&mut self, direction: &str) -> String {
        let (request, from) = loop {
            let (request, from) = message(&self.sip).await;
            if request.starts_with("INVITE ") {
                break (request, from);
            }
        };
        self.version += 1;
        let answer = self.sdp(direction, "127.0.0.1");
        let ok = format!(
            "SIP/2.0 200 OK\r\nVia: {}\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
             Contact: <sip:peer@{}>\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{answer}",
            field(&request, "Via"),
            field(&request, "From"),
            field(&request, "To"),
            field(&request, "Call-ID"),
            field(&request, "CSeq"),
            self.sip.local_addr().unwrap(),
            answer.len()
        );
        self.sip.send_to(ok.as_bytes(), from).await.unwrap();
        while !message(&self.sip).await.0.starts_with("ACK ") {}
        body(&request).to_owned()
    }

    /// Says something at 8 kHz, at the speed of speech.
    pub(crate) async fn say(&mut self, samples: &[i16]) {
        let mut clock = tokio::time::interval(Duration::from_millis(20));
        for frame in samples.chunks_exact(160) {
            clock.tick().await;
            let mut packet = vec![0x80, self.payload_type];
            packet.extend(self.sequence.to_be_bytes());
            packet.extend(self.timestamp.to_be_bytes());
            packet.extend(9_u32.to_be_bytes());
            let mut payload = [0; 160];
            g711::encode_ulaw(frame, &mut payload);
            packet.extend(payload);
            self.rtp.send_to(&packet, self.media).await.unwrap();
            self.sequence = self.sequence.wrapping_add(1);
            self.timestamp = self.timestamp.wrapping_add(160);
        }
    }

    /// Is silent, in packets, until something happens.
    pub(crate) async fn be_silent_until(&mut self, happens: impl Future) {
        let silence = [0; 8_000];
        tokio::pin!(happens);
        loop {
            tokio::select! {
                _ = &mut happens => return,
                () = self.say(&silence) => {}
            }
        }
    }

    /// Waits for the next RTP packet.
    pub(crate) async fn hear(&self) -> Packet {
        let mut buffer = [0; 2048];
        loop {
            let length = self.rtp.recv(&mut buffer).await.unwrap();
            if let Some(packet) = read(&buffer[..length]) {
                return packet;
            }
        }
    }

    /// Takes what has come already; gives the last of it.
    pub(crate) fn heard(&self) -> Option<Packet> {
        let mut buffer = [0; 2048];
        let next = || {
            self.rtp
                .try_recv(&mut buffer)
                .ok()
                .map(|n| read(&buffer[..n]))
        };
        std::iter::from_fn(next).flatten().last()
    }

    /// Waits until the agent is heard to speak.
    pub(crate) async fn hear_speech(&self) {
        while !self.hear().await.audible {}
    }

    /// Hangs up.
    pub(crate) async fn hang_up(&mut self) {
        self.ask("BYE", "").await;
    }

    /// Gives the call up before it is answered, and says why.
    pub(crate) async fn give_up(&mut self, reason: &str) {
        let invite = self.request("INVITE", "");
        let cancel = invite.replacen("INVITE ", "CANCEL ", 1);
        let cancel = cancel.replace(" INVITE\r\n", " CANCEL\r\n");
        let reason = format!("Reason: {reason}\r\nContent-Length");
        let cancel = cancel.replacen("Content-Length", &reason, 1);
        let sent = self.sip.send_to(cancel.as_bytes(), self.switch).await;
        sent.unwrap();
    }

    /// Waits until the switch's reports say goodbye.
    pub(crate) async fn hear_goodbye(&self) {
        let mut buffer = [0; 2048];
        loop {
            let length = self.rtp.recv(&mut buffer).await.unwrap();
            let packet = &buffer[..length];
            if rtp::classify(packet) == rtp::Kind::Rtcp
                && let Ok(mut reports) = rtcp::parse(packet)
                && reports.any(|report| matches!(report, RtcpPacket::Goodbye(_)))
            {
                return;
            }
        }
    }
}

/// Whether a packet has something to hear.
pub(crate) fn hears(bytes: &[u8]) -> bool {
    read(bytes).is_some_and(|packet| packet.audible)
}

fn read(bytes: &[u8]) -> Option<Packet> {
    // Reports share the port (RFC 5761 §4).
    if rtp::classify(bytes) != rtp::Kind::Rtp {
        return None;
    }
    let packet = RtpPacket::parse(bytes).ok()?;
    let mut sound = [0; 1024];
    let length = g711::decode_ulaw(packet.payload, &mut sound);
    let loudest = sound[..length].iter().map(|s| s.unsigned_abs()).max();
    Some(Packet {
        sequence: packet.header.sequence,
        timestamp: packet.header.timestamp,
        audible: loudest.unwrap_or_default() > AUDIBLE,
    })
}
