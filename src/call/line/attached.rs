//! What is attached to a leg's media.

use offhook_media::music::Background;

use crate::net::media::{FrameSink, RecordSink};

/// What is attached to a leg's media once it runs.
#[derive(Default)]
pub struct Attached {
    /// Who hears the leg.
    pub sink: Option<Box<dyn FrameSink>>,
    /// Who records it.
    pub recorder: Option<Box<dyn RecordSink>>,
    /// Whether somebody may come who records it, by
    /// [`Command::Record`](crate::net::media::Command::Record).
    pub records_later: bool,
    /// Whether a key that comes as a tone is no key but the tone that it is: of a leg whose sound
    /// goes on to somebody who hears tones.
    pub leaves_tones: bool,
    /// What the other side hears softly behind all that is said to it.
    pub ambience: Option<Background>,
    /// Whether what is heard is brought to the level that the models expect; what is recorded stays
    /// as it came.
    pub gain_control: bool,
}
