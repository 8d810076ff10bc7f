//! Every bound of the host, with its unit and its reason. Reaching one gives a
//! clear error and counts in a metric; none is reached in silence.

use std::time::Duration;

/// Bytes of a plugin's name: it is repeated in every topic and every path.
pub const PLUGIN_NAME_BYTES_MAX: usize = 64;

/// Bytes of a release's name: it is part of the names of files.
pub const RELEASE_NAME_BYTES_MAX: usize = 64;

/// Bytes of an actor's key: fits a file name and an index entry.
pub const KEY_BYTES_MAX: usize = 256;

/// Bytes of a command's or query's payload: far above any form a person fills
/// in, far below what would stall an actor. Error `payload_too_large`.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;

/// Messages that wait for one actor. At 1 µs a message it is 1 ms of work; more
/// waiting means that the actor is slow or stuck. Error `mailbox_full`. Casts
/// and timers stay rows instead.
pub const MAILBOX_MESSAGES_MAX: usize = 1_024;

/// Calls of clients that are under way in the host at once, over WebSockets and HTTP
/// together: what the host does in about a tenth of a second, and more than that waiting
/// helps nobody. Error `overloaded`.
pub const CALLS_UNDER_WAY_MAX: usize = 16_384;

/// Bytes of payload of those calls: they are in memory until they are answered. Error
/// `overloaded`.
pub const CALLS_UNDER_WAY_BYTES_MAX: usize = 256 << 20;

/// How long a caller is told to wait who was refused for want of room.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Actors in memory at once. At a few hundred bytes and up for each; beyond it
/// the least recently used are put to sleep, and `too_many_actors` is the error
/// where none can be.
pub const AWAKE_ACTORS_MAX: usize = 2_000_000;

/// Bytes executed and not yet durable, over all actors: what the journal writes
/// in about a second on a slow disk. Error `overloaded`.
pub const UNDURABLE_BYTES_MAX: usize = 64 << 20;

/// Effects of one event: a decision that needs more wants another design.
pub const EFFECTS_MAX: usize = 256;

/// Casts that may lead to one another before the chain is taken for a circle
/// and the last becomes a dead letter.
pub const CAST_HOPS_MAX: u32 = 64;

/// Bytes of an idempotency key: room for any id that clients make up. Error
/// `bad_idempotency_key`.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// How long an answer under an idempotency key is kept at least: a client that
/// retries for longer than a day has been told so.
pub const ANSWERS_KEPT: Duration = Duration::from_secs(24 * 3_600);

/// Answers that are forgotten in one step, which shares a group with commands.
pub const ANSWERS_STEP_MAX: usize = 256;

/// Commands of one actor with an idempotency key that are executed and not yet
/// durable; the next one waits until some are. As many as may wait for an actor.
pub const KEYS_UNDER_WAY_MAX: usize = 1_024;

/// Webhooks under way at once. Each waits for a foreign server, at most
/// [`OUTBOX_TIMEOUT`].
pub const OUTBOX_IN_FLIGHT_MAX: usize = 32;

/// Webhooks under way at once to one server: one that hangs leaves room for others.
pub const OUTBOX_PER_SERVER_MAX: usize = 4;

/// How long one attempt to send a webhook may take, from the connection to the
/// answer's status.
pub const OUTBOX_TIMEOUT: Duration = Duration::from_secs(10);

/// Attempts to send a webhook before it becomes a dead letter. With the waits between
/// them, which double from a second to an hour, they last about half a day.
pub const OUTBOX_ATTEMPTS_MAX: u32 = 24;

/// Wait behind the first failed attempt; it doubles with each.
pub const OUTBOX_WAIT_MIN: Duration = Duration::from_secs(1);

/// The longest wait between two attempts.
pub const OUTBOX_WAIT_MAX: Duration = Duration::from_secs(3_600);

/// Bytes of a webhook's address.
pub const URL_BYTES_MAX: usize = 2_048;

/// Records in one group commit: about where SQLite's throughput stops growing.
pub const GROUP_RECORDS_MAX: usize = 1_024;

/// Bytes in one group commit: keeps a transaction to a few milliseconds.
pub const GROUP_BYTES_MAX: usize = 4 << 20;

/// Tail bytes from which an actor is due for a snapshot, if its last snapshot
/// was smaller: waking replays at most about this much.
pub const TAIL_BYTES_MIN: usize = 64 << 10;

/// Snapshots kept for each actor: the last, and the one before it. The last one of the
/// version before its own is kept beside them: a way back may need it.
pub const SNAPSHOTS_KEPT: usize = 2;

/// Bytes of the journal that are searched for the records of one actor that cannot go
/// back but by its commands: a few seconds' worth, in which that actor waits.
pub const BEFORE_BYTES_MAX: u64 = 1 << 30;

/// Ends of tails that are kept in memory while actors go back by their commands, so that
/// the journal is gone through once for all of them: by reckoning some 200 MiB. An actor of
/// which more would be needed goes through the rest of it for itself.
pub const PAST_TAILS_MAX: usize = 1_000_000;

/// Commands that a client may have missed, to be told of all that they broadcast when it
/// comes back: about what a page works off without a pause. Of more it gets a summary.
pub const RESUME_COMMANDS_MAX: u64 = 1_000;

/// Bytes of these commands' records: a quarter of what may wait for one client.
pub const RESUME_BYTES_MAX: usize = 1 << 20;

/// Bytes of the journal that are searched for them: some tens of milliseconds' worth.
pub const RESUME_SEARCH_BYTES_MAX: u64 = 64 << 20;

/// Clients for whom the journal is read at once: the rest of a crowd that comes back
/// waits, and commands do not wait for it.
pub const RESUMES_AT_ONCE_MAX: usize = 4;

/// Bytes of a snapshot that shares one group with commands. A larger one is written in
/// pieces of at most this, one behind the other: nobody waits for more of it than one
/// piece, a few milliseconds.
pub const SNAPSHOT_PIECE_BYTES_MAX: usize = 1 << 20;

/// Bytes of a state with its carries, at most: beyond, there is no snapshot of it, its
/// records are kept, and it cannot come over to another version.
pub const STATE_BYTES_MAX: usize = 255 << 20;

/// Snapshots that are written in pieces at once. Each has its bytes in memory until its
/// last piece is under way, and may add a piece to a command's commit. The next ones
/// wait; those that can be written later are not begun.
pub const SNAPSHOTS_IN_PIECES_MAX: usize = 2;

/// Pieces that no snapshot has and that are removed in one step, which shares a group
/// with commands.
pub const PIECES_STEP_MAX: usize = 4;

/// Commands that stand in an actor's way back and are named; the rest is counted.
pub const OBSTACLES_NAMED_MAX: usize = 20;

/// Actors that a report names which could not go back; the rest is counted.
pub const SET_ASIDE_NAMED_MAX: usize = 20;

/// Faults of one actor in one version within [`FAULT_WINDOW`] before it is quarantined:
/// OTP's default of one restart in five seconds, with room for a retry or two.
pub const FAULTS_MAX: usize = 3;

/// See [`FAULTS_MAX`].
pub const FAULT_WINDOW: Duration = Duration::from_secs(60);

/// Actors of one plugin that are set aside within [`FAULT_WINDOW`] before the
/// plugin itself counts as failed.
pub const QUARANTINES_MAX: usize = 10;

/// Bytes of the journal that a start may have to read: about a second's worth.
pub const TAIL_SPAN_MAX: u64 = 128 << 20;

/// Actors that memory and the tail are kept in bounds with at once. Their snapshots share
/// groups with commands, so this bounds what is added to a command's commit.
pub const BACKGROUND_IN_FLIGHT_MAX: usize = 16;

/// Bytes of snapshots that a sweep has under way at once. They share groups with commands,
/// so this bounds what a sweep adds to a command's commit. An actor counts for a quarter of
/// it at most, so that nobody waits for all of it: of larger ones four are under way.
/// Measured with half and twice as much, 100,000 small actors: a sixth more time, and
/// silences that are a third shorter; the same time, and silences that are a tenth longer.
pub const SWEEP_BYTES_MAX: usize = 512 << 10;

/// How long an entry of the journal that nobody waits for may wait for more to share a
/// group with: what a sweep writes makes few groups, and each costs a sync and the pages
/// that all of them touch.
pub const LINGER_MAX: Duration = Duration::from_millis(2);

/// Entries that are enough for a group, so that none of them waits on.
pub const LINGER_ENTRIES: usize = 64;

/// Bytes that are enough for it.
pub const LINGER_BYTES: usize = 64 << 10;

/// What an actor counts for at least against [`SWEEP_BYTES_MAX`]: a row costs time,
/// however small it is.
pub const SWEEP_ACTOR_BYTES_MIN: usize = 1 << 10;

/// What an actor counts for whose size is not known: it sleeps.
pub const SWEEP_ACTOR_BYTES_UNKNOWN: usize = 8 << 10;

/// Runs under [`FAST_RUN_MAX`] that prove an event of a version fast; until then it
/// runs where blocking is allowed.
pub const FAST_RUNS_MIN: u32 = 64;

/// The longest run that counts as fast, by the clock: above a scheduler's slice, for
/// a thread that was preempted has not blocked. At 1 ms one preemption on a busy
/// machine cost 64 runs with a hand-over of the thread each, and they added up to
/// ten times the wait of messages during a switch.
pub const FAST_RUN_MAX: Duration = Duration::from_millis(10);

/// Handlers that may block at once; the rest wait in their actors' queues. Below
/// the blocking pool's 512 threads, so that the host's own blocking work runs.
pub const SLOW_HANDLERS_MAX: usize = 256;

/// A handler that has run for this long is named in the log and in the status.
pub const HANDLER_WARN: Duration = Duration::from_secs(5);

/// A handler or a migration that has run for this long while an upgrade waits for its
/// actor makes the upgrade go back: three times as long as the most patient caller waits.
/// An appup may ask for more, and `host upgrade --deadline` says it exactly.
pub const BUSY_DEADLINE: Duration = Duration::from_secs(30);

/// The longest of those deadlines: an upgrade that waits longer for one actor is no
/// upgrade under way any more.
pub const BUSY_DEADLINE_MAX: Duration = Duration::from_secs(24 * 3_600);

/// How often a hook of a way back is begun that the host ends in: once more than by
/// chance. Fewer than the crashes after which a keeper gives up, so the way back comes to
/// its end.
pub const HOOK_BACK_TRIES_MAX: u32 = 2;

/// How long a host that restarts out of code which does not return waits for what else
/// is under way: that has milliseconds to do, or is stuck as well.
pub const CONTAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Starts of a release that has never come up, after which the one before it boots: one
/// may be an accident, and a second.
pub const ATTEMPTS_MAX: u32 = 3;

/// Messages an actor runs in one turn before it makes room for others.
pub const TURN_MESSAGES_MAX: usize = 64;

/// Channels joined over one connection, as Phoenix has it.
pub const CHANNELS_MAX: usize = 100;

/// Bytes that wait to be sent to one connection; a client that reads slower is
/// dropped with 1013.
pub const OUTBOUND_BYTES_MAX: usize = 4 << 20;

/// Silence after which a connection is closed: two of the client's heartbeats.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// A client that has not sent its request's headers by then is dropped.
pub const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a caller waits for an answer before it is told `timeout`; the
/// client of Phoenix gives up at 10 s.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(9);

/// Bytes of a plugin library; more is taken for a mistake.
pub const PLUGIN_BYTES_MAX: u64 = 256 << 20;

/// Bytes of what a plugin says of itself; with what its doc comments say of commands it
/// has a few thousand, and all of them are in memory.
pub const MANIFEST_BYTES_MAX: usize = 512 << 10;

/// Bytes of a host's program; more is taken for a mistake.
pub const PROGRAM_BYTES_MAX: u64 = 512 << 20;

/// Bytes of a release's licences, or of its bill of materials: a few thousand libraries.
pub const DOCUMENT_BYTES_MAX: u64 = 64 << 20;

/// Bytes of a package once unpacked: a program, and plugins of any sensible size. What
/// unpacks to more is not read on.
pub const PACKAGE_BYTES_MAX: u64 = 8 << 30;

/// Bytes of a release's manifest, or of one of its appups: a thousand plugins fit.
pub const RELEASE_TEXT_BYTES_MAX: u64 = 1 << 20;

/// How long `host inspect` may take over a plugin before it is killed.
pub const INSPECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a start may be with one plugin's library, until that is open and has taken its
/// configuration: a few milliseconds as a rule, some seconds for a large one on a slow disk.
/// Then the start fails, before `host start` has waited for a minute.
pub const PLUGIN_START_TIMEOUT: Duration = Duration::from_secs(45);

/// How long a library of a release that neither rules nor is to rule is waited for until it
/// has taken its configuration: a few milliseconds as a rule. Then the start or the upgrade
/// goes on without.
pub const OTHERS_CONFIGURE_TIMEOUT: Duration = Duration::from_secs(5);

/// Upgrades kept in the history.
pub const HISTORY_MAX: u64 = 1_000;

/// How long one actor's migration, or a hook, may take unless its appup says more.
pub const APPUP_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// The longest that an appup may allow a migration or a hook: an upgrade that waits for
/// longer is not under way, it is stuck.
pub const APPUP_TIMEOUT_MAX: Duration = Duration::from_secs(3_600);

/// The longest that a rehearsal may find one actor's migration to take, unless its appup
/// says otherwise: a client notices more.
pub const PAUSE_BUDGET_DEFAULT: Duration = Duration::from_millis(100);

/// Default probation: long enough for every kind of client to have come by.
pub const PROBATION_DEFAULT: Duration = Duration::from_secs(60);

/// The longest probation: longer than that is no upgrade under way any more.
pub const PROBATION_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);

/// How long probation may last where too few calls are seen, in windows: as long again.
/// Then it commits, and says so: a host that nobody calls must not stay in an upgrade.
pub const PROBATION_WINDOWS_MAX: u32 = 2;

/// As [`PROBATION_WINDOWS_MAX`], of a step of a canary, which gets a share of the calls
/// only. Then the upgrade pauses itself, and an operator decides.
pub const CANARY_WINDOWS_MAX: u32 = 10;

/// Steps of one ramp: more than anyone waits for.
pub const RAMP_STEPS_MAX: usize = 16;

/// Runs of a handler up to here are not slow, whatever they took before: a thread that
/// was preempted has waited for about as long.
pub const SLOW_RUN_MIN: Duration = Duration::from_millis(10);

/// A reason for rejections was rare before if it is so many times as frequent now.
pub const REJECTION_RISE_MIN: f64 = 10.0;

/// Looks at a plugin's health, one a second, that may in a row find it ill.
pub const ILL_LOOKS_MAX: u32 = 2;

/// How long a plugin may take to say how it is.
pub const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);

/// Reasons of rejections that are counted for one event; all others are one.
pub const REASONS_MAX: usize = 32;

/// Characters of a plugin's fault that a report repeats.
pub const FAULT_TEXT_CHARS_MAX: usize = 200;

/// Actors that are named where a list could be as long as the host has actors: those
/// that are busy in an upgrade, and those that could not come over.
pub const NAMED_ACTORS_MAX: usize = 20;

/// A handler that runs for so long makes its actor one that is named as busy.
pub const BUSY_MIN: Duration = Duration::from_millis(500);

/// Default time for a host to stop in order: connections told, handlers ended,
/// journal committed.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// Actors of each plugin that are rehearsed where nobody says how many: about two seconds of
/// one core. Of more, so many are taken by chance; if all of them pass, fewer than one in ten
/// thousand fail, with 99 % confidence (`0.9999 ^ 46_050 = 0.01`).
pub const REHEARSED_ACTORS: u64 = 46_050;

/// Commands that are made up for each actor of a rehearsal: a round of every kind that
/// the example plugins have; more of them cost time and found nothing more.
pub const REHEARSAL_SAMPLES: u32 = 5;

/// Actors of each plugin in a rehearsal that are asked what commands lead to, their own and
/// made-up ones, where there are more and nobody asks for all: it takes four times as long as
/// all else, and says more of the code than of a state. If all of them pass, fewer than one in a
/// thousand fail, with 99 % confidence (`0.999 ^ 4_603 = 0.01`).
pub const REHEARSAL_SAMPLED_ACTORS: u64 = 4_603;

/// Actors on their way to the child of a rehearsal and back: enough that neither side
/// waits for the other, and few to look through again when it ends over one of them.
pub const REHEARSAL_IN_FLIGHT_MAX: usize = 256;

/// Bytes on their way to the child of a rehearsal, unless it is one actor.
pub const REHEARSAL_IN_FLIGHT_BYTES_MAX: usize = 4 << 20;

/// How often the child of a rehearsal says what it is at, where an actor takes its time. One
/// step may take as long as the host would wait for it ([`BUSY_DEADLINE`], an appup's or an
/// operator's), and this, and [`REHEARSAL_MIB_TIME_MAX`]; then it is taken for an endless loop.
/// Time in which the child was ready to run and others ran does not count.
pub const REHEARSAL_BEAT: Duration = Duration::from_secs(1);

/// See [`REHEARSAL_BEAT`]: for each MiB of an actor, which takes time that is no step's.
pub const REHEARSAL_MIB_TIME_MAX: Duration = Duration::from_secs(1);

/// How long the child of a rehearsal computes at a stretch while clients are served, and on to
/// the end of the actor that it is at. Linux may let a client's thread wait until a process
/// that runs when no one else wants to has had its slice of some milliseconds: between two
/// groups of processes (autogroups, control groups) how idle it is does not count.
pub const REHEARSAL_BURST: Duration = Duration::from_micros(250);

/// And how long it rests between two stretches: it has half of one core then.
pub const REHEARSAL_REST: Duration = Duration::from_micros(250);

/// How often the child of a rehearsal may end over an actor before the rest is left.
pub const REHEARSAL_ENDS_MAX: usize = 3;

/// Address space that the child of a rehearsal may have; half of the free memory, if
/// that is less. Room for an actor of 256 MiB in several versions.
pub const REHEARSAL_BYTES_MAX: u64 = 4 << 30;

/// Address space that it has at least: below that, no plugin opens.
pub const REHEARSAL_BYTES_MIN: u64 = 512 << 20;

/// Processor time of one child: a hundred million small actors.
pub const REHEARSAL_CPU_MAX: Duration = Duration::from_secs(3_600);

/// Actors whose place is worked out at once, in the order of the journal.
pub const REHEARSAL_CHUNK_ACTORS: usize = 262_144;

/// Fields that a rehearsal's report names of a plugin and a law; all others are told as one.
pub const REHEARSAL_NAMED_MAX: usize = 50;

/// Names in one place of states or replies that a rehearsal tells apart, of a plugin and a law:
/// where more differ they are told as one, for they are the keys of a map, as a rule.
pub const REHEARSAL_NAMES_MAX: usize = 16;

/// Bytes of a payload or an answer that a trace shows: enough to see what it is about.
pub const TRACE_PAYLOAD_BYTES_MAX: usize = 1024;

/// Lines of a trace that wait for who reads it; what comes beyond is counted, and told
/// where it is missing. A few MiB, for the longest lines.
pub const TRACE_BEHIND_MAX: usize = 1024;

/// Traces under way at once: each is one operator who looks.
pub const TRACES_MAX: usize = 32;
