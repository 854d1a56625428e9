//! The domain of a spoken e-mail address.

use super::email_spelling::Piece;

/// Well-known domains, and how recognisers write their first label.
pub(super) const KNOWN: [(&str, &[&str]); 16] = [
    (
        "gmail.com",
        &[
            "gmail", "gmale", "jimail", "jmail", "gemail", "geemail", "gmaile", "gmel", "g-mail",
            "jeemail", "chimail", "gymail",
        ],
    ),
    ("googlemail.com", &["googlemail"]),
    (
        "hotmail.com",
        &["hotmail", "hotmale", "hatmail", "hotmill", "htmail"],
    ),
    ("outlook.com", &["outlook", "outluck", "outloock"]),
    (
        "yahoo.com",
        &["yahoo", "yahu", "yahou", "yaho", "yahew", "yahoos"],
    ),
    (
        "icloud.com",
        &["icloud", "eyecloud", "aicloud", "icloude", "icleud"],
    ),
    ("aol.com", &["aol", "aoel", "aoll"]),
    ("proton.me", &["proton"]),
    ("protonmail.com", &["protonmail"]),
    ("live.com", &["live"]),
    ("msn.com", &["msn"]),
    ("comcast.net", &["comcast"]),
    ("verizon.net", &["verizon"]),
    ("me.com", &["me"]),
    ("mail.com", &["mail"]),
    ("example.com", &["example"]),
];
pub(super) const TLDS: [&str; 36] = [
    "com", "net", "org", "edu", "gov", "io", "ai", "co", "us", "uk", "ca", "de", "fr", "eu", "in",
    "au", "nz", "ie", "es", "it", "nl", "se", "no", "ch", "at", "be", "mx", "br", "biz", "info",
    "me", "dev", "app", "tech", "agency", "online",
];

/// Joins the pieces after "at" to a domain, up to its top level.
pub(super) fn domain(pieces: &[Piece]) -> Option<String> {
    let mut labels: Vec<String> = vec![String::new()];
    for (at, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Dot => {
                if labels.last().is_some_and(String::is_empty) {
                    return None;
                }
                labels.push(String::new());
            }
            Piece::Sign('-') => labels.last_mut()?.push('-'),
            Piece::Letters(text) | Piece::Word(text) => {
                let top = labels.len() > 1 && labels.last().is_some_and(String::is_empty);
                let spelled_top = matches!(piece, Piece::Letters(_)) && text.len() == 2;
                let known_top = top && top_level(text).is_some();
                if labels.len() == 1
                    && known_domain(labels.first()?).is_some()
                    && top_level(text).is_some()
                {
                    // "gmail com": the dot was not heard.
                    return known_domain(labels.first()?);
                }
                let text = if known_top {
                    top_level(text)?
                } else {
                    text.as_str()
                };
                labels.last_mut()?.push_str(text);
                let more = matches!(pieces.get(at + 1), Some(Piece::Dot));
                if top && (known_top || spelled_top) && !more {
                    break;
                }
                // What follows a well-known provider's bare name is no part of it.
                let stop = labels.len() == 1 && !more && known_exactly(labels.first()?);
                if stop
                    && !matches!(pieces.get(at + 1), Some(Piece::Word(w)) if w == "mail" || top_level(w).is_some())
                {
                    break;
                }
            }
            _ => break,
        }
    }
    finish_domain(labels)
}

fn finish_domain(mut labels: Vec<String>) -> Option<String> {
    if labels.last().is_some_and(String::is_empty) {
        labels.pop();
    }
    let first = labels.first()?.clone();
    if labels.len() == 1 {
        return known_exactly(&first)
            .then(|| known_domain(&first))
            .flatten();
    }
    let top = labels.last()?;
    let top_ok = (2..=12).contains(&top.len()) && top.chars().all(|c| c.is_ascii_alphabetic());
    let label_ok = |l: &String| {
        !l.is_empty()
            && l.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !l.starts_with('-')
    };
    if !top_ok || !labels.iter().all(label_ok) {
        return None;
    }
    if let (2, Some(known)) = (labels.len(), known_domain(&first))
        && (top == "com" || known.ends_with(top.as_str()))
        && known.split('.').next_back() == Some(top.as_str())
    {
        return Some(known);
    }
    Some(labels.join("."))
}

/// Returns a top-level domain for what was heard ("calm" → "com").
fn top_level(heard: &str) -> Option<&str> {
    match heard {
        "calm" | "kom" | "come" | "comm" | "con" | "common" | "coms" => Some("com"),
        "nat" | "nett" => Some("net"),
        "orc" | "orgs" => Some("org"),
        _ => TLDS.contains(&heard).then_some(heard),
    }
}

fn known_exactly(label: &str) -> bool {
    const BARE: [&str; 7] = [
        "gmail",
        "hotmail",
        "outlook",
        "yahoo",
        "icloud",
        "aol",
        "protonmail",
    ];
    known_domain(label).is_some_and(|d| BARE.iter().any(|b| d.starts_with(b)))
}

pub(super) fn known_domain(label: &str) -> Option<String> {
    let exact = KNOWN.iter().find(|(_, garbles)| garbles.contains(&label));
    let near = || {
        let close = |g: &str| g.len() >= 5 && strsim::damerau_levenshtein(g, label) <= 1;
        KNOWN
            .iter()
            .find(|(_, garbles)| garbles.first().is_some_and(|g| close(g) && *g != "example"))
    };
    exact.or_else(near).map(|(domain, _)| (*domain).to_owned())
}

pub(super) fn domain_only(pieces: &[Piece]) -> Option<String> {
    (0..pieces.len()).find_map(|at| {
        let start = matches!(pieces.get(at), Some(Piece::Letters(_) | Piece::Word(_)));
        let domain = start.then(|| domain(pieces.get(at..).unwrap_or_default()));
        let known = |d: &String| d.rsplit('.').next().is_some_and(|top| TLDS.contains(&top));
        domain.flatten().filter(known)
    })
}
