//! Which known key was probably meant.

use std::collections::BTreeSet;

use super::error::Problem;
use super::reader::{Key, Unknown};

/// How alike two names must be for one to be taken for a slip of the other, from 0 to 1.
const LIKENESS: f64 = 0.6;

/// Returns the candidate that is most like `name`, however unlike it is.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let scored = candidates
        .into_iter()
        .map(|candidate| (likeness(name, candidate), candidate));
    scored
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

fn likeness(name: &str, candidate: &str) -> f64 {
    // What was typed is bounded before the quadratic comparison sees it.
    let name: String = name.chars().take(64).collect::<String>().to_lowercase();
    let plain = strsim::normalized_damerau_levenshtein(&name, candidate);
    if name.replace('-', "_") == candidate {
        1.0
    } else {
        plain
    }
}

/// Says what is wrong with an unknown key and which known one is nearest.
pub(super) fn problem_of(unknown: Unknown, schema: &BTreeSet<Key>) -> Problem {
    let Unknown {
        origin,
        section,
        key,
        known,
    } = unknown;
    let full = if section.is_empty() {
        key.clone()
    } else {
        format!("{section}.{key}")
    };
    let here = nearest(&key, known.iter().copied());
    let like = |candidate: &str| likeness(&key, candidate) >= LIKENESS;
    let elsewhere = schema.iter().find(|known| {
        let (parent, leaf) = known.path.rsplit_once('.').unwrap_or(("", &known.path));
        leaf == key && parent != section
    });
    let whole = |leaf: &str| match section.as_str() {
        "" => leaf.to_owned(),
        section => format!("{section}.{leaf}"),
    };
    let message = match (here, elsewhere) {
        (Some(near), _) if like(near) => {
            format!("unknown key; the nearest known one is \"{}\"", whole(near))
        }
        (_, Some(other)) => {
            format!(
                "unknown key here; the nearest known one is \"{}\"",
                other.path
            )
        }
        (Some(near), None) => format!(
            "unknown key; the nearest known one is \"{}\" (here are: {})",
            whole(near),
            known.join(", ")
        ),
        (None, None) => "unknown key; nothing is known here".to_owned(),
    };
    Problem {
        origin,
        key: full,
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_wins() {
        let keys = ["listen", "public_address", "local_networks"];
        assert_eq!(nearest("lisen", keys), Some("listen"));
        assert_eq!(nearest("Public-Address", keys), Some("public_address"));
        assert_eq!(nearest("x", []), None);
    }
}
