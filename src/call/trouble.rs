//! What went wrong with a call's sound: in words, for its record, and what may mend it.

use std::time::Duration;

use offhook_media::OneWay;

/// Troubles that are told and kept; what a call has more of is only counted.
const MOST: usize = 8;

/// Follows what goes wrong with one call's sound.
#[derive(Debug, Default)]
pub struct Troubles {
    told: Vec<String>,
    offered_again: bool,
    /// The other side was heard: what comes beside it now may be somebody else's.
    heard: bool,
}

/// What may mend a trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mend {
    /// Nothing that this side can do, or it is being done.
    Nothing,
    /// The session is offered anew: the other side sends what was not agreed upon.
    OfferAgain,
}

impl Troubles {
    /// Takes that one side hears nothing of the other; gives the words for it, unless there were
    /// many, and what may mend it.
    pub fn one_way(&mut self, why: OneWay, silent_for: Duration) -> (Option<String>, Mend) {
        let words = format!("{}, {} ms on", describe(why), silent_for.as_millis());
        let words = self.keep(words);
        let mend = match why {
            OneWay::WrongPayload { .. } | OneWay::NotAuthentic
                if !self.heard && !std::mem::replace(&mut self.offered_again, true) =>
            {
                Mend::OfferAgain
            }
            _ => Mend::Nothing,
        };
        (words, mend)
    }

    /// Takes that the other side is heard after it was missed; gives the words for it.
    pub fn two_way(&mut self, after: Duration) -> Option<String> {
        let words = format!(
            "the other side is heard again, {} ms after it should have been",
            after.as_millis()
        );
        self.heard = true;
        self.keep(words)
    }

    /// All that was told, in order.
    #[must_use]
    pub fn into_words(self) -> Vec<String> {
        self.told
    }

    fn keep(&mut self, words: String) -> Option<String> {
        if self.told.len() >= MOST {
            return None;
        }
        self.told.push(words.clone());
        Some(words)
    }
}

/// Says in words why one side hears nothing of the other.
fn describe(why: OneWay) -> String {
    match why {
        OneWay::NothingComes => {
            "nothing is heard of the other side: no packet comes to our media port (a firewall, or \
             `sip.public_address` names an address that it cannot reach)"
                .to_owned()
        }
        OneWay::WrongSource { from } => format!(
            "nothing is heard of the other side: packets come from {from}, which is not where it \
             said that it would send from"
        ),
        OneWay::WrongPayload { payload_type } => format!(
            "nothing is heard of the other side: it sends payload type {payload_type}, which was \
             not agreed upon"
        ),
        OneWay::NotAuthentic => {
            "nothing is heard of the other side: its packets are not authentic (SRTP with other \
             keys, or none)"
                .to_owned()
        }
        OneWay::NotRtp => {
            "nothing is heard of the other side: what comes to our media port is no RTP".to_owned()
        }
        OneWay::Looped => "nothing is heard of the other side: our own sound comes back".to_owned(),
        OneWay::NotHeard => {
            "the other side hears nothing: its reports say that none of our packets reach it"
                .to_owned()
        }
    }
}

/// The name by which metrics count a trouble.
#[must_use]
pub fn reason(why: OneWay) -> &'static str {
    match why {
        OneWay::NothingComes => "nothing comes",
        OneWay::WrongSource { .. } => "wrong source",
        OneWay::WrongPayload { .. } => "wrong payload",
        OneWay::NotAuthentic => "not authentic",
        OneWay::NotRtp => "not rtp",
        OneWay::Looped => "looped",
        OneWay::NotHeard => "not heard",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: Duration = Duration::from_millis(500);

    #[test]
    fn the_session_is_offered_again_once_when_the_wrong_thing_comes() {
        let mut troubles = Troubles::default();
        let wrong = OneWay::WrongPayload { payload_type: 18 };
        let (words, mend) = troubles.one_way(wrong, HALF);
        assert_eq!(mend, Mend::OfferAgain);
        assert!(words.unwrap().contains("payload type 18"));
        assert_eq!(troubles.one_way(wrong, HALF).1, Mend::Nothing);
        assert_eq!(
            troubles.one_way(OneWay::NothingComes, HALF).1,
            Mend::Nothing
        );
        assert_eq!(troubles.into_words().len(), 3);
    }

    #[test]
    fn no_more_than_a_few_are_told_and_kept() {
        let mut troubles = Troubles::default();
        let mut told = 0;
        for _ in 0..100 {
            let (words, _) = troubles.one_way(OneWay::NothingComes, HALF);
            told += usize::from(words.is_some()) + usize::from(troubles.two_way(HALF).is_some());
        }
        assert_eq!(told, MOST);
        assert_eq!(troubles.into_words().len(), MOST);
    }
}
