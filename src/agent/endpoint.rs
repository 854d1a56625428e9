//! The end of the caller's turn: when it is committed, and what is prepared before.

use std::time::Instant;

use super::backchannel::{Heard, grade};
use super::command::Command;
use super::core::{Agent, Cut, Exchange, Phase, Retraction, Unsaid};
use super::dialogue::{Act, Completeness, Context, Event};
use super::listening::{Fork, Listening, Seal, Verdict};
use super::record::{Begins, Latency, TurnRecord, Who};
use super::requests::Owner;
use super::{clauses, command::SpeculationId};

impl Agent {
    /// Ends the caller's turn if it is over.
    pub(super) fn step_endpoint(&mut self, now: Instant) -> bool {
        if self.barge.is_some() || self.ending.is_some() {
            return false;
        }
        let Some(ear) = &self.ear else { return false };
        let Some((due, verdict)) = ear.verdict(&self.settings) else {
            return false;
        };
        if let Some(air) = &self.air {
            if !air.interruptible {
                // An utterance that may not be cut off is heard out first; an "mm-hm" over it
                // must not answer the question that comes at its end.
                let words = verdict == Verdict::Fail || self.is_content(ear, now);
                if !words {
                    self.forget_listening();
                }
                return !words;
            }
            // Words that were believed to be noise: give way late rather than never.
            if verdict == Verdict::Commit && self.is_content(ear, now) {
                self.give_way(now);
            } else {
                self.forget_listening();
            }
            return true;
        }
        if now < due {
            return false;
        }
        match verdict {
            Verdict::Commit => self.commit(now),
            Verdict::Drop => self.forget_listening(),
            Verdict::Fail => self.not_understood(now),
        }
        true
    }

    /// Returns when the caller's turn ends if nothing more happens.
    pub(super) fn endpoint_due(&self) -> Option<Instant> {
        if self.barge.is_some() || self.ending.is_some() || self.air.is_some() {
            return None;
        }
        self.ear
            .as_ref()?
            .verdict(&self.settings)
            .map(|(due, _)| due)
    }

    /// Commits the caller's turn: the dialogue answers it.
    fn commit(&mut self, now: Instant) {
        self.finish_cut(now, None);
        self.close_retraction();
        // A caller who speaks first is not kept waiting for the greeting.
        self.hushed_until = None;
        let Some(mut ear) = self.ear.take() else {
            return;
        };
        let text = ear.text().unwrap_or_else(|| ear.sealed.clone());
        let guess = ear.guess.take();
        let latency = Latency {
            endpoint_ms: Some(millis(ear.last_voiced, now)),
            stt_ms: guess
                .as_ref()
                .and_then(|g| Some(millis(g.issued, g.transcript_at?))),
            begins: Begins {
                stt_ms: guess.as_ref().map(|g| millis(ear.last_voiced, g.issued)),
                ..Begins::default()
            },
            ..Latency::default()
        };
        let record = TurnRecord {
            who: Who::Caller,
            text: text.clone(),
            heard_text: None,
            started_at: self.wall.timestamp(ear.started),
            latency,
            interrupted: false,
        };
        self.silences = 0;
        // Only a short word such as "yes" has a courtesy for a tail.
        let short = !matches!(grade(&text), Heard::Words);
        self.answered_until = short.then_some(ear.last_voiced);
        self.idle_since = now;
        self.digits.text.clear();
        self.digits.last = None;
        let retraction = Retraction {
            dialogue: self.dialogue.fork(),
            listening: ear.snapshot(),
            record,
        };
        let aside = self.unsaid.iter().any(|u| matches!(u, Unsaid::Say { .. }));
        if !aside {
            self.exchange = Some(Exchange {
                last_voiced: ear.last_voiced,
                latency,
            });
        }
        self.retraction = Some(retraction);
        match guess.and_then(|g| g.fork).filter(|_| !aside) {
            Some(fork) => self.adopt(now, fork),
            None => {
                self.drop_fork_requests();
                self.deliver(now, Event::Heard { text: &text, aside });
            }
        }
    }

    fn not_understood(&mut self, now: Instant) {
        let voiced = self.ear.as_ref().map(|e| e.voiced(now)).unwrap_or_default();
        self.forget_listening();
        if voiced >= self.settings.barge_in_voiced && self.unsaid.is_empty() {
            self.finish_cut(now, None);
            self.close_retraction();
            self.idle_since = now;
            self.deliver(now, Event::NotUnderstood);
        }
    }

    /// Makes the speculative answer the real one.
    fn adopt(&mut self, now: Instant, fork: Fork) {
        self.dialogue = fork.dialogue;
        for pending in &mut self.requests {
            pending.owner = Owner::Dialogue;
        }
        if let Some(exchange) = &mut self.exchange {
            exchange.latency.llm_first_token_ms = fork.llm_first_token_ms;
            exchange.latency.begins.llm_ms = fork.llm_begins_ms;
        }
        let acts = fork
            .acts
            .into_iter()
            .filter(|a| !matches!(a, Act::Llm(_)))
            .collect();
        self.take_acts(now, acts);
    }

    /// Tries the answer to a transcript that is not committed yet: an LLM starts, and the first
    /// clause is synthesised, but nothing is spoken and nothing leaves the switch.
    pub(super) fn speculate(&mut self, now: Instant) {
        let busy = self.air.is_some()
            || self.barge.is_some()
            || !self.unsaid.is_empty()
            || !self.requests.is_empty()
            || self.ending.is_some()
            || self.cut.is_some();
        if busy || !self.settings.speculate {
            return;
        }
        let Some(ear) = &self.ear else { return };
        let Some((_, Verdict::Commit)) = ear.verdict(&self.settings) else {
            return;
        };
        let (Some(text), Some(guess)) = (ear.text(), &ear.guess) else {
            return;
        };
        let unlikely = guess
            .probability
            .is_some_and(|p| p < self.settings.turn_threshold)
            && guess.completeness < Completeness::Complete;
        if unlikely || guess.completeness <= Completeness::Partial {
            return;
        }
        let mut dialogue = self.dialogue.fork();
        let mut cx = Context::new(self.wall.zoned(now), &mut self.ids.request);
        dialogue.handle(
            &mut cx,
            Event::Heard {
                text: &text,
                aside: false,
            },
        );
        let acts = cx.into_acts();
        let said = acts.iter().find_map(|a| match a {
            Act::Say { text, .. } => clauses::split(text).into_iter().next(),
            _ => None,
        });
        if let Some(text) = said {
            self.commands.push_back(Command::Prepare { text });
        }
        for act in &acts {
            if let Act::Llm(request) = act {
                self.begin_llm(now, request.clone(), Owner::Fork);
            }
        }
        if let Some(guess) = self.ear.as_mut().and_then(|e| e.guess.as_mut()) {
            guess.fork = Some(Fork {
                dialogue,
                acts,
                llm_first_token_ms: None,
                llm_begins_ms: None,
            });
        }
    }

    /// Has a long turn's audio so far recognised while the caller goes on.
    pub(super) fn segment_full(&mut self, now: Instant) {
        self.ids.speculation += 1;
        let id = SpeculationId(self.ids.speculation);
        let expecting = self.dialogue.expecting();
        let Some(ear) = &mut self.ear else { return };
        let from = std::mem::replace(&mut ear.segment_from, now);
        ear.seal = Some(Seal { id, issued: now });
        self.commands.push_back(Command::Recognise {
            speculation: id,
            from,
            until: now,
            expecting,
        });
    }

    /// Takes the text of a long turn's earlier segment.
    pub(super) fn sealed(&mut self, now: Instant, text: Option<String>) {
        let Some(ear) = &mut self.ear else { return };
        ear.seal = None;
        if let Some(text) = text {
            ear.seal_text(&text);
        }
        if !ear.voicing {
            return;
        }
        let noise = super::backchannel::grade(&ear.sealed) == super::backchannel::Heard::Nothing;
        let too_long = now.saturating_duration_since(ear.started) >= self.settings.max_turn;
        if noise {
            // Steady noise or music holds no floor; the next voice edge starts afresh.
            self.forget_listening();
        } else if too_long && self.barge.is_none() && self.air.is_none() {
            ear.stop(now);
            self.commit(now);
        }
    }

    /// Closes the window in which the caller's last turn could be taken up again.
    pub(super) fn close_retraction(&mut self) {
        if let Some(retraction) = self.retraction.take() {
            self.commands.push_back(Command::Record(retraction.record));
        }
    }

    pub(super) fn record_digits(&mut self, now: Instant, digits: &str) {
        self.commands.push_back(Command::Record(TurnRecord {
            who: Who::Caller,
            text: format!("[keys {digits}]"),
            heard_text: None,
            started_at: self.wall.timestamp(now),
            latency: Latency::default(),
            interrupted: false,
        }));
    }

    /// Stops listening and speaking, and records what is known of both.
    pub(super) fn silence_everything(&mut self, now: Instant) {
        self.barge = None;
        self.close_retraction();
        if let Some(utterance) = self.air.take() {
            self.finish_cut(now, None);
            self.commands.push_back(Command::CancelTurn {
                turn: utterance.turn,
            });
            // It is recorded when the playout has told what was sent of it.
            self.cut = Some(Cut {
                utterance,
                since: now,
                dropped: Vec::new(),
            });
        }
        if let Some(text) = self.last_words() {
            let started = self.ear.as_ref().map_or(now, |e| e.started);
            self.commands.push_back(Command::Record(TurnRecord {
                who: Who::Caller,
                text,
                heard_text: None,
                started_at: self.wall.timestamp(started),
                latency: Latency::default(),
                interrupted: false,
            }));
        }
        self.forget_listening();
        self.unsaid.clear();
        self.drop_requests();
    }

    fn last_words(&self) -> Option<String> {
        let ear: &Listening = self.ear.as_ref()?;
        let text = ear.text().unwrap_or_else(|| ear.sealed.clone());
        let words = grade(&text) != Heard::Nothing;
        (words && self.phase == Phase::Live).then_some(text)
    }
}

/// Returns the whole milliseconds from `from` to `to`.
pub(super) fn millis(from: Instant, to: Instant) -> u32 {
    u32::try_from(to.saturating_duration_since(from).as_millis()).unwrap_or(u32::MAX)
}
