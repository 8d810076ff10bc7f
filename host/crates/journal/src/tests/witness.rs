//! What a home knows of its store: a store that is gone, another one, or has lost what it
//! had is refused, and nothing of it is made or changed.

use std::fs;

use super::place::Postgres;
use super::*;

/// Refused because of what the home knows, which then is as it was; says why.
fn refused(place: &dyn Place, witness: &Path) -> String {
    let before = fs::read(witness).unwrap();
    let Err(error) = Bench::try_open(place) else {
        panic!("it must be refused");
    };
    assert!(matches!(error, OpenError::Behind { .. }), "{error}");
    assert!(error.must_look());
    let why = error.to_string();
    assert!(why.contains("store.json"), "{why}");
    assert_eq!(fs::read(witness).unwrap(), before, "{why}");
    why
}

/// Commits records `seqs` of ali.
fn commit(bench: &Bench, seqs: std::ops::RangeInclusive<u64>) {
    for seq in seqs {
        bench.commit(of_record(record(&actor("ali"), seq)));
    }
}

fn sqlite() -> (Sqlite, PathBuf) {
    let place = Sqlite::new().known();
    let witness = place.witness.clone().unwrap();
    (place, witness)
}

#[test]
fn a_home_that_has_served_takes_no_empty_and_no_missing_file_for_its_store() {
    let (place, witness) = sqlite();
    commit(&Bench::open(&place), 1..=3);
    let whole = fs::read(&place.path).unwrap();
    fs::write(&place.path, "").unwrap();
    assert!(refused(&place, &witness).contains("position 3"));
    assert_eq!(fs::read(&place.path).unwrap(), b"");
    let migrated = place.migrate();
    assert!(matches!(migrated, Err(OpenError::Behind { .. })));
    fs::remove_file(&place.path).unwrap();
    refused(&place, &witness);
    assert!(!place.path.exists());
    let migrated = place.migrate();
    assert!(matches!(migrated, Err(OpenError::Behind { .. })));
    // Some other program's.
    fs::remove_file(&place.path).unwrap_or_default();
    place.sql("CREATE TABLE accounts (id)");
    assert!(refused(&place, &witness).contains("no host's"));

    fs::write(&place.path, whole).unwrap();
    assert_eq!(Bench::open(&place).seqs(&actor("ali")).1.len(), 3);
    // It is meant.
    fs::remove_file(&place.path).unwrap();
    fs::remove_file(&witness).unwrap();
    assert_eq!(Bench::open(&place).journal.known(), 0);
}

#[test]
fn a_log_without_its_database_is_not_thrown_away() {
    let (place, _) = sqlite();
    let log = place.path.with_extension("db-wal");
    fs::write(&log, "what was committed").unwrap();
    let error = Bench::try_open(&place).err().expect("it is refused");
    assert!(matches!(error, OpenError::Torn { .. }), "{error}");
    assert_eq!(fs::read(&log).unwrap(), b"what was committed");
}

#[test]
fn a_host_that_was_killed_needs_its_log() {
    let (place, witness) = sqlite();
    let bench = Bench::open(&place);
    commit(&bench, 1..=3);
    let crashed = place.copied();
    assert_ne!(crashed.path, place.path);
    let log = crashed.path.with_extension("db-wal");
    let whole = fs::read(&log).unwrap();
    // What the home knew when it was killed.
    let at_the_crash = witness.with_file_name("crashed.json");
    fs::copy(&witness, &at_the_crash).unwrap();
    let mut known = crashed;
    known.witness = Some(witness.with_file_name("again/store.json"));
    let again = known.witness.clone().unwrap();
    fs::create_dir(again.parent().unwrap()).unwrap();
    fs::copy(&at_the_crash, &again).unwrap();
    for lost in [None, Some(&b""[..])] {
        fs::remove_file(&log).unwrap_or_default();
        if let Some(content) = lost {
            fs::write(&log, content).unwrap();
        }
        let before = fs::read(&known.path).unwrap();
        refused(&known, &again);
        assert_eq!(fs::read(&known.path).unwrap(), before);
    }
    fs::write(&log, whole).unwrap();
    assert_eq!(Bench::open(&known).seqs(&actor("ali")).1.len(), 3);
    assert_eq!(
        Bench::open(&known).seqs(&actor("ali")).1.len(),
        3,
        "and after an end in order it needs none"
    );
}

#[test]
fn an_older_copy_of_the_file_is_refused() {
    let (place, witness) = sqlite();
    commit(&Bench::open(&place), 1..=3);
    let older = fs::read(&place.path).unwrap();
    drop(Bench::open(&place));
    let newer = fs::read(&place.path).unwrap();
    // Nothing was committed since, but the epoch is an older one.
    fs::write(&place.path, &older).unwrap();
    assert!(refused(&place, &witness).contains("epoch"));
    fs::write(&place.path, newer).unwrap();
    commit(&Bench::open(&place), 4..=4);
    fs::write(&place.path, &older).unwrap();
    assert!(refused(&place, &witness).contains("lost 1 positions"));
    assert_eq!(fs::read(&place.path).unwrap(), older);
}

#[test]
fn what_is_known_is_written_beside_the_commits() {
    let (place, witness) = sqlite();
    let bench = Bench::open(&place);
    commit(&bench, 1..=3);
    let began = std::time::Instant::now();
    while !fs::read_to_string(&witness)
        .unwrap()
        .contains(r#""last":3"#)
    {
        assert!(began.elapsed() < DEADLINE);
        std::thread::yield_now();
    }
}

/// Both stores: what this home knows, in which file.
fn places() -> [(Box<dyn Place>, PathBuf); 2] {
    let postgres = Postgres::new();
    let known = postgres.options.witness.clone();
    let (sqlite, witness) = sqlite();
    [(Box::new(sqlite), witness), (Box::new(postgres), known)]
}

#[test]
fn a_store_of_another_history_is_refused_though_it_is_further() {
    for (place, witness) in places() {
        commit(&Bench::open(&*place), 1..=3);
        let bench = Bench::open(&*place);
        let known = fs::read_to_string(&witness).unwrap();
        commit(&bench, 4..=5);
        drop(bench);
        let at = known.find(r#""hash":""#).unwrap() + 8;
        let mut other = known.clone();
        other.replace_range(at..at + 8, "00000000");
        fs::write(&witness, other.replace(r#""log":true"#, r#""log":false"#)).unwrap();
        assert!(refused(&*place, &witness).contains("another history"));
        fs::write(&witness, known.replace(r#""log":true"#, r#""log":false"#)).unwrap();
        assert_eq!(Bench::open(&*place).seqs(&actor("ali")).1.len(), 5);
    }
}

#[test]
fn a_home_that_knows_its_store_takes_no_other_database_and_no_emptied_one() {
    let mut place = Postgres::new();
    let witness = place.options.witness.clone();
    commit(&Bench::open(&place), 1..=3);
    let (own, empty, other) = (place.clone(), Postgres::new(), Postgres::new());
    drop(Bench::open(&other));
    place.options.address = other.options.address.clone();
    let before = other.dump();
    assert!(refused(&place, &witness).contains("position 3"));
    assert_eq!(other.dump(), before);
    place.options.address = empty.options.address.clone();
    assert!(refused(&place, &witness).contains("has no store"));
    let made = empty.archive();
    assert!(matches!(made, Err(OpenError::MissingAt { .. })));
    assert_eq!(Bench::open(&own).seqs(&actor("ali")).1.len(), 3);
    fs::remove_file(&witness).unwrap();
    drop(Bench::open(&place));
}

#[test]
fn a_copied_home_does_not_fence_its_living_owner() {
    let first = Postgres::new();
    let bench = Bench::open(&first);
    commit(&bench, 1..=1);
    let mut copy = first.for_another_home();
    fs::copy(&first.options.witness, &copy.options.witness).unwrap();
    copy.options.timing.lease = Duration::from_secs(4);
    let error = Bench::try_open(&copy).err().expect("it is refused");
    assert!(matches!(error, OpenError::HeldBy { .. }), "{error}");
    commit(&bench, 2..=2);
    assert!(!bench.journal.must_look());
}

#[test]
fn a_home_whose_process_is_dead_waits_for_no_lease() {
    let mut place = Postgres::new();
    let bench = Bench::open(&place);
    commit(&bench, 1..=1);
    // As of a process that has ended: it is not there, and its sessions are not.
    let witness = place.options.witness.clone();
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let pid = format!(r#""pid":{}"#, child.id());
    child.wait().unwrap();
    let note = fs::read_to_string(&witness).unwrap();
    let dead = note.replace(&format!(r#""pid":{}"#, std::process::id()), &pid);
    assert_ne!(dead, note);
    let copy = place.for_another_home();
    fs::write(&copy.options.witness, dead).unwrap();
    place.options.witness = copy.options.witness.clone();
    place.options.timing.lease = 10 * DEADLINE;
    let next = Bench::open(&place);
    assert_eq!(next.seqs(&actor("ali")), (None, vec![1]));
}

/// A webhook that was in a copy keeps its key, and one behind it has another than the one
/// at its position had.
#[test]
fn a_key_names_one_webhook_also_in_a_store_that_was_put_back() {
    let key = |bench: &Bench, position: Position| {
        bench
            .journal
            .webhook_key(crate::OutboxId { position, index: 0 })
    };
    let (place, witness) = sqlite();
    let bench = Bench::open(&place);
    commit(&bench, 1..=3);
    drop(bench);
    let copy = fs::read(&place.path).unwrap();
    let bench = Bench::open(&place);
    commit(&bench, 4..=4);
    let (in_copy, behind) = (key(&bench, Position(3)), key(&bench, Position(4)));
    assert!(in_copy.starts_with(bench.journal.store_id()));
    drop(bench);
    fs::write(&place.path, copy).unwrap();
    fs::remove_file(&witness).unwrap();
    let mut keys = Vec::new();
    for _ in 0..2 {
        let bench = Bench::open(&place);
        assert_eq!(key(&bench, Position(3)), in_copy);
        keys.push(key(&bench, Position(4)));
    }
    assert_ne!(keys[0], behind);
    assert_eq!(keys[0], keys[1], "and it stays that one");

    let postgres = Postgres::new();
    let bench = Bench::open(&postgres);
    commit(&bench, 1..=3);
    let (in_copy, behind) = (key(&bench, Position(3)), key(&bench, Position(4)));
    drop(bench);
    let bench = Bench::open(&postgres.for_another_home());
    assert_eq!(key(&bench, Position(3)), in_copy);
    assert_ne!(key(&bench, Position(4)), behind);
}
