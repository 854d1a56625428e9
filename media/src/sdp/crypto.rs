//! `a=crypto`: the key of whoever wrote the description (RFC 4568), and what our side has to
//! offer.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use rand::CryptoRng;
use zeroize::Zeroizing;

use super::{Attribute, MediaDescription, Refusal};
use crate::srtp::{MasterKey, Mki, SrtpKeys, Suite};

/// The attribute's name.
pub(super) const CRYPTO: &str = "crypto";
/// Packets that the longest lifetime allows (RFC 3711 §9.2).
const MAX_LIFETIME: u64 = 1 << 48;
/// Some phones leave out the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What our offers list, the preferred one first: the strongest of each kind, and the one that
/// all of the field has. More would make an INVITE too long for UDP (RFC 3261 §18.1.1). An answer
/// takes any suite.
const OFFERED: [Suite; 3] = [
    Suite::AeadAes256Gcm,
    Suite::Aes256CmHmacSha1_80,
    Suite::AesCm128HmacSha1_80,
];

/// Tells whether media is encrypted with keys from SDP (RFC 4568).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SrtpPolicy {
    /// Never: what is offered under SRTP alone is refused.
    Off,
    /// Where the peer can: RTP/SAVP is taken, our own offers are RTP/AVP with keys, so that a peer
    /// without SRTP answers in the clear (RFC 8643, which is also what phones do).
    #[default]
    Optional,
    /// Always: our own offers are RTP/SAVP, what is offered without keys is refused.
    Required,
}

impl SrtpPolicy {
    /// The policy's name in a configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Optional => "optional",
            Self::Required => "required",
        }
    }
}

impl FromStr for SrtpPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut all = [Self::Off, Self::Optional, Self::Required].into_iter();
        all.find(|policy| policy.name() == text)
            .ok_or_else(|| format!("{text:?} is not one of \"off\", \"optional\", \"required\""))
    }
}

impl fmt::Display for SrtpPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Holds our side's policy, and the key that we would send under each suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalSrtp {
    policy: SrtpPolicy,
    keys: Vec<MasterKey>,
}

impl LocalSrtp {
    /// No encryption.
    #[must_use]
    pub const fn off() -> Self {
        Self {
            policy: SrtpPolicy::Off,
            keys: Vec::new(),
        }
    }

    /// Draws the keys of one session.
    #[must_use]
    pub fn new(policy: SrtpPolicy, random: &mut impl CryptoRng) -> Self {
        let keys = match policy {
            SrtpPolicy::Off => Vec::new(),
            _ => Suite::ALL
                .map(|suite| MasterKey::draw(suite, random))
                .into(),
        };
        Self { policy, keys }
    }

    /// The policy.
    #[must_use]
    pub const fn policy(&self) -> SrtpPolicy {
        self.policy
    }

    /// Draws anew each key that is not in use: one that was is never taken up again, since its
    /// rollover counter would start over and two packets share an index.
    pub fn renew_unused(&mut self, in_use: Option<&SrtpKeys>, random: &mut impl CryptoRng) {
        for key in &mut self.keys {
            if in_use.is_none_or(|keys| keys.ours != *key) {
                *key = MasterKey::draw(key.suite(), random);
            }
        }
    }

    fn key(&self, suite: Suite) -> Option<&MasterKey> {
        self.keys.iter().find(|key| key.suite() == suite)
    }

    /// The attributes of an offer.
    pub(super) fn offered(&self) -> Vec<Attribute> {
        let keys = OFFERED.into_iter().filter_map(|suite| self.key(suite));
        let cryptos = (1..).zip(keys).map(|(tag, key)| Crypto {
            tag,
            key: key.clone(),
            mki: None,
        });
        cryptos.map(|crypto| crypto.attribute()).collect()
    }

    /// Tells how an offered medium is taken: with which of its keys, or `None` for in the clear.
    pub(super) fn take(&self, media: &MediaDescription) -> Result<Option<Accepted>, Refusal> {
        let protocol = || media.protocol.clone();
        let profile = media
            .profile()
            .ok_or_else(|| Refusal::Protocol(protocol()))?;
        // The first that can be used: offers list what they prefer first (RFC 4568 §5.1.1).
        let accepted = media.cryptos().find_map(|crypto| {
            let ours = self.key(crypto.key.suite())?.clone();
            Some(Accepted { ours, crypto })
        });
        match (profile, self.policy) {
            _ if accepted.is_some() => Ok(accepted),
            (Profile::Secure, SrtpPolicy::Off) => Err(Refusal::SecureOnly(protocol())),
            (Profile::Secure, _) => Err(Refusal::NoCommonSuite(protocol())),
            (Profile::Plain, SrtpPolicy::Required) => Err(Refusal::InTheClear(protocol())),
            (Profile::Plain, _) => Ok(None),
        }
    }
}

/// An offered key that is taken, and ours that goes back.
pub(super) struct Accepted {
    ours: MasterKey,
    crypto: Crypto,
}

impl Accepted {
    pub(super) fn keys(&self) -> SrtpKeys {
        SrtpKeys {
            ours: self.ours.clone(),
            theirs: self.crypto.key.clone(),
            their_mki: self.crypto.mki,
        }
    }

    /// The attribute of the answer: the offer's tag and suite, our key (RFC 4568 §5.1.2).
    pub(super) fn attribute(&self) -> Attribute {
        let crypto = Crypto {
            tag: self.crypto.tag,
            key: self.ours.clone(),
            mki: None,
        };
        crypto.attribute()
    }
}

/// Reads what an answer made of the keys that we offered; `None` when media goes in the clear.
pub(super) fn answered(
    ours: &MediaDescription,
    theirs: &MediaDescription,
) -> Result<Option<SrtpKeys>, Refusal> {
    // By the suite, which we offer once: some phones answer with a tag of their own.
    let keys = theirs.cryptos().find_map(|their| {
        let our = ours
            .cryptos()
            .find(|our| our.key.suite() == their.key.suite())?;
        Some(SrtpKeys {
            ours: our.key,
            theirs: their.key,
            their_mki: their.mki,
        })
    });
    match (&keys, ours.profile(), theirs.profile()) {
        // Whichever profile it names: some answer RTP/AVP with keys by RTP/SAVP.
        (Some(_), Some(_), Some(_)) => Ok(keys),
        (None, Some(Profile::Secure), Some(Profile::Secure)) => {
            Err(Refusal::NoCommonSuite(theirs.protocol.clone()))
        }
        _ if theirs.protocol.eq_ignore_ascii_case(&ours.protocol) => Ok(None),
        _ => Err(Refusal::Protocol(theirs.protocol.clone())),
    }
}

/// Whether a medium's transport is SRTP by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Profile {
    Plain,
    Secure,
}

impl MediaDescription {
    /// The RTP profile, if it is one (RFC 3551, 3711, 4585, 5124).
    pub(super) fn profile(&self) -> Option<Profile> {
        let is = |name: &str| self.protocol.eq_ignore_ascii_case(name);
        if is("RTP/AVP") || is("RTP/AVPF") {
            Some(Profile::Plain)
        } else if is("RTP/SAVP") || is("RTP/SAVPF") {
            Some(Profile::Secure)
        } else {
            None
        }
    }

    /// Lists the keys that can be used, in the order of preference.
    pub(super) fn cryptos(&self) -> impl Iterator<Item = Crypto> + '_ {
        self.attributes
            .iter()
            .filter(|attribute| attribute.name == CRYPTO)
            .filter_map(|attribute| Crypto::parse(attribute.value.as_deref()?))
    }
}

/// Holds an `a=crypto` line that can be used (RFC 4568 §4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crypto {
    /// Its number within the description.
    pub tag: u32,
    /// The key of whoever wrote it, with its suite.
    pub key: MasterKey,
    /// The identifier that stands in each packet under the key, if one does.
    pub mki: Option<Mki>,
}

impl Crypto {
    /// Reads what stands behind `a=crypto:`. `None` when it is malformed or asks for what is not
    /// done here: another suite, several keys, parts in the clear, a key derivation rate, another
    /// order of FEC. Such a line is passed over (RFC 4568 §5.1.2, §6.3).
    ///
    /// A lifetime must be one (§6.1); to change the key before it is over is its sender's part.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let mut fields = value.split_ascii_whitespace();
        let tag = fields.next()?;
        let digits = (1..=9).contains(&tag.len()) && tag.bytes().all(|byte| byte.is_ascii_digit());
        let tag = tag.parse().ok().filter(|_| digits)?;
        let suite = Suite::from_name(fields.next()?)?;
        let (method, key_info) = fields.next()?.split_once(':')?;
        // Several keys are told apart by `;`, which no single one has.
        if !method.eq_ignore_ascii_case("inline") || key_info.contains(';') {
            return None;
        }
        let mut parts = key_info.split('|');
        let key = key(suite, parts.next()?)?;
        let mut next = parts.next();
        if let Some(lifetime) = next.filter(|part| !part.contains(':')) {
            (1..=MAX_LIFETIME)
                .contains(&packets(lifetime)?)
                .then_some(())?;
            next = parts.next();
        }
        let mki = match next {
            Some(part) => Some(mki(part)?),
            None => None,
        };
        let known = parts.next().is_none() && fields.all(is_harmless);
        known.then_some(Self { tag, key, mki })
    }

    pub(super) fn attribute(&self) -> Attribute {
        let key = BASE64.encode(self.key.expose());
        let mut value = format!("{} {} inline:{key}", self.tag, self.key.suite());
        if let Some(mki) = self.mki {
            value.push_str(&format!("|{}:{}", mki.value(), mki.bytes()));
        }
        Attribute::new(CRYPTO, value)
    }
}

fn key(suite: Suite, text: &str) -> Option<MasterKey> {
    let mut bytes = Zeroizing::new([0; 66]);
    let len = BASE64.decode_slice(text, &mut *bytes).ok()?;
    MasterKey::from_bytes(suite, bytes.get(..len)?)
}

/// A number of packets, plain or as a power of two.
fn packets(text: &str) -> Option<u64> {
    match text.strip_prefix("2^") {
        Some(power) => 1u64.checked_shl(power.parse().ok()?),
        None => text.parse().ok(),
    }
}

/// `<identifier>:<length in bytes>`.
fn mki(text: &str) -> Option<Mki> {
    let (value, bytes) = text.split_once(':')?;
    Mki::new(value.parse().ok()?, bytes.parse().ok()?)
}

/// Whether a session parameter asks for nothing but what is done anyway: the hint of a replay
/// window, the usual key derivation, or what may be ignored (RFC 4568 §6.3).
fn is_harmless(parameter: &str) -> bool {
    let window = parameter
        .strip_prefix("WSH=")
        .is_some_and(|packets| packets.bytes().all(|byte| byte.is_ascii_digit()));
    window || parameter == "KDR=0" || parameter.starts_with('-')
}
