//! The records that the store keeps, in the shapes that the API shows.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

pub use super::media::{JitterBufferSummary, MediaSummary, RemoteSummary};
use super::rfc3339;

/// One call, as `GET /v1/calls/{id}` shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallRecord {
    /// Identifier, a UUID version 7: its order is the order of creation.
    pub id: Uuid,
    /// Who called whom, seen from the switch.
    pub direction: Direction,
    /// Calling party: a number or a SIP URI.
    pub from: String,
    /// Called party: a number or a SIP URI.
    pub to: String,
    /// Name of the trunk that carries it.
    pub trunk: Option<String>,
    /// Name of the agent that talks on it.
    pub agent: Option<String>,
    /// Name of the conference room that it is joined to.
    pub room: Option<String>,
    /// The other side of a call that is bridged.
    pub bridge: Option<Bridge>,
    /// Where the call is in its life.
    pub state: CallState,
    /// When it was created, UTC.
    #[serde(with = "rfc3339")]
    pub started_at: Timestamp,
    /// When it was answered, UTC.
    #[serde(with = "rfc3339::option")]
    pub answered_at: Option<Timestamp>,
    /// When it ended, UTC.
    #[serde(with = "rfc3339::option")]
    pub ended_at: Option<Timestamp>,
    /// What came of it, such as `booked` or `switch restarted`.
    pub outcome: Option<String>,
    /// Why it ended, in words, with what the other side has said of it.
    pub reason: Option<String>,
    /// What the flow knows: given at creation, looked up, said by the caller.
    pub variables: Map<String, Value>,
    /// What the media session measured.
    pub media: Option<MediaSummary>,
    /// What was said, in order.
    pub turns: Vec<TurnRecord>,
}

impl CallRecord {
    /// Makes the record of a call that has just begun.
    pub fn new(
        id: Uuid,
        direction: Direction,
        from: impl Into<String>,
        to: impl Into<String>,
        state: CallState,
        started_at: Timestamp,
    ) -> Self {
        Self {
            id,
            direction,
            from: from.into(),
            to: to.into(),
            trunk: None,
            agent: None,
            room: None,
            bridge: None,
            state,
            started_at,
            answered_at: None,
            ended_at: None,
            outcome: None,
            reason: None,
            variables: Map::new(),
            media: None,
            turns: Vec::new(),
        }
    }

    /// Returns the other party: who calls in, or who is called.
    pub fn remote(&self) -> &str {
        match self.direction {
            Direction::Inbound => &self.from,
            Direction::Outbound => &self.to,
        }
    }

    /// Returns the time from answer to end in whole seconds, rounded up; 0 when never answered.
    pub fn duration_s(&self) -> u64 {
        match (self.answered_at, self.ended_at) {
            (Some(answered), Some(ended)) => {
                let ms = ended
                    .as_millisecond()
                    .saturating_sub(answered.as_millisecond());
                u64::try_from(ms).unwrap_or(0).div_ceil(1000)
            }
            _ => 0,
        }
    }

    /// Makes the event that tells of the call's end.
    pub fn ended_event(&self) -> EventRecord {
        EventRecord {
            id: 0,
            call_id: Some(self.id),
            kind: "call.ended".to_owned(),
            at: self.ended_at.unwrap_or(self.started_at),
            data: serde_json::json!({
                "state": self.state, "outcome": self.outcome, "reason": self.reason,
                "duration_s": self.duration_s(),
            }),
        }
    }

    /// Returns the conversation as text, a line for each turn; what an interrupted agent had not
    /// yet been heard to say is left out.
    pub fn transcript(&self) -> String {
        let mut lines = String::new();
        for turn in &self.turns {
            let said = turn.heard_text.as_deref().unwrap_or(&turn.text);
            if said.is_empty() {
                continue;
            }
            if !lines.is_empty() {
                lines.push('\n');
            }
            lines.push_str(match turn.who {
                Who::Agent => "Agent: ",
                Who::Caller => "Caller: ",
            });
            lines.push_str(said);
        }
        lines
    }
}

/// Who was called on the other side of a bridged call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bridge {
    /// The number or name that was called.
    pub to: String,
    /// The trunk that it left by.
    pub trunk: Option<String>,
    /// The user whose phone was called.
    pub user: Option<String>,
    /// What the media session measured there.
    pub media: Option<MediaSummary>,
}

/// Which way a call goes, seen from the switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Somebody calls the switch.
    Inbound,
    /// The switch calls somebody.
    Outbound,
}

/// Where a call is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallState {
    /// Accepted, nothing sent yet.
    Queued,
    /// The called party is being alerted.
    Ringing,
    /// Answered.
    InProgress,
    /// Ended after it was answered.
    Completed,
    /// Could not be set up, or was cut by a fault of ours.
    Failed,
    /// The called party was busy.
    Busy,
    /// Nobody answered.
    NoAnswer,
    /// Given up before the answer.
    Canceled,
}

impl CallState {
    /// Returns whether no other state follows.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Ringing | Self::InProgress)
    }
}

/// Who speaks in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Who {
    /// The agent.
    Agent,
    /// The other party.
    Caller,
}

/// Gives an enum that has a name for each variant its text form, for database columns.
macro_rules! names {
    ($type:ident { $($variant:ident => $name:literal),+ $(,)? }) => {
        impl $type {
            /// Returns the name, as JSON has it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
        impl ::std::fmt::Display for $type {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl ::std::str::FromStr for $type {
            type Err = $crate::store::record::UnknownName;
            fn from_str(name: &str) -> Result<Self, Self::Err> {
                match name {
                    $($name => Ok(Self::$variant),)+
                    _ => Err($crate::store::record::UnknownName(stringify!($type))),
                }
            }
        }
    };
}
pub(crate) use names;

names!(Direction { Inbound => "inbound", Outbound => "outbound" });
names!(Who { Agent => "agent", Caller => "caller" });
names!(CallState {
    Queued => "queued",
    Ringing => "ringing",
    InProgress => "in-progress",
    Completed => "completed",
    Failed => "failed",
    Busy => "busy",
    NoAnswer => "no-answer",
    Canceled => "canceled",
});

/// A name that none of a type's values has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a name of {0}")]
pub struct UnknownName(pub(crate) &'static str);

/// What there is of a call's recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recording {
    /// It lies there.
    At(PathBuf),
    /// It was removed because it was old. In the database that is an empty path.
    Removed,
}

/// One turn of the conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TurnRecord {
    /// Who speaks.
    pub who: Who,
    /// What the caller said as it was recognised, or what the agent set out to say.
    pub text: String,
    /// What of the agent's text was really heard, by the packets sent; none for a caller's turn.
    pub heard_text: Option<String>,
    /// When it began, UTC.
    #[serde(with = "rfc3339")]
    pub started_at: Timestamp,
    /// Where the time went before the agent answered.
    pub latency: TurnLatency,
    /// Whether the other party cut it short.
    pub interrupted: bool,
}

/// Where the time of one turn went, each in milliseconds; none where the stage did not run. Stages
/// run side by side: their sum is not `voice_to_voice_ms`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnLatency {
    /// From the last voiced packet to the decision that the caller has finished.
    pub endpoint_ms: Option<u32>,
    /// From the recogniser's start, at the first silence, to its final transcript; it overlaps
    /// `endpoint_ms`.
    pub stt_ms: Option<u32>,
    /// From the request to the LLM to its first token; a speculative one overlaps `endpoint_ms`.
    pub llm_first_token_ms: Option<u32>,
    /// From the first clause's hand-over to the voice, after that decision, to its first audio.
    pub tts_first_audio_ms: Option<u32>,
    /// From the last voiced packet received to the first audible packet sent.
    pub voice_to_voice_ms: Option<u32>,
}

/// What changed about a call that goes on; a field that is none stays as it was.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CallUpdate {
    /// The new state.
    pub state: Option<CallState>,
    /// When it was answered, UTC.
    #[serde(default, with = "rfc3339::option")]
    pub answered_at: Option<Timestamp>,
    /// The trunk that was chosen.
    pub trunk: Option<String>,
    /// The agent that was chosen.
    pub agent: Option<String>,
    /// All that the flow knows now (the whole map, not a difference).
    pub variables: Option<Map<String, Value>>,
    /// What the media session has measured so far.
    pub media: Option<MediaSummary>,
    /// Who was called on the other side.
    #[serde(default)]
    pub bridge: Option<Bridge>,
}

/// Something that happened, for `GET /v1/events` and its replay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventRecord {
    /// Rising number, given by the store; 0 before it is stored.
    #[serde(default)]
    pub id: i64,
    /// The call that it is about, when there is one.
    pub call_id: Option<Uuid>,
    /// Name, such as `call.answered`.
    pub kind: String,
    /// When it happened, UTC.
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
    /// What else there is to say.
    pub data: Value,
}

/// An appointment that an agent booked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appointment {
    /// Identifier.
    pub id: Uuid,
    /// The call on which it was booked.
    pub call_id: Uuid,
    /// Beginning in ISO 8601 with an offset, such as `2026-03-04T15:00:00-05:00`.
    pub date_time: String,
    /// What for, such as `discovery-call`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whatever else was said about it.
    pub notes: String,
    /// When it was booked, UTC.
    #[serde(with = "rfc3339")]
    pub created_at: Timestamp,
}

impl Appointment {
    /// Returns the beginning as a moment; none when `date_time` has no offset or is no date.
    pub fn starts_at(&self) -> Option<Timestamp> {
        self.date_time.parse().ok()
    }
}

/// A contact as the CRM last told it, kept for when the CRM does not answer in time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CachedContact {
    /// Normalised phone number by which it is found.
    pub phone_key: String,
    /// Identifier in the CRM, as the CRM spells it.
    pub contact_id: String,
    /// The flow variables that it gives.
    pub variables: Map<String, Value>,
    /// When it was fetched, UTC.
    #[serde(with = "rfc3339")]
    pub fetched_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    #[test]
    fn a_call_has_the_documented_json() {
        let mut call = CallRecord::new(
            Uuid::nil(),
            Direction::Inbound,
            "+1",
            "+2",
            CallState::Queued,
            at(0),
        );
        call.state = CallState::InProgress;
        call.answered_at = Some(at(1_500));
        call.media = Some(MediaSummary {
            codec: Some("PCMU".into()),
            srtp: None,
            packets: 10,
            lost: 1,
            jitter_ms: 0.5,
            mos: Some(4.3),
            rtt_ms: Some(61.25),
            burst_ratio: Some(1.0),
            speech_dbm0: Some(-19.5),
            noise_dbm0: None,
            remote: Some(RemoteSummary {
                lost: 0.01,
                jitter_ms: 2.5,
                mos: Some(4.1),
            }),
            trouble: vec!["nothing comes".into()],
            jitter_buffer: Some(JitterBufferSummary {
                target_ms: 12,
                delay_ms: 23,
                concealed: 0.01,
                accelerated: 0.0,
                expanded: 0.002,
            }),
        });
        call.turns.push(TurnRecord {
            who: Who::Agent,
            text: "Hello".into(),
            heard_text: Some("Hel".into()),
            started_at: at(1_600),
            latency: TurnLatency {
                endpoint_ms: Some(1),
                ..TurnLatency::default()
            },
            interrupted: true,
        });
        let expected = concat!(
            r#"{"id":"00000000-0000-0000-0000-000000000000","direction":"inbound","from":"+1","#,
            r#""to":"+2","trunk":null,"agent":null,"room":null,"bridge":null,"#,
            r#""state":"in-progress","#,
            r#""started_at":"1970-01-01T00:00:00.000Z","answered_at":"1970-01-01T00:00:01.500Z","#,
            r#""ended_at":null,"outcome":null,"reason":null,"variables":{},"#,
            r#""media":{"codec":"PCMU","#,
            r#""srtp":null,"packets":10,"lost":1,"jitter_ms":0.5,"mos":4.3,"#,
            r#""rtt_ms":61.25,"burst_ratio":1.0,"speech_dbm0":-19.5,"noise_dbm0":null,"#,
            r#""remote":{"lost":0.01,"jitter_ms":2.5,"mos":4.1},"trouble":["nothing comes"],"#,
            r#""jitter_buffer":{"target_ms":12,"delay_ms":23,"concealed":0.01,"accelerated":0.0,"#,
            r#""expanded":0.002}},"#,
            r#""turns":[{"who":"agent","#,
            r#""text":"Hello","heard_text":"Hel","started_at":"1970-01-01T00:00:01.600Z","#,
            r#""latency":{"endpoint_ms":1,"stt_ms":null,"llm_first_token_ms":null,"#,
            r#""tts_first_audio_ms":null,"voice_to_voice_ms":null},"interrupted":true}]}"#,
        );
        let json = serde_json::to_string(&call).unwrap();
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_str::<CallRecord>(&json).unwrap(), call);
    }

    #[test]
    fn every_state_has_one_name_in_json_and_in_the_database() {
        for name in [
            "queued",
            "ringing",
            "in-progress",
            "completed",
            "failed",
            "busy",
            "no-answer",
            "canceled",
        ] {
            let state: CallState = name.parse().unwrap();
            assert_eq!(state.as_str(), name);
            assert_eq!(serde_json::to_value(state).unwrap(), name);
        }
    }

    #[test]
    fn a_started_second_counts_and_an_unanswered_call_has_no_duration() {
        let mut call = CallRecord::new(
            Uuid::nil(),
            Direction::Inbound,
            "a",
            "b",
            CallState::Queued,
            at(0),
        );
        call.ended_at = Some(at(5_000));
        assert_eq!(call.duration_s(), 0);
        call.answered_at = Some(at(999));
        assert_eq!(call.duration_s(), 5);
    }

    #[test]
    fn an_appointment_without_an_offset_is_no_moment() {
        let mut appointment = Appointment {
            id: Uuid::nil(),
            call_id: Uuid::nil(),
            date_time: "2026-03-04T15:00:00-05:00".into(),
            kind: String::new(),
            notes: String::new(),
            created_at: at(0),
        };
        assert_eq!(appointment.starts_at(), "2026-03-04T20:00:00Z".parse().ok());
        appointment.date_time = "2026-03-04T15:00:00".into();
        assert_eq!(appointment.starts_at(), None);
    }
}
