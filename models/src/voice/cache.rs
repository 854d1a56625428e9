//! A map that forgets what has not been asked for lately.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// Values by key, bounded by their weight.
///
/// There are two generations: what is asked for moves to the young one, and when that holds half of
/// the allowed weight it becomes the old one and what was old is dropped. So nothing used within
/// the last half is ever lost, and every operation takes constant time.
#[derive(Debug)]
pub(super) struct Cache<K, V> {
    young: HashMap<K, (V, usize)>,
    old: HashMap<K, (V, usize)>,
    young_weight: usize,
    old_weight: usize,
    limit: usize,
}

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    /// Makes a cache for values that together weigh `limit` at most.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            young_weight: 0,
            old_weight: 0,
            limit,
        }
    }

    /// Looks a value up and keeps it for longer.
    pub(super) fn find<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if let Some((value, _)) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, (value, weight)) = self.old.remove_entry(key)?;
        self.old_weight = self.old_weight.saturating_sub(weight);
        self.insert(key, value.clone(), weight);
        Some(value)
    }

    /// Keeps a value; one heavier than half the limit is not kept.
    pub(super) fn insert(&mut self, key: K, value: V, weight: usize) {
        let half = self.limit / 2;
        if weight > half {
            return;
        }
        if self.young_weight + weight > half {
            self.old = std::mem::take(&mut self.young);
            self.old_weight = std::mem::take(&mut self.young_weight);
        }
        if let Some((_, before)) = self.old.remove(&key) {
            self.old_weight = self.old_weight.saturating_sub(before);
        }
        self.young_weight += weight;
        if let Some((_, before)) = self.young.insert(key, (value, weight)) {
            self.young_weight = self.young_weight.saturating_sub(before);
        }
    }

    /// The weight of all values kept.
    pub(super) fn weight(&self) -> usize {
        self.young_weight + self.old_weight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_asked_for_outlive_those_that_are_not() {
        let mut cache = Cache::new(8);
        cache.insert("kept", 0, 1);
        for (index, key) in ["a", "b", "c", "d", "e", "f", "g", "h", "i"]
            .into_iter()
            .enumerate()
        {
            cache.insert(key, index, 1);
            assert_eq!(cache.find("kept"), Some(0), "after {key}");
            assert!(cache.weight() <= 8);
        }
        assert_eq!(cache.find("a"), None);
        assert_eq!(cache.find("i"), Some(8));
    }

    #[test]
    fn what_is_too_heavy_is_not_kept() {
        let mut cache = Cache::new(8);
        cache.insert("light", 1, 2);
        cache.insert("heavy", 2, 5);
        assert_eq!(cache.find("heavy"), None);
        assert_eq!(cache.find("light"), Some(1));
    }

    #[test]
    fn a_value_that_is_replaced_is_weighed_once() {
        let mut cache = Cache::new(100);
        for _ in 0..10 {
            cache.insert("same", 1, 7);
        }
        assert_eq!(cache.weight(), 7);
    }
}
