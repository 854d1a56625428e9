//! What a media thread waits on: sockets, a waker and a deadline.
//!
//! `epoll` tells of a socket once when packets come, and it is read until nothing is left: to ask
//! each socket once more at the next wait, as it does where it tells of all that have packets,
//! costs twice the read that finds nothing. One that is flooded is left after some packets, so that
//! it holds up no other, and told of again ([`Poller::look_again`]).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

/// Sockets reported at once.
const EVENTS: usize = 1024;
/// Tokens that are no socket's.
const WAKER: u64 = u64::MAX;
const TIMER: u64 = u64::MAX - 1;
/// What a socket is watched for: that packets come, each time.
const PACKETS: EventFlags = EventFlags::IN.union(EventFlags::ET);
const ZERO: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

fn timespec(delay: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(delay.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(delay.subsec_nanos()),
    }
}

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ready {
    /// Packets have come to the socket of this token.
    Socket(usize),
    /// The waker called, or the deadline came.
    Other,
}

/// Waits for whichever comes first of packets, a call of the waker and a deadline.
pub(super) struct Poller {
    epoll: OwnedFd,
    timer: OwnedFd,
    /// The deadline that the timer stands at.
    armed: Option<Instant>,
    waker: Arc<OwnedFd>,
}

/// What a wait found.
pub(super) struct Events {
    events: Box<[epoll::Event]>,
    reported: usize,
}

impl Events {
    pub(super) fn new() -> Self {
        let none = epoll::Event {
            flags: EventFlags::empty(),
            data: EventData::new_u64(0),
        };
        Self {
            events: vec![none; EVENTS].into_boxed_slice(),
            reported: 0,
        }
    }

    /// What the last wait found, by number from 0 on.
    pub(super) fn ready(&self, number: usize) -> Option<Ready> {
        let event = self.events.get(..self.reported)?.get(number)?;
        let data = event.data;
        Some(match data.u64() {
            WAKER | TIMER => Ready::Other,
            token => Ready::Socket(token as usize),
        })
    }
}

/// Ends the wait of a [`Poller`] from another thread.
#[derive(Clone, Debug)]
pub(super) struct Waker(Arc<OwnedFd>);

impl Waker {
    /// Ends the wait, or keeps the next one from beginning.
    pub(super) fn wake(&self) -> io::Result<()> {
        match rustix::io::write(&self.0, &1_u64.to_ne_bytes()) {
            // A full counter is a call that nobody has answered yet.
            Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Poller {
    pub(super) fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let waker = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        // Each expiry of the timer is reported once: nobody has to read it away.
        let once = EventFlags::IN | EventFlags::ET;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), once)?;
        epoll::add(&epoll, &waker, EventData::new_u64(WAKER), once)?;
        Ok(Self {
            epoll,
            timer,
            armed: None,
            waker: Arc::new(waker),
        })
    }

    pub(super) fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.waker))
    }

    /// Watches a socket for packets; `token` names it in [`Events::ready`].
    pub(super) fn watch(&self, socket: &impl AsFd, token: usize) -> io::Result<()> {
        let data = EventData::new_u64(token as u64);
        Ok(epoll::add(&self.epoll, socket, data, PACKETS)?)
    }

    /// Tells at the next wait of a watched socket that has packets left.
    pub(super) fn look_again(&self, socket: &impl AsFd, token: usize) -> io::Result<()> {
        let data = EventData::new_u64(token as u64);
        Ok(epoll::modify(&self.epoll, socket, data, PACKETS)?)
    }

    /// Watches a socket no longer.
    pub(super) fn forget(&self, socket: &impl AsFd) {
        let _ = epoll::delete(&self.epoll, socket);
    }

    /// Waits until a socket has packets, the waker calls or `deadline` comes; `now` is the time of
    /// the call. A deadline that has passed costs no timer and no wait.
    pub(super) fn wait(
        &mut self,
        events: &mut Events,
        now: Instant,
        deadline: Option<Instant>,
    ) -> io::Result<()> {
        let at_once = deadline.is_some_and(|deadline| deadline <= now);
        if !at_once {
            self.arm(now, deadline)?;
        }
        let found = &mut *events.events;
        events.reported = match epoll::wait(&self.epoll, found, at_once.then_some(&ZERO)) {
            Ok(reported) => reported,
            Err(rustix::io::Errno::INTR) => 0,
            Err(error) => return Err(error.into()),
        };
        Ok(())
    }

    /// Waits until `beat` or until the waker calls, whatever comes at the sockets; then finds what
    /// has come by then. `now` is the time of the call.
    pub(super) fn wait_for_beat(
        &mut self,
        events: &mut Events,
        now: Instant,
        beat: Instant,
    ) -> io::Result<()> {
        let left = beat.saturating_duration_since(now);
        if !left.is_zero() {
            let mut called = [PollFd::new(&*self.waker, PollFlags::IN)];
            match poll(&mut called, Some(&timespec(left))) {
                // The counter is read away, or the next wait would be none.
                Ok(1..) => {
                    let _ = rustix::io::read(&*self.waker, &mut [0_u8; 8]);
                }
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.wait(events, now, Some(now))
    }

    fn arm(&mut self, now: Instant, deadline: Option<Instant>) -> io::Result<()> {
        if deadline == self.armed {
            return Ok(());
        }
        let it_value = match deadline {
            // An all-zero value would disarm; a deadline that has passed does not come here.
            Some(deadline) => timespec(deadline.saturating_duration_since(now)),
            None => ZERO,
        };
        let once = Itimerspec {
            it_interval: ZERO,
            it_value,
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        self.armed = deadline;
        Ok(())
    }
}
