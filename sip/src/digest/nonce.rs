//! The server's nonces: made without keeping state, each use of each one accepted once.

use std::collections::BTreeMap;
use std::time::Duration;

use subtle::ConstantTimeEq;

use super::hmac::hmac_sha256;

/// How far behind the highest count a late one may be (requests overtake each other over UDP).
const WINDOW: u32 = 64;

/// The bytes of a nonce: milliseconds, which six bytes hold for 8,900 years, serial number and
/// authentication code.
const STAMP: usize = 6 + 4;
const SEALED: usize = STAMP + 12;
/// What the bytes are written with, six bits each: a challenge is to be short, since it answers
/// strangers.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A nonce's own part: when it was made and which one of them it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp {
    pub(crate) issued_ms: u64,
    serial: u32,
}

impl Stamp {
    /// Takes the lower half of the serial number: enough for a millisecond.
    pub(crate) fn new(now: Duration, serial: u64) -> Stamp {
        let [.., a, b, c, d] = serial.to_be_bytes();
        Stamp {
            issued_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            serial: u32::from_be_bytes([a, b, c, d]),
        }
    }

    /// Prints the nonce: stamp and the first 12 bytes of its authentication code (RFC 2104 §5),
    /// six bits a letter (RFC 4648 §5).
    pub(crate) fn seal(self, secret: &[u8; 32], realm: &str) -> String {
        let (issued, serial) = (self.issued_ms.to_be_bytes(), self.serial.to_be_bytes());
        let mac = hmac_sha256(secret, &[&issued, &serial, realm.as_bytes()]);
        let bytes = issued.iter().skip(2).chain(&serial).chain(&mac);
        let (mut text, mut bits, mut held) = (String::with_capacity(30), 0u32, 0);
        for byte in bytes.take(SEALED) {
            bits = bits << 8 | u32::from(*byte);
            held += 8;
            while held >= 6 {
                held -= 6;
                text.push(letter(bits >> held));
            }
        }
        // 176 bits are 29 letters and two bits.
        text.push(letter(bits << (6 - held)));
        text
    }

    /// Reads a nonce back, or `None` where this server did not make it for this realm.
    pub(crate) fn open(nonce: &str, secret: &[u8; 32], realm: &str) -> Option<Stamp> {
        // The stamp's 80 bits are within the first 14 letters.
        let mut bits = 0u128;
        for letter in nonce.as_bytes().get(..14)? {
            let value = ALPHABET.iter().position(|known| known == letter)?;
            bits = bits << 6 | u128::try_from(value).ok()?;
        }
        let stamp = bits >> (14 * 6 - STAMP * 8);
        let stamp = Stamp {
            issued_ms: u64::try_from(stamp >> 32).ok()?,
            serial: u32::try_from(stamp & u128::from(u32::MAX)).ok()?,
        };
        let genuine = stamp.seal(secret, realm);
        bool::from(genuine.as_bytes().ct_eq(nonce.as_bytes())).then_some(stamp)
    }
}

fn letter(bits: u32) -> char {
    let at = usize::try_from(bits & 63).unwrap_or_default();
    ALPHABET.get(at).copied().unwrap_or_default().into()
}

/// The counts that a nonce has been used with.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    highest: u32,
    seen: u64,
}

impl Window {
    fn take(&mut self, count: u32) -> bool {
        if count > self.highest {
            let shift = count - self.highest;
            self.seen = if shift < WINDOW {
                self.seen << shift
            } else {
                0
            };
            self.seen |= 1;
            self.highest = count;
            return true;
        }
        let behind = self.highest - count;
        if count == 0 || behind >= WINDOW || self.seen & (1 << behind) != 0 {
            return false;
        }
        self.seen |= 1 << behind;
        true
    }
}

/// The nonces in use, a bounded number of them.
///
/// Only answers with the right password get here, so that strangers cannot fill it. When it is
/// full, the oldest nonce is forgotten and, with every one made before it, counts as stale.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replay {
    used: BTreeMap<Stamp, Window>,
    floor: Option<Stamp>,
    limit: usize,
}

impl Replay {
    pub(crate) fn new(limit: usize) -> Replay {
        Replay {
            limit: limit.max(1),
            ..Replay::default()
        }
    }

    /// Says whether a nonce has been forgotten, so that its counts cannot be told any more.
    pub(crate) fn is_forgotten(&self, stamp: Stamp) -> bool {
        self.floor.is_some_and(|floor| stamp <= floor)
    }

    /// Takes one use of a nonce; false where the count has been used or is too old.
    pub(crate) fn take(&mut self, stamp: Stamp, count: u32) -> bool {
        if self.is_forgotten(stamp) {
            return false;
        }
        if !self.used.contains_key(&stamp) && self.used.len() >= self.limit {
            self.floor = self
                .used
                .pop_first()
                .map(|(oldest, _)| oldest)
                .max(self.floor);
            if self.is_forgotten(stamp) {
                return false;
            }
        }
        self.used.entry(stamp).or_default().take(count)
    }

    /// Forgets the nonces made before a time.
    pub(crate) fn expire(&mut self, before_ms: u64) {
        while let Some(oldest) = self.used.first_entry() {
            if oldest.key().issued_ms >= before_ms {
                break;
            }
            self.floor = Some(*oldest.key()).max(self.floor);
            oldest.remove();
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.used.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_taken_once_in_any_order_within_the_window() {
        let mut window = Window::default();
        let takes: Vec<bool> = [1, 3, 2, 2, 3, 0, 100, 36, 37, 37]
            .map(|c| window.take(c))
            .into();
        assert_eq!(
            takes,
            [
                true, true, true, false, false, false, true, false, true, false
            ]
        );
    }

    #[test]
    fn a_nonce_opens_only_with_its_secret_and_realm() {
        let secret = [7; 32];
        let stamp = Stamp::new(Duration::from_secs(1_000), 5);
        let nonce = stamp.seal(&secret, "a");
        assert_eq!(Stamp::open(&nonce, &secret, "a"), Some(stamp));
        assert_eq!(Stamp::open(&nonce, &secret, "b"), None);
        assert_eq!(Stamp::open(&nonce, &[8; 32], "a"), None);
        assert_eq!(nonce.len(), 30);
        for at in 0..nonce.len() {
            let mut changed = nonce.clone().into_bytes();
            changed[at] ^= 1;
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(Stamp::open(&changed, &secret, "a"), None, "{changed}");
        }
        assert_eq!(Stamp::open("ü", &secret, "a"), None);
    }

    #[test]
    fn a_full_table_forgets_the_oldest_and_never_accepts_it_again() {
        let mut replay = Replay::new(2);
        let stamp = |serial| Stamp::new(Duration::from_secs(1), serial);
        assert!(replay.take(stamp(1), 1) && replay.take(stamp(2), 1) && replay.take(stamp(3), 1));
        assert_eq!(replay.len(), 2);
        assert!(replay.is_forgotten(stamp(1)) && !replay.take(stamp(1), 1));
        assert!(!replay.take(stamp(0), 1), "older than what was forgotten");
        assert!(!replay.take(stamp(3), 1) && replay.take(stamp(3), 2));
    }
}
