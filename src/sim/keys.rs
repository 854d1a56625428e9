//! What one call's wire knows of SRTP: the keys that were agreed upon, and what is under them.

use std::borrow::Cow;

use offhook_media::srtp::{Inbound, MasterKey, SrtpError, SrtpKeys};

use super::invariants::Rule;
use super::wire::Broken;

/// Keys of the caller's under which packets may still be on their way.
const KEPT: usize = 4;

/// Reads what each side sends, by its keys.
#[derive(Default)]
pub(super) struct Keys {
    /// The switch's, when media is encrypted.
    switch: Option<(MasterKey, Inbound)>,
    /// Those that it used before.
    spent: Vec<MasterKey>,
    /// The caller's, the latest first; none while its media goes in the clear.
    caller: Vec<(MasterKey, Inbound)>,
    caller_encrypts: bool,
}

impl Keys {
    /// Takes note of what the switch sends under from now on.
    pub(super) fn switch_uses(&mut self, keys: Option<&SrtpKeys>) -> Option<Broken> {
        let Some(keys) = keys else {
            self.spent.extend(self.switch.take().map(|(key, _)| key));
            return None;
        };
        if self
            .switch
            .as_ref()
            .is_some_and(|(key, _)| *key == keys.ours)
        {
            return None;
        }
        let before = self.switch.take();
        let inbound = match &before {
            Some((_, inbound)) => inbound.after(&keys.ours, None),
            None => Inbound::new(&keys.ours, None),
        };
        self.spent.extend(before.map(|(key, _)| key));
        self.switch = Some((keys.ours.clone(), inbound));
        let reused = self.spent.contains(&keys.ours);
        reused.then(|| (Rule::KeyReused, "a key is taken up again".to_owned()))
    }

    /// Takes note of what the caller sends under from now on.
    pub(super) fn caller_uses(&mut self, keys: Option<&SrtpKeys>) {
        self.caller_encrypts = keys.is_some();
        let Some(keys) = keys else { return };
        let known = self.caller.iter().position(|(key, _)| *key == keys.ours);
        let current = match (known, self.caller.first()) {
            (Some(at), _) => self.caller.remove(at),
            (None, Some((_, before))) => (keys.ours.clone(), before.after(&keys.ours, None)),
            (None, None) => (keys.ours.clone(), Inbound::new(&keys.ours, None)),
        };
        self.caller.insert(0, current);
        self.caller.truncate(KEPT);
    }

    /// Whether the caller encrypts.
    pub(super) fn hide_the_caller(&self) -> bool {
        self.caller_encrypts
    }

    /// Reads an RTP packet of the switch, in the order of sending.
    pub(super) fn open_sent<'a>(&mut self, packet: &'a [u8]) -> Result<Cow<'a, [u8]>, Broken> {
        self.read_sent(packet, Inbound::unprotect_rtp)
    }

    /// Reads an RTCP compound of the switch.
    pub(super) fn open_report<'a>(&mut self, packet: &'a [u8]) -> Result<Cow<'a, [u8]>, Broken> {
        self.read_sent(packet, Inbound::unprotect_rtcp)
    }

    fn read_sent<'a>(
        &mut self,
        packet: &'a [u8],
        open: impl Fn(&mut Inbound, &mut [u8]) -> Result<usize, SrtpError>,
    ) -> Result<Cow<'a, [u8]>, Broken> {
        let Some((_, inbound)) = &mut self.switch else {
            return Ok(Cow::Borrowed(packet));
        };
        let mut room = packet.to_vec();
        match open(inbound, &mut room) {
            Ok(length) => {
                room.truncate(length);
                Ok(Cow::Owned(room))
            }
            Err(error) => {
                let what = format!("a packet of {} bytes: {error}", packet.len());
                Err((Rule::SentInTheClear, what))
            }
        }
    }

    /// Reads an RTP packet of the caller as it reaches the switch; nothing of what cannot be heard.
    pub(super) fn open_received<'a>(&mut self, packet: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        if !self.caller_encrypts && self.caller.is_empty() {
            return Some(Cow::Borrowed(packet));
        }
        for (_, inbound) in &mut self.caller {
            let mut room = packet.to_vec();
            if let Ok(length) = inbound.unprotect_rtp(&mut room) {
                room.truncate(length);
                return Some(Cow::Owned(room));
            }
        }
        (!self.caller_encrypts).then_some(Cow::Borrowed(packet))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offhook_media::srtp::{Outbound, Suite};
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn drawn(seed: u64) -> SrtpKeys {
        let mut random = StdRng::seed_from_u64(seed);
        let mut draw = || MasterKey::draw(Suite::AesCm128HmacSha1_80, &mut random);
        SrtpKeys {
            ours: draw(),
            theirs: draw(),
            their_mki: None,
        }
    }

    fn packet() -> [u8; 60] {
        let mut room = [7; 60];
        (room[0], room[1]) = (0x80, 0);
        room
    }

    #[test]
    fn what_is_sent_in_the_clear_or_under_another_key_is_seen_and_so_is_a_key_that_comes_back() {
        let (first, second) = (drawn(1), drawn(2));
        let mut keys = Keys::default();
        assert!(keys.open_sent(&packet()).is_ok());
        assert_eq!(keys.switch_uses(Some(&first)), None);
        let in_the_clear = packet();
        let clear = keys.open_sent(&in_the_clear);
        assert_eq!(clear.unwrap_err().0, Rule::SentInTheClear);
        let mut room = packet();
        let length = Outbound::new(&first.ours)
            .protect_rtp(&mut room, 40)
            .unwrap();
        assert!(keys.open_sent(&room[..length]).is_ok());
        assert_eq!(keys.switch_uses(Some(&second)), None);
        let old = keys.open_sent(&room[..length]);
        assert_eq!(old.unwrap_err().0, Rule::SentInTheClear);
        let again = keys.switch_uses(Some(&first));
        assert_eq!(again.unwrap().0, Rule::KeyReused);
    }
}
