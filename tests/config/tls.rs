//! `[sip.tls]`, trunks that are called over TLS, and WebSockets.

use std::path::Path;

use offhook::config::Transport;

use crate::{complaint, parse};

const TRUNK: &str = "[[trunk]]\nname = \"t\"\nkind = \"peer\"\nhost = \"pbx.example\"\n";

#[test]
fn a_tls_listener_has_a_certificate_and_the_port_of_tls() {
    let files = "[sip.tls]\ncertificate = \"a.pem\"\nkey = \"/etc/tls/b.key\"";
    let config = parse(&format!("[sip]\nlisten = [\"tls://127.0.0.1\"]\n{files}")).unwrap();
    assert_eq!(config.sip.listen[0].transport, Transport::Tls);
    assert_eq!(config.sip.listen[0].address.port(), 5061);
    let tls = config.sip.tls.unwrap();
    assert!(tls.certificate.ends_with("a.pem"));
    assert_eq!(
        (tls.key.as_path(), tls.client_ca),
        (Path::new("/etc/tls/b.key"), None)
    );
}

#[test]
fn what_tls_lacks_is_named() {
    for (source, named) in [
        ("[sip]\nlisten = [\"tls://127.0.0.1:5061\"]", "sip.listen"),
        ("[sip.tls]\ncertificate = \"a.pem\"", "sip.tls.key"),
        ("[sip.tls]\nkey = \"a.key\"", "sip.tls.certificate"),
        ("[sip.tls]\nclient_ca = \"ca.pem\"", "sip.tls.certificate"),
        (&format!("{TRUNK}ca = \"ca.pem\""), "ca"),
        (
            &format!("{TRUNK}transport = \"tcp\"\nca = \"ca.pem\""),
            "ca",
        ),
    ] {
        let said = complaint(source);
        assert!(said.contains(named), "{source}: {said}");
    }
}

#[test]
fn a_trunk_over_tls_needs_no_certificate_of_ours() {
    let config = parse(&format!(
        "{TRUNK}transport = \"tls\"\nca = \"/etc/tls/ca.pem\""
    ))
    .unwrap();
    assert_eq!(config.trunks[0].transport, Some(Transport::Tls));
    assert_eq!(
        config.trunks[0].ca.as_deref(),
        Some(Path::new("/etc/tls/ca.pem"))
    );
    assert_eq!(config.sip.tls, None);
}

#[test]
fn a_websocket_listener_takes_pages_that_are_listed() {
    let config = parse(
        "[sip]\nlisten = [\"ws://127.0.0.1:8088\"]\n\
         ws_origins = [\"https://Phone.example.com:443\"]\n\
         [[user]]\nname = \"alice\"\npassword = \"correct horse\"",
    )
    .unwrap();
    assert_eq!(config.sip.listen[0].transport, Transport::Ws);
    assert_eq!(
        config.sip.ws_origins[0].to_string(),
        "https://phone.example.com"
    );
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn what_is_wrong_with_a_websocket_is_named() {
    for (source, named) in [
        ("[sip]\nlisten = [\"wss://127.0.0.1\"]", "wss:// address"),
        ("[sip]\nws_origins = [\"*\"]", "sip.ws_origins"),
        (&format!("{TRUNK}transport = \"ws\""), "transport"),
    ] {
        let said = complaint(source);
        assert!(said.contains(named), "{source}: {said}");
    }
    let config = parse("[sip]\nlisten = [\"ws://127.0.0.1:8088\"]").unwrap();
    for named in ["no [[user]]", "sip.ws_origins is empty"] {
        let warned = config.warnings.iter().any(|said| said.contains(named));
        assert!(warned, "{named}: {:?}", config.warnings);
    }
}
