//! The OpenAPI 3.1 document, maintained here and held against the routes by a test.

mod paths;
mod schemas;

use std::sync::OnceLock;

use serde_json::{Value, json};

/// Returns the document.
pub fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Offhook",
            "summary": "A phone switch that talks",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "description": "Calls, events, health and metrics. Without any [[http.key]] only this \
                machine is answered; with keys, send one as a bearer token. Every error is an \
                RFC 9457 problem document whose `code` is stable and whose `detail` says what to \
                do.",
        },
        "servers": [{ "url": "/" }],
        "security": [{ "key": [] }],
        "paths": paths::paths(),
        "components": {
            "securitySchemes": {
                "key": { "type": "http", "scheme": "bearer", "description": "A key of [[http.key]]" },
            },
            "schemas": schemas::schemas(),
            "responses": { "Problem": problem() },
        },
    })
}

/// Returns the document as it is served.
pub(super) fn text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| document().to_string())
}

fn problem() -> Value {
    json!({
        "description": "What went wrong, and what to do about it (RFC 9457)",
        "content": {
            "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } },
        },
    })
}
