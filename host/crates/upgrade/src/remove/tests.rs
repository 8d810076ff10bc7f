//! What a release is needed for.

use std::path::PathBuf;

use host_journal::Standing;
use host_model::release::{PluginShape, Start};

use super::*;

fn release(minor: u64, plugin: u64) -> ReleaseManifest {
    ReleaseManifest {
        name: "test".to_owned(),
        version: Version::new(0, minor, 0),
        host: Version::new(0, 1, 0),
        host_sha256: String::new(),
        target: String::new(),
        libc: String::new(),
        plugins: vec![ReleasePlugin {
            name: "p".to_owned(),
            version: Version::new(0, plugin, 0),
            file: PathBuf::from("plugins/p.so"),
            sha256: format!("{plugin:064x}"),
            start: Start::Permanent,
            settings: Vec::new(),
            shape: None,
        }],
        upgrade_scripts: Vec::new(),
        config: Vec::new(),
        documents: Vec::new(),
    }
}

#[test]
fn what_a_release_is_needed_for() {
    let v = |minor| Version::new(0, minor, 0);
    let names = |minor| Versions::from([("p".to_owned(), v(minor))]);
    let booked = Booked {
        permanent: Some(v(3)),
        before: [(v(3), v(2))].into(),
        ..Booked::default()
    };
    let named = Named {
        needed: names(3),
        carried: names(4),
        kept: names(2),
        recorded: names(1),
        ..Named::default()
    };
    // 0.6.0 has the library of 0.4.0, too, but for the last case.
    let all: Vec<_> = [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 4)]
        .map(|(minor, plugin)| release(minor, plugin))
        .into();
    let ask_all = |minor, (no_way_back, no_replay), installed: &[ReleaseManifest]| {
        needs(&Asked {
            request: &RemoveRequest {
                version: v(minor),
                no_way_back,
                no_replay,
            },
            current: Some(&v(5)),
            booked: &booked,
            named: Some(&named),
            installed,
            appups: &[],
        })
        .join("; ")
    };
    let ask = |minor, no_way_back, installed: &[ReleaseManifest]| {
        ask_all(minor, (no_way_back, true), installed)
    };
    let replayed = ask_all(1, (true, false), &all);
    assert!(replayed.contains("by records of p 0.1.0"), "{replayed}");
    assert_eq!(ask(1, false, &all), "");
    let back = ask(2, false, &all);
    assert!(back.contains("`host rollback` leads back"), "{back}");
    assert!(back.contains("snapshots of p 0.2.0"), "{back}");
    assert_eq!(ask(2, true, &all), "");
    let permanent = ask(3, true, &all);
    assert!(permanent.contains("it is permanent"), "{permanent}");
    assert!(
        permanent.contains("states or records of p 0.3.0"),
        "{permanent}"
    );
    assert_eq!(ask(4, false, &all), "", "0.6.0 has it");
    let carried = ask(4, true, &all[..5]);
    assert!(
        carried.contains("carries in the store wait for p 0.4.0"),
        "{carried}"
    );
    assert!(ask(5, true, &all).contains("it runs"));
}

#[test]
fn a_release_is_needed_that_the_way_of_an_actor_leads_over() {
    let v = |minor| Version::new(0, minor, 0);
    let appup = |minor: u64, from: &str| {
        let text = format!(
            "plugin = \"p\"\nversion = \"0.{minor}.0\"\n[[path]]\nfrom = \"{from}\"\n\
             up = [{{ update = \"state\" }}]\ndown = [{{ update = \"state\" }}]\n"
        );
        (
            v(minor),
            Appup::parse(&format!("p-0.{minor}.0.toml"), &text).unwrap(),
        )
    };
    let booked = Booked {
        permanent: Some(v(3)),
        before: [(v(3), v(1))].into(),
        ..Booked::default()
    };
    let standing = |minor: u64, carried: &[u64]| Standing {
        plugin: "p".to_owned(),
        version: v(minor),
        carried: carried.iter().copied().map(v).collect(),
    };
    let all: Vec<_> = [1, 2, 3].map(|minor| release(minor, minor)).into();
    let by_way = [appup(2, "=0.1.0"), appup(3, "=0.2.0")];
    let ask = |places: &[(Standing, u64)], appups: &[(Version, Appup)], no_way_back| {
        let named = Named {
            standing: places.iter().cloned().collect(),
            ..Named::default()
        };
        needs(&Asked {
            request: &RemoveRequest {
                version: v(2),
                no_way_back,
                no_replay: false,
            },
            current: None,
            booked: &booked,
            named: Some(&named),
            installed: &all,
            appups,
        })
        .join("; ")
    };
    let sleeping = [(standing(1, &[]), 3), (standing(1, &[2]), 2)];
    let needed = ask(&sleeping, &by_way, true);
    assert!(
        needed.contains("5 actors of p have 0.1.0 and come over to 0.3.0 by way of it only"),
        "{needed}"
    );
    assert_eq!(ask(&[(standing(3, &[]), 9)], &by_way, true), "");
    let back = ask(&[], &by_way, false);
    assert!(back.contains("leads p from 0.3.0 to 0.1.0"), "{back}");
    // Where another way leads there, only those need it who hold what its version wrote.
    let direct = [appup(2, "=0.1.0"), appup(3, "<0.3.0")];
    let needed = ask(&sleeping, &direct, false);
    assert!(
        needed.starts_with("2 actors of p have 0.1.0") && !needed.contains(';'),
        "{needed}"
    );
}

#[test]
fn a_release_is_needed_that_knows_the_shape_of_messages_that_wait() {
    let v = |minor| Version::new(0, minor, 0);
    let appup = |minor: u64, from: u64, what: &str| {
        let text = format!(
            "plugin = \"p\"\nversion = \"0.{minor}.0\"\n[[path]]\nfrom = \"=0.{from}.0\"\n\
             up = [{{ {what} }}]\ndown = [{{ {what} }}]\n"
        );
        let read = Appup::parse(&format!("p-0.{minor}.0.toml"), &text);
        (v(minor), read.unwrap())
    };
    let booked = Booked {
        permanent: Some(v(3)),
        ..Booked::default()
    };
    let all: Vec<_> = [1, 2, 3].map(|minor| release(minor, minor)).into();
    let ask = |remove: u64, installed: &[ReleaseManifest], named: &Named, last: &str| {
        needs(&Asked {
            request: &RemoveRequest {
                version: v(remove),
                no_way_back: true,
                no_replay: true,
            },
            current: None,
            booked: &booked,
            named: Some(named),
            installed,
            appups: &[appup(2, 1, "update = \"state\""), appup(3, 2, last)],
        })
        .join("; ")
    };
    let all_of = |minors: &[u64]| {
        let names = minors.iter().map(|minor| ("p".to_owned(), v(*minor)));
        names.collect::<Versions>()
    };
    let waiting = |minors: &[u64]| Named {
        waiting: all_of(minors),
        ..Named::default()
    };
    let (update, load) = ("update = \"state\"", "load = \"code\"");
    // 0.2.0 migrates from it, and so knows its messages without its library.
    assert_eq!(ask(1, &all, &waiting(&[1, 2, 3]), update), "");
    let needed = ask(2, &all[1..], &waiting(&[1, 2, 3]), update);
    assert!(
        needed.starts_with("timers or casts that wait for p are in the shape of 0.1.0, and 0.3.0")
            && !needed.contains(';'),
        "{needed}"
    );
    // Of one whose code alone has changed nobody else knows the shape.
    let needed = ask(2, &all, &waiting(&[2]), load);
    assert!(needed.contains("in the shape of 0.2.0"), "{needed}");
    let letters = Named {
        letters: all_of(&[2]),
        ..Named::default()
    };
    let needed = ask(2, &all, &letters, load);
    assert!(needed.starts_with("dead letters for p are"), "{needed}");
    assert_eq!(ask(2, &all, &letters, update), "");
    // Where their releases say what libraries migrate from, that counts as it does when a
    // message comes: however their states come over.
    let said = |minor: u64, schema, from: &str| {
        let mut said = release(minor, minor);
        said.plugins[0].shape = Some(PluginShape {
            state_schema: schema,
            migrates_from: Some(from.parse().unwrap()),
        });
        said
    };
    let behind = [release(2, 2), said(3, 3, "<0.3")];
    assert_eq!(ask(2, &behind, &waiting(&[1]), update), "");
    let behind = [said(2, 2, "~0.1"), said(3, 3, "~0.2")];
    let needed = ask(2, &behind, &waiting(&[1]), update);
    assert!(needed.contains("in the shape of 0.1.0"), "{needed}");
    let behind = [said(2, 2, "=0.1.9"), said(3, 3, "~0.2")];
    assert_eq!(ask(2, &behind, &waiting(&[1]), update), "", "nobody does");
    // No way of states leads to 0.3.0 without 0.2.0, and 0.3.0 knows the shape all the same.
    let beside = |from| [said(1, 1, "~0.0"), said(2, 2, "~0.1"), said(3, 3, from)];
    assert_eq!(ask(2, &beside("<0.3"), &waiting(&[1]), update), "");
    let needed = ask(2, &beside("~0.2"), &waiting(&[1]), update);
    assert!(needed.contains("in the shape of 0.1.0"), "{needed}");
    let same = [said(1, 3, "~0.0"), said(2, 2, "~0.1"), said(3, 3, "~0.2")];
    assert_eq!(ask(2, &same, &waiting(&[1]), update), "");
}
