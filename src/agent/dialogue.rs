//! What is said: the interface between turn-taking and content.

use std::time::Duration;

use jiff::Zoned;

use super::Variables;
use super::command::{
    BookRequest, Booking, HttpRequest, HttpResponse, LlmEvent, LlmRequest, RequestFailure,
    RequestId, TransferRequest,
};
use super::flow::SlotKind;

/// Tells a dialogue what happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// The call was answered: speak first, or wait.
    Start,
    /// The caller's turn was committed.
    Heard {
        /// The transcript.
        text: &'a str,
        /// Whether it was said while the dialogue still had speech to deliver, so that it cannot
        /// be an answer to it.
        aside: bool,
    },
    /// The caller spoke but nothing could be understood.
    NotUnderstood,
    /// The caller pressed keys; `#` is not among them.
    Digits(&'a str),
    /// The caller said nothing for [`Dialogue::silence_after`]; counted from 1 since they last
    /// spoke.
    Silence(u32),
    /// A request has been pending for a while and nothing is being said.
    StillWaiting,
    /// The caller cut the agent off, or stopped it before it spoke.
    Interrupted {
        /// The texts of the turn that was cut, and those that will not be said any more.
        cut: &'a [CutText],
    },
    /// An HTTP request was answered.
    Http(RequestId, Result<HttpResponse, RequestFailure>),
    /// An LLM request made progress.
    Llm(RequestId, LlmEvent),
    /// A booking was answered.
    Booked(RequestId, Result<Booking, RequestFailure>),
    /// Nobody took the call.
    NotTransferred(RequestId, RequestFailure),
    /// The call reached its longest duration: say goodbye.
    CallLimit,
    /// The caller hung up: no more speech, requests may still be made.
    HungUp,
}

/// Names one text of a dialogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SayId(pub u64);

/// Tells what was really heard of one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutText {
    /// The text.
    pub say: SayId,
    /// As much of it as was heard, in whole words; may be empty.
    pub heard: String,
}

/// States what a dialogue wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Say a text; it is split into clauses.
    Say {
        /// Its name.
        say: SayId,
        /// The text.
        text: String,
        /// Whether the caller may cut it off.
        interruptible: bool,
    },
    /// The floor is the caller's.
    Wait,
    /// Perform an HTTP request.
    Http(HttpRequest),
    /// Stream from an LLM.
    Llm(LlmRequest),
    /// Book an appointment.
    Book(BookRequest),
    /// Give the call to a person, once everything was said.
    Transfer(TransferRequest),
    /// Abandon a request.
    Cancel(RequestId),
    /// Hang up once everything was said.
    End,
}

/// Grades a partial answer, so that nobody is cut off in the middle of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Completeness {
    /// Half a value: the caller is very likely to go on.
    Incomplete,
    /// A value that often goes on ("tomorrow …").
    Partial,
    /// Nothing is known from the text.
    Open,
    /// A whole value.
    Complete,
    /// A whole value after which nothing can follow ("yes").
    Final,
}

/// Says how keys are collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DigitPlan {
    /// The number of digits that ends an entry at once; `#` or a pause also ends it.
    pub max: usize,
}

/// Gives a dialogue the time and collects what it wants done.
#[derive(Debug)]
pub struct Context<'a> {
    wall: Zoned,
    next_request: &'a mut u64,
    acts: Vec<Act>,
}

impl<'a> Context<'a> {
    /// Makes a context at wall-clock time `wall`; `next_request` numbers requests and texts.
    pub fn new(wall: Zoned, next_request: &'a mut u64) -> Self {
        Self {
            wall,
            next_request,
            acts: Vec::new(),
        }
    }

    /// Returns the wall-clock time in the conversation's zone.
    pub fn wall(&self) -> &Zoned {
        &self.wall
    }

    /// Says a text that the caller may cut off.
    pub fn say(&mut self, text: impl Into<String>) -> SayId {
        self.push_say(text.into(), true)
    }

    /// Says a text to its end whatever the caller does.
    pub fn say_firmly(&mut self, text: impl Into<String>) -> SayId {
        self.push_say(text.into(), false)
    }

    fn push_say(&mut self, text: String, interruptible: bool) -> SayId {
        let say = SayId(self.number());
        if !text.trim().is_empty() {
            self.acts.push(Act::Say {
                say,
                text,
                interruptible,
            });
        }
        say
    }

    /// Gives the floor to the caller.
    pub fn wait(&mut self) {
        self.acts.push(Act::Wait);
    }

    /// Ends the call after what was said.
    pub fn end(&mut self) {
        self.acts.push(Act::End);
    }

    /// Numbers and performs an HTTP request.
    pub fn http(&mut self, mut request: HttpRequest) -> RequestId {
        request.id = RequestId(self.number());
        let id = request.id;
        self.acts.push(Act::Http(request));
        id
    }

    /// Numbers and performs an LLM request.
    pub fn llm(&mut self, mut request: LlmRequest) -> RequestId {
        request.id = RequestId(self.number());
        let id = request.id;
        self.acts.push(Act::Llm(request));
        id
    }

    /// Numbers and performs a booking.
    pub fn book(&mut self, mut request: BookRequest) -> RequestId {
        request.id = RequestId(self.number());
        let id = request.id;
        self.acts.push(Act::Book(request));
        id
    }

    /// Numbers a transfer, which begins after what was said.
    pub fn transfer(&mut self, mut request: TransferRequest) -> RequestId {
        request.id = RequestId(self.number());
        let id = request.id;
        self.acts.push(Act::Transfer(request));
        id
    }

    /// Abandons a request.
    pub fn cancel(&mut self, request: RequestId) {
        self.acts.push(Act::Cancel(request));
    }

    /// Takes what was collected.
    pub fn into_acts(self) -> Vec<Act> {
        self.acts
    }

    fn number(&mut self) -> u64 {
        *self.next_request += 1;
        *self.next_request
    }
}

/// Decides what is said. A dialogue is pure: it changes only by [`Dialogue::handle`].
pub trait Dialogue: Send {
    /// Reacts to an event by acts on the context.
    fn handle(&mut self, cx: &mut Context<'_>, event: Event<'_>);

    /// Copies the dialogue, to try an answer that may be dropped.
    fn fork(&self) -> Box<dyn Dialogue>;

    /// Borrows everything learned so far.
    fn variables(&self) -> &Variables;

    /// Returns the word for how the call went, so far.
    fn outcome(&self) -> String;

    /// Says what kind of answer is awaited.
    fn expecting(&self) -> Option<SlotKind> {
        None
    }

    /// Grades a partial answer to what is being asked.
    fn completeness(&self, _text: &str, _wall: &Zoned) -> Completeness {
        Completeness::Open
    }

    /// Says whether a text answers what is being asked, although it might be a mere "yeah".
    fn answers(&self, _text: &str, _wall: &Zoned) -> bool {
        false
    }

    /// Says how keys are collected.
    fn digits(&self) -> DigitPlan {
        DigitPlan { max: 32 }
    }

    /// Says whether what is said now may be recorded.
    fn records(&self) -> bool {
        true
    }

    /// Says after which silence of the caller [`Event::Silence`] is wanted.
    fn silence_after(&self) -> Duration {
        Duration::from_secs(8)
    }
}
