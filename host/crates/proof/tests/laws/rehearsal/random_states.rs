//! Random lives of the platform's actors, on the ways up and down.

use super::*;

const ZAKAT: [&str; 6] = [
    "summary.anniversary",
    "summary.crops",
    "summary.debts",
    "summary.rikaz",
    "summary.version",
    "summary.year",
];
const DONATIONS: [&str; 3] = ["summary.funds", "summary.donors", "summary.version"];

fn random(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |bound| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    }
}

/// A campaign's life under 0.1.0.
fn campaign(bench: &Bench, seed: u64) -> Lived {
    let mut below = random(seed);
    let mut lived = Lived::new(bench.plugin(0), &format!("c{seed}"));
    let open = json!({"title": "T", "currency": "USD", "goal": "100.00"});
    lived.send("open", &open);
    let (gifts, asleep) = (below(12), below(14));
    for gift in 0..gifts {
        let mut donation = json!({"donation_id": format!("d{gift}"),
            "amount": format!("{}.{:02}", below(900) + 1, below(100)), "currency": "USD"});
        if below(3) > 0 {
            donation["donor"] = json!(format!("donor {}", below(4)));
        }
        lived.send("donate", &donation);
        if gift == asleep {
            lived.snapshot();
        }
    }
    lived
}

fn payer(bench: &Bench, at: usize, seed: u64) -> Lived {
    let mut below = random(seed);
    let mut lived = Lived::new(bench.plugin(at), &format!("p{seed}"));
    let (steps, asleep) = (below(12) + 1, below(14));
    for step in 0..steps {
        match below(3) {
            0 | 1 => {
                let declare = json!({"asset_id": format!("a{}", below(4)), "kind": "cash",
                    "amount": format!("{}.00", below(5_000) + 1), "currency": "USD"});
                lived.send("declare", &declare)
            }
            _ => {
                let pay = json!({"payment_id": format!("p{step}"),
                    "amount": format!("{}.50", below(50) + 1), "currency": "USD"});
                lived.send("pay", &pay)
            }
        };
        if step == asleep {
            lived.snapshot();
        }
    }
    lived
}

#[test]
fn the_platform_keeps_every_law_for_random_states() {
    let packages = [
        "donations-v0-1-0",
        "donations-v0-2-0",
        "zakat-v0-1-0",
        "zakat-v0-2-0",
    ];
    let bench = Bench::with(&packages);
    let plugins = vec![up("donations", &DONATIONS), up("zakat", &ZAKAT)];
    let mut stage = bench.stage(&bench.setup(plugins));
    let zakat = Bench::with(&packages[2..]);
    for seed in 0..300 {
        for lived in [campaign(&bench, seed), payer(&zakat, 0, seed)] {
            let judged = ask(&mut stage, lived.subject());
            assert_eq!(judged.problems, [], "seed {seed}: {:#?}", lived.subject());
        }
    }
}

#[test]
fn a_way_down_is_rehearsed_as_a_way_up_is() {
    let packages = ["zakat-v0-1-0", "zakat-v0-2-0"];
    let bench = Bench::with(&packages);
    let mut stage = bench.stage(&bench.setup(vec![down("zakat", &ZAKAT)]));
    let mut asked = 0;
    for seed in 0..50 {
        let judged = ask(&mut stage, payer(&bench, 1, seed).subject());
        assert_eq!(judged.problems, [], "seed {seed}");
        asked += usize::from(judged.asked.contains(&Law::Carry));
    }
    assert!(asked > 0, "some have commands behind their snapshot");
}

/// A campaign's life under 0.2.0: it gives back what it was given, by its name.
fn campaign_of_today(bench: &Bench, seed: u64) -> Lived {
    let mut below = random(seed);
    let mut lived = Lived::new(bench.plugin(0), &format!("c{seed}"));
    let open = json!({"title": "T", "currency": "USD", "goal": "100.00"});
    lived.send("open", &open);
    let (gifts, asleep) = (below(10) + 1, below(12));
    for gift in 0..gifts {
        let name = format!("d{gift}");
        let currency = ["USD", "EUR"][usize::from(below(4) == 0)];
        let donation = json!({"donation_id": name, "currency": currency,
            "amount": format!("{}.{:02}", below(900) + 1, below(100)),
            "donor": format!("donor {}", below(4))});
        lived.send("donate", &donation);
        if below(4) == 0 {
            let refund = json!({"donation_id": name, "reason": "it was a mistake"});
            lived.send("refund", &refund);
        }
        if gift == asleep {
            lived.snapshot();
        }
    }
    lived
}

#[test]
fn pledges_and_gifts_that_come_again_keep_every_law_for_random_states() {
    const DECLARED: [&str; 3] = [
        "summary.pledges",
        "summary.subscriptions",
        "summary.version",
    ];
    let bench = Bench::with(&["donations-v0-2-0", "donations-v0-3-0"]);
    let moved = over("donations", vec![step("0.2.0", "0.3.0", &DECLARED)]);
    let mut stage = bench.stage(&bench.setup(vec![moved]));
    for seed in 0..200 {
        let lived = campaign_of_today(&bench, seed);
        let judged = ask(&mut stage, lived.subject());
        assert_eq!(judged.problems, [], "seed {seed}: {:#?}", lived.subject());
    }
}
