//! Flow files: what is wrong with one, and where.

use std::path::Path;

use offhook::agent::flow::{Severity, check, load, parse, schema};

#[test]
fn the_flows_of_the_repository_are_without_errors_and_warnings() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/flows");
    let mut count = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let problems = check(&path);
        assert!(problems.is_empty(), "{problems:?}");
        load(&path).unwrap();
        count += 1;
    }
    assert!(count >= 4);
}

#[test]
fn mistakes_name_file_node_key_and_the_nearest_valid_name() {
    let of = |text: &str| {
        let problems = parse("lead.toml", text).unwrap_err();
        problems
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    };
    let end = "[nodes.bye]\ntype = \"end\"\n";
    let ask = "type='ask'\nsay='Name?'\nslot='n'\ngrammar='name'\n";
    for (text, want) in [
        (
            format!("name='x'\nstart='by'\n{end}"),
            "lead.toml: `start`: there is no node `by`; did you mean `bye`?",
        ),
        (
            format!("name='x'\nstart='a'\n[nodes.a]\n{ask}nxt='bye'\n{end}"),
            "lead.toml: node `a`: `nxt`: unknown key; did you mean `next`?",
        ),
        (
            format!("name='x'\nstart='a'\n[nodes.a]\ntype='aks'\n{end}"),
            "lead.toml: node `a`: `type`: no node is a `aks`; did you mean `ask`?",
        ),
        (
            format!(
                "name='x'\nstart='a'\n[nodes.a]\n{}next='bye'\n{end}",
                ask.replace("'name'", "'emial'")
            ),
            "node `a`: `emial`: unknown value; did you mean `email`?",
        ),
        (
            format!("name='x'\nstrat='a'\n{end}"),
            "lead.toml: `strat`: unknown key; did you mean `start`?",
        ),
        (
            format!("name='x'\nstart='a'\n[nodes.a]\n{ask}\n{end}"),
            "node `a`: `next`: is missing",
        ),
        (
            format!(
                "name='x'\nstart='a'\n[nodes.a]\ntype='branch'\notherwise='bye'\ncases=[{{when='x ==', goto='bye'}}]\n{end}"
            ),
            "`cases.0.when`: `x ==`: the condition ends too early",
        ),
        (
            format!("name='x'\nstart='a'\n[nodes.a]\ntype='say'\nsay='{{{{x'\nnext='bye'\n{end}"),
            "`say`: `{{` without `}}`",
        ),
        ("name='x'\nstart='a'\n".to_owned(), "`nodes`: is missing"),
        ("name='x'\nstart=\n".to_owned(), "line 2"),
    ] {
        assert!(
            of(&text).contains(want),
            "{text}\n=> {}\nwanted {want}",
            of(&text)
        );
    }
}

#[test]
fn what_is_merely_odd_is_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("odd.toml");
    let text = "name='x'\nstart='a'\n[nodes.a]\ntype='ask'\nsay='Hi {{caler_name}}'\nslot='caller_name'\n\
                grammar='name'\nnext='bye'\non_fail='bye'\n[nodes.bye]\ntype='end'\n[nodes.lost]\ntype='end'\n";
    std::fs::write(&path, text).unwrap();
    let problems = check(&path);
    assert!(
        problems.iter().all(|p| p.severity == Severity::Warning),
        "{problems:?}"
    );
    let all = problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n");
    assert!(
        all.contains("nothing sets `caler_name`; did you mean `caller_name`?"),
        "{all}"
    );
    assert!(
        all.contains("node `lost`: `type`: nothing leads to this node"),
        "{all}"
    );
    assert!(load(&path).is_ok());
}

#[test]
fn the_committed_schema_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/flow.schema.json");
    let mut want = serde_json::to_string_pretty(&schema()).unwrap();
    want.push('\n');
    if std::env::var_os("OFFHOOK_BLESS").is_some() {
        std::fs::write(&path, &want).unwrap();
    }
    let have = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        have == want,
        "write it anew: OFFHOOK_BLESS=1 cargo test --test flows"
    );
}
