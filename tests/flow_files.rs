//! The flows and the schema that are shipped.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;

use offhook::agent::flow;

#[test]
fn every_shipped_flow_can_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/flows");
    let mut checked = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        assert_eq!(flow::check(&entry.unwrap().path()), []);
        checked += 1;
    }
    assert!(checked >= 3);
}

#[test]
fn the_shipped_schema_is_the_flows_own() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/flow.schema.json");
    let shipped: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(
        shipped,
        flow::schema(),
        "run: offhook flow schema > config/flow.schema.json"
    );
}
