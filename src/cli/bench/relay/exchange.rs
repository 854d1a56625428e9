//! A whole exchange as a relay, rustpbx: calls are placed through it by one phone and answered by
//! another, both of them here, each with the addresses that the load has for its two sides.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use offhook_media::sdp::{self, LocalMedia};
use offhook_media::{Codec, Negotiated, SessionDescription};
use offhook_sip::{Access, Invite, Settings, Transport};
use rand::Rng;
use tokio::sync::mpsc;

use crate::cli::bench::switch::answer;
use crate::net::sip::{IncomingCall, Listen, News, PlacedCall, Sip, Tls};

/// How long a call may take to be set up.
const PATIENCE: Duration = Duration::from_secs(10);
/// Ports of the exchange's media: outside of the load's and of the other relays'.
const PORTS: (u16, u16) = (40_000, 59_998);

/// What rustpbx is told: all media through it, calls of nobody in particular to this user go to one
/// trunk.
pub(in crate::cli::bench) fn configuration(
    sip: u16,
    http: u16,
    trunk: SocketAddr,
    user: &str,
) -> String {
    let (first, last) = PORTS;
    format!(
        r#"http_addr = "127.0.0.1:{http}"
log_level = "error"
database_url = "sqlite://bench.sqlite3"
external_ip = "127.0.0.1"
rtp_start_port = {first}
rtp_end_port = {last}

[recording]
enabled = false

[proxy]
modules = ["acl", "call"]
addr = "127.0.0.1"
udp_port = {sip}
media_proxy = "all"
audio_codecs = ["pcmu"]
session_timer = false
ensure_user = false
acl_rules = ["allow all"]
generated_dir = "."

[proxy.trunks.bench]
dest = "sip:{trunk}"
direction = "outbound"

[[proxy.routes]]
name = "bench"
priority = 1
action = "forward"
dest = "bench"

[proxy.routes.match]
"to.user" = "^{user}$"
"#
    )
}

/// The phone that calls and the phone that answers, with their calls.
pub(super) struct Phones {
    caller: Sip,
    callee: Sip,
    /// Of the one that answers; the other hears none.
    news: mpsc::Receiver<News>,
    /// Calls last as long as they are held.
    placed: Vec<PlacedCall>,
    taken: Vec<IncomingCall>,
}

impl Phones {
    pub(super) async fn open() -> anyhow::Result<Self> {
        let (caller, _) = line().await?;
        let (callee, news) = line().await?;
        Ok(Self {
            caller,
            callee,
            news,
            placed: Vec::new(),
            taken: Vec::new(),
        })
    }

    /// Where the phone that answers is reached.
    pub(super) fn address(&self) -> anyhow::Result<SocketAddr> {
        let (_, address) = self.callee.listeners().first().context("no listener")?;
        Ok(*address)
    }

    /// Places a call through the exchange at this port between two sides, and tells where each is to
    /// send.
    pub(super) async fn call_through(
        &mut self,
        port: u16,
        [a, b]: [SocketAddr; 2],
    ) -> anyhow::Result<[SocketAddr; 2]> {
        let through = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let ours = sdp::offer(&pcmu(a, 1));
        let mut placed = self.caller.invite(self.invitation(through, &ours)?).await?;
        let to_b = tokio::time::timeout(PATIENCE, self.take(b)).await;
        let to_b = to_b.context("the call did not come through")??;
        let described = tokio::time::timeout(PATIENCE, answer(&mut placed)).await??;
        let described = SessionDescription::parse(&described)?;
        let to_a = Negotiated::from_answer(&ours, &described)?.remote;
        for target in [to_a, to_b] {
            anyhow::ensure!(target != a && target != b, "the media passes it by");
        }
        self.placed.push(placed);
        Ok([to_a, to_b])
    }

    fn invitation(&self, through: SocketAddr, ours: &SessionDescription) -> anyhow::Result<Invite> {
        let uri = format!("sip:bench@{through}");
        Ok(Invite {
            request_uri: uri.clone(),
            to: uri,
            from: format!("sip:load@{through}"),
            route: Vec::new(),
            flow: self.caller.flow_to(through, Transport::Udp)?,
            stream: None,
            credentials: None,
            body: ours.to_string().into_bytes(),
            content_type: "application/sdp".to_owned(),
            headers: Vec::new(),
        })
    }

    /// Answers the next call for this side, and tells where it is to send.
    async fn take(&mut self, side: SocketAddr) -> anyhow::Result<SocketAddr> {
        let incoming = loop {
            match self.news.recv().await.context("the phone is gone")? {
                News::Incoming(incoming) => break incoming,
                _ => continue,
            }
        };
        let offer = incoming.invite.offer.as_ref().context("no offer")?;
        let offer = SessionDescription::parse(offer)?;
        let (described, negotiated) = sdp::answer(&offer, &pcmu(side, 2))?;
        let body = described.to_string().into_bytes();
        let there = self.callee.answer(incoming.call, body).await?;
        anyhow::ensure!(there, "the exchange gave the call up");
        self.taken.push(*incoming);
        Ok(negotiated.remote)
    }
}

/// A line that takes any call of this machine.
async fn line() -> anyhow::Result<(Sip, mpsc::Receiver<News>)> {
    let listen = [Listen {
        transport: Transport::Udp,
        address: (Ipv4Addr::LOCALHOST, 0).into(),
    }];
    let settings = Settings {
        product: "Offhook bench".to_owned(),
        seed: rand::rng().random(),
        access: Access {
            open_loopback: true,
            ..Access::default()
        },
        ..Settings::default()
    };
    Ok(Sip::start(&listen, Tls::default(), settings).await?)
}

/// A side that speaks one codec, as the load does.
fn pcmu(address: SocketAddr, id: u64) -> LocalMedia {
    LocalMedia {
        codecs: vec![Codec::Pcmu],
        ..LocalMedia::new(address, id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_whose_media_passes_the_exchange_by_is_none() {
        let mut phones = Phones::open().await.unwrap();
        // Nothing between the two phones: each is told of the other's own side.
        let port = phones.address().unwrap().port();
        let sides = [7_000, 7_002].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let through = phones.call_through(port, sides).await;
        let said = through.unwrap_err().to_string();
        assert!(said.contains("passes it by"), "{said}");
    }

    #[test]
    fn what_rustpbx_is_told_sends_all_media_through_it_and_records_nothing() {
        let trunk = SocketAddr::from((Ipv4Addr::LOCALHOST, 5_070));
        let told: toml::Table = configuration(5_060, 8_080, trunk, "bench").parse().unwrap();
        let proxy = &told["proxy"];
        assert_eq!(proxy["media_proxy"].as_str(), Some("all"));
        assert_eq!(told["recording"]["enabled"].as_bool(), Some(false));
        let dest = proxy["trunks"]["bench"]["dest"].as_str();
        assert_eq!(dest, Some("sip:127.0.0.1:5070"));
    }
}
