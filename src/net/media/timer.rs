//! One absolute timer for a media thread: `timerfd`, since `epoll`'s own timeout is whole
//! milliseconds and rounds up.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Instant;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// A timer that makes its token readable at a deadline.
pub(super) struct Timer {
    descriptor: OwnedFd,
    armed: Option<Instant>,
}

impl Timer {
    pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let descriptor = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        registry.register(
            &mut SourceFd(&descriptor.as_raw_fd()),
            token,
            Interest::READABLE,
        )?;
        Ok(Self {
            descriptor,
            armed: None,
        })
    }

    /// Arms the timer for `deadline`; the same deadline again costs no system call.
    pub(super) fn arm(&mut self, deadline: Option<Instant>, now: Instant) -> io::Result<()> {
        if deadline == self.armed {
            return Ok(());
        }
        let zero = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let it_value = match deadline {
            // An all-zero value would disarm: the least delay is one nanosecond.
            Some(deadline) => {
                let delay = deadline.saturating_duration_since(now);
                let tv_sec = i64::try_from(delay.as_secs()).unwrap_or(i64::MAX);
                let tv_nsec = i64::from(delay.subsec_nanos().max(u32::from(tv_sec == 0)));
                Timespec { tv_sec, tv_nsec }
            }
            None => zero,
        };
        let spec = Itimerspec {
            it_interval: zero,
            it_value,
        };
        timerfd_settime(&self.descriptor, TimerfdTimerFlags::empty(), &spec)?;
        self.armed = deadline;
        Ok(())
    }

    /// Takes the expiry, so that the next one is seen.
    pub(super) fn acknowledge(&mut self) {
        let mut expirations = [0_u8; 8];
        let _ = rustix::io::read(&self.descriptor, &mut expirations);
        self.armed = None;
    }
}
