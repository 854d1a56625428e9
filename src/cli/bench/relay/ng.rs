//! As much of rtpengine's ng protocol as a bench needs: an offer and its answer, in bencode over UDP.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::Context;
use offhook_media::SessionDescription;
use offhook_media::sdp::{self, LocalMedia};

/// How long rtpengine may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer.
const ANSWER_BYTES: usize = 16_384;

/// Speaks to a running rtpengine.
pub(super) struct Ng {
    socket: UdpSocket,
    sent: u64,
}

impl Ng {
    #[allow(clippy::disallowed_methods)] // a socket of the bench's
    pub(super) fn connect(port: u16) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect((Ipv4Addr::LOCALHOST, port))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { socket, sent: 0 })
    }

    /// Whether it answers.
    pub(super) fn ping(&mut self) -> anyhow::Result<()> {
        self.ask("d7:command4:pinge").map(|_| ())
    }

    /// Sets up a call between two sides and tells where each is to send.
    pub(super) fn call(
        &mut self,
        number: usize,
        sides: [SocketAddr; 2],
    ) -> anyhow::Result<[SocketAddr; 2]> {
        let [a, b] = sides;
        let offer = sdp::offer(&LocalMedia::new(a, 1));
        let (answer, _) = sdp::answer(&offer, &LocalMedia::new(b, 2))?;
        let call = format!("bench-{number}");
        let to_b = self.describe("offer", &call, &offer.to_string())?;
        let to_a = self.describe("answer", &call, &answer.to_string())?;
        Ok([to_a, to_b])
    }

    fn describe(&mut self, command: &str, call: &str, sdp: &str) -> anyhow::Result<SocketAddr> {
        let mut fields = vec![("ICE", "remove"), ("call-id", call), ("command", command)];
        fields.push(("from-tag", "a"));
        fields.push(("sdp", sdp));
        if command == "answer" {
            fields.push(("to-tag", "b"));
        }
        let fields = fields
            .iter()
            .map(|(name, value)| format!("{}:{name}{}:{value}", name.len(), value.len()));
        let fields: String = fields.collect();
        let answer = self.ask(&format!("d{fields}e"))?;
        let described = text(&answer, "sdp").with_context(|| format!("it answers {answer:?}"))?;
        let described = SessionDescription::parse(described.as_bytes())?;
        let ours = sdp::offer(&LocalMedia::new(([127, 0, 0, 1], 9).into(), 1));
        let negotiated = offhook_media::Negotiated::from_answer(&ours, &described)?;
        Ok(negotiated.remote)
    }

    fn ask(&mut self, question: &str) -> anyhow::Result<String> {
        self.sent += 1;
        let cookie = format!("{} ", self.sent);
        self.socket.send(format!("{cookie}{question}").as_bytes())?;
        let mut answer = vec![0; ANSWER_BYTES];
        let length = self.socket.recv(&mut answer)?;
        let answer = String::from_utf8_lossy(answer.get(..length).unwrap_or_default());
        let answer = answer.strip_prefix(&cookie).context("not our cookie")?;
        Ok(answer.to_owned())
    }
}

/// The string of this name in a bencoded dictionary.
fn text<'a>(dictionary: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = dictionary.split_once(&format!("{}:{name}", name.len()))?;
    let (length, rest) = rest.split_once(':')?;
    rest.get(..length.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_found_by_its_name_and_is_as_long_as_it_says() {
        let answer = "d3:sdp9:v=0\r\nm=ab6:result2:oke";
        assert_eq!(text(answer, "sdp"), Some("v=0\r\nm=ab"));
        assert_eq!(text(answer, "result"), Some("ok"));
        assert_eq!(text("d6:result5:errore", "sdp"), None);
        assert_eq!(text("d3:sdp99:v=0e", "sdp"), None);
    }
}
