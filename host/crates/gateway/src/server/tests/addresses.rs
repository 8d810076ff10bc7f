//! Addresses of both families.

use std::net::{IpAddr, Ipv6Addr};

use super::*;
use crate::listen::has_address;

fn host(addresses: Vec<SocketAddr>) -> Host {
    let config = Config {
        addresses,
        ..Config::default()
    };
    Host::listening(config, connections_max(), Vec::new())
}

fn answers(ip: IpAddr, port: u16) -> bool {
    TcpStream::connect((ip, port)).is_ok_and(|mut stream| {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        read_to_end(&mut stream).starts_with("HTTP/1.1 200")
    })
}

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

#[test]
fn without_an_address_both_families_are_served() {
    let host = host(Vec::new());
    let port = host.gateway.port();
    assert!(answers(V4, port) && answers(V6, port));
}

#[test]
fn an_address_is_served_and_no_other() {
    for (of, not) in [(V4, V6), (V6, V4)] {
        let host = host(vec![(of, 0).into()]);
        let port = host.gateway.port();
        assert!(answers(of, port), "{of}");
        assert!(!answers(not, port), "{not}");
    }
}

#[test]
fn several_addresses_are_served_and_all_are_closed_at_the_end() {
    let any_v6 = (Ipv6Addr::UNSPECIFIED, 0).into();
    let one = host(vec![any_v6]);
    let port = one.gateway.port();
    assert!(
        answers(V4, port) && answers(V6, port),
        "[::] takes IPv4, too"
    );
    assert_eq!(one.stop(), None);
    // The same port once for each family.
    let any_v4 = (Ipv4Addr::UNSPECIFIED, port).into();
    let both = host(vec![
        (Ipv6Addr::UNSPECIFIED, port).into(),
        any_v4,
        (V4, 0).into(),
    ]);
    let all = both.gateway.addresses().to_vec();
    assert_eq!(all.len(), 3);
    assert!(answers(V4, port) && answers(V6, port) && answers(V4, all[2].port()));
    assert_eq!(both.stop(), None);
    assert!(!answers(V4, port) && !answers(V6, port) && !answers(V4, all[2].port()));
}

#[test]
fn an_address_that_the_machine_has_not_is_known() {
    assert!(has_address(V4) && has_address(V6));
    // RFC 5737: for documentation, and no machine's.
    assert!(!has_address("192.0.2.1".parse().unwrap()));
    assert!(!has_address("2001:db8::1".parse().unwrap()));
}
