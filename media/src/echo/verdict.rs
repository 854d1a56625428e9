//! Whether a frame is our echo.

use super::filter::{Held, PathFilter, energy_of};
use super::high::HighBand;
use super::reference::Piece;
use super::search::Search;
use super::{LAGS, QUIET};

/// A correlation that needs no second look.
const CERTAIN: f32 = 0.9;
/// A correlation that makes an echo when it stays at one delay.
const LIKELY: f32 = 0.55;
/// Frames in a row that it must stay there.
const STEADY: u32 = 3;
/// Frames in which a filter must prove itself …
const TRIALS: u32 = 12;
/// … by leaving no more of them unexplained in the mean …
const PROVEN: f32 = 0.6;
/// … and what it may leave of a frame that is silenced before.
const SUSPECT: f32 = 0.6;
/// A frame proves nothing of which so little is expected, and that is so faint.
const BARELY: f32 = 0.02;
const FAINT: f32 = 1e5;
/// Suspicions without proof that count.
const MOST_DOUBT: u32 = 4;
/// Frames of ours without an echo after which none is expected any more: an echo is there from the
/// first word on, within the longest delay and the time to find it. What resembles what we said from
/// then on is most likely a caller with such a voice.
const CLEAR: u32 = 50;
/// How far an echo's delay may seem to wander from frame to frame: 1 ms.
const WANDER: usize = 2;
/// Frames in a row that are not explained after which the delays are searched again.
const PUZZLED: u32 = 6;
/// An echo is gone that is expected to be so many times as loud as all that is heard …
const ABSENT: f32 = 4.0;
/// … in so many frames.
const GONE: u32 = 25;
/// What of a frame's energy an echo leaves unexplained at most.
const UNEXPLAINED: f32 = 0.35;
/// … or how many times as much as the filter's error usually leaves.
const EXCUSE: f32 = 2.0;
/// … and never more than this: a filter that expects far too much knows nothing.
const WILD: f32 = 1.5;

/// A frame that is judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard<'a> {
    pub(super) low: &'a [f32],
    /// Its energy, and that of what is above the comparison's band.
    pub(super) energy: f32,
    pub(super) high: f32,
}

impl<'a> Heard<'a> {
    #[inline(always)]
    pub(super) fn new(low: &'a [f32], high: &[f32]) -> Self {
        Self {
            low,
            energy: energy_of(low),
            high: high.iter().sum(),
        }
    }

    /// Whether there is nothing in it to compare.
    pub(super) fn is_quiet(&self) -> bool {
        self.energy < QUIET * self.low.len().max(1) as f32
    }
}

/// What is known of the echo.
#[derive(Debug)]
pub(super) struct Verdict {
    /// The delay at which an echo was found.
    known: Option<usize>,
    filter: PathFilter,
    high: HighBand,
    /// The likeliest delay, and for how many frames it has been that.
    candidate: usize,
    steady: u32,
    /// Frames in a row that were not explained, and those in which the echo was missed.
    other: u32,
    absent: u32,
    /// Frames by which the filter was tried, and what they left unexplained.
    trials: u32,
    unexplained: f32,
    /// How many suspicions lately came to nothing.
    doubt: u32,
    /// Frames of ours in which no echo was found, since there was one.
    clear: u32,
}

impl Verdict {
    pub(super) fn new() -> Self {
        Self {
            known: None,
            filter: PathFilter::new(),
            high: HighBand::default(),
            candidate: 0,
            steady: 0,
            other: 0,
            absent: 0,
            trials: 0,
            unexplained: 0.0,
            doubt: 0,
            clear: 0,
        }
    }

    /// Goes on where every delay is longer by so much.
    pub(super) fn shift(&mut self, by: i64) {
        if by == 0 {
            return;
        }
        if let Some(delay) = &mut self.known {
            *delay = delay.saturating_add_signed(by as isize).min(LAGS - 1);
        }
        self.filter.shift(by, LAGS);
    }

    /// Tells whether a frame is our echo; `sent` is what may have come back in it, from the longest
    /// delay on.
    #[inline(always)]
    pub(super) fn judge(&mut self, search: &Search, heard: &Heard<'_>, sent: &Piece<'_>) -> bool {
        let Some(delay) = self.known else {
            return self.find(search, heard, sent);
        };
        let held = self.filter.step(heard.low, sent.low(), LAGS);
        let samples = heard.low.len();
        self.high
            .sent(sent.high(LAGS - 1 - delay, samples), self.filter.tail);
        let usual = held.rest <= EXCUSE * held.excused || heard.energy <= held.loudest;
        let explained =
            held.rest <= UNEXPLAINED * heard.energy || (usual && held.rest <= WILD * heard.energy);
        if self.filter.young {
            let echo = self.suspect(search, sent, delay, &held, heard.energy);
            if held.rest <= UNEXPLAINED * heard.energy {
                self.high.confirm(heard.high, samples);
            }
            return echo;
        }
        let exceeds = self.high.exceeds(heard.high, samples);
        if held.rest <= UNEXPLAINED * heard.energy {
            self.high.confirm(heard.high, samples);
        }
        if explained && !exceeds {
            self.filter.confirm(&held);
            (self.other, self.absent) = (0, 0);
            return true;
        }
        self.reconsider(search, sent, &held, heard.energy);
        false
    }

    /// Whether the delays must be searched: none is known for sure, or what is known does not
    /// explain what is heard.
    pub(super) fn wants_search(&self) -> bool {
        self.known.is_none() || self.filter.young || self.other >= PUZZLED
    }

    /// Asks whether the echo is gone, or comes another way.
    #[inline(always)]
    fn reconsider(&mut self, search: &Search, sent: &Piece<'_>, held: &Held, energy: f32) {
        if held.expected > ABSENT * energy {
            self.absent += 1;
            if self.absent >= GONE {
                self.forget();
            }
            return;
        }
        self.other += 1;
        if self.other < 2 * PUZZLED {
            return;
        }
        let (strength, delay) = self.look(search, sent);
        let same = self
            .known
            .is_some_and(|known| known.abs_diff(delay) <= WANDER);
        // Echo and caller together resemble the echo as well.
        if strength >= CERTAIN || (!same && self.steady >= STEADY + 2 * self.doubt) {
            self.begin(search, sent, delay);
        }
    }

    fn forget(&mut self) {
        self.known = None;
        (self.steady, self.other, self.absent) = (0, 0, 0);
    }

    /// Judges by a filter that has yet to prove that there is an echo.
    #[inline(always)]
    fn suspect(
        &mut self,
        search: &Search,
        sent: &Piece<'_>,
        delay: usize,
        held: &Held,
        energy: f32,
    ) -> bool {
        let near = search.peak(sent, delay.saturating_sub(1), (delay + 1).min(LAGS - 1));
        let rest = held.rest / energy.max(1.0);
        // A pause of the agent's proves nothing.
        let echo = rest <= SUSPECT || near.0 >= CERTAIN;
        if held.expected < BARELY * energy && energy < FAINT {
            return echo;
        }
        self.filter.confirm(held);
        self.trials += 1;
        self.unexplained += rest.min(1.0);
        let mean = self.unexplained / self.trials as f32;
        if self.trials >= TRIALS && mean <= PROVEN {
            self.filter.young = false;
            (self.doubt, self.clear) = (0, 0);
        } else if self.trials >= TRIALS {
            self.forget();
            self.doubt = (self.doubt + 1).min(MOST_DOUBT);
        }
        echo
    }

    #[inline(always)]
    fn find(&mut self, search: &Search, heard: &Heard<'_>, sent: &Piece<'_>) -> bool {
        if heard.is_quiet() {
            self.clear = self.clear.saturating_add(1);
            return false;
        }
        let (strength, delay) = self.look(search, sent);
        let clear = self.clear >= CLEAR;
        let doubt = if clear { MOST_DOUBT } else { self.doubt };
        let found = (strength >= CERTAIN && !clear) || self.steady >= STEADY + 2 * doubt;
        if found {
            self.begin(search, sent, delay);
        } else {
            self.clear = self.clear.saturating_add(1);
        }
        found
    }

    /// Looks for the likeliest delay, and counts for how long it has been that.
    #[inline(always)]
    fn look(&mut self, search: &Search, sent: &Piece<'_>) -> (f32, usize) {
        let (strength, delay) = search.peak(sent, 0, LAGS - 1);
        let stays = delay.abs_diff(self.candidate) <= WANDER;
        self.candidate = delay;
        self.steady = match strength {
            s if s >= LIKELY && stays => self.steady + 1,
            s if s >= LIKELY => 1,
            _ => 0,
        };
        (strength, delay)
    }

    fn begin(&mut self, search: &Search, sent: &Piece<'_>, delay: usize) {
        self.known = Some(delay);
        (self.other, self.absent) = (0, 0);
        (self.trials, self.unexplained) = (0, 0.0);
        self.high = HighBand::default();
        self.filter.begin(delay, search.gain(sent, delay), LAGS);
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.filter.heap_bytes()
    }
}
