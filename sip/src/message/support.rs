//! What a server supports, against what a request asks of it (RFC 3261 §8.2.1–8.2.3).

use super::{HeaderName, MediaType, Message, Method, Refusal};

/// What a user agent server supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Support<'s> {
    /// The methods that it handles, for `Allow`.
    pub methods: &'s [Method<'s>],
    /// The option tags that it understands (§19.2).
    pub options: &'s [&'s str],
    /// The media types of bodies that it reads, for `Accept`.
    pub content_types: &'s [&'s str],
}

impl<'a> Message<'a> {
    /// Refuses a request that asks for what the server does not support.
    ///
    /// # Errors
    /// [`Refusal`]: 405 or 501 for the method, 420 for an extension, 415 for the body's type,
    /// 406 for an INVITE that accepts no session description.
    pub fn check_support(&self, support: &Support<'_>) -> Result<(), Refusal> {
        let Some(method) = self.method() else {
            return Ok(());
        };
        check_method(method, support)?;
        // §8.2.2.3: Require means nothing in a CANCEL, or in an ACK for a non-2xx.
        if !matches!(method, Method::Ack | Method::Cancel) {
            self.check_require(support)?;
            self.check_content(support)?;
        }
        if method == Method::Invite && !self.accepts("application/sdp") {
            return Err(Refusal::new(406, "Not Acceptable"));
        }
        Ok(())
    }

    /// Refuses a request that requires an extension that the server does not understand
    /// (§8.2.2.3).
    ///
    /// # Errors
    /// [`Refusal`]: 420 with the extensions' names.
    pub fn check_require(&self, support: &Support<'_>) -> Result<(), Refusal> {
        let unknown: Vec<&str> = self
            .require()
            .filter(|tag| {
                !support
                    .options
                    .iter()
                    .any(|known| known.eq_ignore_ascii_case(tag))
            })
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let tags = unknown.join(", ");
        Err(Refusal::new(420, "Bad Extension").with(HeaderName::Unsupported, tags))
    }

    fn check_content(&self, support: &Support<'_>) -> Result<(), Refusal> {
        if self.body().is_empty() || self.is_body_optional() {
            return Ok(());
        }
        let unsupported = || Refusal::new(415, "Unsupported Media Type");
        if self
            .values(HeaderName::ContentEncoding)
            .any(|coding| !coding.eq_ignore_ascii_case("identity"))
        {
            return Err(unsupported().with(HeaderName::AcceptEncoding, "identity".to_owned()));
        }
        let accept = || unsupported().with(HeaderName::Accept, support.content_types.join(", "));
        let media = self.content_type().map_err(|_| accept())?;
        if support.content_types.iter().any(|name| media.is(name)) {
            Ok(())
        } else {
            Err(accept())
        }
    }

    /// Says whether Content-Disposition lets a server pass the body over (RFC 3261 §20.11).
    fn is_body_optional(&self) -> bool {
        let disposition = self
            .header(HeaderName::ContentDisposition)
            .unwrap_or_default();
        let params = disposition.split(';').skip(1);
        params
            .filter_map(|param| param.split_once('='))
            .any(|(name, value)| {
                name.trim().eq_ignore_ascii_case("handling")
                    && value.trim().eq_ignore_ascii_case("optional")
            })
    }

    /// Says whether Accept covers a media type; without one, session descriptions are accepted
    /// (§20.1).
    pub fn accepts(&self, name: &str) -> bool {
        let mut ranges = self.values(HeaderName::Accept).peekable();
        if ranges.peek().is_none() {
            return name.eq_ignore_ascii_case("application/sdp");
        }
        ranges
            .filter_map(MediaType::parse)
            .any(|range| range.covers(name))
    }
}

fn check_method(method: Method<'_>, support: &Support<'_>) -> Result<(), Refusal> {
    if support.methods.contains(&method) {
        return Ok(());
    }
    let refusal = match method {
        Method::Other(_) => Refusal::new(501, "Not Implemented"),
        _ => Refusal::new(405, "Method Not Allowed"),
    };
    let names: Vec<&str> = support.methods.iter().map(Method::as_str).collect();
    Err(refusal.with(HeaderName::Allow, names.join(", ")))
}
