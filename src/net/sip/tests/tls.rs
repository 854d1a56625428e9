//! SIP over TLS between two user agents: who is believed, and who is not.

use std::path::PathBuf;

use offhook_sip::{Access, Invite, Settings, Transport};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::super::{IncomingCall, Listen, News, Signal, Sip};
use super::*;
use crate::mailbox;

/// A folder with an authority's certificate in it, which goes with the test.
struct Authority {
    folder: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { folder, issuer }
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The files of a certificate for a name.
    fn files(&self, name: &str, client_ca: Option<PathBuf>) -> TlsFiles {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let file = |end: &str| self.folder.path().join(format!("{name}.{end}"));
        std::fs::write(file("pem"), certificate.pem()).unwrap();
        std::fs::write(file("key"), key.serialize_pem()).unwrap();
        TlsFiles {
            certificate: file("pem"),
            key: file("key"),
            client_ca,
        }
    }
}

/// A switch that listens on TLS.
struct Switch {
    sip: Sip,
    news: mpsc::Receiver<News>,
    address: SocketAddr,
}

impl Switch {
    async fn start(files: TlsFiles) -> Self {
        let listen = Listen {
            transport: Transport::Tls,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        let settings = Settings {
            access: Access {
                open_loopback: true,
                ..Access::default()
            },
            ..Settings::default()
        };
        let tls = Tls::new(files).unwrap();
        let (sip, news) = Sip::start(&[listen], tls, settings).await.unwrap();
        let address = sip.listeners()[0].1;
        Self { sip, news, address }
    }

    async fn incoming(&mut self) -> Box<IncomingCall> {
        match self.news.recv().await {
            Some(News::Incoming(call)) => call,
            other => panic!("{other:?}"),
        }
    }
}

/// Who only connects: it listens nowhere.
async fn caller(tls: Tls) -> Sip {
    Sip::start(&[], tls, Settings::default()).await.unwrap().0
}

/// Calls a switch that must show a name.
async fn call(sip: &Sip, switch: SocketAddr, name: &str, ca: &Path) -> mailbox::Receiver<Signal> {
    sip.expect(&[switch], name, Some(ca)).await.unwrap();
    let flow = sip.flow_to(switch, Transport::Tls).unwrap();
    let invite = Invite {
        request_uri: "sip:desk@pbx.test".to_owned(),
        to: "sip:desk@pbx.test".to_owned(),
        from: "<sip:me@phone.test>".to_owned(),
        route: Vec::new(),
        flow,
        credentials: None,
        body: Vec::new(),
        content_type: "application/sdp".to_owned(),
        headers: Vec::new(),
    };
    sip.invite(invite).await.unwrap().signals
}

/// Whether the call comes to nothing without ever having been told of at the other side.
async fn is_refused(mut signals: mailbox::Receiver<Signal>) -> bool {
    matches!(
        signals.recv().await,
        Some(Signal::Rejected { status: 503, .. } | Signal::Ended { .. })
    )
}

#[tokio::test]
async fn who_shows_the_name_that_was_asked_for_is_called_over_tls_and_calls_back_over_it() {
    let authority = Authority::new();
    let mut switch = Switch::start(authority.files("pbx.test", None)).await;
    let sip = caller(Tls::default()).await;
    let mut signals = call(&sip, switch.address, "pbx.test", &authority.ca()).await;
    let mut incoming = switch.incoming().await;
    assert_eq!(incoming.invite.flow.transport, Transport::Tls);
    assert!(switch.sip.answer(incoming.call, Vec::new()).await.unwrap());
    while !matches!(signals.recv().await, Some(Signal::Answered { .. })) {}
    // Back over the connection that the call came on, since there is no other way.
    switch.sip.hang_up(incoming.call, None).await.unwrap();
    assert!(matches!(signals.recv().await, Some(Signal::Ended { .. })));
    while !matches!(
        incoming.signals.recv().await,
        Some(Signal::Ended { .. }) | None
    ) {}
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_with_both_names() {
    let authority = Authority::new();
    let mut switch = Switch::start(authority.files("other.test", None)).await;
    let sip = caller(Tls::default()).await;
    let signals = call(&sip, switch.address, "pbx.test", &authority.ca()).await;
    assert!(is_refused(signals).await);
    assert!(switch.news.try_recv().is_err());

    let peer = Tls::default()
        .peer("pbx.test", Some(&authority.ca()))
        .unwrap();
    let stream = TcpStream::connect(switch.address).await.unwrap();
    let said = peer
        .connector
        .connect(peer.name, stream)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("pbx.test") && said.contains("other.test"),
        "{said}"
    );
}

#[tokio::test]
async fn an_authority_that_nobody_named_is_not_believed() {
    let (theirs, ours) = (Authority::new(), Authority::new());
    let switch = Switch::start(theirs.files("pbx.test", None)).await;
    let sip = caller(Tls::default()).await;
    assert!(is_refused(call(&sip, switch.address, "pbx.test", &ours.ca()).await).await);
}

#[tokio::test]
async fn where_both_must_show_a_certificate_nobody_comes_in_without_one() {
    let authority = Authority::new();
    let files = authority.files("pbx.test", Some(authority.ca()));
    let mut switch = Switch::start(files).await;
    let nobody = caller(Tls::default()).await;
    assert!(is_refused(call(&nobody, switch.address, "pbx.test", &authority.ca()).await).await);
    let known = Tls::new(authority.files("phone.test", None)).unwrap();
    let known = caller(known).await;
    let _signals = call(&known, switch.address, "pbx.test", &authority.ca()).await;
    let _ = switch.incoming().await;
}

#[tokio::test]
async fn who_speaks_in_the_clear_to_a_tls_listener_is_let_go() {
    let authority = Authority::new();
    let switch = Switch::start(authority.files("pbx.test", None)).await;
    let mut stream = TcpStream::connect(switch.address).await.unwrap();
    stream
        .write_all(b"OPTIONS sip:us@127.0.0.1 SIP/2.0\r\n\r\n")
        .await
        .unwrap();
    let mut all = Vec::new();
    // An alert perhaps, then the end.
    let _ = stream.read_to_end(&mut all).await;
    assert!(!all.starts_with(b"SIP/2.0"));
}

#[test]
fn a_file_that_is_of_no_use_is_named_with_what_is_wrong() {
    let authority = Authority::new();
    let good = authority.files("pbx.test", None);
    let missing = authority.folder.path().join("nothing.pem");
    let text = authority.folder.path().join("text.pem");
    std::fs::write(&text, "no certificate").unwrap();
    let other = authority.files("other.test", None);
    for (certificate, key, named) in [
        (&missing, &good.key, &missing),
        (&text, &good.key, &text),
        (&good.certificate, &text, &text),
        (&good.certificate, &good.certificate, &good.certificate),
        (&good.certificate, &other.key, &other.key),
    ] {
        let files = TlsFiles {
            certificate: certificate.clone(),
            key: key.clone(),
            client_ca: None,
        };
        let said = Tls::new(files).unwrap_err().to_string();
        assert!(said.contains(&named.display().to_string()), "{said}");
    }
    assert!(Tls::default().check(&text).is_err());
    assert!(
        Tls::default()
            .peer("not a name", Some(&authority.ca()))
            .is_err()
    );
}

#[test]
fn names_that_are_remembered_do_not_grow_without_bound() {
    let authority = Authority::new();
    let peer = Tls::default()
        .peer("pbx.test", Some(&authority.ca()))
        .unwrap();
    let mut names = Names::default();
    for port in 1..=10_000 {
        names.expect(SocketAddr::from(([127, 0, 0, 1], port)), peer.clone());
        assert!(names.0.len() <= PEERS_MAX);
    }
    assert!(
        names
            .get(SocketAddr::from(([127, 0, 0, 1], 10_000)))
            .is_some()
    );
}
