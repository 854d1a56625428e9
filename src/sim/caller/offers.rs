//! A caller's offers within the call, and what it makes of ours.

use offhook_media::sdp::{self, LocalSrtp};
use offhook_media::{Negotiated, SessionDescription, SrtpPolicy};
use offhook_sip::CallHandle;

use super::Caller;
use crate::sim::clock::{Datagram, Kind};
use crate::sim::plan::OnOffer;
use crate::sim::world::Cx;

impl Caller {
    pub(super) fn offer(&mut self, cx: &mut Cx, call: CallHandle) {
        if self.leg.is_none() || self.answered.is_none() {
            return;
        }
        // One at a time, as in the switch.
        self.outdated = self.offered.is_some() || self.asks;
        if self.outdated {
            return;
        }
        let mut offer = sdp::reoffer(&self.description, &self.local);
        if self.plan.rekeys && self.local.srtp.policy() != SrtpPolicy::Off {
            // Keys are never taken up again: those of the last offer may be in use.
            self.local.srtp = LocalSrtp::new(self.local.srtp.policy(), &mut cx.secrets);
            rekey(&mut offer, &sdp::offer(&self.local));
        }
        let body = offer.to_string().into_bytes();
        self.ua.reinvite(cx.clock.now(), call, body);
        self.offered = Some(offer);
    }

    /// Refreshes by UPDATE (RFC 3311), as a carrier's border element does of its own.
    pub(super) fn update(&mut self, cx: &mut Cx) {
        let Some(ack) = self.ack.clone().filter(|_| self.leg.is_some()) else {
            return;
        };
        self.updates += 1;
        let mut lines = vec![
            ack.lines()
                .next()
                .unwrap_or_default()
                .replacen("ACK", "UPDATE", 1),
        ];
        for line in ack.lines().skip(1).take_while(|line| !line.is_empty()) {
            let name = line.split(':').next().unwrap_or_default();
            match name.to_ascii_lowercase().as_str() {
                "via" => lines.push(format!(
                    "Via: SIP/2.0/UDP {};rport;branch=z9hG4bKupdate{}",
                    self.address, self.updates
                )),
                "cseq" => lines.push(line.replace("ACK", "UPDATE")),
                "content-length" => {}
                _ => lines.push(line.to_owned()),
            }
        }
        lines.push(format!("Contact: <sip:{}@{}>", self.number, self.address));
        lines.push("Session-Expires: 1800;refresher=uac".to_owned());
        lines.push("Content-Length: 0\r\n\r\n".to_owned());
        let datagram = Datagram {
            kind: Kind::Sip,
            from: self.address,
            to: self.switch,
            bytes: lines.join("\r\n").into_bytes(),
        };
        cx.transmit(datagram, false);
    }

    /// Takes an offer of the switch, or its wish for one.
    pub(super) fn reoffered(&mut self, cx: &mut Cx, call: CallHandle, offer: Option<&[u8]>) {
        let now = cx.clock.now();
        let answer = match (self.plan.on_offer, offer) {
            (OnOffer::Ignores, Some(_)) => return,
            (OnOffer::Refuses(status), Some(_)) => Err(status),
            (_, None) => Ok(Some(self.description.to_string().into_bytes())),
            (OnOffer::Accepts, Some(offer)) => {
                self.strays = false;
                self.accept(cx, offer).map(Some)
            }
        };
        self.ua.answer_reoffer(now, call, answer);
    }

    /// Takes what came of our offer: an answer, or none. The next goes out.
    pub(super) fn settled(&mut self, cx: &mut Cx, call: CallHandle, answer: Option<&[u8]>) {
        let offered = self.offered.take();
        if let (Some(answer), Some(offered)) = (answer, offered) {
            self.agree(cx, offered, answer);
        }
        if self.outdated {
            self.offer(cx, call);
        }
    }

    /// Makes our offer anew, since the switch's came through while it waited.
    pub(super) fn overtaken(&mut self, cx: &mut Cx, call: CallHandle) {
        self.offered = None;
        self.asks = false;
        self.offer(cx, call);
    }

    fn accept(&mut self, cx: &mut Cx, offer: &[u8]) -> Result<Vec<u8>, u16> {
        let offer = SessionDescription::parse(offer).map_err(|_| 400_u16)?;
        let (answer, negotiated) = sdp::answer(&offer, &self.local).map_err(|_| 488_u16)?;
        let answer = answer.succeeding(&self.description);
        let body = answer.to_string().into_bytes();
        self.description = answer;
        self.adopt(cx, negotiated);
        Ok(body)
    }

    fn agree(&mut self, cx: &mut Cx, offered: SessionDescription, answer: &[u8]) {
        let Ok(answer) = SessionDescription::parse(answer) else {
            return;
        };
        if let Ok(negotiated) = Negotiated::from_answer(&offered, &answer) {
            self.description = offered;
            self.adopt(cx, negotiated);
        }
    }

    pub(super) fn adopt(&mut self, cx: &mut Cx, negotiated: Negotiated) {
        self.uses(cx, &negotiated);
        if let Some(leg) = &mut self.leg {
            leg.session.renegotiate(cx.clock.now(), negotiated);
        }
    }
}

/// Puts other keys into an offer.
fn rekey(offer: &mut SessionDescription, fresh: &SessionDescription) {
    let keys = fresh
        .audio()
        .into_iter()
        .flat_map(|audio| &audio.attributes);
    let keys: Vec<_> = keys.filter(|a| a.name == "crypto").cloned().collect();
    for media in &mut offer.media {
        media
            .attributes
            .retain(|attribute| attribute.name != "crypto");
        media.attributes.extend(keys.iter().cloned());
    }
}
