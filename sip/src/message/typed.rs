//! Typed header fields, read when they are asked for.

use super::parse::Line;
use super::{
    CSeq, Contact, HeaderError, HeaderName, Headers, MediaType, Message, NameAddr, RAck, Reason,
    SessionExpires, Values, Via, lex, values,
};

impl<'a> Message<'a> {
    /// The topmost Via.
    ///
    /// # Errors
    /// [`HeaderError`] where there is none or its value is malformed.
    pub fn top_via(&self) -> Result<Via<'a>, HeaderError> {
        let mut via = Via::EMPTY;
        self.fill_top_via(&mut via).map(|()| via)
    }

    #[inline(always)]
    pub(crate) fn fill_top_via(&self, via: &mut Via<'a>) -> Result<(), HeaderError> {
        let value = self.require_header(HeaderName::Via)?;
        via.fill(value, 0)
            .map(drop)
            .ok_or(HeaderError::Malformed(HeaderName::Via))
    }

    /// Every Via, topmost first; an error ends it.
    pub fn vias(&self) -> Vias<'_, 'a> {
        Vias {
            lines: self.headers(HeaderName::Via),
            text: "",
            at: 0,
            ended: false,
        }
    }

    /// The From address.
    ///
    /// # Errors
    /// [`HeaderError`] where there is none or its value is malformed.
    pub fn from(&self) -> Result<NameAddr<'a>, HeaderError> {
        self.address(HeaderName::From)
    }

    /// The To address.
    ///
    /// # Errors
    /// [`HeaderError`] where there is none or its value is malformed.
    pub fn to(&self) -> Result<NameAddr<'a>, HeaderError> {
        self.address(HeaderName::To)
    }

    /// The first address of a field that holds addresses, such as P-Asserted-Identity.
    ///
    /// # Errors
    /// [`HeaderError`] where there is none or its value is malformed.
    pub fn address(&self, name: HeaderName) -> Result<NameAddr<'a>, HeaderError> {
        let mut address = NameAddr::EMPTY;
        self.fill_address(name, &mut address).map(|()| address)
    }

    #[inline(always)]
    pub(crate) fn fill_address(
        &self,
        name: HeaderName,
        address: &mut NameAddr<'a>,
    ) -> Result<(), HeaderError> {
        let line = self
            .table
            .lines_from(name)
            .first()
            .ok_or(HeaderError::Missing(name))?;
        let text = self
            .address_text(line)
            .ok_or(HeaderError::Malformed(name))?;
        match address.fill(text, 0) {
            Some(end) if !name.is_single() || end == text.len() => Ok(()),
            _ => Err(HeaderError::Malformed(name)),
        }
    }

    /// The addresses of a field that lists them, such as Path; an error ends it.
    pub fn addresses(&self, name: HeaderName) -> Addresses<'_, 'a> {
        Addresses {
            lines: self.headers(name),
            text: "",
            at: 0,
            ended: false,
        }
    }

    /// The Route addresses, next hop first; an error ends it.
    pub fn routes(&self) -> Addresses<'_, 'a> {
        self.addresses(HeaderName::Route)
    }

    /// The Record-Route addresses as they stand; an error ends it.
    pub fn record_routes(&self) -> Addresses<'_, 'a> {
        self.addresses(HeaderName::RecordRoute)
    }

    /// The Contact values, `*` included; an error ends it.
    pub fn contacts(&self) -> impl Iterator<Item = Result<Contact<'a>, HeaderError>> + '_ {
        let mut addresses = self.addresses(HeaderName::Contact);
        std::iter::from_fn(move || addresses.read(HeaderName::Contact, Contact::read))
    }

    /// The CSeq.
    ///
    /// # Errors
    /// [`HeaderError`] where there is none, it is malformed, or its number is over 2³²−1.
    #[inline(always)]
    pub fn cseq(&self) -> Result<CSeq<'a>, HeaderError> {
        let value = self.require_header(HeaderName::CSeq)?;
        CSeq::parse(value).ok_or(HeaderError::Malformed(HeaderName::CSeq))
    }

    /// The Call-ID.
    ///
    /// # Errors
    /// [`HeaderError`] where there is none, or it is empty or has white space inside.
    #[inline(always)]
    pub fn call_id(&self) -> Result<&'a str, HeaderError> {
        let value = self.require_header(HeaderName::CallId)?;
        let broken = value.is_empty() || value.bytes().any(|b| lex::is(b, lex::LWS));
        if broken {
            Err(HeaderError::Malformed(HeaderName::CallId))
        } else {
            Ok(value)
        }
    }

    /// The hops left, held at 255; `None` where Max-Forwards is absent or unreadable.
    #[inline(always)]
    pub fn max_forwards(&self) -> Option<u8> {
        self.seconds(HeaderName::MaxForwards)
            .map(|hops| u8::try_from(hops).unwrap_or(u8::MAX))
    }

    /// The Expires in seconds, held at 2³²−1; `None` where absent or unreadable (§20.19).
    pub fn expires(&self) -> Option<u32> {
        self.seconds(HeaderName::Expires)
    }

    /// The Min-Expires of a 423, in seconds, held at 2³²−1.
    pub fn min_expires(&self) -> Option<u32> {
        self.seconds(HeaderName::MinExpires)
    }

    /// The Session-Expires; `None` where absent or unreadable, as with Expires (RFC 4028 §4).
    pub fn session_expires(&self) -> Option<SessionExpires> {
        SessionExpires::parse(self.header(HeaderName::SessionExpires)?)
    }

    /// The Min-SE in seconds, held at 2³²−1; its parameters are passed over (RFC 4028 §5).
    pub fn min_se(&self) -> Option<u32> {
        self.seconds(HeaderName::MinSe)
    }

    /// The RSeq of a reliable provisional response, 1 to 2³²−1 (RFC 3262 §7.1).
    ///
    /// # Errors
    /// [`HeaderError`] where there is none, or it is no such number.
    pub fn rseq(&self) -> Result<u32, HeaderError> {
        let value = self.require_header(HeaderName::RSeq)?;
        let number = values::response_number(lex::trim(value));
        number.ok_or(HeaderError::Malformed(HeaderName::RSeq))
    }

    /// The RAck of a PRACK (RFC 3262 §7.2).
    ///
    /// # Errors
    /// [`HeaderError`] where there is none or its value is malformed.
    pub fn rack(&self) -> Result<RAck<'a>, HeaderError> {
        let value = self.require_header(HeaderName::RAck)?;
        RAck::parse(value).ok_or(HeaderError::Malformed(HeaderName::RAck))
    }

    /// The Retry-After in seconds, held at 2³²−1; its comment and parameters are passed over.
    pub fn retry_after(&self) -> Option<u32> {
        self.seconds(HeaderName::RetryAfter)
    }

    /// The number that a field begins with.
    #[inline(always)]
    fn seconds(&self, name: HeaderName) -> Option<u32> {
        let value = self.header(name)?;
        let digits = value.bytes().take_while(u8::is_ascii_digit).count();
        let rest = lex::trim(lex::slice(value, digits, value.len()));
        let ends = rest.is_empty() || rest.starts_with(['(', ';']);
        if ends {
            lex::saturating_u32(lex::slice(value, 0, digits))
        } else {
            None
        }
    }

    /// The Content-Type.
    ///
    /// # Errors
    /// [`HeaderError`] where there is none or its value is malformed.
    #[inline(always)]
    pub fn content_type(&self) -> Result<MediaType<'a>, HeaderError> {
        let value = self.require_header(HeaderName::ContentType)?;
        MediaType::parse(value).ok_or(HeaderError::Malformed(HeaderName::ContentType))
    }

    /// The Reason values (RFC 3326); malformed ones are passed over.
    pub fn reason(&self) -> impl Iterator<Item = Reason<'a>> + '_ {
        self.values(HeaderName::Reason).filter_map(Reason::parse)
    }

    /// The option tags that the sender supports.
    pub fn supported(&self) -> Values<'_, 'a> {
        self.values(HeaderName::Supported)
    }

    /// The option tags that the sender requires.
    pub fn require(&self) -> Values<'_, 'a> {
        self.values(HeaderName::Require)
    }

    #[inline(always)]
    pub(crate) fn require_header(&self, name: HeaderName) -> Result<&'a str, HeaderError> {
        let line = self
            .table
            .lines_from(name)
            .first()
            .ok_or(HeaderError::Missing(name))?;
        self.line_text(line).ok_or(HeaderError::Malformed(name))
    }

    /// A line that holds an address, as text; where its display name is in another encoding
    /// than UTF-8, as some networks send it, the part from `<` on.
    #[inline(always)]
    pub(crate) fn address_text(&self, line: &Line) -> Option<&'a str> {
        self.line_text(line)
            .or_else(|| self.decodable_address(line))
    }

    #[cold]
    fn decodable_address(&self, line: &Line) -> Option<&'a str> {
        let bytes = self.value_bytes(line);
        let open = memchr::memchr(b'<', bytes)?;
        std::str::from_utf8(bytes.get(open..)?).ok()
    }
}

/// An iterator over Via values.
#[derive(Clone, Debug)]
pub struct Vias<'m, 'a> {
    lines: Headers<'m, 'a>,
    text: &'a str,
    at: usize,
    ended: bool,
}

impl<'a> Iterator for Vias<'_, 'a> {
    type Item = Result<Via<'a>, HeaderError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        if self.at >= self.text.len() {
            (self.text, self.at) = (self.lines.next()?, 0);
        }
        match Via::read(self.text, self.at) {
            Some((via, end)) => {
                self.at = end + 1;
                Some(Ok(via))
            }
            None => {
                self.ended = true;
                Some(Err(HeaderError::Malformed(HeaderName::Via)))
            }
        }
    }
}

/// An iterator over the addresses of one field.
#[derive(Clone, Debug)]
pub struct Addresses<'m, 'a> {
    lines: Headers<'m, 'a>,
    text: &'a str,
    at: usize,
    ended: bool,
}

impl<'a> Addresses<'_, 'a> {
    fn read<T>(
        &mut self,
        name: HeaderName,
        read: impl Fn(&'a str, usize) -> Option<(T, usize)>,
    ) -> Option<Result<T, HeaderError>> {
        if self.ended {
            return None;
        }
        if self.at >= self.text.len() {
            (self.text, self.at) = (self.lines.next()?, 0);
        }
        match read(self.text, self.at) {
            Some((value, end)) => {
                self.at = end + 1;
                Some(Ok(value))
            }
            None => {
                self.ended = true;
                Some(Err(HeaderError::Malformed(name)))
            }
        }
    }
}

impl<'a> Iterator for Addresses<'_, 'a> {
    type Item = Result<NameAddr<'a>, HeaderError>;

    fn next(&mut self) -> Option<Self::Item> {
        let name = self.lines.name();
        self.read(name, NameAddr::read)
    }
}
