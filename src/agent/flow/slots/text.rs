//! Anything the caller says.

use super::words::tokens;
use super::{Filled, Reading};

const FILLERS: [&str; 14] = [
    "um", "uh", "well", "so", "hm", "hmm", "er", "erm", "oh", "ah", "yeah", "okay", "like", "mm",
];

/// Reads free text: all of it, without the fillers at its start.
pub(super) fn read(said: &str) -> Reading {
    let words = tokens(said);
    if words.iter().all(|w| FILLERS.contains(&w.as_str())) {
        return Reading::Nothing;
    }
    let mut kept = said.trim();
    while let Some((first, rest)) = kept.split_once(char::is_whitespace) {
        let bare: String = first.chars().filter(|c| c.is_alphanumeric()).collect();
        if !FILLERS.contains(&bare.to_lowercase().as_str()) {
            break;
        }
        kept = rest.trim_start();
    }
    let mut text: String = kept.chars().take(2_000).collect();
    if let Some(first) = text.get(..1).map(str::to_uppercase) {
        text.replace_range(..1, &first);
    }
    Reading::Filled(Filled::new(text.clone(), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fillers_are_not_an_answer() {
        assert_eq!(read("Um, well..."), Reading::Nothing);
        let filled = read("Um, so I need a new roof.").filled().unwrap();
        assert_eq!(filled.value, "I need a new roof.");
    }
}
