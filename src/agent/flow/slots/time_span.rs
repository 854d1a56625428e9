//! Spans of time: "in three months", "two to three weeks", "as soon as possible".

use serde_json::json;

use super::date_words::month;
use super::number::{number_at, plain};
use super::words::{has, tokens};
use super::{Filled, Reading, SlotContext};

const SOON: [&str; 9] = [
    "as soon as possible",
    "asap",
    "right away",
    "immediately",
    "straight away",
    "now",
    "today",
    "soon",
    "urgent",
];

/// Reads a span from now; the value is `{min_days, max_days}`.
pub(super) fn read(said: &str, cx: &SlotContext<'_>) -> Reading {
    let words = tokens(said);
    let spans = spans(&words);
    match spans.as_slice() {
        [] => fixed(&words, cx),
        [(n, unit)] => {
            let open = [
                "within",
                "less than",
                "under",
                "up to",
                "no more than",
                "at most",
            ];
            let low = if open.iter().any(|p| has(&words, p)) {
                0.0
            } else {
                n * unit.days
            };
            let prefix = if low == 0.0 { "within " } else { "" };
            filled(low, n * unit.days, format!("{prefix}{}", unit.speak(*n)))
        }
        [(a, unit_a), (b, unit_b), ..] => {
            let spoken = if unit_a.name == unit_b.name {
                format!("{} to {}", plain(*a), unit_b.speak(*b))
            } else {
                format!("{} to {}", unit_a.speak(*a), unit_b.speak(*b))
            };
            filled(a * unit_a.days, b * unit_b.days, spoken)
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Unit {
    name: &'static str,
    days: f64,
}

impl Unit {
    fn speak(&self, n: f64) -> String {
        let plural = if n == 1.0 { "" } else { "s" };
        format!("{} {}{plural}", plain(n), self.name)
    }
}

fn unit(word: &str) -> Option<Unit> {
    let of = |name, days| Some(Unit { name, days });
    match word
        .trim_end_matches("'s")
        .trim_end_matches('s')
        .trim_end_matches('\'')
    {
        "day" => of("day", 1.0),
        "week" => of("week", 7.0),
        "month" => of("month", 30.0),
        "quarter" => of("quarter", 91.0),
        "year" => of("year", 365.0),
        _ => None,
    }
}

/// Finds every amount with its unit; an amount without one takes the next unit.
fn spans(words: &[String]) -> Vec<(f64, Unit)> {
    let mut out: Vec<(f64, Unit)> = Vec::new();
    let mut waiting: Option<f64> = None;
    let mut i = 0;
    while let Some(word) = words.get(i) {
        let (amount, taken) = amount_at(words, i);
        if let Some(n) = amount {
            i += taken;
            match words.get(i).and_then(|w| unit(w)) {
                Some(unit) => {
                    out.extend(waiting.take().map(|first| (first, unit)));
                    out.push((n, unit));
                    i += 1;
                }
                None => waiting = Some(n),
            }
            continue;
        }
        if let (Some(n), Some(unit)) = (waiting, unit(word)) {
            waiting = None;
            out.push((n, unit));
        }
        i += 1;
    }
    out.truncate(2);
    out
}

fn amount_at(words: &[String], at: usize) -> (Option<f64>, usize) {
    let next = words.get(at + 1).map(String::as_str);
    let after = words.get(at + 2).map(String::as_str);
    match (words.get(at).map(String::as_str), next, after) {
        (Some("a"), Some("couple"), Some("of")) => (Some(2.0), 3),
        (Some("a"), Some("couple"), _) => (Some(2.0), 2),
        (Some("couple"), Some("of"), _) => (Some(2.0), 2),
        (Some("a"), Some("few"), _) => (Some(3.0), 2),
        (Some("few" | "several"), _, _) => (Some(3.0), 1),
        (Some("half"), Some("a" | "an"), Some(w)) if unit(w).is_some() => (Some(0.5), 2),
        (Some("next" | "a" | "an" | "one"), Some(w), _) if unit(w).is_some() => (Some(1.0), 1),
        (Some("this"), Some(w), _) if unit(w).is_some() => (Some(0.5), 1),
        (Some(w), _, _) if w.contains('-') && w.starts_with(|c: char| c.is_ascii_digit()) => {
            // "2-3 weeks": the second figure carries the unit; the first is read apart.
            let high = w.split('-').next_back().and_then(|n| n.parse().ok());
            (high, 1)
        }
        _ => number_at(words, at).map_or((None, 1), |(n, taken)| (Some(n), taken)),
    }
}

fn fixed(words: &[String], cx: &SlotContext<'_>) -> Reading {
    if SOON.iter().any(|p| has(words, p)) {
        return filled(0.0, 7.0, "as soon as possible".to_owned());
    }
    if has(words, "end of the year") || has(words, "year end") || has(words, "end of year") {
        let days = cx.wall.days_in_year() - cx.wall.day_of_year();
        return filled(0.0, f64::from(days), "by the end of the year".to_owned());
    }
    let named = words
        .iter()
        .find_map(|w| month(w).filter(|_| w != "may" || words.len() < 4));
    if let Some((number, name)) = named {
        let ahead = (i32::from(number) - i32::from(cx.wall.month())).rem_euclid(12);
        let low = f64::from(ahead * 30 - 15).max(0.0);
        return filled(low, f64::from(ahead * 30 + 15), format!("around {name}"));
    }
    Reading::Nothing
}

fn filled(low: f64, high: f64, spoken: String) -> Reading {
    let (low, high) = (low.min(high), low.max(high));
    if high > 36_500.0 {
        return Reading::Nothing;
    }
    let value = json!({"min_days": low.round() as i64, "max_days": high.round() as i64});
    Reading::Filled(Filled::new(value, spoken))
}

#[cfg(test)]
mod tests {
    use super::super::SlotKind;
    use super::super::fixtures::read_at_ten;

    fn span(said: &str) -> Option<(i64, i64, String)> {
        let filled = read_at_ten(SlotKind::TimeSpan, said).filled()?;
        let days = |key: &str| filled.value[key].as_i64().unwrap();
        Some((days("min_days"), days("max_days"), filled.spoken.clone()))
    }

    #[test]
    fn spans_are_read_as_people_say_them() {
        let is = |low, high, spoken: &str| Some((low, high, spoken.to_owned()));
        assert_eq!(span("In three months."), is(90, 90, "3 months"));
        assert_eq!(span("two to three weeks"), is(14, 21, "2 to 3 weeks"));
        assert_eq!(span("within a year"), is(0, 365, "within 1 year"));
        assert_eq!(span("a couple of weeks"), is(14, 14, "2 weeks"));
        assert_eq!(
            span("six months to a year"),
            is(180, 365, "6 months to 1 year")
        );
        assert_eq!(
            span("As soon as possible!"),
            is(0, 7, "as soon as possible")
        );
        assert_eq!(span("next month"), is(30, 30, "1 month"));
        assert_eq!(
            span("by the end of the year"),
            is(0, 210, "by the end of the year")
        );
        assert_eq!(span("in September"), is(75, 105, "around September"));
        assert_eq!(span("no idea"), None);
    }
}
