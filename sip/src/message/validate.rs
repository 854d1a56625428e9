//! What a user agent server must refuse (RFC 3261 §8.2).

use super::{
    CSeq, Contact, HeaderError, HeaderName, MediaType, Message, Method, NameAddr, Refusal,
    StartLine, Via,
};
use crate::uri::Uri;

/// The typed values that handling a request begins with, each of them checked.
#[derive(Clone, Copy, Debug)]
pub struct Essentials<'a> {
    /// The method.
    pub method: Method<'a>,
    /// The Request-URI.
    pub uri: Uri<'a>,
    /// The topmost Via.
    pub via: Via<'a>,
    /// The From address.
    pub from: NameAddr<'a>,
    /// The To address.
    pub to: NameAddr<'a>,
    /// The Call-ID.
    pub call_id: &'a str,
    /// The CSeq, of the same method.
    pub cseq: CSeq<'a>,
    /// The first Contact.
    pub contact: Option<Contact<'a>>,
    /// The hops left.
    pub max_forwards: Option<u8>,
    /// The body's type, where there is a body or a type.
    pub content_type: Option<MediaType<'a>>,
}

impl<'a> Message<'a> {
    /// Refuses what RFC 3261 has a server refuse by the message alone.
    ///
    /// What the server supports comes into it with [`Message::check_support`]. A response or an
    /// ACK that is refused here is to be discarded.
    ///
    /// # Errors
    /// [`Refusal`] with the response to send.
    pub fn validate(&self) -> Result<(), Refusal> {
        match self.start.line {
            StartLine::Request { .. } => self.essentials().map(drop),
            StartLine::Response { .. } => self.validate_response(),
        }
    }

    /// Reads what handling a request begins with, refusing what [`Message::validate`] refuses.
    ///
    /// # Errors
    /// [`Refusal`] with the response to send; 400 for a message that is no request.
    pub fn essentials(&self) -> Result<Essentials<'a>, Refusal> {
        let StartLine::Request { method, uri } = self.start.line else {
            return Err(Refusal::new(400, "Not a Request"));
        };
        if !self.start.version {
            return Err(Refusal::new(505, "Version Not Supported"));
        }
        if !self.start.spacing {
            return Err(Refusal::new(400, "Extra White Space in Request-Line"));
        }
        self.check_single_fields()?;
        let essentials = Essentials {
            method,
            uri: request_uri(uri)?,
            via: self.top_via()?,
            from: self.from()?,
            to: self.to()?,
            call_id: self.call_id()?,
            cseq: self.cseq()?,
            contact: self.checked_contacts()?,
            max_forwards: self.checked_max_forwards()?,
            content_type: self.checked_content_type()?,
        };
        if essentials.cseq.method != method {
            return Err(Refusal::new(400, "CSeq Method Does Not Match Request"));
        }
        Ok(essentials)
    }

    fn validate_response(&self) -> Result<(), Refusal> {
        if !self.start.version {
            return Err(Refusal::new(505, "Version Not Supported"));
        }
        self.check_single_fields()?;
        self.top_via()?;
        self.from()?;
        self.to()?;
        self.call_id()?;
        self.cseq()?;
        Ok(())
    }

    /// Says whether exactly one Via stands in the message, without which a user agent discards
    /// a response (RFC 3261 §8.1.3.3).
    pub fn has_single_via(&self) -> bool {
        let mut vias = self.vias();
        matches!((vias.next(), vias.next()), (Some(Ok(_)), None))
    }

    /// Refuses a second line of a field that may stand once only.
    #[inline(always)]
    fn check_single_fields(&self) -> Result<(), Refusal> {
        if self.table.repeated {
            return Err(Refusal::new(400, "Repeated Header Field"));
        }
        Ok(())
    }

    /// Checks every Contact and returns the first.
    #[inline(always)]
    fn checked_contacts(&self) -> Result<Option<Contact<'a>>, HeaderError> {
        let mut first = None;
        for line in self.lines(HeaderName::Contact) {
            let malformed = HeaderError::Malformed(HeaderName::Contact);
            let text = self.address_text(line).ok_or(malformed)?;
            let mut at = 0;
            while at < text.len() {
                let (contact, end) = Contact::read(text, at).ok_or(malformed)?;
                first.get_or_insert(contact);
                at = end + 1;
            }
        }
        Ok(first)
    }

    fn checked_max_forwards(&self) -> Result<Option<u8>, HeaderError> {
        let hops = self.max_forwards();
        if hops.is_none() && self.header_bytes(HeaderName::MaxForwards).is_some() {
            return Err(HeaderError::Malformed(HeaderName::MaxForwards));
        }
        Ok(hops)
    }

    fn checked_content_type(&self) -> Result<Option<MediaType<'a>>, HeaderError> {
        match self.content_type() {
            Ok(media) => Ok(Some(media)),
            Err(HeaderError::Missing(_)) => Ok(None),
            Err(malformed) => Err(malformed),
        }
    }
}

/// Reads a Request-URI: sip, sips and tel are spoken (§8.2.2.1), headers cannot stand in it
/// (§19.1.1).
#[inline(always)]
fn request_uri(text: &str) -> Result<Uri<'_>, Refusal> {
    let uri = Uri::parse(text).map_err(|_| Refusal::new(400, "Bad Request-URI"))?;
    if let crate::uri::Scheme::Other(_) = uri.scheme {
        return Err(Refusal::new(416, "Unsupported URI Scheme"));
    }
    if uri.has_headers() {
        return Err(Refusal::new(400, "Header Fields in Request-URI"));
    }
    Ok(uri)
}
