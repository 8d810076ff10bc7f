//! The echo server that conformance suites are run against:
//!
//! ```sh
//! cargo run --release -p host-gateway --example echo -- 127.0.0.1:9001
//! ```
//!
//! Says on standard output where it listens, and ends with its standard input.

use std::io::Read as _;

use tokio::net::TcpListener;

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:9001");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let listener = runtime.block_on(TcpListener::bind(address))?;
    println!("ws://{}", listener.local_addr()?);
    let serving = runtime.spawn(host_gateway::echo(listener));
    std::io::stdin().read_to_end(&mut Vec::new())?;
    serving.abort();
    Ok(())
}
