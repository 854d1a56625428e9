//! The nearest valid name, for errors that say how to mend themselves.

/// Returns the valid name that is nearest to a wrong one, if any is near.
pub fn nearest<'n>(wrong: &str, valid: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let wrong = wrong.to_lowercase();
    valid
        .into_iter()
        .map(|name| (nearness(&wrong, &name.to_lowercase()), name))
        .filter(|(score, _)| *score >= 0.72)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// Grades two names from 0 to 1. One slip of the fingers ("aks") is near however short the name,
/// which Jaro and Winkler's measure does not see.
fn nearness(wrong: &str, name: &str) -> f64 {
    let slip = name.len() > 2 && strsim::damerau_levenshtein(wrong, name) == 1;
    strsim::jaro_winkler(wrong, name).max(if slip { 0.9 } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slip_is_near_and_another_word_is_not() {
        let types = ["say", "ask", "branch", "http", "book", "llm", "end"];
        for (wrong, want) in [
            ("aks", "ask"),
            ("ned", "end"),
            ("sya", "say"),
            ("branhc", "branch"),
        ] {
            assert_eq!(nearest(wrong, types), Some(want), "{wrong}");
        }
        assert_eq!(nearest("weather", types), None);
    }
}
