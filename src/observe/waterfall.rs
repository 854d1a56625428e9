//! One turn's latency as bars: what the time between the caller's last word and the agent's first
//! went into. Stages run side by side, so each bar begins where its stage did.

use std::fmt::{self, Write as _};
use std::io::IsTerminal;

/// A stage of a turn, in ms.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Stage {
    /// When it began, from the last voiced packet received.
    pub begins_ms: f64,
    /// How long it took.
    pub took_ms: f64,
}

/// Where one turn's time went, in ms; a stage that the turn did not have is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Latency {
    /// Last voiced packet received to the decision that the turn is over.
    pub endpoint_ms: Option<f64>,
    /// The recogniser, up to its final text.
    pub stt: Option<Stage>,
    /// The LLM, from the request to its first token.
    pub llm: Option<Stage>,
    /// The voice, from the first clause to its first sound.
    pub tts: Option<Stage>,
    /// Last voiced packet received to the first audible packet sent.
    pub voice_to_voice_ms: Option<f64>,
}

impl Latency {
    /// The stages that took place, with their names and colours.
    fn stages(&self) -> impl Iterator<Item = (&'static str, Stage, &'static str)> {
        let endpoint = self.endpoint_ms.map(|took_ms| Stage {
            begins_ms: 0.0,
            took_ms,
        });
        let stages = [
            ("endpoint", endpoint, "\x1b[36m"),
            ("stt", self.stt, "\x1b[34m"),
            ("llm", self.llm, "\x1b[35m"),
            ("tts", self.tts, "\x1b[32m"),
        ];
        let known = |ms: f64| ms.is_finite() && ms >= 0.0;
        stages.into_iter().filter_map(move |(name, stage, colour)| {
            let stage = stage.filter(|stage| known(stage.begins_ms) && known(stage.took_ms))?;
            Some((name, stage, colour))
        })
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
        stage: Stage,
        scale_ms: f64,
        code: &str,
    ) -> fmt::Result {
        let length_ms = stage.took_ms;
        let start = self
            .columns(stage.begins_ms, scale_ms)
            .min(self.width.saturating_sub(1));
        let end = self
            .columns(stage.begins_ms + length_ms, scale_ms)
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
        let ends = self
            .latency
            .stages()
            .map(|(_, s, _)| s.begins_ms + s.took_ms);
        let last = ends.fold(0.0, f64::max);
        let total = self.latency.voice_to_voice_ms;
        let total = total.filter(|ms| ms.is_finite() && *ms >= 0.0);
        let scale_ms = total.unwrap_or(0.0).max(last).max(SCALE_MS);
        let turn = format!("turn {}", self.turn);
        writeln!(f, "  {}", self.paint(DIM, &turn))?;
        for (name, stage, code) in self.latency.stages() {
            self.row(f, name, stage, scale_ms, code)?;
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
            endpoint_ms: Some(300.0),
            stt: stage(180.0, 100.0),
            llm: None,
            tts: stage(300.0, 50.0),
            voice_to_voice_ms: Some(360.0),
        }
    }

    #[allow(clippy::unnecessary_wraps)]
    fn stage(begins_ms: f64, took_ms: f64) -> Option<Stage> {
        Some(Stage { begins_ms, took_ms })
    }

    #[test]
    fn each_bar_begins_where_its_stage_did_and_every_line_has_the_same_width() {
        let text = Waterfall::new(3, turn()).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert!(lines[0].contains("turn 3"));
        // A column is some 21 ms: the recogniser ran while the end of the turn was awaited.
        let bar = |line: &str| line.find('#').zip(line.rfind('#')).unwrap();
        assert_eq!(bar(lines[1]), (17, 30), "{text}");
        assert_eq!(bar(lines[2]), (26, 29), "{text}");
        assert_eq!(bar(lines[3]), (31, 33), "{text}");
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
                stt: stage(ms, ms),
                voice_to_voice_ms: Some(ms),
                ..turn()
            };
            let text = Waterfall::new(1, latency).to_string();
            assert!(text.lines().all(|line| line.len() < 400), "{text}");
        }
    }
}
