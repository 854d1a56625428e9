//! One session's offers and answers, from our side (RFC 3264): what was said, and what holds.
//! Pure: the leg sends what comes of it, and the simulation runs it as it stands.

use offhook_media::sdp;
use offhook_media::{Codec, Direction, LocalMedia, Negotiated, Refusal, SessionDescription};
use rand::CryptoRng;

/// Explains why a session description is of no use.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// It cannot be read: 400.
    #[error("the session description cannot be read: {0}")]
    Unreadable(#[from] sdp::SdpError),
    /// It offers nothing that we can do: 488 (RFC 3261 §21.4.26).
    #[error("{0}")]
    Refused(#[from] Refusal),
}

impl SessionError {
    /// The status that tells the other side.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Unreadable(_) => 400,
            Self::Refused(_) => 488,
        }
    }
}

/// Our side of a session.
///
/// A change comes in two steps: [`Session::answer_reoffer`] or [`Session::take_answer`] says what
/// would hold, and [`Session::adopt`] lets it hold once the media has taken it.
#[derive(Debug, Clone)]
pub struct Session {
    local: LocalMedia,
    /// The last that we sent, from which versions count (RFC 3264 §8).
    description: SessionDescription,
    /// What holds; nothing before the first answer.
    negotiated: Option<Negotiated>,
    /// What we offered by a re-INVITE and was not answered yet. One offer is made at a time, since
    /// the next counts from what came of it.
    offered: Option<SessionDescription>,
    /// Something was to be offered meanwhile.
    outdated: bool,
}

/// What would hold after an offer or an answer.
#[derive(Debug)]
pub struct Change {
    description: SessionDescription,
    negotiated: Option<Negotiated>,
    differs: bool,
}

impl Change {
    /// What the media must take: nothing when it goes on as it was.
    #[must_use]
    pub fn media(&self) -> Option<&Negotiated> {
        self.negotiated.as_ref().filter(|_| self.differs)
    }

    /// The SDP to send.
    #[must_use]
    pub fn sdp(&self) -> Vec<u8> {
        self.description.to_string().into_bytes()
    }
}

impl Session {
    /// Offers what `local` can do, but of its codecs only these; all of them may be agreed upon
    /// later.
    #[must_use]
    pub fn offering(local: LocalMedia, codecs: &[Codec]) -> Self {
        let offered = LocalMedia {
            codecs: codecs.to_vec(),
            ..local.clone()
        };
        Self {
            description: sdp::offer(&offered),
            local,
            negotiated: None,
            offered: None,
            outdated: false,
        }
    }

    /// Answers the first offer; gives what was agreed upon as well.
    ///
    /// # Errors
    /// When the offer cannot be used.
    pub fn answering(local: LocalMedia, offer: &[u8]) -> Result<(Self, Negotiated), SessionError> {
        let offer = SessionDescription::parse(offer)?;
        let (description, negotiated) = sdp::answer(&offer, &local)?;
        let session = Self {
            local,
            description,
            negotiated: Some(negotiated.clone()),
            offered: None,
            outdated: false,
        };
        Ok((session, negotiated))
    }

    /// Our latest description, to be sent.
    #[must_use]
    pub fn sdp(&self) -> Vec<u8> {
        self.description.to_string().into_bytes()
    }

    /// Whether the other side holds the call: it wants to hear nothing (RFC 3264 §8.4).
    #[must_use]
    pub fn is_held(&self) -> bool {
        let holds = |negotiated: &Negotiated| !negotiated.direction.sends();
        self.negotiated.as_ref().is_some_and(holds)
    }

    /// What holds, once there was an answer.
    #[must_use]
    pub fn negotiated(&self) -> Option<&Negotiated> {
        self.negotiated.as_ref()
    }

    /// Reads an answer to our offer; nothing changes by it.
    ///
    /// # Errors
    /// When it cannot be read, or takes nothing that we offered.
    pub fn read_answer(&self, answer: &[u8]) -> Result<Negotiated, SessionError> {
        let answer = SessionDescription::parse(answer)?;
        Ok(Negotiated::from_answer(&self.description, &answer)?)
    }

    /// Answers a re-INVITE or UPDATE. What changes nothing gets the session's own description, so
    /// that no refresh ends a call (RFC 3264 §8, RFC 4028). To one without an offer we offer all
    /// that we can, both ways unless we hold the call, whatever was agreed upon before: a call that
    /// was held is taken off hold so (RFC 3261 §14.2, RFC 6337 §3).
    ///
    /// # Errors
    /// When the offer cannot be used; the session goes on as it was (RFC 3261 §14.2).
    pub fn answer_reoffer(&self, offer: Option<&[u8]>) -> Result<Change, SessionError> {
        let Some(offer) = offer.filter(|offer| !offer.is_empty()) else {
            return Ok(Change {
                description: sdp::reoffer(&self.description, &self.local),
                negotiated: self.negotiated.clone(),
                differs: false,
            });
        };
        let offer = SessionDescription::parse(offer)?;
        let (answer, negotiated) = sdp::answer(&offer, &self.local)?;
        Ok(self.change_to(answer.succeeding(&self.description), negotiated))
    }

    /// Takes the answer that an ACK brought to the offer of our own answer.
    ///
    /// # Errors
    /// When it cannot be used; the session goes on as it was.
    pub fn take_answer(&self, answer: &[u8]) -> Result<Change, SessionError> {
        Ok(self.change_to(self.description.clone(), self.read_answer(answer)?))
    }

    /// What would hold with this description of ours and what it came to.
    fn change_to(&self, description: SessionDescription, negotiated: Negotiated) -> Change {
        Change {
            description,
            differs: self.negotiated.as_ref() != Some(&negotiated),
            negotiated: Some(negotiated),
        }
    }

    /// Holds the other side, or no longer does: from now on our descriptions say that we only send
    /// (RFC 3264 §8.4), or both ways.
    pub fn hold(&mut self, hold: bool) {
        self.local.direction = match hold {
            true => Direction::SendOnly,
            false => Direction::SendRecv,
        };
    }

    /// Offers all that we can, both ways unless we hold the call, as a re-INVITE of ours. What holds
    /// goes on until there is an answer. None while an offer waits for its answer:
    /// [`Session::is_outdated`] tells once it may be made.
    #[must_use]
    pub fn offer(&mut self) -> Option<Vec<u8>> {
        self.outdated = self.has_offered();
        if self.outdated {
            return None;
        }
        let offer = sdp::reoffer(&self.description, &self.local);
        let sdp = offer.to_string().into_bytes();
        self.offered = Some(offer);
        Some(sdp)
    }

    /// Whether an offer was wanted while another one waited, and that one is answered now.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        self.outdated && !self.has_offered()
    }

    /// Whether an offer of ours waits for its answer.
    #[must_use]
    pub fn has_offered(&self) -> bool {
        self.offered.is_some()
    }

    /// Takes note that our offer was not sent, since the peer's came through: it counted from what
    /// no longer holds, and is to be made anew.
    pub fn offer_overtaken(&mut self) {
        self.outdated = self.offered.take().is_some();
    }

    /// Takes the answer to our offer; without one it was refused.
    ///
    /// # Errors
    /// When it cannot be used; the session goes on as it was.
    pub fn offer_answered(
        &mut self,
        offer: &[u8],
        answer: Option<&[u8]>,
    ) -> Result<Option<Change>, SessionError> {
        let same = |ours: &mut SessionDescription| ours.to_string().as_bytes() == offer;
        let (Some(offer), Some(answer)) = (self.offered.take_if(same), answer) else {
            return Ok(None);
        };
        let answer = SessionDescription::parse(answer)?;
        let negotiated = Negotiated::from_answer(&offer, &answer)?;
        Ok(Some(self.change_to(offer, negotiated)))
    }

    /// Lets a change hold.
    pub fn adopt(&mut self, change: Change) {
        self.description = change.description;
        self.negotiated = change.negotiated;
    }

    /// Draws anew each key that is not in use, after a change: one that was in use is never taken
    /// up again (RFC 3711 §9.1).
    pub fn renew_unused_keys(&mut self, random: &mut impl CryptoRng) {
        let in_use = self.negotiated.as_ref().and_then(|n| n.srtp.as_ref());
        self.local.srtp.renew_unused(in_use, random);
    }

    /// Lets the first answer hold.
    pub fn agree(&mut self, negotiated: Negotiated) {
        self.negotiated = Some(negotiated);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local() -> LocalMedia {
        LocalMedia::new("192.0.2.1:4000".parse().unwrap(), 7)
    }

    fn theirs(direction: &str, address: &str) -> Vec<u8> {
        format!(
            "v=0\r\no=- 1 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n\
             m=audio 5000 RTP/AVP 0 96\r\na=rtpmap:96 telephone-event/8000\r\na={direction}\r\n"
        )
        .into_bytes()
    }

    fn talking() -> Session {
        let offer = theirs("sendrecv", "192.0.2.2");
        Session::answering(local(), &offer).unwrap().0
    }

    fn text(sdp: &[u8]) -> &str {
        std::str::from_utf8(sdp).unwrap()
    }

    #[test]
    fn a_refresh_gets_the_same_description_and_changes_nothing() {
        let mut session = talking();
        let before = session.sdp();
        let offer = theirs("sendrecv", "192.0.2.2");
        let change = session.answer_reoffer(Some(&offer)).unwrap();
        assert_eq!(change.media(), None);
        assert_eq!(change.sdp(), before);
        session.adopt(change);
        assert_eq!(session.sdp(), before);
    }

    #[test]
    fn a_hold_in_each_way_is_one_and_a_resume_ends_it() {
        for (direction, address, ours) in [
            ("sendonly", "192.0.2.2", "a=recvonly"),
            ("inactive", "192.0.2.2", "a=inactive"),
            ("sendrecv", "0.0.0.0", "a=recvonly"),
        ] {
            let mut session = talking();
            let hold = session.answer_reoffer(Some(&theirs(direction, address)));
            let hold = hold.unwrap();
            assert!(text(&hold.sdp()).contains(ours), "{direction}");
            assert!(hold.media().is_some());
            session.adopt(hold);
            assert!(session.is_held());
            let resume = session.answer_reoffer(Some(&theirs("sendrecv", "192.0.2.2")));
            session.adopt(resume.unwrap());
            assert!(!session.is_held());
        }
    }

    #[test]
    fn what_is_not_adopted_does_not_hold() {
        let session = talking();
        let hold = session.answer_reoffer(Some(&theirs("inactive", "192.0.2.2")));
        assert!(hold.unwrap().media().is_some());
        assert!(!session.is_held());
        assert!(session.answer_reoffer(Some(b"no SDP")).is_err());
    }

    #[test]
    fn a_held_call_that_is_asked_for_an_offer_offers_both_ways_under_a_new_version() {
        let mut session = talking();
        let hold = session.answer_reoffer(Some(&theirs("inactive", "192.0.2.2")));
        session.adopt(hold.unwrap());
        let held = SessionDescription::parse(&session.sdp()).unwrap();
        let change = session.answer_reoffer(None).unwrap();
        assert_eq!(change.media(), None, "nothing holds before the answer");
        let offer = SessionDescription::parse(&change.sdp()).unwrap();
        assert!(text(&change.sdp()).contains("a=sendrecv"));
        assert!(
            text(&change.sdp()).contains("96 telephone-event"),
            "numbers keep their meaning"
        );
        let version = |sdp: &SessionDescription| sdp.origin.version.parse::<u64>().unwrap();
        assert_eq!(version(&offer), version(&held) + 1);
        session.adopt(change);
        assert!(session.is_held(), "until the answer says otherwise");
        let answer = session.take_answer(&theirs("sendrecv", "192.0.2.2"));
        let answer = answer.unwrap();
        assert!(answer.media().is_some());
        session.adopt(answer);
        assert!(!session.is_held());
    }

    #[test]
    fn an_offer_of_ours_that_the_peers_overtakes_is_made_anew_and_answered_as_it_was_sent() {
        let mut session = talking();
        let version = |sdp: &[u8]| {
            let sdp = SessionDescription::parse(sdp).unwrap();
            sdp.origin.version.parse::<u64>().unwrap()
        };
        let first = session.offer().unwrap();
        assert_eq!(version(&first), version(&session.sdp()) + 1);
        // The peer's own change comes through while ours waits.
        let hold = session.answer_reoffer(Some(&theirs("sendonly", "192.0.2.2")));
        session.adopt(hold.unwrap());
        assert!(session.has_offered() && !session.is_outdated());
        session.offer_overtaken();
        assert!(session.is_outdated());
        let again = session.offer().unwrap();
        assert_eq!(version(&again), version(&session.sdp()) + 1);
        let answer = theirs("sendrecv", "192.0.2.9");
        let taken = session.offer_answered(&first, Some(&answer));
        assert!(taken.unwrap().is_none(), "it was never sent");
        let change = session.offer_answered(&again, Some(&answer));
        let change = change.unwrap().unwrap();
        assert!(change.media().is_some());
        session.adopt(change);
        assert_eq!(session.sdp(), again);
        assert!(!session.is_held() && !session.has_offered());
    }

    #[test]
    fn an_offer_of_ours_that_is_refused_leaves_the_session_as_it_was() {
        let mut session = talking();
        let before = session.sdp();
        let offer = session.offer().unwrap();
        assert!(session.offer_answered(&offer, None).unwrap().is_none());
        assert!(!session.has_offered());
        assert_eq!(session.sdp(), before);
    }

    #[test]
    fn who_is_held_by_us_is_told_so_in_offers_and_answers_until_it_is_not() {
        let mut session = talking();
        session.hold(true);
        let offer = session.offer().unwrap();
        assert!(text(&offer).contains("a=sendonly"));
        let change = session.offer_answered(&offer, Some(&theirs("recvonly", "192.0.2.2")));
        session.adopt(change.unwrap().unwrap());
        assert!(!session.is_held(), "it hears our music");
        // A refresh by the peer takes nobody off hold …
        let refresh = session.answer_reoffer(Some(&theirs("sendrecv", "192.0.2.2")));
        let refresh = refresh.unwrap();
        assert!(text(&refresh.sdp()).contains("a=sendonly"));
        session.adopt(refresh);
        // … and who holds a call that is held hears nothing.
        let both = session.answer_reoffer(Some(&theirs("sendonly", "192.0.2.2")));
        let both = both.unwrap();
        assert!(text(&both.sdp()).contains("a=inactive"));
        session.hold(false);
        assert!(text(&session.offer().unwrap()).contains("a=sendrecv"));
    }

    #[test]
    fn what_is_wanted_while_an_offer_waits_is_offered_once_that_is_answered() {
        let mut session = talking();
        session.hold(true);
        let offer = session.offer().unwrap();
        session.hold(false);
        assert!(session.offer().is_none() && !session.is_outdated());
        let change = session.offer_answered(&offer, Some(&theirs("recvonly", "192.0.2.2")));
        session.adopt(change.unwrap().unwrap());
        assert!(session.is_outdated());
        assert!(text(&session.offer().unwrap()).contains("a=sendrecv"));
        assert!(!session.is_outdated());
    }

    #[test]
    fn an_answer_of_no_use_leaves_a_held_call_held() {
        let mut session = talking();
        let hold = session.answer_reoffer(Some(&theirs("sendonly", "192.0.2.2")));
        session.adopt(hold.unwrap());
        let offer = session.answer_reoffer(None).unwrap();
        session.adopt(offer);
        assert!(session.take_answer(b"").is_err());
        assert!(session.is_held());
    }
}
