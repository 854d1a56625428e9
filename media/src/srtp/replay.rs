//! Which packets came before (RFC 3711 §3.3.2).

/// Packets behind the newest that are told apart from those that came before: 2.56 s of sound,
/// where the RFC asks for 64.
const WINDOW: u64 = u128::BITS as u64;
/// Sources that are told apart under one key. The one that was silent longest makes room for one
/// more.
const MAX_SOURCES: usize = 16;

/// Which indices of one source came.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    highest: u64,
    /// The newest lowest.
    seen: u128,
}

impl Window {
    /// A window in which nothing before an index is new.
    pub(super) fn before(index: u64) -> Self {
        match index.checked_sub(1) {
            Some(highest) => Self {
                highest,
                seen: u128::MAX,
            },
            None => Self::default(),
        }
    }

    pub(super) fn highest(&self) -> u64 {
        self.highest
    }

    /// Whether the index is new; what is older than the window counts as seen.
    pub(super) fn admits(&self, index: u64) -> bool {
        match self.highest.checked_sub(index) {
            None => true,
            Some(behind) => behind < WINDOW && self.seen >> behind & 1 == 0,
        }
    }

    pub(super) fn mark(&mut self, index: u64) {
        match self.highest.checked_sub(index) {
            None => {
                let ahead = index - self.highest;
                self.seen = u32::try_from(ahead)
                    .ok()
                    .and_then(|ahead| self.seen.checked_shl(ahead))
                    .unwrap_or(0)
                    | 1;
                self.highest = index;
            }
            Some(behind) if behind < WINDOW => self.seen |= 1 << behind,
            Some(_) => {}
        }
    }
}

/// The sources that were heard under one key, the last one heard first.
#[derive(Debug, Default)]
pub(super) struct Sources {
    known: [(u32, Window); MAX_SOURCES],
    len: usize,
}

impl Sources {
    /// Tells what came from a source; nothing changes by it, since anybody may name one.
    pub(super) fn find(&self, ssrc: u32) -> Option<&Window> {
        let mut known = self.known.get(..self.len)?.iter();
        known
            .find(|(known, _)| *known == ssrc)
            .map(|(_, window)| window)
    }

    /// Takes note of a source's authentic packet.
    pub(super) fn mark(&mut self, ssrc: u32, index: u64) {
        let known = self.known.get_mut(..self.len).unwrap_or_default();
        let Some(at) = known.iter().position(|(known, _)| *known == ssrc) else {
            return self.insert(ssrc, index);
        };
        if let Some(known) = known.get_mut(..=at) {
            known.rotate_right(1);
        }
        if let Some((_, window)) = known.first_mut() {
            window.mark(index);
        }
    }

    /// Starts with the first packet of a source.
    fn insert(&mut self, ssrc: u32, index: u64) {
        self.len = (self.len + 1).min(MAX_SOURCES);
        self.known.rotate_right(1);
        if let Some(first) = self.known.first_mut() {
            let window = Window {
                highest: index,
                seen: 1,
            };
            *first = (ssrc, window);
        }
    }

    /// The source that was heard last, and its highest index.
    pub(super) fn latest(&self) -> Option<(u32, u64)> {
        let known = self.known.get(..self.len)?;
        known.first().map(|(ssrc, window)| (*ssrc, window.highest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_index_is_admitted_once_in_whatever_order() {
        let mut window = Window::default();
        window.mark(0);
        for index in [5, 3, 127, 4, 130, 64] {
            assert!(window.admits(index), "{index}");
            window.mark(index);
            assert!(!window.admits(index), "{index}");
        }
        assert!(!window.admits(2), "too old to tell");
        window.mark(1 << 47);
        assert!(window.admits((1 << 47) - 127) && !window.admits((1 << 47) - 128));
    }

    #[test]
    fn a_source_makes_room_only_for_more_than_fit() {
        let mut sources = Sources::default();
        for ssrc in 0..MAX_SOURCES as u32 {
            sources.mark(ssrc, 9);
        }
        assert_eq!(sources.find(0).map(Window::highest), Some(9));
        assert_eq!(
            sources.latest(),
            Some((15, 9)),
            "to name one changes nothing"
        );
        sources.mark(0, 10);
        sources.mark(99, 1);
        assert!(sources.find(0).is_some() && sources.find(1).is_none());
        assert_eq!(sources.latest(), Some((99, 1)));
    }
}
