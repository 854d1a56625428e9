//! Reads session descriptions, as strictly as the field lets one.
//!
//! Line ends may be CRLF, LF or CR alone; unknown line types and those that nothing here uses are
//! skipped; `s=` and `t=` may be missing. Sizes are bounded, so that a peer cannot make this
//! allocate more than a small multiple of what it sent.

use std::net::IpAddr;

use thiserror::Error;

use super::{Attribute, Connection, MediaDescription, Origin, SessionDescription};

/// Bytes that a description may have.
pub(super) const MAX_BYTES: usize = 65_536;
/// Bytes that one line may have.
pub(super) const MAX_LINE_BYTES: usize = 4_096;
/// Lines that a description may have.
pub(super) const MAX_LINES: usize = 1_024;
/// Media that a description may have.
pub(super) const MAX_MEDIA: usize = 32;
/// Formats that one medium may list.
pub(super) const MAX_FORMATS: usize = 128;

/// Says why bytes are no session description; a SIP element answers them with 400.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SdpError {
    /// The description is larger than any that the field sends.
    #[error("the session description has {bytes} bytes, more than {MAX_BYTES}")]
    TooLarge {
        /// Bytes received.
        bytes: usize,
    },
    /// There are more lines, media or formats than the field sends.
    #[error("line {line} of the session description is one {what} too many")]
    TooMany {
        /// Line number, from 1.
        line: usize,
        /// What there is too much of.
        what: &'static str,
    },
    /// The bytes are not UTF-8 text.
    #[error("the session description is not text")]
    NotText,
    /// A line is not `letter=value`, or it is too long.
    #[error("line {line} of the session description is malformed")]
    Line {
        /// Line number, from 1.
        line: usize,
    },
    /// A line that must be there is missing.
    #[error("the session description has no {0}= line")]
    Missing(char),
    /// The version is not 0 (RFC 8866 §5.1).
    #[error("the session description has a version other than 0")]
    Version,
}

impl SessionDescription {
    /// Reads a session description (RFC 8866).
    ///
    /// # Errors
    /// Returns [`SdpError`] when the bytes are not one, or are larger than the limits here.
    pub fn parse(bytes: &[u8]) -> Result<Self, SdpError> {
        if bytes.len() > MAX_BYTES {
            return Err(SdpError::TooLarge { bytes: bytes.len() });
        }
        // Names (`s=`, `i=`) come in any charset (RFC 8866 §4.5); what is used is ASCII.
        let text = String::from_utf8_lossy(bytes);
        if text.contains('\0') {
            return Err(SdpError::NotText);
        }
        let mut reader = Reader::default();
        for (index, line) in text
            .split(['\r', '\n'])
            .filter(|line| !line.is_empty())
            .enumerate()
        {
            reader.line(index + 1, line)?;
        }
        reader.finish()
    }
}

#[derive(Default)]
struct Reader {
    version_seen: bool,
    origin: Option<Origin>,
    name: String,
    timing: Option<String>,
    connection: Option<Connection>,
    attributes: Vec<Attribute>,
    media: Vec<MediaDescription>,
}

impl Reader {
    fn line(&mut self, number: usize, line: &str) -> Result<(), SdpError> {
        let malformed = SdpError::Line { line: number };
        if number > MAX_LINES {
            return Err(SdpError::TooMany {
                line: number,
                what: "line",
            });
        }
        if line.len() > MAX_LINE_BYTES {
            return Err(malformed);
        }
        let line = line.trim_start();
        if line.is_empty() {
            return Ok(());
        }
        let mut characters = line.chars();
        let (Some(kind), Some('=')) = (characters.next(), characters.next()) else {
            return Err(malformed);
        };
        let value = characters.as_str().trim();
        if !self.version_seen && kind != 'v' {
            return Err(SdpError::Missing('v'));
        }
        match kind {
            'v' if value == "0" => self.version_seen = true,
            'v' => return Err(SdpError::Version),
            'o' => self.origin = Some(origin(value).ok_or(malformed)?),
            's' => value.clone_into(&mut self.name),
            't' if self.timing.is_none() => self.timing = Some(value.to_owned()),
            'c' => self.connection(value).ok_or(malformed)?,
            'a' => self.attribute(value),
            'm' => {
                if self.media.len() >= MAX_MEDIA {
                    return Err(SdpError::TooMany {
                        line: number,
                        what: "medium",
                    });
                }
                let media = media(value).ok_or(malformed)?;
                if media.formats.len() > MAX_FORMATS {
                    return Err(SdpError::TooMany {
                        line: number,
                        what: "format",
                    });
                }
                self.media.push(media);
            }
            kind if kind.is_ascii_alphabetic() => {}
            _ => return Err(malformed),
        }
        Ok(())
    }

    /// A medium may list several addresses for layered multicast; the first one is kept.
    fn connection(&mut self, value: &str) -> Option<()> {
        let slot = match self.media.last_mut() {
            Some(media) => &mut media.connection,
            None => &mut self.connection,
        };
        let connection = connection(value)?;
        slot.get_or_insert(connection);
        Some(())
    }

    fn attribute(&mut self, value: &str) {
        let attribute = match value.split_once(':') {
            Some((name, value)) => Attribute::new(name.trim(), value.trim()),
            None => Attribute::flag(value),
        };
        match self.media.last_mut() {
            Some(media) => media.attributes.push(attribute),
            None => self.attributes.push(attribute),
        }
    }

    fn finish(self) -> Result<SessionDescription, SdpError> {
        if !self.version_seen {
            return Err(SdpError::Missing('v'));
        }
        Ok(SessionDescription {
            origin: self.origin.ok_or(SdpError::Missing('o'))?,
            name: self.name,
            connection: self.connection,
            timing: self.timing.unwrap_or_else(|| "0 0".to_owned()),
            attributes: self.attributes,
            media: self.media,
        })
    }
}

/// `o=<username> <sess-id> <sess-version> <nettype> <addrtype> <unicast-address>`; user names
/// with spaces, and none at all, are met in the field, so the fields are counted from the end.
fn origin(value: &str) -> Option<Origin> {
    let mut fields: Vec<&str> = value.split_whitespace().collect();
    let address = fields.pop()?;
    let _address_type = fields.pop()?;
    let _network_type = fields.pop()?;
    let version = fields.pop()?;
    let session_id = fields.pop()?;
    let username = if fields.is_empty() {
        "-".to_owned()
    } else {
        fields.join(" ")
    };
    Some(Origin {
        username,
        session_id: session_id.to_owned(),
        version: version.to_owned(),
        address: address.to_owned(),
    })
}

/// `c=<nettype> <addrtype> <address>[/ttl[/count]]`.
fn connection(value: &str) -> Option<Connection> {
    let mut fields = value.split_whitespace();
    let _network_type = fields.next()?;
    let _address_type = fields.next()?;
    let address = fields.next()?;
    let address = address.split('/').next().unwrap_or(address);
    match address.parse::<IpAddr>() {
        Ok(address) => Some(Connection::Address(address)),
        Err(_) if address.is_empty() => None,
        Err(_) => Some(Connection::Host(address.to_owned())),
    }
}

/// `m=<media> <port>[/<count>] <proto> <fmt> …`.
fn media(value: &str) -> Option<MediaDescription> {
    let mut fields = value.split_whitespace();
    let kind = fields.next()?;
    let port = fields.next()?;
    let protocol = fields.next()?;
    let (port, port_count) = match port.split_once('/') {
        Some((port, count)) => (port, Some(count.parse().ok()?)),
        None => (port, None),
    };
    Some(MediaDescription {
        kind: kind.to_owned(),
        port: port.parse().ok()?,
        port_count,
        protocol: protocol.to_owned(),
        formats: fields.take(MAX_FORMATS + 1).map(str::to_owned).collect(),
        connection: None,
        attributes: Vec::new(),
    })
}
