//! The forms in which trunks write numbers: one here, and each carrier's own on its trunk.

use serde_json::json;

use crate::caller::Caller;
use crate::desk::Desk;
use crate::peer::LISTENER;
use crate::rig::Switch;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_is_read_in_one_carriers_form_and_written_in_anothers() {
    let mut desk = Desk::open_at([127, 0, 0, 2].into()).await;
    let port = desk.line.sip().listeners()[0].1.port();
    let more = format!(
        "[[trunk]]\nname = \"carrier\"\nkind = \"peer\"\nhost = \"127.0.0.2\"\nport = {port}\n\
         networks = [\"127.0.0.2/32\"]\nnumbers = \"bare\"\ncountry_code = \"44\"\n\
         caller_id = \"+442079460100\"\ncaller_ids = [\"+44*\"]\n\
         [[trunk]]\nname = \"others\"\nkind = \"inbound\"\nnetworks = [\"127.0.0.3/32\"]\n\
         country_code = \"44\"\n\
         [[route]]\nto = \"+44*\"\nfrom_trunk = \"others\"\ntrunk = \"carrier\"\n"
    );
    let switch = Switch::start(LISTENER, &more).await;
    let mut events = switch.events();
    let uri = switch.uri.replace("sip:test@", "sip:02079460123@");
    let others = [127, 0, 0, 3].into();
    let dialled = Caller::dial_from(others, "07700900123", &uri);
    let (caller, called) = tokio::join!(dialled, desk.answer());
    assert_eq!(
        (called.to.as_str(), called.from.as_str()),
        ("442079460123", "447700900123")
    );
    caller.unwrap().hang_up().await;
    let record = switch.record(&mut events).await;
    assert_eq!(
        (&record["from"], &record["to"]),
        (&json!("+447700900123"), &json!("+442079460123"))
    );
    // A caller from elsewhere is not shown.
    let dialled = Caller::dial_from(others, "0012025550143", &uri);
    let (caller, called) = tokio::join!(dialled, desk.answer());
    assert_eq!(called.from, "442079460100");
    caller.unwrap().hang_up().await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["from"], "+12025550143");
    switch.stop().await;
}
