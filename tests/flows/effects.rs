//! Requests and loops.

use serde_json::json;

use crate::talk::Talk;

#[test]
fn an_http_node_sends_escaped_values_and_saves_what_it_is_told() {
    let flow = r#"
        name = "x"
        start = "say"
        [nodes.say]
        type = "say"
        set = { caller_name = 'Jane "J" Doe' }
        next = "post"
        [nodes.post]
        type = "http"
        url = "/api/contacts?name={{caller_name}}"
        headers = { X-Name = "{{caller_name}}" }
        json = { firstname = "{{caller_name}}", score = "{{score}}", tags = ["a", "{{missing}}"] }
        save = { contact_id = "contact.id", first_tag = "/contact/tags/0", code = "status" }
        say = "One moment."
        next = "bye"
        on_error = "sorry"
        [nodes.bye]
        type = "end"
        say = "Your number is {{contact_id}}."
        [nodes.sorry]
        type = "end"
        say = "It failed with {{code}}."
        outcome = "failed"
    "#;
    let mut talk = Talk::of(flow, &[("score", json!(7))]);
    talk.expect("One moment.");
    let request = talk.take_http();
    assert_eq!(request.url, "/api/contacts?name=Jane%20%22J%22%20Doe");
    let body: serde_json::Value = serde_json::from_str(&request.body.unwrap()).unwrap();
    assert_eq!(
        body,
        json!({"firstname": "Jane \"J\" Doe", "score": 7, "tags": ["a", ""]})
    );
    talk.http(200, r#"{"contact":{"id":42,"tags":["vip"]}}"#)
        .expect("Your number is 42.");
    assert_eq!(
        (talk.var("first_tag"), talk.var("code")),
        ("vip".into(), "200".into())
    );
    let mut talk = Talk::of(flow, &[]);
    talk.http(500, "oops").expect("It failed with 500.");
    assert_eq!(talk.outcome(), "failed");
}

#[test]
fn a_flow_that_loops_apologises_and_ends() {
    let mut talk = Talk::of(
        "name='x'\nstart='a'\n[nodes.a]\ntype='branch'\notherwise='b'\n\
         [nodes.b]\ntype='branch'\notherwise='a'\n",
        &[],
    );
    talk.expect("something went wrong on our side");
    assert!(talk.ended());
}
