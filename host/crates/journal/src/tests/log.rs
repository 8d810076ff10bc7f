//! The write-ahead log under a writer that never rests.

use super::*;

/// Far more than the log may have.
const BYTES: usize = 400 << 20;
const STATE_BYTES: usize = 256 << 10;

/// What the log may have, and what comes while the last of it is moved.
const LOG_BYTES_MAX: u64 = 256 << 20;

#[test]
fn the_log_of_a_writer_that_never_rests_stays_short_and_loses_nothing() {
    let place = Sqlite::new();
    let bench = Bench::open(&place);
    let log = place.path.with_extension("db-wal");
    let mut longest = 0;
    let commits = (BYTES / STATE_BYTES) as u64;
    for seq in 1..=commits {
        let mut rows = of_record(record(&actor("ali"), seq));
        let mut state = snapshot(&actor("ali"), seq);
        state.state = noise(STATE_BYTES, seq);
        rows.snapshot = Some(state);
        bench.append(rows, seq);
        // Two under way: there is always one that waits.
        if seq > 1 {
            assert_eq!(bench.next_done().result, Ok(()));
        }
        longest = longest.max(std::fs::metadata(&log).unwrap().len());
    }
    assert_eq!(bench.next_done().result, Ok(()));
    assert!(longest <= LOG_BYTES_MAX, "it had {longest} bytes");
    assert_eq!(bench.seqs(&actor("ali")), (Some(commits), vec![]));

    drop(bench);
    let left = std::fs::metadata(&log).map_or(0, |log| log.len());
    assert_eq!(left, 0, "the end leaves no log");
    let again = Bench::open(&place);
    assert_eq!(again.seqs(&actor("ali")), (Some(commits), vec![]));
    assert_eq!(again.journal.verify().unwrap().records, commits);
}
