//! An agent gives its call to a person.

use std::sync::Arc;

use tokio::sync::oneshot;
use tracing::Instrument;
use uuid::Uuid;

use super::briefing::Briefing;
use super::callee::Wanted;
use super::refer_out::Told;
use super::services::Services;
use super::transfer::Person;
use crate::agent::TransferRequest;
use crate::ai::TextToSpeech;

/// What an agent needs to give its call away.
pub struct HandOver {
    pub(super) services: Arc<Services>,
    /// The call.
    pub(super) id: Uuid,
    /// The agent.
    pub(super) by: String,
}

impl HandOver {
    /// Has somebody rung; `failed` hears why nobody took the call.
    pub(super) fn begin(
        &self,
        request: TransferRequest,
        voice: &Arc<dyn TextToSpeech>,
        failed: impl FnOnce(String) + Send + 'static,
    ) {
        let callees = self.services.callees(Wanted {
            to: &request.to,
            by: &self.by,
            ..Wanted::default()
        });
        let callees = match callees {
            Ok(callees) => callees,
            Err(error) => return failed(error.to_string()),
        };
        let (on_failure, why) = oneshot::channel();
        let person = Person {
            callees,
            ring: request.ring,
            briefing: Briefing::new(&request.briefing, voice),
            on_failure: Some(on_failure),
            to: request.to,
        };
        match self.services.transfer(self.id, person) {
            Err(error) => failed(error.to_string()),
            Ok(()) => {
                let telling = async move {
                    if let Ok(why) = why.await {
                        failed(why);
                    }
                };
                tokio::spawn(telling.in_current_span());
            }
        }
    }

    /// The other side says something of a transfer that it was asked for.
    pub(super) fn referred(&self, what: Told) {
        self.services.tell_of_refer(self.id, what);
    }

    /// Nobody is to take the call any more, if nobody has.
    pub(super) fn call_off(&self) {
        self.services.call_off_transfer(self.id);
    }
}
