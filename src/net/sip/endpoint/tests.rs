use offhook_sip::{Access, Guard, Settings, Transport};
use tokio::net::UdpSocket;

use crate::net::sip::{Listen, NEWS_QUEUE, Sip, Tls};

/// Calls a switch that takes anyone; gives the first answer to it.
async fn first_answer(socket: &UdpSocket, n: usize) -> String {
    let (here, there) = (socket.local_addr().unwrap(), socket.peer_addr().unwrap());
    let invite = format!(
        "INVITE sip:bob@{there} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{n};rport\r\n\
         Max-Forwards: 70\r\nTo: <sip:bob@{there}>\r\nFrom: <sip:ann@{here}>;tag={n}\r\n\
         Call-ID: {n}@{here}\r\nCSeq: 1 INVITE\r\nContact: <sip:ann@{here}>\r\n\
         Content-Length: 0\r\n\r\n"
    );
    socket.send(invite.as_bytes()).await.unwrap();
    let mut buffer = [0; 2_048];
    loop {
        let length = socket.recv(&mut buffer).await.unwrap();
        let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
        // Of those before it, some may be sent again.
        let is_ours = answer.contains(&format!("Call-ID: {n}@"));
        if is_ours && !answer.starts_with("SIP/2.0 100") || n < NEWS_QUEUE {
            return answer;
        }
    }
}

#[tokio::test]
async fn a_call_that_finds_no_room_at_the_switchboard_is_told_when_to_try_again_as_configured() {
    let listen = [Listen {
        transport: Transport::Udp,
        address: ([127, 0, 0, 1], 0).into(),
    }];
    let settings = Settings {
        access: Access {
            open_loopback: true,
            ..Access::default()
        },
        guard: Guard::off(),
        retry_after_s: 17,
        ..Settings::default()
    };
    // Nobody reads the news.
    let (sip, _news) = Sip::start(&listen, Tls::default(), settings).await.unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(sip.listeners()[0].1).await.unwrap();
    for n in 0..NEWS_QUEUE {
        let answer = first_answer(&socket, n).await;
        assert!(answer.starts_with("SIP/2.0 100"), "{answer}");
    }
    let answer = first_answer(&socket, NEWS_QUEUE).await;
    assert!(answer.starts_with("SIP/2.0 503"), "{answer}");
    assert!(answer.contains("Retry-After: 17\r\n"), "{answer}");
}
