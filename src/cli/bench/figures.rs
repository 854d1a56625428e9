//! Percentiles of what was measured.

use serde_json::{Value, json};

/// The value that this share of sorted measurements does not exceed; none when there are none.
pub(super) fn rank(sorted: &[f64], share: f64) -> Option<f64> {
    let at = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(at.saturating_sub(1)).copied()
}

/// The measurements, the least first.
pub(super) fn sorted(measured: &[f64]) -> Vec<f64> {
    let mut sorted = measured.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// To three places.
pub(super) fn round(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

/// What half, 99 and 99.9 % of a list of measurements do not exceed, in their own unit; zeros when
/// there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Ranks {
    pub(super) count: usize,
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
}

impl Ranks {
    pub(super) fn of(measured: &[f64]) -> Self {
        let sorted = sorted(measured);
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| rank(&sorted, share).unwrap_or(0.0));
        Self {
            count: sorted.len(),
            p50,
            p99,
            p999,
        }
    }

    pub(super) fn json(self) -> Value {
        match self.count {
            0 => Value::Null,
            count => json!({
                "measured": count, "p50": round(self.p50), "p99": round(self.p99),
                "p99.9": round(self.p999),
            }),
        }
    }
}

/// The summary of a list of measurements, in their own unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Summary {
    pub(super) count: usize,
    pub(super) p50: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

impl Summary {
    /// Summarises measurements by nearest rank; none when there are none.
    pub(super) fn of(measured: &[f64]) -> Option<Self> {
        let sorted = sorted(measured);
        let rank = |share: f64| rank(&sorted, share);
        Some(Self {
            count: sorted.len(),
            p50: rank(0.50)?,
            p95: rank(0.95)?,
            p99: rank(0.99)?,
            max: sorted.last().copied()?,
        })
    }

    pub(super) fn json(summary: Option<Self>) -> Value {
        let round = |value: f64| (value * 10.0).round() / 10.0;
        summary.map_or(Value::Null, |s| {
            json!({
                "count": s.count, "p50": round(s.p50), "p95": round(s.p95), "p99": round(s.p99),
                "max": round(s.max),
            })
        })
    }

    pub(super) fn line(name: &str, summary: Option<Self>) -> String {
        match summary {
            Some(s) => format!(
                "{name:22} p50 {:6.0} ms   p95 {:6.0} ms   max {:6.0} ms   ({} measured)",
                s.p50, s.p95, s.max, s.count
            ),
            None => format!("{name:22} nothing measured"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let measured: Vec<f64> = (1..=100).map(f64::from).collect();
        let summary = Summary::of(&measured).unwrap();
        assert_eq!(
            (summary.p50, summary.p95, summary.p99, summary.max),
            (50.0, 95.0, 99.0, 100.0)
        );
        assert_eq!(Summary::of(&[]), None);
        let ranks = Ranks::of(&measured);
        assert_eq!((ranks.p50, ranks.p99, ranks.p999), (50.0, 99.0, 100.0));
        assert_eq!(Ranks::of(&[]).json(), Value::Null);
    }
}
