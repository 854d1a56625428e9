//! What happens on a leg, and how it ends.

use offhook_media::Stats;

use super::Leg;
use crate::net::media::{Command, LegEvent};

impl Leg {
    /// Waits for what happens next on the leg; nothing comes after its end.
    pub async fn event(&mut self) -> Option<LegEvent> {
        let event = self.events.recv().await;
        match &event {
            Some(LegEvent::Closed { stats }) => self.stats = Some(stats.clone()),
            Some(LegEvent::Arrived) => {
                self.moved_from = None;
                self.close_again();
            }
            Some(LegEvent::Stayed) => {
                if let Some((id, media)) = self.moved_from.take() {
                    (self.id, self.media) = (id, media);
                }
                self.close_again();
            }
            _ => {}
        }
        event
    }

    /// Ends the media of a leg that was closed on its way to another thread: what it was asked may
    /// have overtaken it.
    fn close_again(&mut self) {
        if self.lease.is_none() && self.media.send(Command::Close(self.id)).is_err() {
            self.events.close();
        }
    }

    /// Ends the leg's media, once; its port rests for a while.
    pub fn close(&mut self) {
        let Some(lease) = self.lease.take() else {
            return;
        };
        if self.media.send(Command::Close(self.id)).is_err() {
            // A thread that is overloaded sees at the leg's next tick that nobody listens.
            self.events.close();
        }
        drop(lease);
    }

    /// Ends the leg's media and waits for what was counted; none when the media thread is gone.
    pub async fn closed(&mut self) -> Option<Box<Stats>> {
        self.close();
        while self.stats.is_none() {
            self.event().await?;
        }
        self.stats.take()
    }
}

impl Drop for Leg {
    fn drop(&mut self) {
        self.close();
    }
}
