//! What events there are.

/// The kind of the event that is a call's last.
pub const CALL_ENDED: &str = "call.ended";

/// Every kind of event that there is, in the order of a call's life.
pub const KINDS: [&str; 14] = [
    "call.created",
    "call.ringing",
    "call.answered",
    "call.joined",
    "call.turn",
    "call.sound",
    "recording.paused",
    "recording.resumed",
    "call.held",
    "call.resumed",
    "call.supervised",
    "call.transfer",
    "appointment.booked",
    CALL_ENDED,
];
