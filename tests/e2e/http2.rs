//! HTTP/2 as another's client speaks it: Node's own.

use e2e::Home;
use e2e::tls::Certificate;
use serde_json::json;

use crate::phoenix::Node;

/// More than one connection may have under way at once: the client waits with the rest.
const GIFTS: usize = 300;

#[test]
fn many_requests_share_a_connection_by_prior_knowledge_and_by_alpn() {
    let home = Home::new().unwrap();
    let port = home.start().unwrap().port;
    let mut node = Node::run("http2.mjs", &json!({ "port": port, "gifts": GIFTS }));
    let seen = json!({ "alpn": "h2c", "statuses": [200], "count": GIFTS });
    assert_eq!(node.line(), seen);
    home.stop().unwrap();

    let home = Home::new().unwrap();
    let certificate = Certificate::issue(home.path(), "localhost", 2000..4000).unwrap();
    certificate.configure(&home).unwrap();
    let port = home.start().unwrap().port;
    let arguments = json!({ "port": port, "tls": true, "gifts": GIFTS });
    let mut node = Node::trusting(Some(&certificate.file), "http2.mjs", &arguments);
    let seen = json!({ "alpn": "h2", "statuses": [200], "count": GIFTS });
    assert_eq!(node.line(), seen);
    home.stop().unwrap();
}
