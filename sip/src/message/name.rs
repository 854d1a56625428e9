//! Header field names: long and compact forms, found by a hash computed at compile time.

use std::fmt;

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

const SLOTS: usize = 512;
const EMPTY: u8 = u8::MAX;
static SLOT: [u8; SLOTS] = slots();

/// Mixes length, first, middle and last letter, case folded, into a slot.
#[inline(always)]
const fn slot(length: usize, first: u8, middle: u8, last: u8) -> usize {
    let first = (first | 0x20) as usize;
    let middle = (middle | 0x20) as usize;
    let last = (last | 0x20) as usize;
    (length * 5 + first * 37 + middle * 11 + last * 101) % SLOTS
}

const fn slots() -> [u8; SLOTS] {
    let mut table = [EMPTY; SLOTS];
    let mut index = 0;
    while index < TEXTS.len() {
        let text = TEXTS[index].as_bytes();
        let mut at = slot(
            text.len(),
            text[0],
            text[text.len() / 2],
            text[text.len() - 1],
        );
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
    #[inline]
    pub fn new(name: &[u8]) -> HeaderName {
        let (Some(&first), Some(&middle), Some(&last)) =
            (name.first(), name.get(name.len() / 2), name.last())
        else {
            return HeaderName::Other;
        };
        if name.len() == 1 {
            return HeaderName::compact(first);
        }
        let mut at = slot(name.len(), first, middle, last);
        loop {
            let index = SLOT[at % SLOTS] as usize;
            let Some(text) = TEXTS.get(index) else {
                return HeaderName::Other;
            };
            let text = text.as_bytes();
            if text == name || text.eq_ignore_ascii_case(name) {
                return NAMES.get(index).copied().unwrap_or(HeaderName::Other);
            }
            at += 1;
        }
    }

    /// The name that a compact form stands for (RFC 3261 §7.3.3 and the extensions' RFCs).
    const fn compact(letter: u8) -> HeaderName {
        match letter | 0x20 {
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
