//! What the API's JSON looks like.

use serde_json::{Value, json};

use super::super::calls::STATES;
use super::super::events::KINDS;
use crate::agent::flow::MAX_BRIEFING;

/// Returns the document's `components.schemas`.
pub(super) fn schemas() -> Value {
    let mut all = json!({});
    for part in [basics(), call(), turns(), switch(), results()] {
        if let (Some(all), Value::Object(part)) = (all.as_object_mut(), part) {
            all.extend(part);
        }
    }
    all
}

fn text(what: &str) -> Value {
    json!({ "type": "string", "description": what })
}

fn maybe(kind: &str, what: &str) -> Value {
    json!({ "type": [kind, "null"], "description": what })
}

fn time(what: &str) -> Value {
    json!({ "type": "string", "format": "date-time", "description": what })
}

fn maybe_time(what: &str) -> Value {
    json!({ "type": ["string", "null"], "format": "date-time", "description": what })
}

/// An object of which every property is always there.
fn object(properties: Value) -> Value {
    let names: Vec<&String> = properties
        .as_object()
        .map(|map| map.keys().collect())
        .unwrap_or_default();
    json!({ "type": "object", "required": names, "properties": properties })
}

fn page(name: &str, item: &str) -> Value {
    object(json!({
        name: list(item),
        "next_cursor": maybe("string", "Where the next page begins; null on the last"),
    }))
}

fn list(item: &str) -> Value {
    json!({ "type": "array", "items": { "$ref": format!("#/components/schemas/{item}") } })
}

fn basics() -> Value {
    json!({
        "Problem": {
            "type": "object",
            "required": ["type", "title", "status", "detail", "code"],
            "properties": {
                "type": { "type": "string", "format": "uri" },
                "title": text("The kind of problem"),
                "status": { "type": "integer", "description": "The HTTP status" },
                "detail": text("What happened and what to do"),
                "code": text("Stable, for programs"),
                "field": text("The field or parameter to blame"),
            },
        },
        "Health": object(json!({ "status": { "const": "ok" } })),
        "Readiness": object(json!({
            "status": { "enum": ["ready", "not_ready"] },
            "checks": { "type": "array", "items": object(json!({
                "name": text("What is needed"),
                "ok": { "type": "boolean" },
                "detail": text("Why not, or what it is"),
            })) },
        })),
        "Transfer": {
            "type": "object",
            "required": ["to"],
            "additionalProperties": false,
            "properties": {
                "to": text("A [[user]] that has registered, a number, or a sip: or tel: URI"),
                "ring_s": { "type": "integer", "minimum": 1, "maximum": 300, "default": 30,
                    "description": "How long it may ring, in seconds" },
                "briefing": { "type": "string", "maxLength": MAX_BRIEFING,
                    "description": "What the agent tells them before they hear the caller" },
            },
        },
        "Supervise": {
            "type": "object",
            "required": ["to"],
            "additionalProperties": false,
            "properties": {
                "to": text("A [[user]] that has registered, a number, or a sip: or tel: URI"),
                "mode": { "enum": ["listen", "whisper", "barge"], "default": "listen" },
            },
        },
        "SetSupervision": {
            "type": "object",
            "required": ["mode"],
            "additionalProperties": false,
            "properties": { "mode": { "enum": ["listen", "whisper", "barge"] } },
        },
        "Reference": object(json!({ "id": text("The id") })),
        "RecordingState": object(json!({
            "id": text("The call"),
            "paused": { "type": "boolean", "description": "Whether silence is recorded" },
        })),
        "Event": {
            "type": "object",
            "required": ["id", "type", "at", "data"],
            "properties": {
                "id": { "type": "integer" },
                "type": { "enum": KINDS, "description": "What happened" },
                "call_id": text("The call that it happened to"),
                "at": time("When"),
                "data": { "description": "More about it" },
            },
        },
    })
}

fn call() -> Value {
    json!({
        "NewCall": {
            "type": "object",
            "required": ["to", "agent"],
            "additionalProperties": false,
            "properties": {
                "to": text(
                    "A number such as +12025550123, a sip: or tel: URI, a [[user]], or whatever \
                     else a route leads to"
                ),
                "trunk": text("The trunk; the first that can call out when left out"),
                "from": text("The number to call from; the trunk's own when left out"),
                "agent": text("The agent that talks"),
                "variables": {
                    "type": "object", "maxProperties": 64,
                    "description": "Variables for the flow",
                },
                "headers": {
                    "type": "object", "maxProperties": 20,
                    "additionalProperties": { "type": "string", "maxLength": 256 },
                    "description": "Header fields that the INVITE gets, such as X-Order-Id; none that the switch itself writes",
                },
            },
        },
        "CallCreated": object(json!({ "id": text("The call's id") })),
        "CallSummary": object(call_members()),
        "Call": {
            "allOf": [{ "$ref": "#/components/schemas/CallSummary" }, object(json!({
                "turns": list("Turn"),
            }))],
        },
        "CallPage": page("calls", "CallSummary"),
    })
}

fn call_members() -> Value {
    json!({
        "id": text("The id"),
        "direction": { "enum": ["inbound", "outbound"] },
        "from": text("Who calls"),
        "to": text("Who is called"),
        "trunk": maybe("string", "The trunk; null for a call of a user or of this machine"),
        "agent": maybe("string", "The agent"),
        "room": maybe("string", "The conference room that it is joined to"),
        "bridge": { "oneOf": [{ "type": "null" }, object(json!({
            "to": text("Who is called on the other side"),
            "trunk": maybe("string", "The trunk that it left by"),
            "user": maybe("string", "The user whose phone was called"),
            "media": measured(),
        }))] },
        "state": { "enum": STATES },
        "started_at": time("When it began"),
        "answered_at": maybe_time("When it was answered"),
        "ended_at": maybe_time("When it ended"),
        "outcome": maybe("string", "What came of it"),
        "reason": maybe("string", "Why it ended, with what the other side said of it (RFC 3326)"),
        "variables": { "type": "object", "description": "What the flow knows" },
        "media": measured(),
    })
}

fn measured() -> Value {
    json!({ "oneOf": [{ "type": "null" }, object(json!({
            "codec": maybe("string", "Its SDP name"),
            "srtp": maybe("string", "The crypto suite; null when media went in the clear"),
            "packets": { "type": "integer", "description": "Received" },
            "lost": { "type": "integer", "description": "Never came" },
            "jitter_ms": { "type": "number", "description": "RFC 3550 A.8" },
            "mos": maybe("number", "Estimated, ITU-T G.107"),
            "rtt_ms": maybe("number", "Round trip by RTCP"),
            "burst_ratio": maybe("number", "How much longer runs of losses were than by chance"),
            "speech_dbm0": maybe("number", "Level of the other party's speech"),
            "noise_dbm0": maybe("number", "Level of what is behind it"),
            "remote": { "oneOf": [{ "type": "null" }, remote()] },
            "trouble": {
                "type": "array", "items": { "type": "string" },
                "description": "What went wrong with the sound, in words and in order",
            },
            "jitter_buffer": { "oneOf": [{ "type": "null" }, jitter_buffer()] },
    }))] })
}

fn remote() -> Value {
    object(json!({
        "lost": { "type": "number", "description": "Share of our packets lost lately" },
        "jitter_ms": { "type": "number", "description": "Their jitter" },
        "mos": maybe("number", "What the other side gives our sound (RFC 3611)"),
    }))
}

fn jitter_buffer() -> Value {
    let share = |what: &str| json!({ "type": "number", "description": what });
    object(json!({
        "target_ms": { "type": "integer", "description": "Delay that it aimed at in the end" },
        "delay_ms": { "type": "integer", "description": "Mean delay" },
        "concealed": share("Made up for late or lost packets, of what was played"),
        "accelerated": share("Left out to wear off delay, of what was played"),
        "expanded": share("Played twice to build up delay, of what was played"),
    }))
}

fn turns() -> Value {
    let ms = |what: &str| json!({ "type": ["number", "null"], "description": what });
    let said = json!({
        "who": { "enum": ["agent", "caller"] },
        "text": text("What was recognised, or what was to be said"),
        "heard_text": maybe("string", "What of the agent's text was really heard"),
        "started_at": time("When it began"),
        "interrupted": { "type": "boolean", "description": "Whether it was cut short" },
    });
    json!({
        "Turn": {
            "allOf": [{ "$ref": "#/components/schemas/TranscriptTurn" }, object(json!({
                "latency": object(json!({
                    "endpoint_ms": ms("Last voiced packet to end of turn"),
                    "stt_ms":
                        ms("The recogniser's start, at the first silence, to its final text; it \
                            overlaps endpoint_ms"),
                    "llm_first_token_ms":
                        ms("The request to the LLM to its first token; one that was sent before \
                            the turn's end overlaps endpoint_ms"),
                    "tts_first_audio_ms":
                        ms("The first clause's hand-over, after the turn's end, to its first \
                            sound"),
                    "voice_to_voice_ms":
                        ms("Last voiced packet received to first audible packet sent"),
                })),
            }))],
        },
        "TranscriptTurn": object(said),
        "Transcript": object(json!({ "id": text("The call's id"), "turns": list("TranscriptTurn") })),
    })
}

fn switch() -> Value {
    json!({
        "Trunk": object(json!({
            "name": text("Its name"),
            "kind": { "enum": ["peer", "register", "inbound"] },
            "host": text("Its host; empty for one that only calls in"),
            "caller_id": maybe("string", "The number that calls show unless they say another"),
            "registration": maybe(
                "string",
                "How the registration stands, in words; null while none was tried",
            ),
            "calls": { "type": "integer", "description": "Calls over it now, both ways" },
            "addresses": list("TrunkAddress"),
        })),
        "TrunkAddress": object(json!({
            "address": text("Address and port that its requests go to, the best first"),
            "transport": { "enum": ["udp", "tcp", "tls"] },
            "state": { "enum": ["up", "down", "unknown"] },
            "trouble": maybe(
                "string",
                "Why TLS with it failed the last time, in words; null where it did not",
            ),
        })),
        "Trunks": object(json!({ "trunks": list("Trunk") })),
        "Agent": object(json!({
            "name": text("Its name"),
            "flow": text("Where its flow was read from"),
            "voice": text("Its voice"),
        })),
        "Agents": object(json!({ "agents": list("Agent") })),
        "Flow": object(json!({
            "name": text("Its name"),
            "description": text("What it is for, in the flow's own words"),
            "source": text("Where it was read from"),
            "agent": text("The agent that follows it"),
        })),
        "Flows": object(json!({ "flows": list("Flow") })),
    })
}

fn results() -> Value {
    json!({
        "Appointment": object(json!({
            "id": text("The id"),
            "call_id": text("The call on which it was booked"),
            "date_time": time("When it begins"),
            "type": text("What for"),
            "notes": text("What else was said"),
            "created_at": time("When it was booked"),
        })),
        "AppointmentPage": page("appointments", "Appointment"),
        "Delivery": {
            "type": "object",
            "required": ["id", "call_id", "kind", "sink", "state", "attempts"],
            "properties": {
                "id": { "type": ["integer", "string"], "description": "The id" },
                "call_id": text("The call that it tells about"),
                "kind": text("What: contact, call-log, …"),
                "sink": text("To whom: ploink"),
                "state": { "enum": ["pending", "delivering", "delivered", "dead"] },
                "attempts": { "type": "integer" },
                "next_attempt_at": maybe_time("When it is tried next"),
                "last_error": maybe("string", "Why the last attempt failed"),
                "created_at": time("When it was made"),
            },
        },
        "DeliveryPage": page("deliveries", "Delivery"),
    })
}
