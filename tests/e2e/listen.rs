//! Where a host listens.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use e2e::Home;
use e2e::home::free_port;

fn answers(address: &str) -> bool {
    TcpStream::connect(address).is_ok_and(|mut stream| {
        let request = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let mut answer = String::new();
        stream.write_all(request.as_bytes()).is_ok()
            && stream.read_to_string(&mut answer).is_ok()
            && answer.starts_with("HTTP/1.1 200")
    })
}

#[test]
fn both_families_are_served_and_one_alone_where_it_is_asked_for() {
    let home = Home::new().unwrap();
    let port = home.start().unwrap().port;
    assert!(answers(&format!("127.0.0.1:{port}")) && answers(&format!("[::1]:{port}")));
    home.configure(&format!("LISTEN=[::1], 127.0.0.1:{}", free_port().unwrap()))
        .unwrap();
    home.done(&["restart"]).unwrap();
    assert!(answers(&format!("[::1]:{port}")));
    assert!(!answers(&format!("127.0.0.1:{port}")));
    home.stop().unwrap();
    home.configure("LISTEN=127.0.0.1").unwrap();
    home.start().unwrap();
    assert!(answers(&format!("127.0.0.1:{port}")));
    assert!(!answers(&format!("[::1]:{port}")));
    home.configure("LISTEN=[::]").unwrap();
    home.done(&["restart"]).unwrap();
    assert!(answers(&format!("127.0.0.1:{port}")) && answers(&format!("[::1]:{port}")));
    home.stop().unwrap();
}

#[test]
fn a_wrong_address_is_named_by_the_check_and_stops_the_start() {
    let home = Home::new().unwrap();
    for (wrong, word) in [
        ("localhost:4000", "\"localhost:4000\" is no address such as"),
        ("127.0.0.1,127.0.0.1", "named twice"),
        // RFC 5737: for documentation.
        ("192.0.2.1", "this machine has no such address"),
    ] {
        home.configure(&format!("LISTEN={wrong}")).unwrap();
        for line in [&["config", "check"][..], &["start"]] {
            let told = home.host(line).unwrap().ends_with(1).unwrap().stderr;
            assert!(told.contains("LISTEN") && told.contains(word), "{told}");
        }
    }
}
