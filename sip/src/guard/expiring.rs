//! A bounded table whose entries end by themselves; when it is full, the one that ends first goes.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Instant;

#[derive(Clone, Debug)]
pub(super) struct Expiring<K, V> {
    of: HashMap<K, (Instant, V)>,
    order: BTreeSet<(Instant, K)>,
    limit: usize,
}

impl<K: Copy + Eq + Hash + Ord, V: Copy> Expiring<K, V> {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            of: HashMap::new(),
            order: BTreeSet::new(),
            limit: limit.max(1),
        }
    }

    /// Returns an entry with its end, which may have passed.
    pub(super) fn get(&self, key: &K) -> Option<(Instant, V)> {
        self.of.get(key).copied()
    }

    /// Sets an entry and its end.
    pub(super) fn set(&mut self, key: K, until: Instant, value: V) {
        match self.of.insert(key, (until, value)) {
            Some((before, _)) => {
                self.order.remove(&(before, key));
            }
            None if self.of.len() > self.limit => {
                if let Some((_, first)) = self.order.pop_first() {
                    self.of.remove(&first);
                }
            }
            None => {}
        }
        self.order.insert((until, key));
    }

    pub(super) fn remove(&mut self, key: &K) {
        if let Some((until, _)) = self.of.remove(key) {
            self.order.remove(&(until, *key));
        }
    }

    /// Returns the entries that have not ended, the last to end first.
    pub(super) fn lasting(&self, now: Instant) -> impl Iterator<Item = (K, Instant, V)> + '_ {
        let order = self.order.iter().rev();
        order
            .take_while(move |(until, _)| *until > now)
            .filter_map(|&(until, key)| Some((key, until, self.get(&key)?.1)))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        debug_assert_eq!(self.of.len(), self.order.len());
        self.of.len()
    }
}
