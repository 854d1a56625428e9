//! What a user agent answers to the messages of RFC 4475 and RFC 5118: shared by the tests of the
//! user agent and those of the sockets.

/// What a datagram leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// The one answer, with the header fields that it must have.
    Status(u16, &'static [&'static str]),
    /// 100, and a call that rings.
    Rings,
    /// Nothing: a response that answers nothing of ours.
    Silence,
}
pub(crate) use Answer::{Rings, Silence, Status};

const CHALLENGED: Answer = Status(401, &["WWW-Authenticate"]);
const BAD: Answer = Status(400, &[]);

/// File, section of RFC 4475, and what a user agent server does that lets calls in, challenges
/// whoever registers, and supports neither MESSAGE nor the extensions that are asked of it. What
/// could be read in two ways is refused, since another element may have read it the other way.
pub(crate) const RFC_4475: &[(&str, &str, Answer)] = &[
    // It has a tag in To and belongs to no dialog (RFC 3261 §12.2.2).
    ("wsinv", "3.1.1.1", Status(481, &[])),
    ("intmeth", "3.1.1.2", Status(501, &["Allow"])),
    ("esc01", "3.1.1.3", Rings),
    ("escnull", "3.1.1.4", CHALLENGED),
    // An escape in a method is no escape: the method is not REGISTER.
    ("esc02", "3.1.1.5", Status(501, &["Allow"])),
    ("lwsdisp", "3.1.1.6", Status(200, &["Allow"])),
    ("longreq", "3.1.1.7", Rings),
    // The INVITE behind the REGISTER is no message (RFC 3261 §18.3).
    ("dblreq", "3.1.1.8", CHALLENGED),
    ("semiuri", "3.1.1.9", Status(200, &["Allow"])),
    ("transports", "3.1.1.10", Status(200, &["Allow"])),
    ("mpart01", "3.1.1.11", Status(405, &["Allow"])),
    ("unreason", "3.1.1.12", Silence),
    ("noreason", "3.1.1.13", Silence),
    ("badinv01", "3.1.2.1", BAD),
    ("clerr", "3.1.2.2", BAD),
    ("ncl", "3.1.2.3", BAD),
    ("scalar02", "3.1.2.4", BAD),
    ("scalarlg", "3.1.2.5", Silence),
    ("quotbal", "3.1.2.6", BAD),
    ("ltgtruri", "3.1.2.7", BAD),
    ("lwsruri", "3.1.2.8", BAD),
    ("lwsstart", "3.1.2.9", BAD),
    ("trws", "3.1.2.10", BAD),
    ("escruri", "3.1.2.11", BAD),
    // Nobody here asks for the Date.
    ("baddate", "3.1.2.12", Rings),
    ("regbadct", "3.1.2.13", BAD),
    ("badaspec", "3.1.2.14", BAD),
    ("baddn", "3.1.2.15", BAD),
    ("badvers", "3.1.2.16", Status(505, &[])),
    ("mismatch01", "3.1.2.17", BAD),
    ("mismatch02", "3.1.2.18", BAD),
    ("bigcode", "3.1.2.19", Silence),
    ("badbranch", "3.2.1", Status(200, &["Allow"])),
    ("insuf", "3.3.1", BAD),
    ("unkscm", "3.3.2", Status(416, &[])),
    ("novelsc", "3.3.3", Status(416, &[])),
    ("unksm2", "3.3.4", CHALLENGED),
    ("bext01", "3.3.5", Status(420, &["Unsupported"])),
    ("invut", "3.3.6", Status(415, &["Accept"])),
    // Credentials of an unknown scheme are none.
    ("regaut01", "3.3.7", CHALLENGED),
    ("multi01", "3.3.8", BAD),
    ("mcl01", "3.3.9", BAD),
    // Its topmost Via is not ours (RFC 3261 §8.1.3.3).
    ("bcast", "3.3.10", Silence),
    // No hop is left, and none is needed.
    ("zeromf", "3.3.11", Status(200, &["Allow"])),
    ("cparam01", "3.3.12", CHALLENGED),
    ("cparam02", "3.3.13", CHALLENGED),
    ("regescrt", "3.3.14", CHALLENGED),
    ("sdp01", "3.3.15", Status(406, &[])),
    // No branch, no tag, no Contact, no Content-Length: a peer of RFC 2543.
    ("inv2543", "3.4.1", Rings),
];

/// The same for RFC 5118: whatever an address looks like, a request is answered for what it asks.
pub(crate) const RFC_5118: &[(&str, &str, Answer)] = &[
    ("ipv6-good", "4.1", CHALLENGED),
    // The same without brackets.
    ("ipv6-bad", "4.2", BAD),
    // Valid, though the port was meant to be one: it is the address's last part.
    ("port-ambiguous", "4.3", CHALLENGED),
    ("port-unambiguous", "4.4", CHALLENGED),
    // Either is read; the BYE belongs to no dialog (RFC 3261 §12.2.2).
    ("via-received-param-with-delim", "4.5", Status(481, &[])),
    (
        "via-received-param-no-delim",
        "4.5",
        Status(200, &["Allow"]),
    ),
    // As printed it is cut short: 268 bytes are told, 251 are there (RFC 3261 §18.3).
    ("ipv6-in-sdp", "4.6", BAD),
    ("mult-ip-in-header", "4.7", Status(481, &[])),
    ("mult-ip-in-sdp", "4.8", Rings),
    ("ipv4-mapped-ipv6", "4.9", Rings),
    // What the grammar of RFC 3261 wrongly makes is taken, and what it should have made.
    ("ipv6-bug-abnf-3-colons", "4.10", Status(200, &["Allow"])),
    (
        "ipv6-correct-abnf-2-colons",
        "4.10",
        Status(200, &["Allow"]),
    ),
];
