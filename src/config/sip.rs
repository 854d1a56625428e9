//! `[sip]`, `[media]` and `[limits]`: sockets, ports and how many calls there may be.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use offhook_media::SrtpPolicy;
use offhook_sip::digest::Algorithm;

use super::codec::{self, Codec};
use super::listen::{PageOrigin, SipListen, Transport, default_listen};
use super::network::{Network, default_local};
use super::reader::{Reader, Section};
use super::recording::RecordingFormat;
use super::value::text_value;

/// `[sip]`: where the switch listens and what address it names itself by.
#[derive(Debug, Clone, PartialEq)]
pub struct SipConfig {
    /// The listeners.
    pub listen: Vec<SipListen>,
    /// The pages that may connect to listeners of WebSockets.
    pub ws_origins: Vec<PageOrigin>,
    /// The address that Contact, Via and SDP carry towards the outside (1:1 NAT).
    pub public_address: Option<IpAddr>,
    /// Towards these networks the local address is used instead.
    pub local_networks: Vec<Network>,
    /// Networks that may send whatever they like: never slowed down, never banned.
    pub trusted_networks: Vec<Network>,
    /// The realm that users are challenged in (RFC 7616).
    pub realm: String,
    /// The digest algorithms that users are offered, the preferred one first.
    pub digest: Vec<DigestAlgorithm>,
    /// How long calls last without a refresh, in s, as we ask for it; 0 asks for none.
    pub session_expires_s: u32,
    /// The shortest such time that a caller may ask for, in s.
    pub min_se_s: u32,
    /// How often phones behind NATs are sent something, in s; 0 is never.
    pub nat_ping_s: u32,
    /// Our certificate, which TLS listeners need.
    pub tls: Option<TlsConfig>,
}

/// An algorithm that users' passwords are hashed with (RFC 8760).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DigestAlgorithm(pub Algorithm);

impl FromStr for DigestAlgorithm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Algorithm::Sha256, Algorithm::Md5];
        let named = all.into_iter().find(|known| known.as_str() == text);
        named
            .map(Self)
            .ok_or_else(|| format!("{text:?} is not one of \"SHA-256\", \"MD5\""))
    }
}

text_value!(DigestAlgorithm, "\"SHA-256\" or \"MD5\"");

/// `[sip.tls]`: PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// Our certificate, then those between it and its authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Whoever connects must show a certificate of these authorities.
    pub client_ca: Option<PathBuf>,
}

impl TlsConfig {
    fn read(r: &mut Reader<'_>, mut s: Section) -> Option<Self> {
        let origin = s.origin_of("certificate");
        let certificate = s.path(r, "certificate");
        let key = s.path(r, "key");
        let client_ca = s.path(r, "client_ca");
        let missing = match (&certificate, &key) {
            (Some(_), None) => Some(("key", "is missing: a certificate needs its key")),
            (None, Some(_)) => Some(("certificate", "is missing: a key needs its certificate")),
            (None, None) if client_ca.is_some() => Some((
                "certificate",
                "is missing: whoever connects is shown it first",
            )),
            _ => None,
        };
        if let Some((at, message)) = missing {
            s.wrong(r, at, &origin, message);
        }
        s.finish(r);
        Some(Self {
            certificate: certificate?,
            key: key?,
            client_ca,
        })
    }
}

impl SipConfig {
    pub(super) fn read(r: &mut Reader<'_>, mut s: Section) -> Self {
        let origin = s.origin_of("listen");
        let listen = s.list(r, "listen").unwrap_or_else(default_listen);
        if listen.is_empty() {
            s.wrong(
                r,
                "listen",
                &origin,
                "is empty: name at least one address to listen on",
            );
        }
        let ws_origins = s.list(r, "ws_origins").unwrap_or_default();
        let origin = s.origin_of("public_address");
        let public_address = s
            .opt::<PublicAddress>(r, "public_address")
            .map(|found| found.0);
        if public_address.is_some_and(|address| address.is_unspecified()) {
            let message = "is the address of nothing: leave it out to use the route's address";
            s.wrong(r, "public_address", &origin, message);
        }
        let local_networks = s.list(r, "local_networks").unwrap_or_else(default_local);
        let trusted_networks = s.list(r, "trusted_networks").unwrap_or_default();
        let origin = s.origin_of("realm");
        let realm = s.or(r, "realm", "offhook".to_owned());
        if realm.is_empty() || realm.contains(['"', '\\']) || realm.contains(char::is_control) {
            s.wrong(
                r,
                "realm",
                &origin,
                "must be text without quotes or backslashes",
            );
        }
        let both = || {
            [Algorithm::Sha256, Algorithm::Md5]
                .map(DigestAlgorithm)
                .to_vec()
        };
        let digest = s.list(r, "digest").unwrap_or_else(both);
        let (session_expires_s, min_se_s) = read_session_timer(r, &mut s);
        let nat_ping_s = read_ping(r, &mut s, "nat_ping_s", (300, 25));
        let section = s.section(r, "tls");
        let tls = TlsConfig::read(r, section);
        let origin = s.origin_of("listen");
        let encrypted = |l: &&SipListen| matches!(l.transport, Transport::Tls | Transport::Wss);
        if tls.is_none()
            && let Some(listen) = listen.iter().find(encrypted)
        {
            let scheme = listen.transport;
            let message = format!(
                "has a {scheme}:// address, which needs `certificate` and `key` of [sip.tls]"
            );
            s.wrong(r, "listen", &origin, message);
        }
        s.finish(r);
        Self {
            listen,
            ws_origins,
            public_address,
            local_networks,
            trusted_networks,
            realm,
            digest,
            session_expires_s,
            min_se_s,
            nat_ping_s,
            tls,
        }
    }

    /// Reports whether every listener is bound to this machine only.
    pub fn is_loopback_only(&self) -> bool {
        self.listen
            .iter()
            .all(|listen| listen.address.ip().is_loopback())
    }
}

/// Reads how calls are kept alive (RFC 4028), whose §5 has the least value.
fn read_session_timer(r: &mut Reader<'_>, s: &mut Section) -> (u32, u32) {
    let min_se_s = small(s.number(r, "min_se_s", 90..=86_400, 90));
    let origin = s.origin_of("session_expires_s");
    let expires_s = small(s.number(r, "session_expires_s", 0..=86_400, 1_800));
    if expires_s != 0 && expires_s < min_se_s {
        let message =
            format!("{expires_s} is less than min_se_s ({min_se_s}): 0 asks for no timer");
        s.wrong(r, "session_expires_s", &origin, message);
    }
    (expires_s, min_se_s)
}

/// Reads how often something is sent in s, with the most that it may be and what it is unless it is
/// said; 0 is never.
pub(super) fn read_ping(
    r: &mut Reader<'_>,
    s: &mut Section,
    key: &'static str,
    (most, default): (u64, u64),
) -> u32 {
    let origin = s.origin_of(key);
    let ping_s = small(s.number(r, key, 0..=most, default));
    if (1..5).contains(&ping_s) {
        let message = "is too often: 5 or more, or 0 for never";
        s.wrong(r, key, &origin, message);
    }
    ping_s
}

struct PublicAddress(IpAddr);

impl FromStr for PublicAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = text.parse();
        address
            .map(Self)
            .map_err(|_| format!("{text:?} is not an IP address"))
    }
}

text_value!(PublicAddress, "an IP address such as \"203.0.113.7\"");

/// The UDP ports that media may use: even ones for RTP, the next odd one for RTCP (RFC 3550 §11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRange {
    /// The first port, even.
    pub first: u16,
    /// The last port, inclusive.
    pub last: u16,
}

impl PortRange {
    /// Returns how many legs the range has ports for: a call has one, a bridged call two.
    pub fn pairs(&self) -> usize {
        (usize::from(self.last) + 1 - usize::from(self.first)) / 2
    }
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a range of ports: write \"20000-29999\"");
        let (first, last) = text.split_once('-').ok_or_else(wrong)?;
        let first: u16 = first.trim().parse().map_err(|_| wrong())?;
        let last: u16 = last.trim().parse().map_err(|_| wrong())?;
        if first < 1024 {
            return Err("ports below 1024 belong to the system: begin at 1024 or above".into());
        }
        // RTP takes even ports, so a range that begins odd really begins one later.
        let first = first.checked_add(first % 2).ok_or_else(wrong)?;
        if last <= first {
            return Err(format!(
                "{text:?} has no even port followed by an odd one for a call"
            ));
        }
        Ok(Self { first, last })
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

text_value!(PortRange, "a range of ports such as \"20000-29999\"");

text_value!(SrtpPolicy, "\"off\", \"optional\" or \"required\"");

/// `[media]`: ports, encryption, jitter buffer and recordings.
#[derive(Debug, Clone, PartialEq)]
pub struct MediaConfig {
    /// Threads that legs are spread over; `None` is one for each processor.
    pub threads: Option<NonZeroUsize>,
    /// The ports of RTP and RTCP.
    pub ports: PortRange,
    /// The folder of recordings; `None` records nothing.
    pub recordings: Option<PathBuf>,
    /// What they are written as.
    pub recording_format: RecordingFormat,
    /// How long they are kept after the call's end, in days; `None` is for ever.
    pub recordings_keep_days: Option<u32>,
    /// Whether media is encrypted, where a trunk or user has no word of its own.
    pub srtp: SrtpPolicy,
    /// The least delay of the jitter buffer, in ms.
    pub jitter_min_ms: u32,
    /// The greatest delay of the jitter buffer, in ms.
    pub jitter_max_ms: u32,
    /// How long a call lives without any media from its peer, in s; 0 means for ever.
    pub silence_hangup_s: u32,
    /// The codecs of all calls, best first; `None` offers G.711 and takes what the other side
    /// likes best.
    pub codecs: Option<Vec<Codec>>,
}

impl MediaConfig {
    pub(super) fn read(r: &mut Reader<'_>, mut s: Section) -> Self {
        let threads = s.number(r, "threads", 0..=256, 0);
        let ports = s.or(
            r,
            "ports",
            PortRange {
                first: 20_000,
                last: 29_999,
            },
        );
        let recordings = s.path(r, "recordings");
        let recording_format = s.or(r, "recording_format", RecordingFormat::default());
        let recordings_keep_days = read_days(r, &mut s, "recordings_keep_days");
        let srtp = s.or(r, "srtp", SrtpPolicy::default());
        let jitter_min_ms = small(s.number(r, "jitter_min_ms", 0..=240, 0));
        let origin = s.origin_of("jitter_max_ms");
        let jitter_max_ms = small(s.number(r, "jitter_max_ms", 20..=240, 200));
        if jitter_max_ms < jitter_min_ms {
            let message = format!("{jitter_max_ms} is less than jitter_min_ms ({jitter_min_ms})");
            s.wrong(r, "jitter_max_ms", &origin, message);
        }
        let silence_hangup_s = small(s.number(r, "silence_hangup_s", 0..=3_600, 60));
        let codecs = codec::read(r, &mut s);
        s.finish(r);
        Self {
            threads: usize::try_from(threads).ok().and_then(NonZeroUsize::new),
            ports,
            recordings,
            recording_format,
            recordings_keep_days,
            srtp,
            jitter_min_ms,
            jitter_max_ms,
            silence_hangup_s,
            codecs,
        }
    }
}

/// Reads a number of days, which is at least one: none at all is not what anybody means.
fn read_days(r: &mut Reader<'_>, s: &mut Section, key: &'static str) -> Option<u32> {
    let origin = s.origin_of(key);
    let days: u64 = s.opt(r, key)?;
    if !(1..=36_500).contains(&days) {
        let message = format!("{days} is out of range: from 1 to 36500; left out is for ever");
        s.wrong(r, key, &origin, message);
        return None;
    }
    Some(small(days))
}

/// `[limits]`: when the switch says 503.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitsConfig {
    /// The most calls at one time; more are answered 503.
    pub max_calls: usize,
    /// The most calls that come in within a second, from all sides; more are answered 503. 0 is no
    /// limit.
    pub max_cps: u32,
    /// What the 503's Retry-After says, in s (RFC 3261 section 20.33).
    pub retry_after_s: u32,
    /// The most SIP messages in a second from a source that is unknown; 0 is no limit.
    pub messages_per_s: u32,
}

impl LimitsConfig {
    pub(super) fn read(r: &mut Reader<'_>, mut s: Section) -> Self {
        let max_calls = s.number(r, "max_calls", 1..=100_000, 200);
        let max_cps = small(s.number(r, "max_cps", 0..=10_000, 0));
        let retry_after_s = small(s.number(r, "retry_after_s", 1..=3_600, 5));
        let messages_per_s = small(s.number(r, "messages_per_s", 0..=100_000, 100));
        s.finish(r);
        Self {
            messages_per_s,
            max_cps,
            max_calls: usize::try_from(max_calls).unwrap_or(usize::MAX),
            retry_after_s,
        }
    }
}

/// Narrows a number that its range already keeps small.
pub(super) fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_ports_begins_even_and_holds_a_pair() {
        assert_eq!("20001-20005".parse::<PortRange>().unwrap().first, 20_002);
        assert_eq!("20000-20003".parse::<PortRange>().unwrap().pairs(), 2);
        assert_eq!("1024-65535".parse::<PortRange>().unwrap().pairs(), 32_256);
        for text in [
            "20000",
            "20000-20000",
            "30000-20000",
            "80-90",
            "1-70000",
            "65535-65535",
        ] {
            assert!(text.parse::<PortRange>().is_err(), "{text}");
        }
    }
}
