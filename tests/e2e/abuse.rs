//! Clients that mean harm, or are gone without a word: heads that never end, sockets that
//! say nothing, answers that nobody takes, joins without number. Each costs the host a
//! bounded share of its memory, is told or ended, and is counted; nobody else notices.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{fs, str};

use anyhow::{Result, ensure};
use e2e::raw::{Closed, Raw, TEXT, frame, outer_address};
use e2e::{Client, Home, wait};
use serde_json::{Value, json};

/// Memory that the host may have more, or have had for a moment, after whatever was done to
/// it: far below what that would take if it were kept, far above what serving others takes.
const MEMORY_BYTES_MAX: u64 = 64 << 20;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A host that runs, and a client of it that minds its own business.
pub(crate) struct Scene {
    pub(crate) home: Home,
    pub(crate) port: u16,
    pid: u32,
    memory: Memory,
    bystander: Bystander,
}

/// Resident memory of a process in bytes: now, and the most there was.
#[derive(Debug, Clone, Copy)]
struct Memory {
    now: u64,
    peak: u64,
}

/// Gives and beats, one after the other, and waits for each answer.
struct Bystander {
    answered: Arc<AtomicU64>,
    leaves: Arc<AtomicBool>,
    thread: JoinHandle<Result<Client>>,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// With these lines in its configuration.
    pub(crate) fn with(configuration: &str) -> Self {
        let home = Home::new().unwrap();
        home.configure(configuration).unwrap();
        let status = home.start().unwrap();
        let bystander = Bystander::joins(status.port).unwrap();
        bystander.goes_on();
        Self {
            home,
            port: status.port,
            pid: status.pid,
            memory: Memory::of(status.pid),
            bystander,
        }
    }

    /// Whoever minds its own business is answered, right now.
    pub(crate) fn goes_on(&self) {
        self.bystander.goes_on();
    }

    /// The same process still serves the same client, and has not grown.
    pub(crate) fn ends_unharmed(self) {
        self.goes_on();
        let after = Memory::of(self.pid);
        for (before, after) in [(self.memory.now, after.now), (self.memory.peak, after.peak)] {
            let more = after.saturating_sub(before);
            assert!(more < MEMORY_BYTES_MAX, "{:?}, then {after:?}", self.memory);
        }
        self.bystander.leaves();
        let log = self.home.log();
        assert!(!log.contains("keeper: the host has ended"), "{log}");
        assert!(!log.contains("panicked"), "{log}");
        assert_eq!(self.home.host_pid(), Some(self.pid));
        self.home.stop().unwrap();
    }

    /// Waits until something was counted so often, and no more often.
    #[track_caller]
    pub(crate) fn has_counted(&self, name: &str, times: u64) {
        let counted = || self.home.metric(name).unwrap();
        wait::until_is(name, &times, counted).unwrap();
    }

    /// Sockets that the host's process has open.
    fn sockets(&self) -> usize {
        let open = fs::read_dir(format!("/proc/{}/fd", self.pid)).unwrap();
        let targets = open.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
        targets
            .filter(|target| target.to_string_lossy().starts_with("socket:"))
            .count()
    }
}

impl Memory {
    fn of(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let kib = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.unwrap().split_whitespace().nth(1);
            number.unwrap().parse().unwrap()
        };
        Self {
            now: kib("VmRSS") << 10,
            peak: kib("VmHWM") << 10,
        }
    }
}

impl Bystander {
    fn joins(port: u16) -> Result<Self> {
        const TOPIC: &str = "donations:bystander";
        let mut client = Client::connect(port)?;
        client.join(TOPIC)?.ok()?;
        let open = json!({"title": "T", "currency": "USD", "goal": "1000000.00"});
        client.push(TOPIC, "open", &open)?.ok()?;
        let (answered, leaves) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (counted, has_left) = (Arc::clone(&answered), Arc::clone(&leaves));
        let thread = thread::spawn(move || {
            while !has_left.load(Ordering::Relaxed) {
                client.push("phoenix", "heartbeat", &json!({}))?.ok()?;
                let number = counted.fetch_add(1, Ordering::Relaxed);
                let id = format!("d{number}");
                let gift = json!({"donation_id": id, "amount": "1.00", "currency": "USD"});
                client.push(TOPIC, "donate", &gift)?.ok()?;
                let heard = client.listen(Duration::from_millis(10))?;
                ensure!(heard.iter().all(|it| it.event != "phx_error"), "{heard:?}");
            }
            Ok(client)
        });
        Ok(Self {
            answered,
            leaves,
            thread,
        })
    }

    fn goes_on(&self) {
        let answered = || self.answered.load(Ordering::Relaxed);
        let before = answered();
        wait::until("who does no harm is answered", || {
            let has_left = self.thread.is_finished();
            (has_left || answered() >= before + 10).then_some(())
        })
        .unwrap();
        assert!(!self.thread.is_finished(), "it was sent away");
    }

    fn leaves(self) {
        self.leaves.store(true, Ordering::Relaxed);
        let mut client = self.thread.join().unwrap().unwrap();
        let beat = client.push("phoenix", "heartbeat", &json!({}));
        assert_eq!(beat.unwrap().ok().unwrap(), json!({}));
    }
}

/// A connection whose first request does not come to its end.
struct Slow {
    stream: TcpStream,
    /// It sends a byte now and then; or else nothing more.
    drips: bool,
}

impl Slow {
    fn begin(address: IpAddr, port: u16, drips: bool) -> Self {
        let mut stream = TcpStream::connect((address, port)).unwrap();
        let beginning = "GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nHost: localhost\r\nX: ";
        stream.write_all(beginning.as_bytes()).unwrap();
        stream.set_nonblocking(true).unwrap();
        Self { stream, drips }
    }

    /// Sends a byte, if it does; false once the host has ended it.
    fn goes_on(&mut self) -> bool {
        let blocks = |error: &io::Error| error.kind() == ErrorKind::WouldBlock;
        if self.drips
            && let Err(error) = self.stream.write(b"x")
        {
            return blocks(&error);
        }
        let mut answer = [0; 64];
        match self.stream.read(&mut answer) {
            Err(error) => blocks(&error),
            Ok(0) => false,
            Ok(read) => panic!("it was answered: {:?}", str::from_utf8(&answer[..read])),
        }
    }
}

/// What a connection hears that says nothing.
fn told(address: IpAddr, port: u16) -> String {
    let mut stream = TcpStream::connect((address, port)).unwrap();
    stream.set_read_timeout(Some(wait::DEADLINE)).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn heads_that_never_end_are_given_up_and_keep_nobody_out() {
    const OF_AN_ADDRESS: usize = 50;
    let scene = Scene::with(&format!("LIMITS_ADDRESS_CONNECTIONS={OF_AN_ADDRESS}"));
    let begin = |address| move |number| Slow::begin(address, scene.port, number % 2 == 0);
    let mut slow: Vec<_> = (0..150).map(begin(LOCALHOST)).collect();
    let outer = outer_address();
    if let Some(outer) = outer {
        slow.extend((0..OF_AN_ADDRESS).map(begin(outer)));
        let more = told(outer, scene.port);
        assert!(more.starts_with("HTTP/1.1 429 Too Many Requests"), "{more}");
        assert!(more.contains("Retry-After: "), "{more}");
        scene.has_counted("limited_connections", 1);
    } else {
        eprintln!("skipped in part: this machine has no address but loopback's");
    }
    let many = slow.len();
    // Others come in while they go on.
    let mut other = Client::connect(scene.port).unwrap();
    other.join("donations:a").unwrap().ok().unwrap();
    scene.goes_on();
    assert!(slow.iter_mut().all(Slow::goes_on), "that was no attack");
    wait::until("the last of them is ended", || {
        slow.retain_mut(Slow::goes_on);
        slow.is_empty().then_some(())
    })
    .unwrap();
    scene.has_counted("connections_slow", many as u64);
    if let Some(outer) = outer {
        // There is room for others from where they were.
        let open = || Raw::open_with(outer, scene.port, "").ok();
        wait::until("the address has places again", open).unwrap();
    }
    drop(other);
    scene.ends_unharmed();
}

/// Asks again and again and takes no answer, until nothing more is taken of it.
fn asks_and_does_not_read(port: u16) -> TcpStream {
    let mut stream = TcpStream::connect((LOCALHOST, port)).unwrap();
    let asked = "GET /api/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(1_000);
    stream
        .set_write_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    while stream.write_all(asked.as_bytes()).is_ok() {}
    stream
}

/// In real time, for the time that a client is given is its own contract: about 70 s.
#[test]
fn who_is_gone_without_a_word_is_given_up() {
    const OF_EACH: usize = 10;
    let scene = Scene::new();
    let before = scene.sockets();
    let connect = || TcpStream::connect((LOCALHOST, scene.port)).unwrap();
    let silent: Vec<_> = (0..OF_EACH).map(|_| connect()).collect();
    let mut joined: Vec<_> = (0..OF_EACH).map(|_| joined(scene.port)).collect();
    let unread: Vec<_> = (0..3).map(|_| asks_and_does_not_read(scene.port)).collect();
    let mut asked = connect();
    let once = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    asked.write_all(once).unwrap();
    let mut h2 = connect();
    h2.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .unwrap();
    scene.goes_on();
    let time = Duration::from_secs(200);
    wait::within(time, "all are given up", || {
        (scene.sockets() <= before).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {} of {before}", scene.sockets()));
    for client in &mut joined {
        let (code, reason) = client.closed().unwrap();
        assert_eq!(code, 1001, "{reason}");
        assert!(reason.contains("nothing was heard for 60 s"), "{reason}");
    }
    scene.has_counted("websockets_idle", OF_EACH as u64);
    let slow = silent.len() + unread.len();
    // The client of HTTP/2 has a last minute of its own.
    let counted = scene.home.metric("connections_slow").unwrap();
    assert!((slow..=slow + 1).contains(&(counted as usize)), "{counted}");
    scene.ends_unharmed();
}

fn joined(port: u16) -> Raw {
    let mut client = Raw::open(port).unwrap();
    client.send(&join("1", "donations:a")).unwrap();
    let answer = client.text().unwrap().unwrap();
    assert!(answer.contains(r#""status":"ok""#), "{answer}");
    client
}

fn join(join_ref: &str, topic: &str) -> Vec<u8> {
    let message = json!([join_ref, join_ref, topic, "phx_join", {}]);
    frame(TEXT, message.to_string().as_bytes())
}

/// Joins so many topics without a wait in between, and gives what came of each: `ok`, or the
/// reason; and with what the host has closed in the middle, if it has.
fn flood(client: &mut Raw, joins: usize) -> (Vec<String>, Option<Closed>) {
    let of = |number| join(&format!("{number}"), &format!("donations:flood-{number}"));
    let sent: Vec<u8> = (0..joins).flat_map(of).collect();
    // It may be closed in the middle.
    let _ = client.send(&sent);
    let mut answers = Vec::new();
    while answers.len() < joins {
        let text = match client.text().unwrap() {
            Ok(text) => text,
            Err(closed) => return (answers, Some(closed)),
        };
        let message: Value = serde_json::from_str(&text).unwrap();
        if message[3] == "phx_reply" {
            let reply = &message[4];
            let reason = reply["response"]["reason"].as_str().unwrap_or("ok");
            answers.push(reason.to_owned());
        }
    }
    (answers, None)
}

fn of(answers: &[String], wanted: &str) -> usize {
    answers.iter().filter(|it| *it == wanted).count()
}

#[test]
fn a_flood_of_joins_is_refused_counted_and_ended() {
    // Ten seconds' worth at once: 10 over a connection, 30 from an address.
    let scene =
        Scene::with("TRUSTED_PROXIES=127.0.0.1\nLIMITS_CONNECTION_JOINS=1\nLIMITS_ADDRESS_JOINS=3");
    let open = |from: &str| {
        let headers = format!("X-Forwarded-For: {from}\r\n");
        Raw::open_with(LOCALHOST, scene.port, &headers).unwrap()
    };
    // From an address over many connections, none of which does too much.
    let mut many: Vec<_> = (0..20).map(|_| open("192.0.2.1")).collect();
    let answers: Vec<_> = many.iter_mut().flat_map(|it| flood(it, 10).0).collect();
    assert_eq!(answers.len(), 200, "each is answered");
    let (joined, limited) = (of(&answers, "ok"), of(&answers, "rate_limited"));
    assert_eq!(joined + limited, 200, "{answers:?}");
    assert!(joined >= 30 && limited >= 50, "{joined}, {limited}");
    scene.has_counted("limited_joins", limited as u64);
    scene.goes_on();
    // Another address's clients join.
    assert_eq!(flood(&mut open("192.0.2.2"), 1).0, ["ok"]);
    // Over one, on and on.
    let mut one = open("192.0.2.3");
    let (_, closed) = flood(&mut one, 3_000);
    let (code, reason) = closed.unwrap();
    assert_eq!(code, 1008, "{reason}");
    assert!(reason.contains("heed retry_after_ms"), "{reason}");
    scene.has_counted("websockets_flooded", 1);
    let counted = scene.home.metric("limited_joins").unwrap();
    assert!(counted >= limited as u64 + 1_000, "{counted}");
    scene.goes_on();
    scene.ends_unharmed();
}

#[test]
fn a_connection_has_so_many_channels_and_no_more() {
    let scene = Scene::new();
    let mut many: Vec<_> = (0..5).map(|_| Raw::open(scene.port).unwrap()).collect();
    for client in &mut many {
        let (answers, closed) = flood(client, 1_000);
        assert_eq!(closed, None, "it may go on with what it has");
        assert_eq!(of(&answers, "ok"), 100);
        assert_eq!(of(&answers, "too_many_channels"), 900);
    }
    scene.has_counted("requests_over_limit", 5 * 900);
    scene.ends_unharmed();
}
