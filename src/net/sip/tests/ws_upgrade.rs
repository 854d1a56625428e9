//! Who becomes a WebSocket, and what everyone else is told.

use super::*;

/// What a request of HTTP is answered: the head, and the words.
async fn asked(head: &str) -> (String, String) {
    let (address, _inbound) = listen(LONG).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut answer, mut buffer) = (String::new(), [0; 4096]);
    // What was not read of a long request ends the connection with an error.
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        answer += std::str::from_utf8(&buffer[..length]).unwrap();
    }
    let (head, words) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_ascii_lowercase(), words.to_owned())
}

#[tokio::test]
async fn who_does_not_become_a_websocket_is_told_why() {
    let good = "GET / HTTP/1.1\r\nHost: pbx\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                Sec-WebSocket-Protocol: sip\r\nOrigin: https://phone.example.com\r\n\r\n";
    let origin = "Origin: https://phone.example.com\r\n";
    let twice = format!("{origin}Origin: https://evil.example\r\n");
    for (change, to, status, says) in [
        ("GET", "POST", "405", "SIP over WebSocket"),
        ("HTTP/1.1", "HTTP/1.0", "426", "SIP over WebSocket"),
        ("Upgrade: websocket\r\n", "", "426", "SIP over WebSocket"),
        ("Version: 13", "Version: 8", "426", "version 13"),
        ("Protocol: sip", "Protocol: xmpp, sips", "400", "name `sip`"),
        ("Sec-WebSocket-Protocol: sip\r\n", "", "400", "name `sip`"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "short", "400", "16 bytes"),
        (
            "phone.example.com",
            "phone.example.com.evil.example",
            "403",
            "`sip.ws_origins`",
        ),
        ("https://phone", "http://phone", "403", "`sip.ws_origins`"),
        (
            "https://phone.example.com",
            "null",
            "403",
            "`sip.ws_origins`",
        ),
        (origin, twice.as_str(), "403", "`sip.ws_origins`"),
    ] {
        let asking = good.replace(change, to);
        assert_ne!(asking, good, "{change}");
        let (head, words) = asked(&asking).await;
        let begins = format!(" {status} ");
        assert_eq!(head.find(&begins), Some(8), "{change}: {head}");
        assert!(words.contains(says), "{change}: {words}");
        assert!(status != "426" || head.contains("13") || head.contains("upgrade: websocket"));
    }
    let (head, _) = asked(&good.replace("Host: pbx", "X: y\r\n".repeat(65).trim_end())).await;
    assert!(head.contains(" 431 "), "{head}");
    let long = good.replace("pbx", &"x".repeat(20_000));
    assert!(asked(&long).await.0.contains(" 431 "));
    let (address, inbound) = listen(LONG).await;
    taken(inbound);
    let mut stream = TcpStream::connect(address).await.unwrap();
    // What is no browser names no page.
    stream
        .write_all(good.replace(origin, "").as_bytes())
        .await
        .unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
}
