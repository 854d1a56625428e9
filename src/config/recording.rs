//! The format of recordings.

use std::fmt;
use std::str::FromStr;

use super::value::text_value;

/// What a call's recording is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RecordingFormat {
    /// 16-bit samples: 115 MB an hour of a telephone call, 230 of a wideband one.
    #[default]
    Wav,
    /// Opus in Ogg (RFC 7845): a tenth of that at most.
    Opus,
}

impl RecordingFormat {
    /// Returns what its files' names end in (RFC 7845 section 9).
    pub fn extension(self) -> &'static str {
        match self {
            Self::Wav => "wav",
            Self::Opus => "opus",
        }
    }
}

impl FromStr for RecordingFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "wav" => Ok(Self::Wav),
            "opus" => Ok(Self::Opus),
            _ => Err(format!("{text:?} is not one of \"wav\", \"opus\"")),
        }
    }
}

impl fmt::Display for RecordingFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.extension())
    }
}

text_value!(RecordingFormat, "\"wav\" or \"opus\"");
