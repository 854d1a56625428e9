//! Request methods.

use std::fmt;

/// A request method; names are case-sensitive (RFC 3261 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each variant is the method of its name")]
pub enum Method<'a> {
    Invite,
    Ack,
    Bye,
    Cancel,
    Options,
    Register,
    Prack,
    Update,
    Info,
    Refer,
    Subscribe,
    Notify,
    Message,
    Publish,
    /// A method that Offhook has no name for.
    Other(&'a str),
}

impl<'a> Method<'a> {
    /// Names the method that a token spells.
    #[inline]
    pub fn new(token: &'a str) -> Self {
        match token.as_bytes() {
            b"INVITE" => Method::Invite,
            b"ACK" => Method::Ack,
            b"BYE" => Method::Bye,
            b"CANCEL" => Method::Cancel,
            b"OPTIONS" => Method::Options,
            b"REGISTER" => Method::Register,
            b"PRACK" => Method::Prack,
            b"UPDATE" => Method::Update,
            b"INFO" => Method::Info,
            b"REFER" => Method::Refer,
            b"SUBSCRIBE" => Method::Subscribe,
            b"NOTIFY" => Method::Notify,
            b"MESSAGE" => Method::Message,
            b"PUBLISH" => Method::Publish,
            _ => Method::Other(token),
        }
    }

    /// The method as it stands in a message.
    pub fn as_str(&self) -> &'a str {
        match self {
            Method::Invite => "INVITE",
            Method::Ack => "ACK",
            Method::Bye => "BYE",
            Method::Cancel => "CANCEL",
            Method::Options => "OPTIONS",
            Method::Register => "REGISTER",
            Method::Prack => "PRACK",
            Method::Update => "UPDATE",
            Method::Info => "INFO",
            Method::Refer => "REFER",
            Method::Subscribe => "SUBSCRIBE",
            Method::Notify => "NOTIFY",
            Method::Message => "MESSAGE",
            Method::Publish => "PUBLISH",
            Method::Other(name) => name,
        }
    }

    /// The method free of the message's lifetime, or `None` for one without a name here.
    pub fn known(&self) -> Option<Method<'static>> {
        match *self {
            Method::Other(_) => None,
            Method::Invite => Some(Method::Invite),
            Method::Ack => Some(Method::Ack),
            Method::Bye => Some(Method::Bye),
            Method::Cancel => Some(Method::Cancel),
            Method::Options => Some(Method::Options),
            Method::Register => Some(Method::Register),
            Method::Prack => Some(Method::Prack),
            Method::Update => Some(Method::Update),
            Method::Info => Some(Method::Info),
            Method::Refer => Some(Method::Refer),
            Method::Subscribe => Some(Method::Subscribe),
            Method::Notify => Some(Method::Notify),
            Method::Message => Some(Method::Message),
            Method::Publish => Some(Method::Publish),
        }
    }
}

impl fmt::Display for Method<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_method_reads_back_as_itself() {
        for name in [
            "INVITE",
            "ACK",
            "BYE",
            "CANCEL",
            "OPTIONS",
            "REGISTER",
            "PRACK",
            "UPDATE",
            "INFO",
            "REFER",
            "SUBSCRIBE",
            "NOTIFY",
            "MESSAGE",
            "PUBLISH",
        ] {
            let method = Method::new(name);
            assert_eq!(method.as_str(), name);
            assert_eq!(method.known(), Some(method));
        }
    }

    #[test]
    fn method_names_are_case_sensitive() {
        assert_eq!(Method::new("invite"), Method::Other("invite"));
        assert_eq!(Method::new("invite").known(), None);
    }
}
