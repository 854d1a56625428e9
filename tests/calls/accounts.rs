//! Accounts at carriers that the switch registers with: which one is called, and who is called there.

use std::net::Ipv4Addr;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use crate::caller::Caller;
use crate::peer::{LISTENER, field};
use crate::rig::Switch;

/// Where the carrier is.
const CARRIER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);

/// A registrar that challenges, and lets in whoever answers.
struct Registrar {
    port: u16,
    /// The REGISTERs that it has let in.
    admitted: mpsc::UnboundedReceiver<String>,
}

impl Registrar {
    async fn open(address: Ipv4Addr) -> Self {
        let socket = UdpSocket::bind((address, 0)).await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let (tell, admitted) = mpsc::unbounded_channel();
        tokio::spawn(serve(socket, tell));
        Self { port, admitted }
    }

    /// Waits until accounts are let in; gives the REGISTER of each.
    async fn admits(&mut self, accounts: usize) -> Vec<String> {
        let mut admitted = Vec::new();
        while admitted.len() < accounts {
            admitted.push(self.admitted.recv().await.unwrap());
        }
        admitted
    }
}

async fn serve(socket: UdpSocket, tell: mpsc::UnboundedSender<String>) {
    let mut buffer = [0; 4096];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        let request = std::str::from_utf8(&buffer[..length]).unwrap();
        if !request.starts_with("REGISTER ") {
            continue;
        }
        let (status, fields) = match request.contains("\r\nAuthorization:") {
            true => ("200 OK", "Expires: 600\r\n"),
            false => (
                "401 Unauthorized",
                "WWW-Authenticate: Digest realm=\"carrier\", nonce=\"n1\"\r\n",
            ),
        };
        let copied = ["Via", "From", "To", "Call-ID", "CSeq"];
        let copied = copied.map(|name| format!("{name}: {}\r\n", field(request, name)));
        let answer = format!(
            "SIP/2.0 {status}\r\n{}{fields}Content-Length: 0\r\n\r\n",
            copied.concat()
        );
        socket.send_to(answer.as_bytes(), from).await.unwrap();
        if status == "200 OK" {
            let _ = tell.send(request.to_owned());
        }
    }
}

/// The URI of a Contact.
fn contact(register: &str) -> String {
    let contact = field(register, "Contact");
    let uri = contact.strip_prefix('<').unwrap();
    uri.split_once('>').unwrap().0.to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_accounts_at_one_registrar_each_has_its_calls_by_the_numbers_that_are_called() {
    let mut registrar = Registrar::open(CARRIER).await;
    let (host, port) = (CARRIER, registrar.port);
    let account = |name: &str, more: &str| {
        format!(
            "[[trunk]]\nname = \"{name}\"\nkind = \"register\"\nhost = \"{host}\"\nport = {port}\n\
             transport = \"udp\"\nping_s = 0\npassword = \"secret\"\n{more}"
        )
    };
    let more = [
        account("first", "username = \"one\"\ncountry_code = \"1\"\n"),
        account(
            "second",
            "username = \"two@ims.test\"\nauth_username = \"login\"\ncountry_code = \"44\"\n",
        ),
        "[[route]]\nto = \"*\"\nfrom_trunk = \"second\"\nagent = \"test\"\n".to_owned(),
        "[[route]]\nto = \"*\"\nreject = \"busy\"\n".to_owned(),
    ];
    let switch = Switch::start(LISTENER, &more.concat()).await;
    let admitted = registrar.admits(2).await;
    let of = |aor: &str| {
        let mut registers = admitted.iter();
        let named = |register: &&String| field(register, "To") == format!("<{aor}>");
        registers
            .find(named)
            .unwrap_or_else(|| panic!("no {aor} in {admitted:?}"))
    };
    let (first, second) = (of(&format!("sip:one@{host}")), of("sip:two@ims.test"));
    assert!(first.contains("username=\"one\""), "{first}");
    assert!(second.contains("username=\"login\""), "{second}");
    assert!(
        second.starts_with(&format!("REGISTER sip:{host}:{port} ")),
        "{second}"
    );
    let (first, second) = (contact(first), contact(second));
    assert_ne!(first, second);
    let mut events = switch.events();
    let party = [("P-Called-Party-ID", "<sip:02079460123@carrier.test>")];
    let caller = Caller::dial_saying(host.into(), &second, &party).await;
    caller.unwrap().hang_up().await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["trunk"], "second");
    assert_eq!(record["to"], "+442079460123", "the number that was called");
    // Who names no number calls the account.
    let caller = Caller::dial_from(host.into(), "02079460199", &second).await;
    caller.unwrap().hang_up().await;
    let record = switch.record(&mut events).await;
    assert_eq!(record["variables"]["called"], "two");
    assert_eq!(record["from"], "+442079460199");
    // The other account has another route.
    let refused = Caller::dial_saying(host.into(), &first, &party).await;
    assert_eq!(refused.err().and_then(|error| error.status()), Some(486));
    switch.stop().await;
}
