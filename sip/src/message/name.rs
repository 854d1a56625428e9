//! Header field names: long and compact forms, found by a hash computed at compile time.

use std::fmt;

use super::lex;

macro_rules! header_names {
    ($($variant:ident = $text:literal,)*) => {
        /// A header field name that Offhook knows, or [`HeaderName::Other`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum HeaderName {
            $(#[doc = concat!("`", $text, "`")] $variant,)*
            /// Any name that is not in this list.
            Other,
        }

        /// Every known name, in the order of the enum.
        const NAMES: &[HeaderName] = &[$(HeaderName::$variant,)*];
        const TEXTS: &[&str] = &[$($text,)*];
    };
}

header_names! {
    Accept = "Accept",
    AcceptContact = "Accept-Contact",
    AcceptEncoding = "Accept-Encoding",
    AcceptLanguage = "Accept-Language",
    AlertInfo = "Alert-Info",
    Allow = "Allow",
    AllowEvents = "Allow-Events",
    AuthenticationInfo = "Authentication-Info",
    Authorization = "Authorization",
    CallId = "Call-ID",
    CallInfo = "Call-Info",
    Contact = "Contact",
    ContentDisposition = "Content-Disposition",
    ContentEncoding = "Content-Encoding",
    ContentLanguage = "Content-Language",
    ContentLength = "Content-Length",
    ContentType = "Content-Type",
    CSeq = "CSeq",
    Date = "Date",
    Diversion = "Diversion",
    ErrorInfo = "Error-Info",
    Event = "Event",
    Expires = "Expires",
    FlowTimer = "Flow-Timer",
    From = "From",
    Geolocation = "Geolocation",
    HistoryInfo = "History-Info",
    Identity = "Identity",
    IdentityInfo = "Identity-Info",
    InReplyTo = "In-Reply-To",
    InfoPackage = "Info-Package",
    Join = "Join",
    MaxForwards = "Max-Forwards",
    MimeVersion = "MIME-Version",
    MinExpires = "Min-Expires",
    MinSe = "Min-SE",
    Organization = "Organization",
    PAccessNetworkInfo = "P-Access-Network-Info",
    PAssertedIdentity = "P-Asserted-Identity",
    PAssociatedUri = "P-Associated-URI",
    PCalledPartyId = "P-Called-Party-ID",
    PChargingVector = "P-Charging-Vector",
    PEarlyMedia = "P-Early-Media",
    PPreferredIdentity = "P-Preferred-Identity",
    Path = "Path",
    Priority = "Priority",
    Privacy = "Privacy",
    ProxyAuthenticate = "Proxy-Authenticate",
    ProxyAuthorization = "Proxy-Authorization",
    ProxyRequire = "Proxy-Require",
    RAck = "RAck",
    RSeq = "RSeq",
    Reason = "Reason",
    RecordRoute = "Record-Route",
    RecvInfo = "Recv-Info",
    ReferSub = "Refer-Sub",
    ReferTo = "Refer-To",
    ReferredBy = "Referred-By",
    RejectContact = "Reject-Contact",
    RemotePartyId = "Remote-Party-ID",
    Replaces = "Replaces",
    ReplyTo = "Reply-To",
    RequestDisposition = "Request-Disposition",
    Require = "Require",
    RetryAfter = "Retry-After",
    Route = "Route",
    Server = "Server",
    ServiceRoute = "Service-Route",
    SessionExpires = "Session-Expires",
    SessionId = "Session-ID",
    SipEtag = "SIP-ETag",
    SipIfMatch = "SIP-If-Match",
    Subject = "Subject",
    SubscriptionState = "Subscription-State",
    Supported = "Supported",
    TargetDialog = "Target-Dialog",
    Timestamp = "Timestamp",
    To = "To",
    Unsupported = "Unsupported",
    UserAgent = "User-Agent",
    UserToUser = "User-to-User",
    Via = "Via",
    Warning = "Warning",
    WwwAuthenticate = "WWW-Authenticate",
}

/// How many known names there are, [`HeaderName::Other`] included.
pub(crate) const NAME_COUNT: usize = NAMES.len() + 1;

/// A name as words, to be compared eight bytes at a step.
///
/// The words are the first eight bytes (fewer in a shorter name), the next eight of a name over
/// 16 bytes, and the last eight of a name over eight; they overlap.
#[derive(Clone, Copy)]
struct Spelling {
    length: usize,
    /// The name in lower case.
    words: [u64; 3],
    /// 0x20 under each letter, so that case is folded in letters only.
    fold: [u64; 3],
}

const LONGEST: usize = 24;
static SPELLINGS: [Spelling; NAMES.len()] = spellings();

const fn spellings() -> [Spelling; NAMES.len()] {
    let mut all = [Spelling {
        length: 0,
        words: [0; 3],
        fold: [0; 3],
    }; NAMES.len()];
    let mut index = 0;
    while index < NAMES.len() {
        all[index] = spelling(TEXTS[index].as_bytes());
        index += 1;
    }
    all
}

const fn spelling(name: &[u8]) -> Spelling {
    assert!(name.len() <= LONGEST);
    let mut spelling = Spelling {
        length: name.len(),
        words: [0; 3],
        fold: [0; 3],
    };
    let starts = [0, 8, name.len().saturating_sub(8)];
    let needed = [true, name.len() > 16, name.len() > 8];
    let mut word = 0;
    while word < 3 {
        let mut at = 0;
        while needed[word] && at < 8 && starts[word] + at < name.len() {
            let b = name[starts[word] + at];
            spelling.words[word] |= (b.to_ascii_lowercase() as u64) << (8 * at);
            if b.is_ascii_alphabetic() {
                spelling.fold[word] |= 0x20 << (8 * at);
            }
            at += 1;
        }
        word += 1;
    }
    spelling
}

const SLOTS: usize = 512;
const EMPTY: u8 = u8::MAX;
static SLOT: [u8; SLOTS] = slots();

/// Mixes a name's length with its first and last word, case folded, into a slot.
///
/// The factors are chosen so that no two known names share a slot.
#[inline(always)]
const fn slot(length: usize, first: u64, last: u64) -> usize {
    const FOLD: u64 = 0x2020_2020_2020_2020;
    let first = (first | FOLD).wrapping_mul(0x8712_b8bc_076f_3787);
    let last = (last | FOLD).wrapping_mul(0xc381_e88f_38c0_c8fd);
    ((first ^ last.rotate_left(17) ^ (length as u64) << 58) >> 55) as usize
}

const fn slots() -> [u8; SLOTS] {
    let mut table = [EMPTY; SLOTS];
    let mut index = 0;
    while index < NAMES.len() {
        let spelling = spelling(TEXTS[index].as_bytes());
        let mut at = slot(spelling.length, spelling.words[0], spelling.words[2]);
        while table[at] != EMPTY {
            at = (at + 1) % SLOTS;
        }
        table[at] = index as u8;
        index += 1;
    }
    table
}

impl HeaderName {
    /// Names the field that the bytes spell, in the long or the compact form, in any case.
    pub fn new(name: &[u8]) -> HeaderName {
        HeaderName::at_start(name, name.len())
    }

    /// Names the field that the first `length` bytes of a line spell.
    #[inline(always)]
    pub(crate) fn at_start(line: &[u8], length: usize) -> HeaderName {
        if length <= 1 {
            return HeaderName::compact(line.first().copied().filter(|_| length == 1));
        }
        if length > LONGEST {
            return HeaderName::Other;
        }
        // Masks instead of branches, which the mix of lengths would make hard to predict.
        let used = |over: bool| if over { u64::MAX } else { 0 };
        let first = lex::word(line, 0) & (u64::MAX >> (8 * 8usize.saturating_sub(length)));
        let middle = lex::word(line, 8) & used(length > 16);
        let last = lex::word(line, length.saturating_sub(8)) & used(length > 8);
        let mut at = slot(length, first, last);
        while let Some(spelling) = SPELLINGS.get(SLOT[at % SLOTS] as usize) {
            // One by one: as arrays they would go through memory.
            let ([w0, w1, w2], [f0, f1, f2]) = (spelling.words, spelling.fold);
            let differ = ((first | f0) ^ w0) | ((middle | f1) ^ w1) | ((last | f2) ^ w2);
            if differ == 0 && spelling.length == length {
                let index = SLOT[at % SLOTS] as usize;
                return NAMES.get(index).copied().unwrap_or(HeaderName::Other);
            }
            at += 1;
        }
        HeaderName::Other
    }

    /// The name that a compact form stands for (RFC 3261 §7.3.3 and the extensions' RFCs).
    fn compact(letter: Option<u8>) -> HeaderName {
        match letter.map_or(0, |letter| letter.to_ascii_lowercase()) {
            b'a' => HeaderName::AcceptContact,
            b'b' => HeaderName::ReferredBy,
            b'c' => HeaderName::ContentType,
            b'd' => HeaderName::RequestDisposition,
            b'e' => HeaderName::ContentEncoding,
            b'f' => HeaderName::From,
            b'i' => HeaderName::CallId,
            b'j' => HeaderName::RejectContact,
            b'k' => HeaderName::Supported,
            b'l' => HeaderName::ContentLength,
            b'm' => HeaderName::Contact,
            b'n' => HeaderName::IdentityInfo,
            b'o' => HeaderName::Event,
            b'r' => HeaderName::ReferTo,
            b's' => HeaderName::Subject,
            b't' => HeaderName::To,
            b'u' => HeaderName::AllowEvents,
            b'v' => HeaderName::Via,
            b'x' => HeaderName::SessionExpires,
            b'y' => HeaderName::Identity,
            _ => HeaderName::Other,
        }
    }

    /// The compact forms of those names that every response has (RFC 3261 §7.3.3).
    pub(crate) fn compact_form(&self) -> Option<&'static str> {
        match self {
            HeaderName::Via => Some("v"),
            HeaderName::From => Some("f"),
            HeaderName::To => Some("t"),
            HeaderName::CallId => Some("i"),
            HeaderName::ContentLength => Some("l"),
            _ => None,
        }
    }

    /// Every known name, [`HeaderName::Other`] not among them.
    pub const fn all() -> &'static [HeaderName] {
        NAMES
    }

    /// The name's long form; empty for [`HeaderName::Other`].
    pub fn as_str(&self) -> &'static str {
        TEXTS.get(*self as usize).copied().unwrap_or_default()
    }

    /// Says whether the field may stand once only in a message (RFC 3261 §20, table 2).
    pub(crate) const fn is_single(self) -> bool {
        matches!(
            self,
            HeaderName::CallId
                | HeaderName::CSeq
                | HeaderName::From
                | HeaderName::To
                | HeaderName::MaxForwards
                | HeaderName::ContentLength
                | HeaderName::ContentType
                | HeaderName::Expires
        )
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case() {
        for &name in NAMES {
            let text = name.as_str();
            assert_eq!(HeaderName::new(text.as_bytes()), name);
            assert_eq!(HeaderName::new(text.to_lowercase().as_bytes()), name);
            assert_eq!(HeaderName::new(text.to_uppercase().as_bytes()), name);
        }
    }

    #[test]
    fn no_two_names_share_a_slot() {
        for (index, name) in NAMES.iter().enumerate() {
            let spelling = spelling(name.as_str().as_bytes());
            let at = slot(spelling.length, spelling.words[0], spelling.words[2]);
            assert_eq!(usize::from(SLOT[at]), index, "choose other factors: {name}");
        }
    }

    #[test]
    fn compact_forms_are_their_long_ones() {
        assert_eq!(HeaderName::new(b"v"), HeaderName::Via);
        assert_eq!(HeaderName::new(b"I"), HeaderName::CallId);
        assert_eq!(HeaderName::new(b"q"), HeaderName::Other);
    }

    #[test]
    fn a_name_that_only_resembles_a_known_one_is_other() {
        assert_eq!(HeaderName::new(b"C%6Fntact"), HeaderName::Other);
        assert_eq!(HeaderName::new(b"Call\rID"), HeaderName::Other);
        assert_eq!(HeaderName::new(b""), HeaderName::Other);
        assert_eq!(HeaderName::Other.as_str(), "");
    }
}
