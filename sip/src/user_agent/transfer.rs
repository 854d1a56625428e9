//! What a transfer names: where to, and which call is to be replaced there (RFC 3515, RFC 3891).

use std::fmt;

use super::compose;
use crate::message::{NameAddr, Replaces};
use crate::uri::{EscapedHeader, Scheme, Uri};

/// A transfer to ask for (RFC 3515).
#[derive(Clone, Debug, Default)]
pub struct Refer {
    /// Where the peer is to call, as a URI or a name-addr; its headers stay.
    pub refer_to: String,
    /// In whose name, as a URI or a name-addr (RFC 3892).
    pub referred_by: Option<String>,
    /// The call that the peer's is to replace there (RFC 5589 §7).
    pub replaces: Option<ReplacesBuf>,
    /// Whether the peer may leave out the reports (RFC 4488): then its answer is the last word.
    pub without_reports: bool,
}

/// Where a peer wants to be transferred to.
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct ReferTo {
    /// The sip, sips or tel URI to call, without headers.
    pub uri: String,
    /// What the call is to replace there: the Replaces field of the INVITE, to be written by its
    /// `Display`. Other headers that the URI carried are left out (RFC 3261 §19.1.5).
    pub replaces: Option<ReplacesBuf>,
}

/// A Replaces that owns its text (RFC 3891 §6.1): a dialog, as whoever receives it names it.
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct ReplacesBuf {
    /// The Call-ID.
    pub call_id: String,
    /// The receiver's own tag.
    pub to_tag: String,
    /// The other side's tag; `0` stands for a side that has none.
    pub from_tag: String,
    /// Whether only a call that was not answered yet is to be replaced.
    pub early_only: bool,
}

impl ReplacesBuf {
    /// Returns the value over the kept text.
    pub fn view(&self) -> Replaces<'_> {
        Replaces {
            call_id: &self.call_id,
            to_tag: &self.to_tag,
            from_tag: &self.from_tag,
            early_only: self.early_only,
        }
    }

    /// Whether what is written is read as the same.
    fn is_writable(&self) -> bool {
        Replaces::parse(&self.to_string()) == Some(self.view())
    }
}

impl From<Replaces<'_>> for ReplacesBuf {
    fn from(replaces: Replaces<'_>) -> Self {
        Self {
            call_id: replaces.call_id.to_owned(),
            to_tag: replaces.to_tag.to_owned(),
            from_tag: replaces.from_tag.to_owned(),
            early_only: replaces.early_only,
        }
    }
}

impl fmt::Display for ReplacesBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

impl Refer {
    /// Writes the Refer-To, with Replaces as a header of its URI (RFC 5589 §7.3); nothing where it
    /// names no place that can be called.
    pub(super) fn written_refer_to(&self) -> Option<String> {
        let text = compose::name_addr(&self.refer_to);
        let uri = NameAddr::parse(&text)?.uri;
        is_callable(&uri).then_some(())?;
        let Some(replaces) = &self.replaces else {
            return Some(format!("<{uri}>"));
        };
        let taken = uri.header("Replaces").ok()?.is_some();
        if taken || !uri.is_sip() || !replaces.is_writable() {
            return None;
        }
        let separator = if uri.has_headers() { '&' } else { '?' };
        let text = replaces.to_string();
        let escaped = EscapedHeader(&text);
        Some(format!("<{uri}{separator}Replaces={escaped}>"))
    }
}

impl ReferTo {
    /// Reads the Refer-To of a peer; nothing where it is no call that is asked for, or none that
    /// can be made.
    pub(super) fn read(address: &NameAddr<'_>) -> Option<Self> {
        let uri = &address.uri;
        is_callable(uri).then_some(())?;
        let replaces = match uri.header("Replaces").ok()? {
            Some(text) => Some(Replaces::parse(&text)?.into()),
            None => None,
        };
        Some(Self {
            uri: callable(uri)?,
            replaces,
        })
    }
}

fn is_callable(uri: &Uri<'_>) -> bool {
    matches!(uri.scheme, Scheme::Sip | Scheme::Sips | Scheme::Tel)
}

/// Writes a URI as it may stand in a Request-URI: without headers and without `method`, which asks
/// for another request than INVITE or says what is so anyway (RFC 3261 §19.1.5).
fn callable(uri: &Uri<'_>) -> Option<String> {
    match uri.param("method") {
        None => return Some(uri.without_headers().to_owned()),
        Some("INVITE") => {}
        Some(_) => return None,
    }
    let mut text = uri.without_params().to_owned();
    let is_method = |name: &str| name.eq_ignore_ascii_case("method");
    for (name, value) in uri.params().filter(|(name, _)| !is_method(name)) {
        text.push(';');
        text.push_str(name);
        if let Some(value) = value {
            text.push('=');
            text.push_str(value);
        }
    }
    Some(text)
}
