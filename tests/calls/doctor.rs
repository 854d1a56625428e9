//! `offhook doctor` against a switch that is the carrier.

use serde_json::Value;

use crate::callee::Callee;
use crate::peer::{LISTENER, field};
use crate::rig::Switch;

/// What the doctor finds of the trunk `carrier`, and whether it takes it for healthy.
async fn examined(trunk: &str, more: &[&str]) -> (bool, Vec<Value>) {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("offhook.toml");
    let text = format!("[[trunk]]\nname = \"carrier\"\nhost = \"127.0.0.1\"\n{trunk}");
    std::fs::write(&config, text).unwrap();
    let mut doctor = tokio::process::Command::new(env!("CARGO_BIN_EXE_offhook"));
    doctor.args(["doctor", "carrier", "--json", "--config"]);
    let output = doctor.arg(&config).args(more).output().await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let said: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}{errors}"));
    assert_eq!(
        output.status.success(),
        said["healthy"].as_bool().unwrap(),
        "{said}"
    );
    let findings = said["findings"].as_array().unwrap().clone();
    (output.status.success(), findings)
}

fn port(switch: &Switch) -> &str {
    switch.uri.rsplit(':').next().unwrap()
}

fn of<'f>(findings: &'f [Value], wanted: &str) -> &'f Value {
    let mut findings = findings.iter();
    let found = findings.find(|finding| finding["of"] == wanted);
    found.unwrap_or(&Value::Null)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_that_works_is_called_healthy_call_and_all() {
    let switch = Switch::start(LISTENER, "[[route]]\nto = \"*\"\nagent = \"test\"\n").await;
    let trunk = format!("kind = \"peer\"\nport = {}\n", port(&switch));
    let (healthy, findings) = examined(&trunk, &["--call", "+12025550123"]).await;
    assert!(healthy, "{findings:#?}");
    for wanted in [
        "addresses",
        "options",
        "introduction",
        "challenge",
        "call",
        "session timer",
        "sound",
        "keys",
        "keys by INFO",
        "tones",
        "hold",
        "resume",
        "quality",
        "their side",
    ] {
        assert_eq!(
            of(&findings, wanted)["health"],
            "good",
            "{wanted}: {findings:#?}"
        );
    }
    let said = |of_what: &str| of(&findings, of_what)["found"].to_string();
    assert!(said("introduction").contains("Offhook/"), "{findings:#?}");
    assert!(
        said("challenge").contains("by our address"),
        "{findings:#?}"
    );
    assert!(said("session timer").contains("1800 s"), "{findings:#?}");
    assert!(said("keys by INFO").contains("is taken"), "{findings:#?}");
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_is_tried_and_a_wrong_password_is_named() {
    let user = "[[user]]\nname = \"alice\"\npassword = \"correct horse battery\"\n";
    let switch = Switch::start(LISTENER, user).await;
    let trunk = |password: &str| {
        format!(
            "kind = \"register\"\nport = {}\nusername = \"alice\"\npassword = \"{password}\"\n",
            port(&switch)
        )
    };
    let (healthy, findings) = examined(&trunk("correct horse battery"), &[]).await;
    assert!(
        healthy && of(&findings, "registration")["health"] == "good",
        "{findings:#?}"
    );
    let challenge = of(&findings, "challenge")["found"].as_str().unwrap();
    assert!(
        challenge.contains("SHA-256 in realm \"offhook\""),
        "{challenge}"
    );
    let (healthy, findings) = examined(&trunk("wrong"), &[]).await;
    let registration = of(&findings, "registration");
    assert!(!healthy, "{findings:#?}");
    let mend = registration["mend"].as_str().unwrap();
    assert!(mend.contains("password"), "{registration}");
    assert!(
        !format!("{findings:?}").contains("wrong\""),
        "no secret is shown"
    );
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_without_an_address_and_one_that_is_silent_are_told_apart() {
    let silent = "kind = \"peer\"\nport = 9\ntransport = \"tcp\"\n";
    let (healthy, findings) = examined(silent, &["--call", "+12025550123"]).await;
    assert!(!healthy);
    let connection = of(&findings, "connection");
    assert_eq!(connection["health"], "bad", "{findings:#?}");
    assert!(connection["mend"].as_str().unwrap().contains("port"));
    assert_eq!(of(&findings, "call")["found"], "not tried");
    let nowhere = "kind = \"peer\"\n".to_owned();
    let nowhere = nowhere.replace("kind", "outbound_proxy = \"nowhere.invalid\"\nkind");
    let (healthy, findings) = examined(&nowhere, &[]).await;
    assert!(
        !healthy && of(&findings, "addresses")["health"] == "bad",
        "{findings:#?}"
    );
}

/// Takes calls and says nothing in them; it wants no INFO and no new offer.
async fn serve_in_silence(carrier: &Callee, media_port: u16) {
    let sdp = format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio {media_port} RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n"
    );
    loop {
        let (request, from) = carrier.hears().await;
        let within = field(&request, "To").contains(";tag=");
        let (status, sdp) = match request.split(' ').next().unwrap() {
            "ACK" => continue,
            "INVITE" if within => ("488 Not Acceptable Here", ""),
            "INVITE" => ("200 OK", sdp.as_str()),
            "INFO" => ("501 Not Implemented", ""),
            _ => ("200 OK", ""),
        };
        carrier.answer(&request, from, status, sdp).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_carrier_that_sends_nothing_and_wants_neither_info_nor_new_offers_is_told_of() {
    let carrier = Callee::listen().await;
    let media = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = media.local_addr().unwrap().port();
    let trunk = format!("kind = \"peer\"\nport = {}\n", carrier.port());
    let (healthy, findings) = tokio::select! {
        examined = examined(&trunk, &["--call", "+12025550123"]) => examined,
        () = serve_in_silence(&carrier, port) => unreachable!(),
    };
    assert!(!healthy, "{findings:#?}");
    let said = |of_what: &str| of(&findings, of_what);
    assert_eq!(said("sound")["health"], "bad", "{findings:#?}");
    let mend = said("sound")["mend"].as_str().unwrap();
    assert!(mend.contains("firewall"), "{mend}");
    let info = said("keys by INFO")["found"].as_str().unwrap();
    assert!(info.contains("501"), "{info}");
    assert_eq!(said("hold")["health"], "doubtful", "{findings:#?}");
    assert!(said("hold")["found"].as_str().unwrap().contains("488"));
}
