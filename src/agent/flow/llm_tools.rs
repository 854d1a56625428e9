//! The tools that an LLM node offers, and what calling them does.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::definition::{HttpTool, Llm, LlmTool};
use super::effects::Recipe;
use super::llm::LlmTurn;
use super::run::{At, FlowRun};
use super::slots::{Reading, SlotKind, read};
use super::transfer::{MAX_BRIEFING, ring};
use crate::agent::{
    BookRequest, Context, RequestId, ToolCall, ToolSpec, TransferRequest, Variables,
};

/// A tool whose answer is awaited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pending {
    request: RequestId,
    call_id: String,
}

/// What calling a tool came to.
enum Called {
    Result(String),
    Waiting(RequestId),
    Leave(String),
    End,
}

/// Names an exit's tool: lower case, everything else an underscore.
fn exit_tool(name: &str) -> String {
    let tool = name.to_lowercase();
    tool.chars()
        .map(|c| {
            if c.is_ascii_lowercase() || c.is_ascii_digit() {
                c
            } else {
                '_'
            }
        })
        .collect()
}

/// Describes a node's tools to the model.
pub(super) fn specs(n: &Llm) -> Vec<ToolSpec> {
    let text = |description: &str| json!({"type": "string", "description": description});
    let object = |properties: Value, required: &[&str]| json!({"type": "object", "properties": properties, "required": required});
    let spec = |name: &str, description: &str, parameters: Value| ToolSpec {
        name: name.to_owned(),
        description: description.to_owned(),
        parameters,
    };
    let mut out = Vec::new();
    for tool in &n.tools {
        out.push(match tool {
            LlmTool::EndCall => spec(
                "end_call",
                "Ends the call. Say goodbye in the same answer.",
                object(
                    json!({"outcome": text("How the call went, in one or two words")}),
                    &[],
                ),
            ),
            LlmTool::Book => spec(
                "book",
                "Books an appointment once the caller has agreed to a day and a time.",
                object(
                    json!({
                        "date_time": text("Day and time, ISO 8601 with offset"),
                        "type": text("The appointment's type"),
                        "notes": text("Notes for the team"),
                    }),
                    &["date_time"],
                ),
            ),
            LlmTool::SetVariable => spec(
                "set_variable",
                &set_variable_help(n),
                object(
                    json!({"name": text("The variable"), "value": text("The value")}),
                    &["name", "value"],
                ),
            ),
        });
    }
    if !n.transfers.is_empty() {
        let names: Vec<&str> = n.transfers.iter().map(|t| t.name.as_str()).collect();
        let who = json!({"type": "string", "enum": names, "description": "Who takes the call"});
        let about = text("What they are told before the caller hears them, in one sentence");
        out.push(spec(
            "transfer",
            &transfer_help(n),
            object(json!({"to": who, "briefing": about}), &["to"]),
        ));
    }
    for tool in &n.http_tools {
        let properties: Map<String, Value> = tool
            .parameters
            .iter()
            .map(|(k, v)| (k.clone(), text(v)))
            .collect();
        let required: Vec<&str> = tool.parameters.keys().map(String::as_str).collect();
        out.push(spec(
            &tool.name,
            &tool.description,
            object(properties.into(), &required),
        ));
    }
    for exit in &n.exits {
        let help = format!("Take this when: {}", exit.when);
        out.push(spec(&exit_tool(&exit.name), &help, object(json!({}), &[])));
    }
    out
}

fn set_variable_help(n: &Llm) -> String {
    let list = n
        .variables
        .iter()
        .map(|v| format!("{} ({})", v.name, v.description));
    format!(
        "Notes what the caller said. Variables: {}",
        list.collect::<Vec<_>>().join(", ")
    )
}

fn transfer_help(n: &Llm) -> String {
    let list = n.transfers.iter();
    let list = list.map(|target| format!("{}: {}", target.name, target.when));
    format!(
        "Gives the call to a person, after what you say in the same answer. {}",
        list.collect::<Vec<_>>().join("; ")
    )
}

impl FlowRun {
    /// Performs the calls of one answer, then asks on or goes where they lead.
    pub(super) fn run_tools(&mut self, cx: &mut Context<'_>, calls: Vec<ToolCall>) {
        let flow = Arc::clone(&self.flow);
        let At::Llm(turn) = &self.at else { return };
        let mut turn = (**turn).clone();
        let Some(n) = turn.node(&flow) else {
            return self.broken(cx);
        };
        let calls = self.memory.called(calls);
        let mut leave = None;
        let mut given_away = false;
        for call in calls {
            let called = match call.name.as_str() {
                "transfer" if given_away => {
                    Called::Result("error: the call can be given to one person only".to_owned())
                }
                _ => self.call_tool(cx, n, &call),
            };
            given_away |= call.name == "transfer" && matches!(called, Called::Waiting(_));
            match called {
                Called::Result(text) => self.memory.answered(&call.id, text),
                Called::Waiting(request) => turn.pending.push(Pending {
                    request,
                    call_id: call.id,
                }),
                Called::Leave(target) => {
                    self.memory.answered(&call.id, "ok".to_owned());
                    leave = Some(target);
                }
                Called::End if given_away => {
                    let refusal = "error: the call is being given to a person";
                    self.memory.answered(&call.id, refusal.to_owned());
                }
                Called::End => {
                    let outcome = arguments(&call)
                        .get("outcome")
                        .and_then(Value::as_str)
                        .map(exit_tool);
                    let outcome = outcome.filter(|o| !o.is_empty() && o.len() <= 40);
                    return self.finish(cx, outcome.as_deref().unwrap_or("completed"));
                }
            }
        }
        if let Some(target) = leave {
            self.drop_pending(cx, &mut turn);
            return self.go(cx, &target);
        }
        if turn.pending.is_empty() {
            self.request(cx, &mut turn, n, Duration::ZERO, None);
        }
        self.at = At::Llm(Box::new(turn));
    }

    fn call_tool(&mut self, cx: &mut Context<'_>, n: &Llm, call: &ToolCall) -> Called {
        let args = arguments(call);
        let offered = |tool: LlmTool| n.tools.contains(&tool);
        match call.name.as_str() {
            "end_call" if offered(LlmTool::EndCall) => Called::End,
            "set_variable" if offered(LlmTool::SetVariable) => {
                Called::Result(self.set_variable(n, &args))
            }
            "book" if offered(LlmTool::Book) => self.book_tool(cx, &args),
            "transfer" if !n.transfers.is_empty() => self.transfer_tool(cx, n, &args),
            name => {
                if let Some(tool) = n.http_tools.iter().find(|t| t.name == name) {
                    return self.http_tool(cx, tool, &args);
                }
                match n.exits.iter().find(|e| exit_tool(&e.name) == name) {
                    Some(exit) => Called::Leave(exit.goto.clone()),
                    None => Called::Result(format!("error: there is no tool {name}")),
                }
            }
        }
    }

    fn set_variable(&mut self, n: &Llm, args: &Map<String, Value>) -> String {
        let name = args.get("name").and_then(Value::as_str).unwrap_or_default();
        if !n.variables.is_empty() && !n.variables.iter().any(|v| v.name == name) {
            return format!("error: there is no variable {name}");
        }
        let value = args.get("value").cloned().unwrap_or(Value::Null);
        match self.variables.insert(name, value) {
            true => "ok".to_owned(),
            false => "error: too long".to_owned(),
        }
    }

    fn book_tool(&mut self, cx: &mut Context<'_>, args: &Map<String, Value>) -> Called {
        let text = |key: &str| {
            args.get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let said = text("date_time");
        let Some(date_time) = self.moment(cx, &said) else {
            return Called::Result(format!(
                "error: \"{said}\" is no day and time in the future"
            ));
        };
        let kind = Some(text("type"))
            .filter(|k| !k.is_empty())
            .unwrap_or_else(|| "call".to_owned());
        Called::Waiting(cx.book(BookRequest {
            id: RequestId(0),
            date_time,
            kind,
            notes: text("notes"),
        }))
    }

    fn transfer_tool(
        &mut self,
        cx: &mut Context<'_>,
        n: &Llm,
        args: &Map<String, Value>,
    ) -> Called {
        let text = |key: &str| args.get(key).and_then(Value::as_str).unwrap_or_default();
        let wanted = text("to");
        // Only to whom the flow names: what a model says is no number to dial.
        let Some(target) = n.transfers.iter().find(|target| target.name == wanted) else {
            return Called::Result(format!("error: the call cannot go to \"{wanted}\""));
        };
        let briefing: String = text("briefing").chars().take(MAX_BRIEFING).collect();
        Called::Waiting(cx.transfer(TransferRequest {
            id: RequestId(0),
            to: self.render(cx.wall(), &target.to, &[]),
            ring: ring(target.ring_s),
            briefing,
        }))
    }

    /// Takes ISO 8601, or a day and a time in words, if it lies in the future.
    fn moment(&self, cx: &Context<'_>, said: &str) -> Option<String> {
        let zone = cx.wall().time_zone();
        let iso = said
            .parse::<jiff::Timestamp>()
            .ok()
            .map(|t| t.to_zoned(zone.clone()));
        let iso = iso.or_else(|| {
            said.parse::<jiff::civil::DateTime>()
                .ok()?
                .to_zoned(zone.clone())
                .ok()
        });
        if let Some(moment) = iso {
            let future = moment > *cx.wall();
            return future.then(|| moment.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string());
        }
        let slot = self.slot_context(cx.wall());
        match read(SlotKind::DateTime, said, &slot) {
            Reading::Filled(filled) => filled.value.as_str().map(str::to_owned),
            _ => None,
        }
    }

    fn http_tool(
        &mut self,
        cx: &mut Context<'_>,
        tool: &HttpTool,
        args: &Map<String, Value>,
    ) -> Called {
        let mut scope: Variables = self.variables.clone();
        for (name, value) in args
            .iter()
            .filter(|(name, _)| tool.parameters.contains_key(*name))
        {
            scope.insert(name.clone(), value.clone());
        }
        let recipe = Recipe {
            node: &tool.name,
            method: &tool.method,
            url: &tool.url,
            headers: &tool.headers,
            json: tool.json.as_ref(),
            form: tool.form.as_ref(),
            timeout_s: tool.timeout_s,
        };
        let request = self.http_request(cx.wall(), &recipe, &scope);
        Called::Waiting(cx.http(request))
    }

    /// A tool was answered: once all are, the model goes on.
    pub(super) fn tool_answered(&mut self, cx: &mut Context<'_>, id: RequestId, text: &str) {
        let flow = Arc::clone(&self.flow);
        let At::Llm(turn) = &self.at else { return };
        let mut turn = (**turn).clone();
        let Some(at) = turn.pending.iter().position(|p| p.request == id) else {
            return;
        };
        let pending = turn.pending.remove(at);
        self.memory.answered(&pending.call_id, text.to_owned());
        let Some(n) = turn.node(&flow) else {
            return self.broken(cx);
        };
        if turn.pending.is_empty() {
            self.request(cx, &mut turn, n, Duration::ZERO, None);
        }
        self.at = At::Llm(Box::new(turn));
    }

    /// Abandons tools whose answer nobody waits for any more.
    pub(super) fn drop_pending(&mut self, cx: &mut Context<'_>, turn: &mut LlmTurn) {
        for pending in std::mem::take(&mut turn.pending) {
            cx.cancel(pending.request);
            let abandoned = "abandoned".to_owned();
            self.memory.answered(&pending.call_id, abandoned);
        }
    }
}

fn arguments(call: &ToolCall) -> Map<String, Value> {
    match serde_json::from_str(&call.arguments) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}
