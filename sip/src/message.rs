//! SIP messages over the received bytes, and the builders that print new ones.
//!
//! [`Message::parse`] makes one pass over the head and remembers where each line stands; nothing
//! is copied or allocated. Typed values ([`Via`], [`NameAddr`], [`CSeq`], …) are read when they
//! are asked for. [`Message::essentials`] reads what every request needs and refuses what a user
//! agent server must refuse; [`Message::validate`] is the same without the values.
//!
//! ```
//! use offhook_sip::message::{HeaderName, Message, Method};
//!
//! let bytes = b"OPTIONS sip:desk@example.com SIP/2.0\r\n\
//!     v: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
//!     f: <sip:peer@example.net>;tag=1\r\n\
//!     t: <sip:desk@example.com>\r\n\
//!     i: abc\r\n\
//!     CSeq: 7 OPTIONS\r\n\r\n";
//! let message = Message::parse(bytes)?;
//! assert_eq!(message.method(), Some(Method::Options));
//! assert_eq!(message.header(HeaderName::CallId), Some("abc"));
//! assert!(message.validate().is_ok());
//! # Ok::<(), offhook_sip::message::ParseError<'static>>(())
//! ```

mod build;
mod error;
pub(crate) mod lex;
mod method;
mod name;
mod name_addr;
mod owned;
mod params;
mod parse;
mod phrase;
mod refer;
mod respond;
mod start_line;
mod support;
mod typed;
mod validate;
mod values;
mod via;
mod view;
mod write;

pub use build::RequestBuilder;
pub use error::{HeaderError, ParseError, ParseErrorKind, Refusal};
pub use method::Method;
pub use name::HeaderName;
pub use name_addr::{Contact, NameAddr, Quoted};
pub use owned::OwnedMessage;
pub use params::{Param, ParamIter, Params, unquote};
pub use parse::{MAX_HEADERS, MAX_MESSAGE_BYTES, Message};
pub use phrase::reason_phrase;
pub use refer::{EventPackage, Replaces, SubscriptionState, Substate, sipfrag_status};
pub use respond::ResponseBuilder;
pub use start_line::StartLine;
pub use support::Support;
pub use typed::{Addresses, Vias};
pub use validate::Essentials;
pub use values::{CSeq, MediaType, RAck, Reason, Refresher, SessionExpires};
pub use via::{MAGIC_COOKIE, Rport, Via};
pub use view::{Header, Headers, Values};
pub use write::MessageWriter;
