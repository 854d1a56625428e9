//! Why no call is taken now.

use crate::ai::hearing::Behind;

/// Why no call can be taken on now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Busy {
    /// As many as are allowed.
    #[error("all {0} calls of `limits.max_calls` are taken")]
    Full(usize),
    /// The trunk carries as many as it may.
    #[error("all {1} calls of trunk {0:?} are taken (`trunk.max_calls`)")]
    TrunkFull(String, u32),
    /// As many as it may begin in a second were just begun.
    #[error("trunk {0:?} begins no more than {1} calls a second (`trunk.max_cps`)")]
    TrunkFast(String, u32),
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
