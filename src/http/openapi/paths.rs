//! Each path: what it takes and what it answers.

use serde_json::{Map, Value, json};

use super::super::calls::STATES;

/// Returns the document's `paths`.
pub(super) fn paths() -> Value {
    let mut paths = Map::new();
    status(&mut paths);
    calls(&mut paths);
    holding(&mut paths);
    supervision(&mut paths);
    about_a_call(&mut paths);
    lists(&mut paths);
    Value::Object(paths)
}

/// One operation under construction.
struct Operation(Value);

impl Operation {
    fn new(id: &str, tag: &str, summary: &str) -> Self {
        Self(json!({
            "operationId": id,
            "tags": [tag],
            "summary": summary,
            "parameters": [],
            "responses": { "default": { "$ref": "#/components/responses/Problem" } },
        }))
    }

    fn set(mut self, name: &str, value: Value) -> Self {
        if let Some(members) = self.0.as_object_mut() {
            members.insert(name.to_owned(), value);
        }
        self
    }

    /// Needs no key.
    fn open(self) -> Self {
        self.set("security", json!([]))
    }

    fn describe(self, text: &str) -> Self {
        self.set("description", text.into())
    }

    fn takes(mut self, parameter: Value) -> Self {
        if let Some(list) = self.0.get_mut("parameters").and_then(Value::as_array_mut) {
            list.push(parameter);
        }
        self
    }

    fn id(self, what: &str) -> Self {
        self.takes(json!({
            "name": "id", "in": "path", "required": true, "description": what,
            "schema": { "type": "string" },
        }))
    }

    fn query(self, name: &str, what: &str, schema: Value) -> Self {
        self.takes(json!({ "name": name, "in": "query", "description": what, "schema": schema }))
    }

    fn header(self, name: &str, what: &str, schema: Value) -> Self {
        self.takes(json!({ "name": name, "in": "header", "description": what, "schema": schema }))
    }

    fn paged(self) -> Self {
        let limit = json!({ "type": "integer", "minimum": 1, "maximum": 200, "default": 50 });
        self.query("limit", "At most so many items", limit).query(
            "cursor",
            "`next_cursor` of the page before",
            json!({ "type": "string" }),
        )
    }

    fn answers(mut self, status: &str, what: &str, content: Value) -> Self {
        let mut response = json!({ "description": what });
        if let Some(members) = response.as_object_mut().filter(|_| !content.is_null()) {
            members.insert("content".to_owned(), content);
        }
        if let Some(responses) = self.0.get_mut("responses").and_then(Value::as_object_mut) {
            responses.insert(status.to_owned(), response);
        }
        self
    }

    fn json(self, status: &str, what: &str, schema: &str) -> Self {
        self.answers(
            status,
            what,
            json!({ "application/json": { "schema": reference(schema) } }),
        )
    }

    fn at(self, paths: &mut Map<String, Value>, method: &str, path: &str) {
        let item = paths.entry(path).or_insert_with(|| json!({}));
        if let Some(item) = item.as_object_mut() {
            item.insert(method.to_owned(), self.0);
        }
    }
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn status(paths: &mut Map<String, Value>) {
    Operation::new("health", "status", "Whether the process answers")
        .open()
        .json("200", "It does", "Health")
        .at(paths, "get", "/healthz");
    Operation::new("ready", "status", "Whether calls can be taken")
        .open()
        .json("200", "They can", "Readiness")
        .json("503", "They cannot; the checks say why", "Readiness")
        .at(paths, "get", "/readyz");
    Operation::new("metrics", "status", "Metrics in the Prometheus text format")
        .answers(
            "200",
            "Metrics",
            json!({ "text/plain": { "schema": { "type": "string" } } }),
        )
        .at(paths, "get", "/metrics");
    Operation::new("description", "status", "This document")
        .open()
        .answers(
            "200",
            "OpenAPI 3.1",
            json!({ "application/json": { "schema": {} } }),
        )
        .at(paths, "get", "/openapi.json");
}

fn calls(paths: &mut Map<String, Value>) {
    let body = json!({
        "required": true,
        "content": { "application/json": { "schema": reference("NewCall"), "example": {
            "to": "+12025550123",
            "agent": "lead-qualification",
            "variables": { "caller_name": "Ada" },
        } } },
    });
    let key = json!({ "type": "string", "minLength": 1, "maxLength": 255 });
    Operation::new("createCall", "calls", "Place a call")
        .describe(
            "The call is stored before the answer. The same Idempotency-Key with the same body \
             returns the same call; with another body it is refused.",
        )
        .header(
            "Idempotency-Key",
            "Makes a repeated request harmless, for instance a UUID",
            key,
        )
        .set("requestBody", body)
        .json(
            "202",
            "The call was taken on; Location names it",
            "CallCreated",
        )
        .at(paths, "post", "/v1/calls");
    Operation::new(
        "listCalls",
        "calls",
        "Calls, the newest first, without their turns",
    )
    .paged()
    .query(
        "state",
        "Only calls in this state",
        json!({ "enum": STATES }),
    )
    .query(
        "direction",
        "Only this way",
        json!({ "enum": ["inbound", "outbound"] }),
    )
    .json("200", "A page of calls", "CallPage")
    .at(paths, "get", "/v1/calls");
    Operation::new(
        "getCall",
        "calls",
        "One call with its turns and their latency",
    )
    .id("The call")
    .json("200", "The call", "Call")
    .at(paths, "get", "/v1/calls/{id}");
    Operation::new("hangUp", "calls", "End a call")
        .id("The call")
        .json(
            "202",
            "It is being ended; `call.ended` tells when it has",
            "Reference",
        )
        .at(paths, "delete", "/v1/calls/{id}");
}

fn holding(paths: &mut Map<String, Value>) {
    Operation::new("hold", "calls", "Let the other side wait with music")
        .describe(
            "It is told by a re-INVITE (`sendonly`) and hears music; the agent says and hears \
             nothing, and goes on where it was after `resume`. `call.held` tells when. A call that \
             is held already stays so. 409 when no agent talks there.",
        )
        .id("The call")
        .json("202", "It is being held", "Reference")
        .at(paths, "post", "/v1/calls/{id}/hold");
    Operation::new("resume", "calls", "End the wait of the other side")
        .id("The call")
        .json("202", "It is being resumed", "Reference")
        .at(paths, "post", "/v1/calls/{id}/resume");
}

fn supervision(paths: &mut Map<String, Value>) {
    let path = "/v1/calls/{id}/supervise";
    let body = |schema: &str, example: Value| {
        json!({
            "required": true,
            "content": { "application/json": { "schema": reference(schema), "example": example } },
        })
    };
    Operation::new(
        "supervise",
        "calls",
        "Join a supervisor to a call in progress",
    )
    .describe(
        "Dials the phone and lets it hear both sides. `barge` lets it talk to the caller while \
             the agent waits, or, on a bridged call, to both. `whisper` is heard by the called \
             person of a bridged call alone; an agent is software, and it is refused with 409. \
             `call.supervised` tells when the phone is joined. It ends when either hangs up.",
    )
    .id("The call")
    .set(
        "requestBody",
        body("Supervise", json!({ "to": "alice", "mode": "listen" })),
    )
    .json("202", "The phone is being dialled", "Reference")
    .at(paths, "post", path);
    Operation::new("transfer", "calls", "Give an agent's call to a person")
        .describe(
            "Calls the phone while the caller waits with music; once it is answered the two talk, \
             and the agent is done. Where nobody answers the agent goes on where it was. \
             `call.transfer` tells how it goes. 409 when no agent talks on the call.",
        )
        .id("The call")
        .set(
            "requestBody",
            body(
                "Transfer",
                json!({ "to": "alice", "ring_s": 20, "briefing": "It is about the last bill." }),
            ),
        )
        .json("202", "The phone is being called", "Reference")
        .at(paths, "post", "/v1/calls/{id}/transfer");
    Operation::new("setSupervision", "calls", "Change what a supervisor does")
        .id("The call")
        .set(
            "requestBody",
            body("SetSupervision", json!({ "mode": "barge" })),
        )
        .json("202", "It is being changed", "Reference")
        .at(paths, "patch", path);
    Operation::new("endSupervision", "calls", "Let a supervisor go")
        .id("The call")
        .json("202", "The phone is being hung up", "Reference")
        .at(paths, "delete", path);
}

fn about_a_call(paths: &mut Map<String, Value>) {
    Operation::new(
        "getTranscript",
        "calls",
        "What was said, as JSON or, by Accept, as text",
    )
    .id("The call")
    .answers(
        "200",
        "The transcript so far",
        json!({
            "application/json": { "schema": reference("Transcript") },
            "text/plain": { "schema": { "type": "string" } },
        }),
    )
    .at(paths, "get", "/v1/calls/{id}/transcript");
    recordings(paths);
    let last = json!({ "type": "integer", "minimum": 0 });
    let sse = json!({ "text/event-stream": { "schema": reference("Event") } });
    let kinds = json!({ "type": "string", "examples": ["call.answered,call.ended"] });
    let resume = "Go on after this event; what is not kept any more is a `stream.gap`";
    Operation::new(
        "streamCallEvents",
        "events",
        "A call's events, from its first to its last",
    )
    .id("The call")
    .query(
        "types",
        "Only these kinds, separated by commas",
        kinds.clone(),
    )
    .header("Last-Event-ID", resume, last.clone())
    .answers("200", "Server-sent events", sse.clone())
    .answers(
        "204",
        "The call has ended, and everything was seen",
        Value::Null,
    )
    .at(paths, "get", "/v1/calls/{id}/events");
    Operation::new(
        "streamEvents",
        "events",
        "Everything that happens from now on",
    )
    .describe(
        "A comment every 15 s shows that the stream lives. A reader that falls behind gets \
             `stream.overrun` and is dropped; it resumes with Last-Event-ID.",
    )
    .query("types", "Only these kinds, separated by commas", kinds)
    .header("Last-Event-ID", resume, last)
    .answers("200", "Server-sent events", sse)
    .at(paths, "get", "/v1/events");
}

fn recordings(paths: &mut Map<String, Value>) {
    let sound = json!({ "schema": { "type": "string", "format": "binary" } });
    let wav = json!({ "audio/wav": sound });
    let any = json!({ "audio/wav": sound, "audio/ogg": sound });
    let what = "The recording, so far or in whole: the caller left, the agent right";
    let range = || json!({ "type": "string" });
    Operation::new("getRecording", "calls", what)
        .describe("In the format that it was made in (`media.recording_format`).")
        .id("The call")
        .header("Range", "One byte range", range())
        .answers("200", "The recording", any.clone())
        .answers("206", "The part that was asked for", any)
        .at(paths, "get", "/v1/calls/{id}/recording");
    Operation::new("getRecordingAsWav", "calls", what)
        .describe("One that was made as Opus is at `/recording` only.")
        .id("The call")
        .header("Range", "One byte range", range())
        .answers("200", "The recording", wav.clone())
        .answers("206", "The part that was asked for", wav)
        .at(paths, "get", "/v1/calls/{id}/recording.wav");
    let pause = "Pause the recording: silence is recorded until it is resumed";
    Operation::new("pauseRecording", "calls", pause)
        .id("The call")
        .json("200", "How it is now", "RecordingState")
        .at(paths, "post", "/v1/calls/{id}/recording/pause");
    Operation::new("resumeRecording", "calls", "End that pause")
        .describe("A flow that keeps an answer off the recording is not overruled: `paused` tells.")
        .id("The call")
        .json("200", "How it is now", "RecordingState")
        .at(paths, "post", "/v1/calls/{id}/recording/resume");
}

fn lists(paths: &mut Map<String, Value>) {
    Operation::new("listTrunks", "switch", "Trunks and how they are")
        .json("200", "The trunks", "Trunks")
        .at(paths, "get", "/v1/trunks");
    Operation::new("listAgents", "switch", "Agents")
        .json("200", "The agents", "Agents")
        .at(paths, "get", "/v1/agents");
    Operation::new("listFlows", "switch", "Flows")
        .json("200", "The flows", "Flows")
        .at(paths, "get", "/v1/flows");
    Operation::new(
        "listAppointments",
        "results",
        "Appointments, the last booked first",
    )
    .paged()
    .json("200", "A page of appointments", "AppointmentPage")
    .at(paths, "get", "/v1/appointments");
    let states = json!({ "enum": ["pending", "delivering", "delivered", "dead"] });
    Operation::new(
        "listOutbox",
        "results",
        "Deliveries to the CRM, the oldest first",
    )
    .paged()
    .query("state", "Only in this state; `dead` was given up", states)
    .json("200", "A page of deliveries", "DeliveryPage")
    .at(paths, "get", "/v1/outbox");
    Operation::new(
        "retryDelivery",
        "results",
        "Try a delivery again that was given up",
    )
    .id("The delivery")
    .json("202", "It is due now", "Reference")
    .at(paths, "post", "/v1/outbox/{id}/retry");
}
