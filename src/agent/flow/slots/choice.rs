//! One of a list.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::words::{has, similar, tokens};
use super::{Filled, Reading};

/// States one of a question's possible answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The value that is stored.
    pub value: String,
    /// Other words for it.
    #[serde(default)]
    pub synonyms: Vec<String>,
}

impl Choice {
    pub(super) fn filled(&self) -> Filled {
        Filled::new(self.value.clone(), self.value.replace(['_', '-'], " "))
    }

    fn phrases(&self) -> impl Iterator<Item = Vec<String>> {
        let own = self.value.replace(['_', '-'], " ");
        std::iter::once(own)
            .chain(self.synonyms.iter().cloned())
            .map(|p| tokens(&p))
    }

    /// Returns how many words of the answer match the best phrase; 0 for none.
    fn score(&self, words: &[String]) -> usize {
        let matches = |phrase: &Vec<String>| {
            !phrase.is_empty() && phrase.iter().all(|p| words.iter().any(|w| similar(w, p)))
        };
        self.phrases()
            .filter(matches)
            .map(|p| p.len())
            .max()
            .unwrap_or(0)
    }
}

/// Reads a choice: the one with the longest matching phrase, if it is the only one.
pub(super) fn read(said: &str, choices: &[Choice]) -> Reading {
    let words = tokens(said);
    let scores: Vec<usize> = choices.iter().map(|c| c.score(&words)).collect();
    let best = scores.iter().copied().max().unwrap_or(0);
    let winners: Vec<&Choice> = choices
        .iter()
        .zip(&scores)
        .filter(|(_, s)| **s == best)
        .map(|(c, _)| c)
        .collect();
    if let (true, [only]) = (best > 0, winners.as_slice()) {
        return Reading::Filled(only.filled());
    }
    const PLACES: [(&str, usize); 8] = [
        ("first", 0),
        ("second", 1),
        ("third", 2),
        ("fourth", 3),
        ("option one", 0),
        ("option two", 1),
        ("option three", 2),
        ("number one", 0),
    ];
    let place = PLACES
        .iter()
        .find(|(word, _)| has(&words, word))
        .map(|(_, place)| *place);
    let last =
        (has(&words, "the last") || has(&words, "latter")).then(|| choices.len().saturating_sub(1));
    match place.or(last).and_then(|at| choices.get(at)) {
        Some(choice) if best == 0 => Reading::Filled(choice.filled()),
        _ => Reading::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choices() -> Vec<Choice> {
        let choice = |value: &str, synonyms: &[&str]| Choice {
            value: value.into(),
            synonyms: synonyms.iter().map(|s| (*s).into()).collect(),
        };
        vec![
            choice("billing", &["invoice", "bill", "charge", "payment"]),
            choice("technical", &["not working", "broken", "error", "bug"]),
            choice("something_else", &["other"]),
        ]
    }

    fn value(said: &str) -> Option<String> {
        let filled = read(said, &choices()).filled()?;
        filled.value.as_str().map(str::to_owned)
    }

    #[test]
    fn synonyms_slips_and_places_are_understood() {
        assert_eq!(
            value("I have a question about my invoice").as_deref(),
            Some("billing")
        );
        assert_eq!(value("It's not working.").as_deref(), Some("technical"));
        assert_eq!(value("technicle").as_deref(), Some("technical"));
        assert_eq!(value("the second one").as_deref(), Some("technical"));
        assert_eq!(value("something else").as_deref(), Some("something_else"));
    }

    #[test]
    fn two_choices_at_once_are_no_choice() {
        assert_eq!(value("billing or technical"), None);
        assert_eq!(value("pizza"), None);
    }
}
