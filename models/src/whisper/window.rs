//! Cuts long sound into windows at its quietest points.

use std::ops::Range;

use crate::mel::SAMPLE_RATE;

/// Longest window: at 15 s a layer of the base model runs 30 ms here.
const LONGEST: usize = 15 * SAMPLE_RATE;
/// A longer piece is cut at the quietest point of this much before the longest window's end.
const SEARCH: usize = 4 * SAMPLE_RATE;
/// Length over which loudness is compared: the closure of a consonant is shorter.
const PAUSE: usize = SAMPLE_RATE / 5;
/// Shortest sound that can hold a word.
const SHORTEST: usize = SAMPLE_RATE / 20;

/// A window in which nothing is louder holds no word (−60 dB of full scale); the model, trained on
/// subtitles, would hear a polite "you" in it.
const AUDIBLE: f32 = 0.001;

/// Returns the windows of a piece of sound that may hold speech, in order.
pub(super) fn windows(samples: &[f32]) -> Vec<Range<usize>> {
    let mut windows = cut(samples);
    windows.retain(|window| {
        let mut samples = samples.get(window.clone()).unwrap_or_default().iter();
        samples.any(|sample| sample.abs() > AUDIBLE)
    });
    windows
}

/// Cuts a piece of sound into windows without gaps.
fn cut(samples: &[f32]) -> Vec<Range<usize>> {
    let mut windows = Vec::new();
    let mut start = 0;
    while samples.len() - start > LONGEST {
        let cut = quietest(samples, start + LONGEST - SEARCH..start + LONGEST);
        windows.push(start..cut);
        start = cut;
    }
    if samples.len() - start >= SHORTEST {
        windows.push(start..samples.len());
    }
    windows
}

/// Finds the middle of the quietest pause of a range.
fn quietest(samples: &[f32], range: Range<usize>) -> usize {
    let energy = |at: usize| -> f32 {
        let pause = samples.get(at..at + PAUSE).unwrap_or_default();
        pause.iter().map(|sample| sample * sample).sum()
    };
    let starts = range
        .clone()
        .step_by(PAUSE / 4)
        .take_while(|at| at + PAUSE <= range.end);
    let quietest = starts.min_by(|&a, &b| energy(a).total_cmp(&energy(b)));
    quietest.unwrap_or(range.start) + PAUSE / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_sound_is_one_window() {
        assert_eq!(windows(&vec![0.1; LONGEST]), vec![0..LONGEST]);
        assert!(windows(&[]).is_empty());
    }

    #[test]
    fn inaudible_sound_is_no_window() {
        assert!(windows(&vec![0.0009; LONGEST]).is_empty());
        let mut samples = vec![0.0; 40 * SAMPLE_RATE];
        samples[20 * SAMPLE_RATE] = -0.01;
        let windows = windows(&samples);
        assert_eq!(windows.len(), 1);
        assert!(windows[0].contains(&(20 * SAMPLE_RATE)), "{windows:?}");
    }

    #[test]
    fn long_sound_is_cut_in_its_pause() {
        let mut samples = vec![0.1; 20 * SAMPLE_RATE];
        let pause = 13 * SAMPLE_RATE..13 * SAMPLE_RATE + SAMPLE_RATE / 3;
        samples[pause.clone()].fill(0.0);
        let windows = windows(&samples);
        assert_eq!(windows.len(), 2);
        assert!(pause.contains(&windows[0].end), "{:?}", windows[0]);
        assert_eq!(windows[0].end, windows[1].start);
        assert_eq!(windows[1].end, samples.len());
    }
}
