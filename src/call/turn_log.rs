//! The turns of a call that goes on, in a third of the memory that their records take: a long call
//! has hundreds.

use jiff::Timestamp;

use crate::store::{TurnLatency, TurnRecord, Who};

/// What stands for a latency that there is none of.
const NONE_MS: u32 = u32::MAX;

/// Keeps turns until the call's last record is written.
#[derive(Debug, Default)]
pub(super) struct TurnLog {
    /// What was said, one turn's behind another's.
    text: String,
    rows: Vec<Row>,
}

/// A turn without its words.
#[derive(Debug)]
struct Row {
    started_ns: i64,
    latency_ms: [u32; 5],
    /// Bytes of its text, and of what was heard where that is no beginning of it.
    text: u32,
    heard: Heard,
    is_agent: bool,
    interrupted: bool,
}

/// What was heard of a turn.
#[derive(Debug, Clone, Copy)]
enum Heard {
    /// It is the caller's.
    Untold,
    /// So many bytes of its text.
    Beginning(u32),
    /// So many bytes that stand behind its text.
    Apart(u32),
}

impl TurnLog {
    /// How many turns there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn push(&mut self, turn: &TurnRecord) {
        let started_ns = turn.started_at.as_nanosecond();
        let bytes = |text: &str| u32::try_from(text.len()).unwrap_or(u32::MAX);
        self.text.push_str(&turn.text);
        let heard = match &turn.heard_text {
            None => Heard::Untold,
            Some(heard) if turn.text.starts_with(heard) => Heard::Beginning(bytes(heard)),
            Some(heard) => {
                self.text.push_str(heard);
                Heard::Apart(bytes(heard))
            }
        };
        let latency = &turn.latency;
        let latency_ms = [
            latency.endpoint_ms,
            latency.stt_ms,
            latency.llm_first_token_ms,
            latency.tts_first_audio_ms,
            latency.voice_to_voice_ms,
        ];
        self.rows.push(Row {
            started_ns: i64::try_from(started_ns).unwrap_or(i64::MAX),
            latency_ms: latency_ms.map(|ms| ms.unwrap_or(NONE_MS)),
            text: bytes(&turn.text),
            heard,
            is_agent: turn.who == Who::Agent,
            interrupted: turn.interrupted,
        });
    }

    /// Gives all turns as they were.
    pub(super) fn records(&self) -> Vec<TurnRecord> {
        let mut rest = self.text.as_str();
        let mut take = |bytes: u32| {
            let (text, behind) = rest.split_at_checked(bytes as usize).unwrap_or((rest, ""));
            rest = behind;
            text
        };
        let record = |row: &Row| {
            let text = take(row.text);
            let heard_text = match row.heard {
                Heard::Untold => None,
                Heard::Beginning(bytes) => text.get(..bytes as usize),
                Heard::Apart(bytes) => Some(take(bytes)),
            };
            let [endpoint, stt, llm, tts, voice] =
                row.latency_ms.map(|ms| (ms != NONE_MS).then_some(ms));
            TurnRecord {
                who: if row.is_agent {
                    Who::Agent
                } else {
                    Who::Caller
                },
                text: text.to_owned(),
                heard_text: heard_text.map(str::to_owned),
                started_at: Timestamp::from_nanosecond(row.started_ns.into()).unwrap_or_default(),
                latency: TurnLatency {
                    endpoint_ms: endpoint,
                    stt_ms: stt,
                    llm_first_token_ms: llm,
                    tts_first_audio_ms: tts,
                    voice_to_voice_ms: voice,
                },
                interrupted: row.interrupted,
            }
        };
        self.rows.iter().map(record).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(text: &str, heard: Option<&str>, number: u32) -> TurnRecord {
        TurnRecord {
            who: heard.map_or(Who::Caller, |_| Who::Agent),
            text: text.to_owned(),
            heard_text: heard.map(str::to_owned),
            started_at: Timestamp::from_microsecond(1_700_000_000_123_456 + i64::from(number))
                .unwrap(),
            latency: TurnLatency {
                endpoint_ms: Some(number),
                stt_ms: None,
                llm_first_token_ms: (number > 2).then_some(0),
                tts_first_audio_ms: None,
                voice_to_voice_ms: Some(800 + number),
            },
            interrupted: number % 2 == 1,
        }
    }

    #[test]
    fn turns_come_back_as_they_were_whatever_of_them_was_heard() {
        let turns = [
            turn(
                "Grüß Gott, was kann ich tun?",
                Some("Grüß Gott, was kann ich tun?"),
                0,
            ),
            turn("Ich hätte gern einen Termin.", None, 1),
            turn("Am Dienstag?", Some("Am Diens"), 2),
            turn("", None, 3),
            turn("Gern.", Some(""), 4),
            turn("one two", Some("two"), 5),
        ];
        let mut log = TurnLog::default();
        turns.iter().for_each(|turn| log.push(turn));
        assert_eq!(log.len(), turns.len());
        assert_eq!(log.records(), turns);
    }

    #[test]
    fn a_turn_takes_little_more_than_its_words() {
        assert!(size_of::<Row>() <= 48);
    }
}
