//! SIP over TLS between two user agents: who is believed, and who is not.

use std::path::PathBuf;

use offhook_sip::{Access, Invite, Settings, Transport};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::server::Acceptor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::LazyConfigAcceptor;

use super::super::{IncomingCall, Listen, News, Signal, Sip, SipError};
use super::*;
use crate::call::first_hop;
use crate::config::{Config, Env};
use crate::mailbox;

#[path = "tls_lost.rs"]
mod lost;

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
        let file = |end: &str| self.folder.path().join(format!("{name}.{end}"));
        let files = TlsFiles {
            certificate: file("pem"),
            key: file("key"),
            client_ca,
        };
        self.write(name, &files);
        files
    }

    /// Writes a fresh certificate for a name into the files of another.
    fn write(&self, name: &str, files: &TlsFiles) {
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        self.issue(params, files);
    }

    fn issue(&self, params: CertificateParams, files: &TlsFiles) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(&files.certificate, certificate.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
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

fn whom(name: &str, ca: &Path) -> Whom {
    Whom {
        host: name.to_owned(),
        ca: Some(ca.to_owned()),
    }
}

/// Calls a switch that must show a name.
async fn call(sip: &Sip, switch: SocketAddr, name: &str, ca: &Path) -> mailbox::Receiver<Signal> {
    call_whom(sip, switch, &whom(name, ca)).await
}

async fn call_whom(sip: &Sip, switch: SocketAddr, whom: &Whom) -> mailbox::Receiver<Signal> {
    let flow = sip.way_to(switch, Transport::Tls, Some(whom)).await;
    let flow = flow.unwrap();
    let invite = Invite {
        request_uri: "sip:desk@pbx.test".to_owned(),
        to: "sip:desk@pbx.test".to_owned(),
        from: "<sip:me@phone.test>".to_owned(),
        route: Vec::new(),
        flow,
        stream: None,
        credentials: None,
        body: Vec::new(),
        content_type: "application/sdp".to_owned(),
        headers: Vec::new(),
    };
    sip.invite(invite).await.unwrap().signals
}

/// Whom the configuration of a trunk names.
fn whom_of_trunk(more: &str) -> Whom {
    let text = format!(
        "[[trunk]]\nname = \"carrier\"\nkind = \"peer\"\nhost = \"carrier.test\"\n\
         transport = \"tls\"\n{more}"
    );
    let config = Config::parse(&text, None, &Env::process()).unwrap();
    first_hop::whom(&config.trunks[0])
}

#[tokio::test]
async fn the_name_that_a_server_is_asked_for_is_the_configured_one_whatever_its_address() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let sip = caller(Tls::default()).await;
    for (more, name) in [
        ("", "carrier.test"),
        ("outbound_proxy = \"edge.test:5061\"\n", "edge.test"),
    ] {
        let _signals = call_whom(&sip, address, &whom_of_trunk(more)).await;
        let (stream, _) = server.accept().await.unwrap();
        let handshake = LazyConfigAcceptor::new(Acceptor::default(), stream).await;
        let handshake = handshake.unwrap();
        assert_eq!(handshake.client_hello().server_name(), Some(name));
    }
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
    let said = sip.tls_trouble(switch.address, &whom("pbx.test", &authority.ca()));
    let wanted = "the certificate is for other.test, the configuration says pbx.test";
    assert_eq!(said.as_deref(), Some(wanted));
}

#[tokio::test]
async fn what_was_wrong_is_forgotten_once_the_connection_is_made() {
    let authority = Authority::new();
    let files = authority.files("other.test", None);
    let mut switch = Switch::start(files.clone()).await;
    let sip = caller(Tls::default()).await;
    let (ca, whom) = (authority.ca(), whom("pbx.test", &authority.ca()));
    assert!(is_refused(call(&sip, switch.address, "pbx.test", &ca).await).await);
    assert!(sip.tls_trouble(switch.address, &whom).is_some());
    authority.write("pbx.test", &files);
    assert!(matches!(switch.sip.tls.renew(), Renewal::Renewed));
    let _signals = call(&sip, switch.address, "pbx.test", &ca).await;
    let _ = switch.incoming().await;
    assert_eq!(sip.tls_trouble(switch.address, &whom), None);
}

#[tokio::test]
async fn two_names_at_one_address_have_a_connection_each() {
    let authority = Authority::new();
    let mut switch = Switch::start(authority.files("pbx.test", None)).await;
    // Who listens itself, so that both would leave from the same port.
    let us = Switch::start(authority.files("us.test", None)).await;
    let ca = authority.ca();
    let mut good = call(&us.sip, switch.address, "pbx.test", &ca).await;
    let incoming = switch.incoming().await;
    assert!(is_refused(call(&us.sip, switch.address, "other.test", &ca).await).await);
    assert!(
        switch.news.try_recv().is_err(),
        "nothing came over the first"
    );
    // The first is as it was.
    assert!(switch.sip.answer(incoming.call, Vec::new()).await.unwrap());
    while !matches!(good.recv().await, Some(Signal::Answered { .. })) {}
    let whom = |name| whom(name, &ca);
    assert_eq!(us.sip.tls_trouble(switch.address, &whom("pbx.test")), None);
    assert!(
        us.sip
            .tls_trouble(switch.address, &whom("other.test"))
            .is_some()
    );
}

/// A connection to a switch, by its words alone.
async fn connect(switch: SocketAddr, whom: &Whom) -> tokio_rustls::client::TlsStream<TcpStream> {
    let peer = Tls::default().peer(whom).unwrap();
    let stream = TcpStream::connect(switch).await.unwrap();
    peer.connector.connect(peer.name, stream).await.unwrap()
}

async fn is_alive(stream: &mut tokio_rustls::client::TlsStream<TcpStream>) -> bool {
    stream.write_all(b"\r\n\r\n").await.unwrap();
    let mut pong = [0; 2];
    stream.read_exact(&mut pong).await.is_ok()
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_who_comes_later_and_no_connection_ends() {
    let authority = Authority::new();
    let files = authority.files("pbx.test", None);
    let switch = Switch::start(files.clone()).await;
    let ca = authority.ca();
    let mut before = connect(switch.address, &whom("pbx.test", &ca)).await;
    assert!(matches!(switch.sip.tls.renew(), Renewal::Same));
    authority.write("new.test", &files);
    assert!(matches!(switch.sip.tls.renew(), Renewal::Renewed));
    let mut after = connect(switch.address, &whom("new.test", &ca)).await;
    assert!(is_alive(&mut before).await && is_alive(&mut after).await);
}

#[tokio::test]
async fn a_new_file_that_is_of_no_use_keeps_the_old_and_is_complained_of_once() {
    let authority = Authority::new();
    let files = authority.files("pbx.test", None);
    let switch = Switch::start(files.clone()).await;
    let good = std::fs::read(&files.certificate).unwrap();
    std::fs::write(&files.certificate, "half a certifi").unwrap();
    let Renewal::Failed(error) = switch.sip.tls.renew() else {
        panic!("it was taken")
    };
    let named = files.certificate.display().to_string();
    assert!(error.to_string().contains(&named), "{error}");
    assert!(matches!(switch.sip.tls.renew(), Renewal::Same));
    std::fs::remove_file(&files.certificate).unwrap();
    assert!(matches!(switch.sip.tls.renew(), Renewal::Failed(_)));
    assert!(matches!(switch.sip.tls.renew(), Renewal::Same));
    let mut stream = connect(switch.address, &whom("pbx.test", &authority.ca())).await;
    assert!(is_alive(&mut stream).await);
    std::fs::write(&files.certificate, good).unwrap();
    assert!(matches!(switch.sip.tls.renew(), Renewal::Renewed));
}

#[tokio::test]
async fn a_connection_that_we_end_says_so() {
    let authority = Authority::new();
    let switch = Switch::start(authority.files("pbx.test", None)).await;
    let mut stream = connect(switch.address, &whom("pbx.test", &authority.ca())).await;
    assert!(is_alive(&mut stream).await);
    switch.sip.close().await;
    let mut rest = Vec::new();
    // Without close_notify this is an error (RFC 8446 §6.1).
    assert_eq!(stream.read_to_end(&mut rest).await.unwrap(), 0);
}

#[tokio::test]
async fn an_authority_that_nobody_named_is_not_believed() {
    let (theirs, ours) = (Authority::new(), Authority::new());
    let switch = Switch::start(theirs.files("pbx.test", None)).await;
    let sip = caller(Tls::default()).await;
    assert!(is_refused(call(&sip, switch.address, "pbx.test", &ours.ca()).await).await);
    let said = sip.tls_trouble(switch.address, &whom("pbx.test", &ours.ca()));
    let said = said.unwrap();
    assert!(
        said.starts_with("the certificate of pbx.test is not from the authority in "),
        "{said}"
    );
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_refused_in_those_words() {
    let authority = Authority::new();
    let files = authority.files("pbx.test", None);
    let mut params = CertificateParams::new(vec!["pbx.test".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2019, 1, 1);
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    authority.issue(params, &files);
    let switch = Switch::start(files).await;
    let sip = caller(Tls::default()).await;
    assert!(is_refused(call(&sip, switch.address, "pbx.test", &authority.ca()).await).await);
    let said = sip.tls_trouble(switch.address, &whom("pbx.test", &authority.ca()));
    let said = said.unwrap();
    assert!(
        said.starts_with("the certificate of pbx.test has expired, "),
        "{said}"
    );
}

#[tokio::test]
async fn where_both_must_show_a_certificate_nobody_comes_in_without_one() {
    let authority = Authority::new();
    let files = authority.files("pbx.test", Some(authority.ca()));
    let mut switch = Switch::start(files).await;
    let nobody = caller(Tls::default()).await;
    assert!(is_refused(call(&nobody, switch.address, "pbx.test", &authority.ca()).await).await);
    let said = nobody.tls_trouble(switch.address, &whom("pbx.test", &authority.ca()));
    let said = said.unwrap();
    assert!(
        said.starts_with("pbx.test wants a certificate of ours"),
        "{said}"
    );
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
    let nameless = whom("not a name", &authority.ca());
    assert!(Tls::default().peer(&nameless).is_err());
}

#[tokio::test]
async fn an_authority_that_cannot_be_read_is_told_before_anything_is_sent() {
    let sip = caller(Tls::default()).await;
    let nothing = whom("pbx.test", Path::new("/nothing.pem"));
    let remote = SocketAddr::from(([127, 0, 0, 1], 5061));
    let refused = sip.way_to(remote, Transport::Tls, Some(&nothing)).await;
    assert!(matches!(refused, Err(SipError::Tls(TlsError::File { .. }))));
}

#[test]
fn names_that_are_remembered_do_not_grow_without_bound() {
    let authority = Authority::new();
    let peer = Tls::default().peer(&whom("pbx.test", &authority.ca()));
    let peer = peer.unwrap();
    let flow = |port| Flow {
        transport: Transport::Tls,
        local: SocketAddr::from(([127, 0, 0, 1], 5061)),
        remote: SocketAddr::from(([127, 0, 0, 1], port)),
    };
    let mut names = Names::default();
    for port in 1..=10_000 {
        names.expect(flow(port), peer.clone());
        assert!(names.0.len() <= PEERS_MAX);
    }
    assert!(names.get(&flow(10_000)).is_some());
}
