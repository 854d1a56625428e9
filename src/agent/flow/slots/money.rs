//! Sums of money and ranges of them.

use serde_json::json;

use super::number::{json_number, number_at, plain};
use super::words::{has, tokens};
use super::{Filled, Reading, SlotContext};
use crate::agent::Completeness;

struct Amount {
    value: f64,
    /// A thousand or more was named with it, so that nothing is to be added.
    scaled: bool,
    /// The places of its words: from the first to behind the last.
    from: usize,
    to: usize,
}

/// Reads a sum or a range; the value is `{min, max, currency}`, with `null` for an open end.
pub(super) fn read(said: &str, cx: &SlotContext<'_>) -> Reading {
    let words = money_words(said);
    let amounts = amounts(&words);
    let currency = currency(said, &words).unwrap_or(cx.currency);
    let (low, high) = match amounts.as_slice() {
        [] => return Reading::Nothing,
        [one] => {
            let only = Some(one.value);
            let at_least = [
                "at least",
                "more than",
                "over",
                "minimum",
                "upwards of",
                "above",
                "starting at",
            ];
            let at_most = [
                "up to",
                "under",
                "less than",
                "at most",
                "maximum",
                "max",
                "below",
                "no more than",
            ];
            if at_most.iter().any(|p| has(&words, p)) {
                (None, only)
            } else if at_least.iter().any(|p| has(&words, p)) {
                (only, None)
            } else {
                (only, only)
            }
        }
        [first, second, ..] if joined(&words, first, second) => range(&words, first, second),
        all => {
            let one = meant(&words, all);
            (Some(one), Some(one))
        }
    };
    let value = json!({
        "min": low.map(json_number), "max": high.map(json_number), "currency": currency,
    });
    Reading::Filled(Filled::new(value, speak(low, high, currency)))
}

pub(super) fn completeness(said: &str, cx: &SlotContext<'_>) -> Completeness {
    let words = money_words(said);
    let amounts = amounts(&words);
    let between = has(&words, "between") && amounts.len() == 1;
    match amounts.last() {
        _ if between => Completeness::Incomplete,
        // "four hundred fifty" may go on: "thousand".
        Some(last) if !last.scaled && last.value < 1_000.0 && currency(said, &words).is_none() => {
            Completeness::Partial
        }
        Some(_) if matches!(read(said, cx), Reading::Filled(_)) => Completeness::Complete,
        _ => Completeness::Open,
    }
}

/// Splits "300-400k" and "$300k" into words that the number reader takes.
fn money_words(said: &str) -> Vec<String> {
    let mut out = Vec::new();
    for word in tokens(said) {
        if word.starts_with(|c: char| c.is_ascii_digit() || "$€£".contains(c)) && word.contains('-')
        {
            for (at, part) in word.split('-').enumerate() {
                if at > 0 {
                    out.push("to".to_owned());
                }
                out.push(part.to_owned());
            }
        } else {
            out.push(word);
        }
    }
    out
}

fn amounts(words: &[String]) -> Vec<Amount> {
    let mut out = Vec::new();
    let mut i = 0;
    while i < words.len() && out.len() < 4 {
        match number_at(words, i) {
            Some((value, taken)) => {
                let used = words.get(i..i + taken).unwrap_or_default();
                let scaled = used.iter().any(|w| {
                    matches!(
                        w.as_str(),
                        "thousand" | "million" | "grand" | "k" | "mil" | "billion" | "m"
                    ) || (w.ends_with(['k', 'm'])
                        && w.starts_with(|c: char| c.is_ascii_digit() || "$€£".contains(c)))
                });
                out.push(Amount {
                    value,
                    scaled,
                    from: i,
                    to: i + taken,
                });
                i += taken.max(1);
            }
            None => i += 1,
        }
    }
    out
}

/// Says whether two amounts are the ends of one range: "three to four hundred thousand".
fn joined(words: &[String], first: &Amount, second: &Amount) -> bool {
    const JOINTS: [&str; 19] = [
        "to", "or", "and", "till", "until", "through", "up", "maybe", "about", "around", "at",
        "most", "a", "dollars", "bucks", "euros", "pounds", "perhaps", "say",
    ];
    let between = words.get(first.to..second.from).unwrap_or_default();
    let and = between.iter().any(|w| w == "and");
    let opened = has(words, "between") || has(words, "from") || has(words, "somewhere");
    between.iter().all(|w| JOINTS.contains(&w.as_str()))
        && (!and || opened || first.value < second.value)
}

/// Picks the amount that is meant among several that are no range: the one after a correction
/// ("400, no, 450 thousand"), or the largest ("a place with two bedrooms for 400 thousand").
fn meant(words: &[String], amounts: &[Amount]) -> f64 {
    let corrected = |a: &&Amount| {
        let before = a.from.checked_sub(1).and_then(|at| words.get(at));
        before
            .is_some_and(|w| matches!(w.as_str(), "no" | "sorry" | "actually" | "rather" | "mean"))
    };
    let largest = || amounts.iter().map(|a| a.value).fold(0.0, f64::max);
    amounts
        .iter()
        .rev()
        .find(corrected)
        .map_or_else(largest, |a| a.value)
}

/// Orders a range. What multiplies the second figure counts for the first as well, if that was
/// said bare: "three to four hundred thousand", "300 to 400 thousand", "eight to twelve hundred".
fn range(words: &[String], first: &Amount, second: &Amount) -> (Option<f64>, Option<f64>) {
    /// The multipliers that are spoken: million, hundred thousand, thousand, hundred.
    const SPOKEN: [f64; 5] = [1e8, 1e6, 1e5, 1e3, 1e2];
    let (mut low, mut high) = (first.value, second.value);
    let priced = words
        .get(first.from)
        .is_some_and(|w| w.starts_with(['$', '€', '£']));
    if !first.scaled && low > 0.0 && low < 1_000.0 && !(priced && high < 1_000.0) {
        let fits = |by: &&f64| **by <= high && low * **by < high;
        low *= SPOKEN.iter().find(fits).copied().unwrap_or(1.0);
    } else if first.scaled && !second.scaled && high > 0.0 && high < 1_000.0 {
        // "from two thousand to three".
        let fits = |by: &&f64| high * **by > low;
        high *= SPOKEN.iter().rev().find(fits).copied().unwrap_or(1.0);
    }
    (Some(low.min(high)), Some(low.max(high)))
}

fn currency(said: &str, words: &[String]) -> Option<&'static str> {
    let any = |list: &[&str]| words.iter().any(|w| list.contains(&w.as_str()));
    if said.contains('$') || any(&["dollar", "dollars", "bucks", "usd"]) {
        Some("USD")
    } else if said.contains('€') || any(&["euro", "euros", "eur"]) {
        Some("EUR")
    } else if said.contains('£') || any(&["pound", "pounds", "quid", "gbp"]) {
        Some("GBP")
    } else {
        None
    }
}

fn speak(low: Option<f64>, high: Option<f64>, currency: &str) -> String {
    let unit = match currency {
        "USD" => "dollars",
        "EUR" => "euros",
        "GBP" => "pounds",
        other => other,
    };
    match (low, high) {
        (Some(low), Some(high)) if low == high => format!("{} {unit}", amount(low)),
        (Some(low), Some(high)) => format!("{} to {} {unit}", amount(low), amount(high)),
        (Some(low), None) => format!("at least {} {unit}", amount(low)),
        (None, Some(high)) => format!("up to {} {unit}", amount(high)),
        (None, None) => String::new(),
    }
}

fn amount(n: f64) -> String {
    match n {
        n if n >= 1e6 && n % 1e4 == 0.0 => format!("{} million", plain(n / 1e6)),
        n if n >= 1e3 && n % 1e3 == 0.0 => format!("{} thousand", plain(n / 1e3)),
        n => plain(n),
    }
}

#[cfg(test)]
mod tests {
    use super::super::SlotKind;
    use super::super::fixtures::{read_at_ten, with_context};
    use super::*;

    fn sum(said: &str) -> Option<(Option<f64>, Option<f64>)> {
        let value = read_at_ten(SlotKind::Money, said).filled()?.value;
        Some((value["min"].as_f64(), value["max"].as_f64()))
    }

    #[test]
    fn sums_and_ranges_are_read() {
        let exactly = |n: f64| Some((Some(n), Some(n)));
        let between = |a: f64, b: f64| Some((Some(a), Some(b)));
        assert_eq!(sum("four hundred fifty thousand"), exactly(450_000.0));
        assert_eq!(sum("$450,000."), exactly(450_000.0));
        assert_eq!(sum("about $1.2 million"), exactly(1_200_000.0));
        assert_eq!(sum("one point two million dollars"), exactly(1_200_000.0));
        assert_eq!(sum("half a million"), exactly(500_000.0));
        assert_eq!(sum("between 300k and 400k"), between(300_000.0, 400_000.0));
        assert_eq!(sum("300 to 400 thousand"), between(300_000.0, 400_000.0));
        assert_eq!(sum("$300-400k"), between(300_000.0, 400_000.0));
        assert_eq!(
            sum("between eight hundred thousand and a million"),
            between(800_000.0, 1_000_000.0)
        );
        for said in [
            "three to four hundred thousand",
            "between three hundred and four hundred thousand",
            "between three and four hundred thousand dollars",
            "three hundred to four hundred thousand",
            "three or four hundred thousand",
            "anywhere from three hundred thousand to four hundred thousand",
            "$300,000 to $400,000",
            "$3 to $400,000",
            "three, four hundred thousand",
        ] {
            assert_eq!(sum(said), between(300_000.0, 400_000.0), "{said}");
        }
        assert_eq!(
            sum("fifty to four hundred thousand"),
            between(50_000.0, 400_000.0)
        );
        assert_eq!(sum("one to two million"), between(1_000_000.0, 2_000_000.0));
        assert_eq!(
            sum("one and a half to two million"),
            between(1_500_000.0, 2_000_000.0)
        );
        assert_eq!(sum("800 to a million"), between(800_000.0, 1_000_000.0));
        assert_eq!(sum("eight to twelve hundred"), between(800.0, 1_200.0));
        assert_eq!(sum("two or three hundred bucks"), between(200.0, 300.0));
        assert_eq!(sum("from two thousand to three"), between(2_000.0, 3_000.0));
        assert_eq!(sum("$5 to $100"), between(5.0, 100.0));
        assert_eq!(sum("2 bedrooms for 400 thousand"), exactly(400_000.0));
        assert_eq!(sum("400, no, 450 thousand"), exactly(450_000.0));
        assert_eq!(sum("up to 500k"), Some((None, Some(500_000.0))));
        assert_eq!(sum("at least two million"), Some((Some(2_000_000.0), None)));
        assert_eq!(sum("I don't know yet"), None);
    }

    #[test]
    fn the_spoken_form_is_short() {
        let spoken = |said| read_at_ten(SlotKind::Money, said).filled().unwrap().spoken;
        assert_eq!(spoken("$450,000"), "450 thousand dollars");
        assert_eq!(
            spoken("between 300k and 1.2 million euros"),
            "300 thousand to 1.2 million euros"
        );
    }

    #[test]
    fn half_a_range_is_incomplete() {
        with_context(|cx| {
            assert_eq!(completeness("between 300k", cx), Completeness::Incomplete);
            assert_eq!(
                completeness("four hundred fifty", cx),
                Completeness::Partial
            );
            assert_eq!(completeness("450 thousand", cx), Completeness::Complete);
        });
    }
}
