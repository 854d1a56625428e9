//! The search for the highest rate that holds: doubled until it does not, then halved between.

/// Rates closer than this share of the lower one are the same.
const CLOSE: f64 = 0.08;
/// The lowest rate that is tried, in calls a second.
const LEAST: f64 = 5.0;
/// Measurements at most, whatever they say.
const TRIES: u32 = 16;

/// A search for the highest rate that holds. A rate that does not is tried once more before it is
/// believed: what the machine does meanwhile is not the subject's doing.
#[derive(Debug)]
pub(super) struct Search {
    first: f64,
    most: f64,
    held: Option<f64>,
    failed: Option<f64>,
    /// What did not hold the first time.
    doubted: Option<f64>,
    tries: u32,
}

impl Search {
    /// Begins at a rate, and goes no higher than another.
    pub(super) fn new(first: f64, most: f64) -> Self {
        Self {
            first: first.min(most),
            most,
            held: None,
            failed: None,
            doubted: None,
            tries: 0,
        }
    }

    /// The rate to be tried now; none once it is found.
    pub(super) fn next(&self) -> Option<f64> {
        if self.tries >= TRIES {
            return None;
        }
        if self.doubted.is_some() {
            return self.doubted;
        }
        match (self.held, self.failed) {
            (None, None) => Some(self.first),
            (Some(held), None) if held >= self.most => None,
            (Some(held), None) => Some((held * 2.0).min(self.most)),
            (None, Some(failed)) => Some(failed / 2.0).filter(|rate| *rate >= LEAST),
            (Some(held), Some(failed)) if failed <= held * (1.0 + CLOSE) => None,
            (Some(held), Some(failed)) => Some(f64::midpoint(held, failed)),
        }
    }

    /// Takes what came of a rate.
    pub(super) fn tell(&mut self, rate: f64, held: bool) {
        self.tries += 1;
        if held {
            self.doubted = None;
            self.held = Some(rate);
        } else if self.doubted.take().is_none() {
            self.doubted = Some(rate);
        } else {
            self.failed = Some(rate);
        }
    }

    /// The highest rate that held.
    pub(super) fn found(&self) -> Option<f64> {
        self.held
    }

    /// Whether it held as far as it was to be tried: its end is not known.
    pub(super) fn is_open(&self) -> bool {
        self.failed.is_none() && self.held.is_some_and(|held| held >= self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches beside a subject that holds up to a rate; gives what was found, and the tries.
    fn search(first: f64, most: f64, limit: f64) -> (Search, Vec<f64>) {
        let mut search = Search::new(first, most);
        let mut tried = Vec::new();
        while let Some(rate) = search.next() {
            tried.push(rate);
            search.tell(rate, rate <= limit);
        }
        (search, tried)
    }

    #[test]
    fn it_doubles_until_it_fails_twice_and_then_halves_between() {
        let (search, tried) = search(200.0, 10_000.0, 1_230.0);
        assert_eq!(tried[..5], [200.0, 400.0, 800.0, 1_600.0, 1_600.0]);
        let found = search.found().unwrap();
        assert!(
            (1_230.0 / (1.0 + CLOSE)..=1_230.0).contains(&found),
            "{found}"
        );
        assert!(!search.is_open());
    }

    #[test]
    fn it_goes_down_where_the_first_rate_is_too_much() {
        let (search, tried) = search(200.0, 10_000.0, 60.0);
        assert_eq!(tried[..5], [200.0, 200.0, 100.0, 100.0, 50.0]);
        assert!((55.0..=60.0).contains(&search.found().unwrap()));
    }

    #[test]
    fn one_failure_that_does_not_come_again_is_the_machines() {
        let mut search = Search::new(100.0, 400.0);
        search.tell(100.0, true);
        search.tell(200.0, false);
        assert_eq!(search.next(), Some(200.0));
        search.tell(200.0, true);
        assert_eq!(search.next(), Some(400.0));
        search.tell(400.0, true);
        assert_eq!((search.next(), search.found()), (None, Some(400.0)));
        assert!(search.is_open(), "nobody knows where it ends");
    }

    #[test]
    fn what_never_holds_ends_the_search_with_nothing() {
        let (search, tried) = search(200.0, 10_000.0, 0.0);
        assert_eq!(search.found(), None);
        assert!(tried.len() <= TRIES as usize);
    }
}
