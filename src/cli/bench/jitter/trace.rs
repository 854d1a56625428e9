//! Traces: when each packet of a stream left and came, made from a recipe and its seed, or written
//! down line by line.

use super::link::Recipe;

/// Brings a recipe into the program.
macro_rules! recipe {
    ($name:literal) => {
        (
            $name,
            include_str!(concat!("../../../../benches/traces/", $name, ".toml")),
        )
    };
}

/// The twelve traces that the goals speak of, by name, and the clean path beside them.
pub(super) const RECIPES: [(&str, &str); 13] = [
    recipe!("wifi"),
    recipe!("lte-handover"),
    recipe!("bufferbloat"),
    recipe!("gilbert-1"),
    recipe!("gilbert-5"),
    recipe!("gilbert-10"),
    recipe!("gilbert-20"),
    recipe!("reorder"),
    recipe!("drift-fast"),
    recipe!("drift-slow"),
    recipe!("ptime-40"),
    recipe!("dtx"),
    recipe!("clean"),
];

/// Samples in a millisecond; traces carry G.711.
pub(super) const PER_MS: u64 = 8;

/// One packet of a trace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Passage {
    /// Its number in the stream.
    pub(super) sequence: u64,
    /// Position of its first sample in the sender's time.
    pub(super) timestamp: u64,
    /// When it came, in microseconds; none when it was lost.
    pub(super) arrived_us: Option<u64>,
}

/// A stream's packets in the order in which they were sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Trace {
    pub(super) name: String,
    pub(super) ptime_ms: u64,
    pub(super) packets: Vec<Passage>,
}

impl Trace {
    /// Reads a trace: a recipe in TOML, or packets line by line.
    ///
    /// A line is the time of a packet's first sample in the sender's clock and the time at which
    /// it came, both in milliseconds, or `-` for one that was lost. `#` begins a comment. The
    /// first distance between two packets is the packet time.
    pub(super) fn read(name: &str, text: &str) -> anyhow::Result<Self> {
        let first = text.lines().map(str::trim).find(|line| is_content(line));
        if first.is_some_and(|line| line.starts_with(|c: char| c.is_ascii_digit())) {
            return Self::read_lines(name, text);
        }
        let recipe: Recipe = toml::from_str(text)?;
        Ok(recipe.make(name))
    }

    fn read_lines(name: &str, text: &str) -> anyhow::Result<Self> {
        let mut packets = Vec::new();
        let lines = (1..).zip(text.lines().map(str::trim));
        for (number, line) in lines.filter(|(_, line)| is_content(line)) {
            let wrong = || anyhow::anyhow!("line {number}: `{line}` is not two times in ms");
            let (sent, came) = line.split_once(char::is_whitespace).ok_or_else(wrong)?;
            let sent_ms: f64 = sent.parse().map_err(|_| wrong())?;
            let arrived_us = match came.trim() {
                "-" => None,
                ms => Some((ms.parse::<f64>().map_err(|_| wrong())? * 1_000.0) as u64),
            };
            packets.push(Passage {
                sequence: packets.len() as u64,
                timestamp: (sent_ms * PER_MS as f64) as u64,
                arrived_us,
            });
        }
        let times = packets
            .windows(2)
            .map(|two| two[1].timestamp - two[0].timestamp);
        let ptime_ms = times.filter(|samples| *samples > 0).min().unwrap_or(160) / PER_MS;
        Ok(Self {
            name: name.to_owned(),
            ptime_ms: ptime_ms.clamp(10, 200),
            packets,
        })
    }

    /// Samples that the sender kept silent between its packets.
    pub(super) fn silent_samples(&self) -> u64 {
        let spoken = self.packets.len() as u64 * self.ptime_ms * PER_MS;
        let ends = (self.packets.first(), self.packets.last());
        let (Some(first), Some(last)) = ends else {
            return 0;
        };
        (last.timestamp + self.ptime_ms * PER_MS - first.timestamp).saturating_sub(spoken)
    }

    /// Share of the packets that never came.
    pub(super) fn lost_share(&self) -> f64 {
        let lost = self.packets.iter().filter(|p| p.arrived_us.is_none());
        lost.count() as f64 / self.packets.len().max(1) as f64
    }
}

fn is_content(line: &str) -> bool {
    !line.is_empty() && !line.starts_with('#')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(name: &str) -> Trace {
        let recipe = RECIPES.iter().find(|(known, _)| *known == name);
        Trace::read(name, recipe.unwrap().1).unwrap()
    }

    /// Delays beyond the fastest packet's, in milliseconds.
    fn delays_ms(trace: &Trace) -> Vec<f64> {
        let came = trace.packets.iter().filter_map(|p| {
            let sent_ms = p.timestamp as f64 / PER_MS as f64;
            Some(p.arrived_us? as f64 / 1_000.0 - sent_ms)
        });
        let all: Vec<f64> = came.collect();
        let fastest = all.iter().copied().fold(f64::MAX, f64::min);
        all.into_iter().map(|ms| ms - fastest).collect()
    }

    #[test]
    fn a_recipe_gives_the_same_trace_each_time() {
        for (name, _) in RECIPES {
            assert_eq!(trace(name), trace(name));
        }
    }

    #[test]
    fn each_trace_has_the_fault_that_it_is_named_after() {
        let share = |name: &str| trace(name).lost_share();
        for (name, expected) in [
            ("gilbert-1", 0.01),
            ("gilbert-5", 0.05),
            ("gilbert-10", 0.1),
        ] {
            assert!(
                (share(name) / expected - 1.0).abs() < 0.25,
                "{name}: {}",
                share(name)
            );
        }
        assert!((share("gilbert-20") - 0.2).abs() < 0.03);
        let worst = |name: &str| delays_ms(&trace(name)).into_iter().fold(0.0, f64::max);
        assert!(worst("clean") < 0.01 && worst("wifi") > 60.0 && worst("bufferbloat") > 180.0);
        assert!(worst("lte-handover") > 120.0);
        assert_eq!(trace("ptime-40").ptime_ms, 40);
        assert!(trace("dtx").silent_samples() > 20 * 8_000);
        let arrivals = |name: &str| -> Vec<u64> {
            let packets = trace(name).packets;
            packets.iter().filter_map(|p| p.arrived_us).collect()
        };
        let overtaken = |name: &str| arrivals(name).windows(2).filter(|a| a[1] < a[0]).count();
        assert!(overtaken("reorder") > 100 && overtaken("wifi") == 0);
    }

    #[test]
    fn a_clock_that_drifts_moves_by_its_parts_in_a_million() {
        let least = |delays: &[f64]| delays.iter().copied().fold(f64::MAX, f64::min);
        // Six minutes at 100 ppm, less the ten seconds at one end in which the least is looked for.
        for (name, ms) in [("drift-fast", -35.0), ("drift-slow", 35.0)] {
            let delays = delays_ms(&trace(name));
            let (first, last) = (&delays[..500], &delays[delays.len() - 500..]);
            let moved = least(last) - least(first);
            assert!((moved - ms).abs() < 1.0, "{name}: {moved}");
        }
    }

    #[test]
    fn a_trace_can_be_written_down_line_by_line() {
        let text = "# sent came\n0 35.5\n30 -\n60 95\n\n90 124.25\n";
        let trace = Trace::read("mine", text).unwrap();
        assert_eq!((trace.ptime_ms, trace.lost_share()), (30, 0.25));
        let times: Vec<_> = trace.packets.iter().map(|p| p.arrived_us).collect();
        assert_eq!(times, [Some(35_500), None, Some(95_000), Some(124_250)]);
        let wrong = Trace::read("mine", "0 1\n20 soon\n").unwrap_err();
        assert!(wrong.to_string().contains("line 2"), "{wrong}");
        assert!(Trace::read("mine", "seed = 1\n").is_err());
    }
}
