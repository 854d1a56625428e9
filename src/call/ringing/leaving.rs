//! A call that nobody took, and that an agent takes instead.

use std::sync::Arc;

use serde_json::Value;
use tokio::time::timeout;

use super::{KEEPING, NOT_KEPT, Ringing, Written};
use crate::call::codecs::Codecs;
use crate::call::inbound::Rings;
use crate::call::journal::Journal;
use crate::call::places::Permit;
use crate::call::services::{AgentSpec, Place};
use crate::call::spans;
use crate::call::talk::{Answering, Connected};
use crate::store::CallRecord;
use crate::switch::EndReason;

/// Writes down that an agent has a call which somebody else had, or was to have.
pub(in crate::call) fn leave_to(record: &mut CallRecord, journal: &Journal, agent: &AgentSpec) {
    let name = agent.config.name.clone();
    spans::name(record.id, &name);
    (record.agent, record.bridge) = (Some(name.clone()), None);
    journal.left_to(name);
}

impl Ringing {
    /// Gives the call, which has played nothing to its caller yet, to an agent that answers it; `told`
    /// is what the agent's flow knows of who calls. None when it does not come to that, which is
    /// written down.
    pub(in crate::call) async fn leave_to(
        mut self,
        agent: Arc<AgentSpec>,
        told: Vec<(String, Value)>,
        mut permit: Permit,
    ) -> Option<Box<Connected>> {
        let kept = timeout(KEEPING, self.kept.is_kept()).await;
        if !kept.unwrap_or(false) {
            let reason = EndReason::Failed(NOT_KEPT.to_owned());
            self.refuse(503, reason).await;
            return None;
        }
        // Its place on its trunk stays its own; all else is an agent's call's.
        let over = permit.take_trunk();
        drop(permit);
        let taken = self.services.take_place(&agent.config, 1, None);
        let (place, on_box) = match taken {
            Ok(taken) => taken,
            Err(busy) => {
                let reason = EndReason::Failed(busy.to_string());
                self.refuse(503, reason).await;
                return None;
            }
        };
        let Place {
            permit,
            leg,
            listening,
        } = place;
        let Self {
            services,
            call,
            held,
            signals,
            half,
            negotiated,
            flow,
            source,
            mut record,
            written,
            controls,
            ..
        } = self;
        let Written {
            state,
            journal,
            epoch,
            live,
        } = written;
        leave_to(&mut record, &journal, &agent);
        let rate_hz = match &negotiated {
            Some(negotiated) => negotiated.rate_hz(),
            None => Codecs::configured(&services.config, None).likely_rate_hz(),
        };
        let answering = Answering {
            services,
            agent,
            on_box,
            leg,
            listening,
            record,
            journal,
            epoch,
            live: (live, controls),
            rate_hz,
            goes_on: false,
        };
        let talk = answering.prepare(told).await;
        let Some(half) = half else {
            let reason = EndReason::Failed("its media is gone".to_owned());
            talk.never_answered(state, reason).await;
            return None;
        };
        let rings = Rings {
            call,
            held: Some(held),
            signals,
            half,
            negotiated,
            flow,
            source,
        };
        rings.answer(talk, state, permit.over(over)).await
    }
}
