//! URI comparison (RFC 3261 §19.1.4).

use super::escape::{same_name, same_text};
use super::{Scheme, Uri};

/// Parameters that make two URIs differ when only one of them has it.
const DECISIVE: [&str; 4] = ["user", "ttl", "method", "maddr"];

impl Uri<'_> {
    /// Compares by the rules of RFC 3261 §19.1.4.
    ///
    /// The relation is not transitive (a parameter that only one URI has is ignored), which is
    /// why it is no `==`; that compares the texts.
    pub fn equivalent(&self, other: &Uri<'_>) -> bool {
        if !self.is_sip() || !other.is_sip() {
            return self.equivalent_opaque(other);
        }
        self.scheme == other.scheme
            && same_optional(self.user, other.user)
            && same_optional(self.password, other.password)
            && self.host == other.host
            && self.port == other.port
            && self.params_agree(other)
            && other.params_agree(self)
            && self.headers_within(other)
            && other.headers_within(self)
    }

    fn equivalent_opaque(&self, other: &Uri<'_>) -> bool {
        let same_scheme = self
            .scheme
            .as_str()
            .eq_ignore_ascii_case(other.scheme.as_str());
        let (a, b) = (
            self.user.unwrap_or_default(),
            other.user.unwrap_or_default(),
        );
        if self.scheme != Scheme::Tel {
            return same_scheme && a == b;
        }
        let digits = |text: &str| -> Vec<u8> {
            text.bytes()
                .filter(|b| !b"-.()".contains(b))
                .map(|b| b.to_ascii_lowercase())
                .collect()
        };
        same_scheme
            && digits(a) == digits(b)
            && self.params_agree(other)
            && other.params_agree(self)
    }

    /// Says whether each parameter of this URI is in the other with an equal value, or absent
    /// there and of no weight.
    fn params_agree(&self, other: &Uri<'_>) -> bool {
        self.params().all(|(name, value)| {
            match other.params().find(|(key, _)| same_text(key, name, true)) {
                Some((_, theirs)) => {
                    same_text(value.unwrap_or_default(), theirs.unwrap_or_default(), true)
                }
                None => {
                    !DECISIVE.iter().any(|decisive| same_name(name, decisive))
                        && !same_name(name, "transport")
                }
            }
        })
    }

    /// Says whether each header of this URI stands in the other: they are never ignored.
    fn headers_within(&self, other: &Uri<'_>) -> bool {
        self.headers().count() == other.headers().count()
            && self.headers().all(|(name, value)| {
                other.headers().any(|(key, theirs)| {
                    same_text(key, name, true)
                        && same_text(value.unwrap_or_default(), theirs.unwrap_or_default(), false)
                })
            })
    }
}

fn same_optional(a: Option<&str>, b: Option<&str>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => same_text(a, b, false),
        (None, None) => true,
        _ => false,
    }
}
