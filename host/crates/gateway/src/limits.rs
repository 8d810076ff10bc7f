//! The bounds that are the gateway's own, with unit and reason. Those that other
//! layers share stand in [`host_model::limits`].

use std::time::Duration;

use host_model::limits::{IDLE_TIMEOUT, PAYLOAD_BYTES_MAX};

/// Bytes of one WebSocket message: a payload at its limit and its envelope. What
/// is longer closes the connection with 1009.
pub const MESSAGE_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + (16 << 10);

/// Bytes of a `ref` or `join_ref` as it stands in the message; clients count.
pub const REF_BYTES_MAX: usize = 64;

/// Bytes of an event's name.
pub const EVENT_BYTES_MAX: usize = 128;

/// Calls of one connection that wait for their answer. As many as may wait for
/// one actor. Error `too_many_calls`.
pub const CALLS_MAX: usize = 1_024;

/// Bytes of payload in the calls of one connection that wait for their answer.
/// Error `too_many_calls`.
pub const CALL_BYTES_MAX: usize = 4 << 20;

/// Calls of one connection to one topic that are with the actor at once: enough
/// to share a group commit, few enough to leave the mailbox to others.
pub const PIPELINED_MAX: usize = 64;

/// Bytes of what is told on a topic while its join is answered, which takes a call's time
/// at most. Beyond it the topic is to be joined again.
pub const HELD_BYTES_MAX: usize = 1 << 20;

/// Subscribers of a topic that are told at once, by whoever tells: some microseconds. More
/// are told by a task.
pub const TOLD_AT_ONCE_MAX: usize = 32;

/// Subscribers that such a task tells before others have their turn. Each of them writes
/// then, so a call waits for as many writes: less than a millisecond.
pub const FAN_OUT_PORTION: usize = 64;

/// Clients that are shown to each other on one topic: a list of about 100 KB. Who comes
/// beyond it is told `host:presence_full`.
pub const PRESENT_MAX: usize = 1_000;

/// Between two messages of who has come and gone on a topic.
pub const PRESENCE_EVERY: Duration = Duration::from_millis(500);

/// What one item in the outbound queue costs beyond the bytes of its frame.
pub const DELIVERY_OVERHEAD_BYTES: usize = 64;

/// Bytes read from a socket at once, into a buffer that a thread's connections share.
pub const READ_BUFFER_BYTES: usize = 32 << 10;

/// Reads from one socket in one turn, before others have theirs.
pub const READS_PER_TURN: usize = 8;

/// Encoded bytes from which a turn writes before it encodes on. What waits
/// behind it stays shared with the other clients of a broadcast.
pub const WRITE_BYTES: usize = 64 << 10;

/// How long a client may take to answer a close frame, and to end the
/// connection after it.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a client may take no byte of what was sent to it: as long as it may be silent. A
/// connection over HTTP would wait for one that does not read for as long as it stays.
pub const UNREAD_TIMEOUT_MS: u32 = IDLE_TIMEOUT.as_millis() as u32;

/// How long a poll waits for messages. Proxies give up after half a minute or more, the
/// client of Phoenix after 20 s.
pub const POLL_TIMEOUT: Duration = Duration::from_secs(10);

/// Messages in one POST of a client that polls, as many as the client of Phoenix sends.
pub const POLL_LINES_MAX: usize = 100;

/// Bytes of one POST of a client that polls. Beyond it its session ends, for the client
/// would send the same again.
pub const POLL_BODY_BYTES_MAX: usize = CALL_BYTES_MAX;

/// Bytes of messages from which a poll is answered, and the rest left to the next one.
pub const POLL_MESSAGES_BYTES: usize = 256 << 10;

/// Sessions of clients that poll. Each may have as much waiting as a connection.
pub const POLL_SESSIONS_MAX: usize = 10_000;

/// Between two looks at which of them are silent.
pub const POLL_LOOK_EVERY: Duration = Duration::from_secs(5);

/// Headers of a request.
pub const HEADERS_MAX: usize = 64;

/// Bytes of a request's line and headers. Beyond it: status 431.
pub const HEAD_BYTES_MAX: usize = 16 << 10;

/// How long a request's body may take to arrive. Beyond it: status 408.
pub const BODY_READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of a request's id that a client may choose.
pub const REQUEST_ID_BYTES_MAX: usize = 128;

/// Bytes of an answer from which it is packed for a client that takes it so: what is shorter
/// goes in one packet anyway.
pub const PACKED_BYTES_MIN: usize = 1 << 10;

/// Levels of `a[b][c]=` in a query string.
pub const QUERY_DEPTH_MAX: usize = 8;

/// Arguments in a query string.
pub const QUERY_ARGUMENTS_MAX: usize = 256;

/// Open files that are not for clients: the store, plugins, logs, the control socket.
pub const FILES_RESERVED: usize = 256;

/// Connections beyond the limit that are served `/healthz` and `/readyz` only,
/// so that a full host can still say how it is.
pub const HEALTH_CONNECTIONS_MAX: usize = 16;

/// How long the data runtime may take over a trivial task before `/healthz`
/// says that it is stuck.
pub const DATA_PING_TIMEOUT: Duration = Duration::from_secs(1);

/// Pause after the system refused to accept a connection, for want of files or
/// memory as a rule.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections that the system holds until they are accepted.
pub const LISTEN_BACKLOG: i32 = 4_096;

/// How long the handshake of TLS may take, from the connection on.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Handshakes of TLS under way at once; of few connections at most a half. Beyond it the
/// oldest is given up.
pub const HANDSHAKES_MAX: usize = 1_024;

/// Bytes of a file with a certificate or a key. A chain has a few thousand.
pub const PEM_BYTES_MAX: u64 = 1 << 20;

/// Between two looks at whether the certificate was renewed in place.
pub const RENEWAL_LOOK_EVERY: Duration = Duration::from_secs(10);

/// Before its end a certificate is warned of: who renews by themselves has by then.
pub const RENEWAL_WARNING: Duration = Duration::from_secs(14 * 24 * 3_600);

/// Requests that one connection of HTTP/2 has under way at once. Beyond it the client
/// waits, as it was told, or its stream is refused.
pub const H2_STREAMS_MAX: u32 = 100;

/// Bytes of a body that a client of HTTP/2 may send before it is read, for each request.
pub const H2_STREAM_WINDOW_BYTES: u32 = 64 << 10;

/// The same for all requests of a connection.
pub const H2_CONNECTION_WINDOW_BYTES: u32 = 1 << 20;

/// Bytes of the bodies of the requests that one connection of HTTP/2 has under way. Beyond
/// it the next request waits for those before it.
pub const H2_BODY_BYTES_MAX: usize = CALL_BYTES_MAX;

/// Bytes of a frame: the least that the protocol allows to allow.
pub const H2_FRAME_BYTES_MAX: u32 = 16 << 10;

/// Bytes of an answer that wait for a client of HTTP/2 to take them, for each request.
pub const H2_SEND_BYTES_MAX: usize = 256 << 10;

/// Streams that a client has opened and reset before they were looked at. Beyond it the
/// connection is closed: "rapid reset", CVE-2023-44487.
pub const H2_PENDING_RESETS_MAX: usize = 20;

/// Streams that the host itself has reset because of what the client did. Beyond it the
/// connection is closed: "MadeYouReset", CVE-2025-8671.
pub const H2_OWN_RESETS_MAX: usize = 128;

/// Between two pings of a client of HTTP/2, and how long its answer may take.
pub const H2_PING_EVERY: Duration = Duration::from_secs(30);

/// Bytes of a token; one of many roles has a few thousand. Error `bad_token`.
pub const TOKEN_BYTES_MAX: usize = 8 << 10;

/// Bytes of a token's `sub`, which stands in every record that it leads to. Error `bad_token`.
pub const SUBJECT_BYTES_MAX: usize = 255;

/// How far the clock of whoever issues tokens may be from ours.
pub const TOKEN_LEEWAY: Duration = Duration::from_secs(30);

/// Public keys in a file: a rotation has two or three, and each may be tried for a token.
pub const TOKEN_KEYS_MAX: usize = 16;

/// How many seconds' worth a client may do at once of what it may do a second.
pub const BURST: Duration = Duration::from_secs(10);

/// Messages refused in a row for a rate, after which the connection is closed with 1008: who
/// does not heed an answer costs less without one.
pub const REFUSED_IN_A_ROW_MAX: u32 = 1_000;

/// Addresses that are remembered although nobody is connected from them. Beyond it those at
/// rest are forgotten, then the others.
pub const ADDRESSES_MAX: usize = 65_536;

/// Proxies between a client and the host that are looked through.
pub const PROXIES_MAX: usize = 16;
