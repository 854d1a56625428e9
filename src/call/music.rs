//! What who waits hears.

use std::sync::{Arc, OnceLock};

use offhook_media::music::{Background, SoundLoop};

/// How loud it is: softer than a voice, which has about −20.
const LEVEL_DBFS: f32 = -28.0;

static CHORDS: OnceLock<Arc<SoundLoop>> = OnceLock::new();

/// Makes the music of those who wait; it takes a while the first time.
pub fn prepare() {
    let _ = on_hold();
}

/// The music of those who wait, one for all of them.
pub(super) fn on_hold() -> Background {
    let sound = CHORDS.get_or_init(|| Arc::new(SoundLoop::chords()));
    Background {
        sound: Arc::clone(sound),
        level_dbfs: LEVEL_DBFS,
    }
}
