//! What a host tells the service manager that started it.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use e2e::{Home, wait};

/// How long any word may take.
const WORD_TIMEOUT: Duration = Duration::from_secs(20);

/// Reads words until one begins with `wanted`, and gives it.
pub(crate) fn hear(socket: &UnixDatagram, wanted: &str) -> String {
    let deadline = Instant::now() + WORD_TIMEOUT;
    let mut buffer = [0; 1_024];
    while Instant::now() < deadline {
        if let Ok(n) = socket.recv(&mut buffer) {
            let word = String::from_utf8_lossy(&buffer[..n]).into_owned();
            if word.starts_with(wanted) {
                return word;
            }
        }
    }
    panic!("{wanted} was not said");
}

#[test]
fn a_service_manager_hears_of_start_life_upgrade_reload_and_stop() {
    let mut home = Home::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    home.set("NOTIFY_SOCKET", Some(path.to_str().unwrap()));
    home.set("WATCHDOG_USEC", Some("600000"));
    // In the foreground by itself, for somebody waits for its word.
    let host = home.begin(&["start"]).unwrap();
    hear(&socket, "READY=1");
    hear(&socket, "WATCHDOG=1");
    hear(&socket, "WATCHDOG=1");
    home.detach("0.2.0").unwrap();
    let status = hear(
        &socket,
        "STATUS=release 0.2.0 rules; upgrade 0.1.0 to 0.2.0",
    );
    assert!(status.contains("actors migrated"), "{status}");
    home.done(&["commit", "--json"]).unwrap();
    hear(&socket, "STATUS=release 0.2.0 is permanent");
    let reloading = std::thread::scope(|threads| {
        let reload = threads.spawn(|| home.done(&["reload"]).map(drop));
        let reloading = hear(&socket, "RELOADING=1");
        hear(&socket, "READY=1");
        reload.join().unwrap().unwrap();
        reloading
    });
    assert!(reloading.contains("\nMONOTONIC_USEC="), "{reloading}");
    home.stop().unwrap();
    hear(&socket, "STOPPING=1");
    host.end().unwrap().ok().unwrap();
}

/// Who sees it ready may kill it at once: a keeper that has not heard of it by then takes it
/// for one that never came up.
#[test]
fn a_host_is_ready_for_clients_only_when_whoever_started_it_was_told() {
    let mut home = Home::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    home.set("NOTIFY_SOCKET", Some(path.to_str().unwrap()));
    let host = home.begin(&["start"]).unwrap();
    wait::until("it says that it is ready", || {
        home.status().ok()?.ready.ready.then_some(())
    })
    .unwrap();
    // All that was said by then lies there.
    let mut word = [0; 1_024];
    let mut was_told = false;
    while let Ok(n) = socket.recv(&mut word) {
        was_told |= word[..n].starts_with(b"READY=1");
    }
    assert!(was_told);
    home.stop().unwrap();
    host.end().unwrap().ok().unwrap();
}
