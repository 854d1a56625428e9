//! Calls take the route that the trunk's registrar wants (RFC 3608).

use crate::caller::Caller;
use crate::desk::Desk;
use crate::peer::LISTENER;
use crate::rig::Switch;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_goes_where_the_registrar_wants_it_with_the_route_that_it_named() {
    let (edge, mut core) = (
        Desk::open_at([127, 0, 0, 2].into()).await,
        Desk::open_at([127, 0, 0, 4].into()).await,
    );
    let port = edge.line.sip().listeners()[0].1.port();
    let more = format!(
        "[[trunk]]\nname = \"carrier\"\nkind = \"peer\"\nhost = \"127.0.0.2\"\nport = {port}\n\
         ping_s = 0\ncaller_id = \"+442079460100\"\n\
         [[trunk]]\nname = \"others\"\nkind = \"inbound\"\nnetworks = [\"127.0.0.3/32\"]\n\
         [[route]]\nto = \"+44*\"\nfrom_trunk = \"others\"\ntrunk = \"carrier\"\n"
    );
    let switch = Switch::start(LISTENER, &more).await;
    let wanted = format!("<sip:{};lr>", core.line.sip().listeners()[0].1);
    let states = &switch.services.trunk_states;
    states.note_service_route("carrier", vec![wanted.clone()]);
    let uri = switch.uri.replace("sip:test@", "sip:+442079460123@");
    let dialled = Caller::dial_from([127, 0, 0, 3].into(), "+447700900123", &uri);
    let refused = async {
        let incoming = core.rings().await;
        let sip = core.line.sip();
        sip.reject(incoming.call, 486, Vec::new()).await.unwrap();
        incoming.invite
    };
    let (caller, invite) = tokio::join!(dialled, refused);
    assert!(caller.is_err());
    assert_eq!(
        invite.request_uri,
        format!("sip:+442079460123@127.0.0.2:{port}")
    );
    let mut headers = invite.headers.iter();
    let route = headers.find(|(name, _)| name == "Route");
    assert_eq!(route.map(|(_, value)| value), Some(&wanted));
    switch.stop().await;
}
