//! Both sides of the generator's calls, without a socket or a clock: INVITE, 180, 200, ACK, BYE,
//! 200. The calling side knows its calls by their Call-ID, the called side by whatever Call-ID the
//! subject gave them. Both repeat what is not answered (RFC 3261 §17, §13.3.1.4).

use std::cmp::Reverse;
use std::collections::hash_map::{DefaultHasher, Entry};
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::hash::{Hash as _, Hasher as _};
use std::time::Duration;

use offhook_sip::message::{Message, Method};

use super::messages::{Addresses, Dialog};

/// Timer T1 and T2 (RFC 3261 §17.1.1.1).
const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
/// How long each step of a call may take before the call has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// One of the generator's two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Caller,
    Called,
}

/// How calls go on once they are placed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// From the called side's 180 to its 200.
    pub(super) rings: Duration,
    /// From the ACK to the BYE.
    pub(super) talks: Duration,
    /// The calls that count are placed from this moment …
    pub(super) from: Duration,
    /// … until this one, since 1970.
    pub(super) until: Duration,
}

/// What the calls came to, of those that count.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) placed: u64,
    pub(super) completed: u64,
    /// By what they failed with.
    pub(super) failed: BTreeMap<String, u64>,
    /// From each INVITE to its 180, in ms.
    pub(super) rings_after_ms: Vec<f64>,
    /// What this side had to say again, and what the subject said again.
    pub(super) repeated: u64,
    pub(super) heard_again: u64,
    /// How much later than meant calls were placed, in ms.
    pub(super) late_ms: Vec<f64>,
}

impl Tally {
    pub(super) fn failures(&self) -> u64 {
        self.failed.values().sum()
    }
}

/// Where a call of the calling side is. What is said again while nothing comes is kept with it.
#[derive(Debug)]
enum State {
    Calling { invite: String },
    Proceeding,
    Talking { dialog: Dialog },
    Ending { bye: String },
}

#[derive(Debug)]
struct Call {
    state: State,
    /// Since 1970.
    placed: Duration,
    rang: bool,
    counts: bool,
    /// Counts its steps, so that a timer of an earlier one means nothing.
    step: u8,
}

/// A call at the called side.
#[derive(Debug)]
struct Answering {
    /// What it said last, and says again when it is asked again.
    said: String,
    answer: String,
    acknowledged: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// Says again what nobody answered to, after so long.
    Repeat(u64, u8, Duration),
    GiveUp(u64, u8),
    HangUp(u64),
    Answer(u64),
    AnswerAgain(u64, Duration),
}

/// The calls of one measurement.
pub(super) struct Calls {
    addresses: Addresses,
    manner: Manner,
    next: u64,
    calls: HashMap<u64, Call>,
    answering: HashMap<u64, Answering>,
    timers: BinaryHeap<Reverse<(Duration, Timer)>>,
    out: VecDeque<(Side, String)>,
    pub(super) tally: Tally,
}

impl Calls {
    pub(super) fn new(addresses: Addresses, manner: Manner) -> Self {
        Self {
            addresses,
            manner,
            next: 0,
            calls: HashMap::new(),
            answering: HashMap::new(),
            timers: BinaryHeap::new(),
            out: VecDeque::new(),
            tally: Tally::default(),
        }
    }

    /// Places a call that was due at `due`.
    pub(super) fn place(&mut self, now: Duration, due: Duration) {
        let number = self.next;
        self.next += 1;
        let counts = (self.manner.from..self.manner.until).contains(&due);
        if counts {
            self.tally.placed += 1;
            let late = now.saturating_sub(due);
            self.tally.late_ms.push(late.as_secs_f64() * 1_000.0);
        }
        let invite = self.addresses.invite(number);
        self.out.push_back((Side::Caller, invite.clone()));
        let call = Call {
            state: State::Calling { invite },
            placed: now,
            rang: false,
            counts,
            step: 0,
        };
        self.calls.insert(number, call);
        self.set(now + T1, Timer::Repeat(number, 0, T1));
        self.set(now + PATIENCE, Timer::GiveUp(number, 0));
    }

    /// Takes what came to a side at `at`.
    pub(super) fn receive(&mut self, at: Duration, side: Side, bytes: &[u8]) {
        let Ok(message) = Message::parse(bytes) else {
            return;
        };
        match (side, message.status()) {
            (Side::Caller, Some(status)) => self.hear(at, status, &message),
            (Side::Called, None) => self.serve(at, &message),
            // Who hangs up on the caller, or asks it anything, is not part of these calls.
            (Side::Caller, None) if message.method() != Some(Method::Ack) => {
                let said = self.addresses.respond(&message, "200 OK", 0);
                self.out.push_back((Side::Caller, said));
            }
            _ => {}
        }
    }

    /// Does what is due.
    pub(super) fn step(&mut self, now: Duration) {
        while let Some(&Reverse((at, timer))) = self.timers.peek()
            && at <= now
        {
            self.timers.pop();
            match timer {
                Timer::Repeat(call, step, after) => self.repeat(now, call, step, after),
                Timer::GiveUp(call, step) => self.give_up(call, step),
                Timer::HangUp(call) => self.hang_up(now, call),
                Timer::Answer(call) => self.answer(now, call),
                Timer::AnswerAgain(call, after) => self.answer_again(now, call, after),
            }
        }
    }

    /// What is to be sent next, and from which side.
    pub(super) fn poll(&mut self) -> Option<(Side, String)> {
        self.out.pop_front()
    }

    /// Whether every call is over.
    pub(super) fn is_idle(&self) -> bool {
        self.calls.is_empty()
    }

    fn set(&mut self, at: Duration, timer: Timer) {
        self.timers.push(Reverse((at, timer)));
    }

    /// The calling side hears a response.
    fn hear(&mut self, at: Duration, status: u16, message: &Message<'_>) {
        let Some(number) = self.addresses.call_of(message) else {
            return;
        };
        let Some(call) = self.calls.get_mut(&number) else {
            return;
        };
        let of_bye = message.cseq().is_ok_and(|cseq| cseq.method == Method::Bye);
        match (&call.state, status) {
            (State::Ending { .. }, 200..) if of_bye => self.end(number, status),
            (State::Calling { .. }, 100..200) => {
                call.state = State::Proceeding;
                self.note_ringing(at, number, status);
            }
            (State::Proceeding, 100..200) => self.note_ringing(at, number, status),
            (State::Calling { .. } | State::Proceeding, 200..300) => {
                self.answered(at, number, message);
            }
            (State::Calling { .. } | State::Proceeding, 300..) => {
                let ack = self.addresses.ack_of_refusal(number, message);
                self.out.push_back((Side::Caller, ack));
                self.end(number, status);
            }
            // The answer again: its ACK was lost.
            (State::Talking { dialog }, 200..300) => {
                let ack = self.addresses.ack(dialog);
                self.tally.heard_again += u64::from(call.counts);
                self.out.push_back((Side::Caller, ack));
            }
            _ => {}
        }
    }

    fn note_ringing(&mut self, at: Duration, number: u64, status: u16) {
        let Some(call) = self.calls.get_mut(&number) else {
            return;
        };
        if status != 180 || std::mem::replace(&mut call.rang, true) || !call.counts {
            return;
        }
        let took = at.saturating_sub(call.placed);
        self.tally.rings_after_ms.push(took.as_secs_f64() * 1_000.0);
    }

    fn answered(&mut self, at: Duration, number: u64, message: &Message<'_>) {
        let Some(dialog) = Dialog::of(number, message) else {
            return self.fail(number, "an answer without Contact or To");
        };
        let ack = self.addresses.ack(&dialog);
        self.out.push_back((Side::Caller, ack));
        self.go_on(number, State::Talking { dialog });
        self.set(at + self.manner.talks, Timer::HangUp(number));
    }

    fn go_on(&mut self, number: u64, state: State) {
        if let Some(call) = self.calls.get_mut(&number) {
            call.state = state;
            call.step += 1;
        }
    }

    fn hang_up(&mut self, now: Duration, number: u64) {
        let Some(State::Talking { dialog }) = self.calls.get(&number).map(|call| &call.state)
        else {
            return;
        };
        let bye = self.addresses.bye(dialog);
        self.out.push_back((Side::Caller, bye.clone()));
        self.go_on(number, State::Ending { bye });
        let step = self.calls.get(&number).map_or(0, |call| call.step);
        self.set(now + T1, Timer::Repeat(number, step, T1));
        self.set(now + PATIENCE, Timer::GiveUp(number, step));
    }

    fn repeat(&mut self, now: Duration, number: u64, step: u8, after: Duration) {
        let Some(call) = self.calls.get(&number).filter(|call| call.step == step) else {
            return;
        };
        let (said, next) = match &call.state {
            State::Calling { invite } => (invite.clone(), after * 2),
            State::Ending { bye } => (bye.clone(), (after * 2).min(T2)),
            State::Proceeding | State::Talking { .. } => return,
        };
        self.tally.repeated += u64::from(call.counts);
        self.out.push_back((Side::Caller, said));
        self.set(now + next, Timer::Repeat(number, step, next));
    }

    fn give_up(&mut self, number: u64, step: u8) {
        let call = self.calls.get(&number).filter(|call| call.step == step);
        let why = match call.map(|call| (&call.state, call.rang)) {
            Some((State::Calling { .. }, _)) => "no response",
            Some((State::Proceeding, false)) => "no 180",
            Some((State::Proceeding, true)) => "no answer",
            Some((State::Ending { .. }, _)) => "no response to BYE",
            Some((State::Talking { .. }, _)) | None => return,
        };
        self.fail(number, why);
    }

    /// Takes a final response that ends a call.
    fn end(&mut self, number: u64, status: u16) {
        if status >= 300 {
            return self.fail(number, &status.to_string());
        }
        let call = self.calls.remove(&number);
        // Without a 180 of its own the call was not what was asked for.
        match call {
            Some(call) if call.counts && call.rang => self.tally.completed += 1,
            Some(call) if call.counts => self.count_failure("no 180"),
            _ => {}
        }
    }

    fn fail(&mut self, number: u64, why: &str) {
        if self.calls.remove(&number).is_some_and(|call| call.counts) {
            self.count_failure(why);
        }
    }

    fn count_failure(&mut self, why: &str) {
        *self.tally.failed.entry(why.to_owned()).or_default() += 1;
    }

    /// The called side takes a request.
    fn serve(&mut self, at: Duration, request: &Message<'_>) {
        let mut hasher = DefaultHasher::new();
        request.call_id().unwrap_or_default().hash(&mut hasher);
        let number = hasher.finish();
        match request.method() {
            Some(Method::Invite) => self.ring(at, number, request),
            Some(Method::Ack) => {
                if let Some(answering) = self.answering.get_mut(&number) {
                    answering.acknowledged = true;
                }
            }
            _ => {
                if request.method() == Some(Method::Bye) {
                    self.answering.remove(&number);
                }
                let said = self.addresses.respond(request, "200 OK", number);
                self.out.push_back((Side::Called, said));
            }
        }
    }

    fn ring(&mut self, at: Duration, number: u64, invite: &Message<'_>) {
        let said = match self.answering.entry(number) {
            Entry::Occupied(entry) => {
                self.tally.heard_again += 1;
                entry.get().said.clone()
            }
            Entry::Vacant(entry) => {
                let said = self.addresses.respond(invite, "180 Ringing", number);
                entry.insert(Answering {
                    said: said.clone(),
                    answer: self.addresses.respond(invite, "200 OK", number),
                    acknowledged: false,
                });
                self.set(at + self.manner.rings, Timer::Answer(number));
                said
            }
        };
        self.out.push_back((Side::Called, said));
    }

    fn answer(&mut self, now: Duration, number: u64) {
        if let Some(answering) = self.answering.get_mut(&number) {
            answering.said = answering.answer.clone();
            self.out.push_back((Side::Called, answering.said.clone()));
            self.set(now + T1, Timer::AnswerAgain(number, T1));
        }
    }

    fn answer_again(&mut self, now: Duration, number: u64, after: Duration) {
        let waiting = self.answering.get(&number).filter(|of| !of.acknowledged);
        if let Some(answering) = waiting {
            let next = (after * 2).min(T2);
            self.tally.repeated += 1;
            self.out.push_back((Side::Called, answering.said.clone()));
            self.set(now + next, Timer::AnswerAgain(number, next));
        }
    }
}

#[cfg(test)]
mod tests;
