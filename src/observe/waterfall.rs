//! One turn's latency as bars: what the time between the caller's last word and the agent's first
//! went into.

use std::fmt::{self, Write as _};
use std::io::IsTerminal;

/// Where one turn's time went, in ms; a stage that the turn did not have is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Latency {
    /// Last voiced packet received to the decision that the turn is over.
    pub endpoint_ms: Option<f64>,
    /// End of turn to final text.
    pub stt_ms: Option<f64>,
    /// Text to the answer's first token.
    pub llm_first_token_ms: Option<f64>,
    /// First clause to its first sound.
    pub tts_first_audio_ms: Option<f64>,
    /// Last voiced packet received to the first audible packet sent.
    pub voice_to_voice_ms: Option<f64>,
}

impl Latency {
    fn stages(&self) -> [(&'static str, Option<f64>, &'static str); 4] {
        [
            ("endpoint", self.endpoint_ms, "\x1b[36m"),
            ("stt", self.stt_ms, "\x1b[34m"),
            ("llm", self.llm_first_token_ms, "\x1b[35m"),
            ("tts", self.tts_first_audio_ms, "\x1b[32m"),
        ]
    }
}

/// One turn, ready to be printed; `Display` gives some five lines without a newline at the end.
#[derive(Debug, Clone)]
pub struct Waterfall {
    turn: u64,
    latency: Latency,
    width: usize,
    colour: bool,
}

/// Columns that the bars take.
const WIDTH: usize = 48;
/// Turns up to this long share one scale, so that bars compare from turn to turn; in ms.
const SCALE_MS: f64 = 1_000.0;
const RESET: &str = "\x1b[0m";
const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";

impl Waterfall {
    /// Draws a turn without colour.
    pub fn new(turn: u64, latency: Latency) -> Self {
        Self {
            turn,
            latency,
            width: WIDTH,
            colour: false,
        }
    }

    /// Draws a turn for standard output: in colour when that is a terminal that wants it.
    pub fn for_stdout(turn: u64, latency: Latency) -> Self {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self {
            colour,
            ..Self::new(turn, latency)
        }
    }

    /// Turns colour on or off.
    pub fn colour(self, colour: bool) -> Self {
        Self { colour, ..self }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour {
            format!("{code}{text}{RESET}")
        } else {
            text.to_owned()
        }
    }

    fn row(
        &self,
        f: &mut fmt::Formatter<'_>,
        name: &str,
        bar: (f64, f64),
        scale_ms: f64,
        code: &str,
    ) -> fmt::Result {
        let (start_ms, length_ms) = bar;
        let start = self
            .columns(start_ms, scale_ms)
            .min(self.width.saturating_sub(1));
        let end = self
            .columns(start_ms + length_ms, scale_ms)
            .clamp(start, self.width);
        // What took any time at all is seen.
        let length = (end - start).max(1);
        let fill = if self.colour { "█" } else { "#" };
        let mut line = String::new();
        write!(line, "  {name:<15}{}", " ".repeat(start))?;
        line.push_str(&self.paint(code, &fill.repeat(length)));
        line.push_str(&" ".repeat(self.width - (start + length).min(self.width)));
        writeln!(f, "{line} {length_ms:>6.0} ms")
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss
    )]
    fn columns(&self, ms: f64, scale_ms: f64) -> usize {
        // `as` saturates; a negative or absurd time becomes an edge of the picture.
        (ms / scale_ms * self.width as f64).round() as usize
    }
}

impl fmt::Display for Waterfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stages = self.latency.stages();
        let known = |ms: Option<f64>| ms.filter(|ms| ms.is_finite() && *ms >= 0.0);
        let sum: f64 = stages.iter().filter_map(|(_, ms, _)| known(*ms)).sum();
        let total = known(self.latency.voice_to_voice_ms);
        let scale_ms = total.unwrap_or(0.0).max(sum).max(SCALE_MS);
        let turn = format!("turn {}", self.turn);
        writeln!(f, "  {}", self.paint(DIM, &turn))?;
        let mut start_ms = 0.0;
        for (name, ms, code) in stages {
            let Some(ms) = known(ms) else { continue };
            self.row(f, name, (start_ms, ms), scale_ms, code)?;
            start_ms += ms;
        }
        match total {
            Some(total) => {
                let label = self.paint(BOLD, "voice to voice");
                let length = self.columns(total, scale_ms).clamp(1, self.width);
                let line = self.paint(DIM, &"-".repeat(length));
                let rest = " ".repeat(self.width - length);
                write!(f, "  {label} {line}{rest} {total:>6.0} ms")
            }
            None => write!(f, "  voice to voice: nothing was said"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn() -> Latency {
        Latency {
            endpoint_ms: Some(200.0),
            stt_ms: Some(100.0),
            llm_first_token_ms: None,
            tts_first_audio_ms: Some(50.0),
            voice_to_voice_ms: Some(360.0),
        }
    }

    #[test]
    fn stages_follow_each_other_and_every_line_has_the_same_width() {
        let text = Waterfall::new(3, turn()).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert!(lines[0].contains("turn 3"));
        assert!(
            lines[1].starts_with("  endpoint       ##########"),
            "{text}"
        );
        assert!(
            lines[2].starts_with("  stt                      #### "),
            "{text}"
        );
        assert!(lines[4].ends_with("   360 ms"), "{text}");
        let widths: Vec<usize> = lines[1..].iter().map(|line| line.chars().count()).collect();
        assert!(
            widths.iter().all(|width| *width == widths[0]),
            "{widths:?}\n{text}"
        );
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn colour_is_asked_for() {
        assert!(
            Waterfall::new(1, turn())
                .colour(true)
                .to_string()
                .contains("\x1b[36m")
        );
    }

    #[test]
    fn absurd_times_do_not_break_the_picture() {
        for ms in [0.0, -5.0, f64::NAN, f64::INFINITY, 1e300] {
            let latency = Latency {
                stt_ms: Some(ms),
                voice_to_voice_ms: Some(ms),
                ..turn()
            };
            let text = Waterfall::new(1, latency).to_string();
            assert!(text.lines().all(|line| line.len() < 400), "{text}");
        }
    }
}
