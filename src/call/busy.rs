//! Why no call is taken now.

use crate::ai::hearing::Behind;
use crate::switch::Way;

/// Why no call can be taken on now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Busy {
    /// As many as are allowed.
    #[error("all {0} calls of `limits.max_calls` are taken")]
    Full(usize),
    /// The trunk carries as many as it may.
    #[error("all {1} calls of trunk {0:?} are taken (`trunk.max_calls`)")]
    TrunkFull(String, u32),
    /// As many as may come in within a second have just come.
    #[error("no more than {0} calls a second are taken (`limits.max_cps`)")]
    Fast(u32),
    /// As many as may go out over the trunk, or come in, within a second have just done so.
    #[error("trunk {0:?} takes no more than {1} calls a second (`{key}`)", key = cps_key(*.2))]
    TrunkFast(String, u32, Way),
    /// There are no ports for its media.
    #[error("all ports of `media.ports` are taken")]
    NoPorts,
    /// The models are still loading, or missing.
    #[error("the speech models are not loaded yet")]
    NoModels,
    /// Records cannot be kept.
    #[error("the database cannot be written: {0}")]
    Store(String),
    /// Those who speak now are heard too late already.
    #[error(transparent)]
    Hearing(#[from] Behind),
    /// The media threads miss their deadlines.
    #[error("media is late for the calls that there are: the machine does not keep up")]
    MediaLate,
    /// The switch is being stopped.
    #[error("the switch is being stopped")]
    Stopping,
}

/// The key that says how many calls a second go over a trunk.
fn cps_key(way: Way) -> &'static str {
    match way {
        Way::In => "trunk.max_cps_in",
        Way::Out => "trunk.max_cps",
    }
}

impl Busy {
    /// When there is room again, in s, where that is known.
    #[must_use]
    pub fn retry_after_s(&self) -> Option<u32> {
        // The next second has.
        matches!(self, Self::Fast(_) | Self::TrunkFast(..)).then_some(1)
    }
}
