//! Header fields that the configuration names.

use std::collections::BTreeMap;

use super::identity::IdentityHeader;
use super::pattern::Pattern;
use super::reader::{Reader, Section};

/// Bytes of a value, at most.
const VALUE_MAX: usize = 256;
/// Those that the user agent writes itself, or that hold credentials.
const OURS: [&str; 34] = [
    "accept",
    "allow",
    "authorization",
    "call-id",
    "contact",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-type",
    "cseq",
    "event",
    "expires",
    "from",
    "identity",
    "max-forwards",
    "mime-version",
    "min-se",
    "path",
    "proxy-authorization",
    "proxy-require",
    "rack",
    "record-route",
    "refer-to",
    "replaces",
    "require",
    "route",
    "rseq",
    "session-expires",
    "subscription-state",
    "supported",
    "to",
    "user-agent",
    "via",
];

/// Whether a text is the name of a header field.
fn is_token(name: &str) -> bool {
    let token = |c: char| c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(c);
    !name.is_empty() && name.chars().all(token)
}

/// Explains why a header field cannot be set to a value from outside; none where it can.
#[must_use]
pub fn cannot_set(name: &str, value: &str) -> Option<&'static str> {
    // A name of one letter is another name's short form (RFC 3261 §7.3.3).
    if !is_token(name) || name.len() == 1 {
        return Some("is not the name of a header field");
    }
    if OURS.contains(&name.to_ascii_lowercase().as_str()) {
        return Some("is a header field that the switch itself writes");
    }
    if value.trim().is_empty() || value.len() > VALUE_MAX || value.chars().any(char::is_control) {
        return Some("has a value that is empty, longer than 256 bytes, or of more than one line");
    }
    None
}

/// Reads which header fields a call must have.
pub(super) fn read_wanted(r: &mut Reader<'_>, s: &mut Section) -> BTreeMap<String, Pattern> {
    let origin = s.origin_of("headers");
    let headers = s.map::<Pattern>(r, "headers");
    for name in headers.keys() {
        let is_secret = ["authorization", "proxy-authorization"];
        let wrong = if !is_token(name) {
            "is not the name of a header field"
        } else if is_secret.contains(&name.to_ascii_lowercase().as_str()) {
            "holds credentials, which routes do not see"
        } else {
            continue;
        };
        s.wrong(r, "headers", &origin, format!("{name:?} {wrong}"));
    }
    headers
}

/// Reads the header fields that a trunk's calls get.
pub(super) fn read_added(
    r: &mut Reader<'_>,
    s: &mut Section,
    identity: IdentityHeader,
) -> BTreeMap<String, String> {
    let origin = s.origin_of("headers");
    let headers = s.map::<String>(r, "headers");
    for (name, value) in &headers {
        let by_identity = identity
            .field()
            .into_iter()
            .flat_map(|field| [field, "Privacy"]);
        let mut by_identity = by_identity.filter(|field| field.eq_ignore_ascii_case(name));
        let wrong = match by_identity.next() {
            Some(_) => Some("is a header field that `identity` writes"),
            None => cannot_set(name, value),
        };
        if let Some(wrong) = wrong {
            s.wrong(r, "headers", &origin, format!("{name:?} {wrong}"));
        }
    }
    headers
}

/// Reads which header fields a trunk's calls never have.
pub(super) fn read_removed(
    r: &mut Reader<'_>,
    s: &mut Section,
    added: &BTreeMap<String, String>,
) -> Vec<Pattern> {
    let origin = s.origin_of("remove_headers");
    let patterns = s.list::<Pattern>(r, "remove_headers").unwrap_or_default();
    for pattern in &patterns {
        let name = pattern.to_string().to_ascii_lowercase();
        // A signed identity is a caller's, and only goes on.
        let is_needed = OURS.contains(&name.as_str()) && name != "identity";
        let wrong = if is_needed {
            "is a header field that the switch itself writes"
        } else if added.keys().any(|added| pattern.matches(added)) {
            "takes away what `headers` adds"
        } else {
            continue;
        };
        s.wrong(r, "remove_headers", &origin, format!("{name:?} {wrong}"));
    }
    patterns
}
