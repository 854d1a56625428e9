//! Phrases that were said before, as sound.

use std::sync::{Arc, Mutex, PoisonError};

use super::cache::Cache;

/// Keeps the sound of phrases, bounded in bytes, so that what is said again needs no synthesis.
///
/// One serves all calls: it may be shared between threads. Greetings, prompts and re-asks are said
/// thousands of times; a hit costs a look-up and hands out shared samples without copying them.
///
/// Keys are the text and whatever else changes its sound, such as the voice: [`PhraseCache::key`].
#[derive(Debug)]
pub struct PhraseCache {
    cache: Mutex<Cache<Arc<str>, Arc<[i16]>>>,
}

impl PhraseCache {
    /// Makes a cache that holds `limit` bytes of sound at most.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            cache: Mutex::new(Cache::new(limit)),
        }
    }

    /// Makes the key of a text said by a voice.
    #[must_use]
    pub fn key(voice: &str, text: &str) -> String {
        format!("{voice}\n{}", text.trim())
    }

    /// Looks up a phrase's samples.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<Arc<[i16]>> {
        self.cache
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .find(key)
    }

    /// Keeps a phrase's samples; a phrase larger than half the limit is not kept.
    pub fn insert(&self, key: &str, samples: Arc<[i16]>) {
        let bytes = samples.len() * size_of::<i16>() + key.len();
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.insert(Arc::from(key), samples, bytes);
    }

    /// Returns how many bytes the phrases take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.cache
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .weight()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phrase_said_before_is_found_for_its_voice_only() {
        let cache = PhraseCache::new(10_000);
        let key = PhraseCache::key("joe", " Hello. ");
        cache.insert(&key, vec![1, 2, 3].into());
        assert_eq!(
            cache.find(&PhraseCache::key("joe", "Hello.")).as_deref(),
            Some(&[1, 2, 3][..])
        );
        assert_eq!(cache.find(&PhraseCache::key("amy", "Hello.")), None);
    }

    #[test]
    fn phrases_never_take_more_than_the_limit() {
        let cache = PhraseCache::new(10_000);
        for index in 0..1_000 {
            cache.insert(
                &PhraseCache::key("joe", &index.to_string()),
                vec![0; 500].into(),
            );
            assert!(cache.bytes() <= 10_000);
        }
        assert!(cache.find(&PhraseCache::key("joe", "999")).is_some());
        assert!(cache.find(&PhraseCache::key("joe", "0")).is_none());
    }
}
