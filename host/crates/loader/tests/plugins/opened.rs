//! Libraries that are open: each once, side by side, for ever.

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Arc, Barrier};

use serde_json::json;

use crate::actor::Actor;
use crate::{Bench, built};

#[test]
fn one_digest_is_opened_once_whatever_its_path() {
    let bench = Bench::new();
    let library = built::library("faulty-v0-1-0");
    let copy = bench.folder.path().join("renamed.so");
    fs::copy(&library, &copy).unwrap();
    let first = bench.loader.load(&library, None).unwrap();
    let second = bench.loader.load(&library, Some(first.digest())).unwrap();
    let third = bench.loader.load(&copy, None).unwrap();
    assert!(Arc::ptr_eq(&first, &second) && Arc::ptr_eq(&first, &third));
    assert_eq!(bench.loader.resident().len(), 1);
}

#[test]
fn threads_that_want_the_same_library_get_the_same_one() {
    const THREADS: usize = 4;
    let bench = Bench::new();
    let library = built::library("faulty-v0-1-0");
    let together = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                together.wait();
                bench.loader.load(&library, None).unwrap();
            });
        }
    });
    assert_eq!(bench.loader.resident().len(), 1);
    let images = fs::read_dir(bench.folder.path().join("images")).unwrap();
    assert_eq!(images.count(), 1);
}

#[test]
fn two_versions_work_side_by_side() {
    let bench = Bench::new();
    let (older, newer) = (bench.open("faulty-v0-1-0"), bench.open("faulty-v0-2-0"));
    assert_eq!((older.name(), newer.name()), ("faulty", "faulty"));
    let mut one = Actor::new(&older, "k");
    let mut two = Actor::new(&newer, "k");
    let note = json!({ "text": "only here" });
    assert_eq!(one.send("note", &note), Err("unknown_event".to_owned()));
    assert_eq!(two.send("note", &note), Ok(json!({ "notes": 1 })));
    for count in 1..100 {
        let count = Ok(json!({ "count": count }));
        assert_eq!(one.send("add", &json!({ "by": 1 })), count);
        assert_eq!(two.send("add", &json!({ "by": 1 })), count);
    }
    assert_eq!(one.summary()["version"], "0.1.0");
    assert_eq!(two.summary()["version"], "0.2.0");
    // What is static is static in one library.
    one.send("fall_ill", &json!({})).unwrap();
    assert_eq!(older.health().unwrap().unwrap_err().reason, "ill");
    assert!(newer.health().unwrap().is_ok());

    let versions: BTreeSet<String> = bench
        .loader
        .resident()
        .iter()
        .map(|plugin| plugin.version().to_string())
        .collect();
    assert_eq!(versions, ["0.1.0", "0.2.0"].map(str::to_owned).into());
}

#[test]
fn the_file_that_was_loaded_may_be_overwritten_and_cut() {
    let bench = Bench::new();
    let library = bench.folder.path().join("plugin.so");
    fs::copy(built::library("faulty-v0-1-0"), &library).unwrap();
    let older = bench.loader.load(&library, None).unwrap();
    let mut one = Actor::new(&older, "k");
    one.send("add", &json!({ "by": 1 })).unwrap();

    // In place: the same inode, as a careless copy does it.
    fs::write(&library, fs::read(built::library("faulty-v0-2-0")).unwrap()).unwrap();
    assert_eq!(
        one.send("add", &json!({ "by": 1 })),
        Ok(json!({ "count": 2 }))
    );
    // The same path is now another plugin.
    let newer = bench.loader.load(&library, None).unwrap();
    assert_eq!(newer.version().to_string(), "0.2.0");

    fs::write(&library, "").unwrap();
    assert!(bench.loader.load(&library, None).is_err());
    one.up(&newer);
    assert_eq!(
        one.send("add", &json!({ "by": 1 })),
        Ok(json!({ "count": 3 }))
    );
    assert_eq!(bench.loader.resident().len(), 2);
}

#[test]
fn a_shorter_a_longer_table_or_a_higher_minor_is_another_minors() {
    // The first is an older one's: what it does not have is not read.
    for behaviour in [
        "minor_0_table",
        "minor_1_table",
        "longer_table",
        "other_minor",
        "fine",
    ] {
        let bench = Bench::new();
        let plugin = bench.open_raw(behaviour).unwrap();
        assert_eq!(plugin.name(), "raw");
        assert!(plugin.health().unwrap().is_ok());
        let mut actor = plugin.new_state("k").unwrap();
        let call = host_loader::Call {
            key: "k",
            event: "fine",
            payload: b"{}",
            claims: b"",
            now_ms: 0,
            seed: 0,
            seq: 0,
            caller: host_loader::Caller::CLIENT,
            hops: 0,
        };
        assert!(actor.handle(&call).is_ok());
    }
}
