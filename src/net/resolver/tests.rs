//! Hosts that need no name server.

use super::*;

const ALL: [Transport; 3] = [Transport::Udp, Transport::Tcp, Transport::Tls];

#[tokio::test]
async fn a_literal_address_needs_no_name_server() {
    let resolver = Resolver { dns: None.into() };
    let found = resolver.resolve("192.0.2.7", None, Over::Open(&ALL)).await;
    let found = found.unwrap();
    assert_eq!(found.addresses, ["192.0.2.7:5060".parse().unwrap()]);
    assert_eq!(found.transport, Transport::Udp);
    let over = Over::Pinned(Transport::Tls);
    let found = resolver.resolve("192.0.2.7", None, over).await.unwrap();
    assert_eq!(found.addresses, ["192.0.2.7:5061".parse().unwrap()]);
    let found = resolver
        .resolve("[2001:db8::1]", Some(5080), Over::Pinned(Transport::Udp))
        .await
        .unwrap();
    assert_eq!(found.addresses, ["[2001:db8::1]:5080".parse().unwrap()]);
}

#[tokio::test]
async fn a_name_without_a_name_server_is_an_error_that_names_it() {
    let resolver = Resolver { dns: None.into() };
    let error = resolver
        .resolve("trunk.invalid", None, Over::Open(&ALL))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("trunk.invalid"));
}
