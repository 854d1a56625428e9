//! What is heard beside what is said: ambience under it, and music in its place.

use crate::music::{Background, LoopPlayer};

/// The sounds around one session's playout.
#[derive(Debug)]
pub(super) struct Surroundings {
    ambience: Option<LoopPlayer>,
    /// On its way out.
    former: Option<LoopPlayer>,
    music: Option<LoopPlayer>,
    held: bool,
    /// Somebody else speaks in place of the playout.
    pub(super) aside: bool,
    /// The playout is paused only for the sake of these two.
    pub(super) resumes_playout: bool,
}

impl Surroundings {
    pub(super) fn new(ambience: Option<&Background>, rate_hz: u32) -> Self {
        Self {
            ambience: ambience.map(|ambience| LoopPlayer::new(ambience, rate_hz)),
            former: None,
            music: None,
            held: false,
            aside: false,
            resumes_playout: false,
        }
    }

    pub(super) fn set_ambience(&mut self, ambience: Option<&Background>, rate_hz: u32) {
        if let Some(former) = self.ambience.take() {
            self.retire(former);
        }
        self.ambience = ambience.map(|ambience| LoopPlayer::new(ambience, rate_hz));
    }

    /// Whether nothing is heard but what is said.
    pub(super) fn is_empty(&self) -> bool {
        let sounds = [&self.ambience, &self.former, &self.music];
        !self.held && sounds.into_iter().all(Option::is_none)
    }

    pub(super) fn is_held(&self) -> bool {
        self.held
    }

    /// Whether the playout waits for something that is not its owner's wish.
    pub(super) fn gates_playout(&self) -> bool {
        self.held || self.aside
    }

    pub(super) fn play_music(&mut self, music: &Background, rate_hz: u32) {
        self.held = true;
        if let Some(former) = self.music.take() {
            self.retire(former);
        }
        self.music = Some(LoopPlayer::new(music, rate_hz));
    }

    /// Lets the music fade out; false when there was none.
    pub(super) fn end_music(&mut self) -> bool {
        if let Some(music) = &mut self.music {
            music.end();
        }
        std::mem::take(&mut self.held)
    }

    fn retire(&mut self, mut former: LoopPlayer) {
        former.end();
        self.former = Some(former);
    }

    /// Adds a step of what is around to what is said, and tells whether there is music in it.
    pub(super) fn add_to(&mut self, local: &mut [i16]) -> bool {
        let others = [&mut self.former, &mut self.music];
        others
            .into_iter()
            .flatten()
            .for_each(|sound| sound.add_to(local));
        let music = self.music.is_some();
        self.former.take_if(|former| former.is_over());
        self.music.take_if(|music| music.is_over());
        // Music has the line for itself.
        if !self.held
            && let Some(ambience) = &mut self.ambience
        {
            ambience.add_to(local);
        }
        music
    }
}
