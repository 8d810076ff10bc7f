//! What a decision does beyond its actor: how it arrives, in which order, and
//! that two plugins understand each other.

use host_loader::{Accepted, Verdict};
use host_model::effect::Effect;
use serde_json::{Value, json};

use crate::Bench;
use crate::actor::{Actor, NOON_MS};

/// The effects of a command that must be accepted.
#[track_caller]
fn effects(actor: &mut Actor, event: &str, payload: &Value) -> Vec<Effect> {
    match actor.call(event, payload) {
        Ok(Verdict::Accepted(Accepted { effects, .. })) => effects,
        other => panic!("{event}: {other:?}"),
    }
}

/// An effect as JSON, to compare it whole.
#[track_caller]
fn only(effects: Vec<Effect>) -> Value {
    let [effect] = &effects[..] else {
        panic!("{effects:?}");
    };
    serde_json::to_value(effect).unwrap()
}

#[test]
fn each_kind_of_effect_arrives_as_it_was_meant() {
    let bench = Bench::new();
    let mut actor = Actor::new(&bench.open("faulty-v0-1-0"), "k");
    let cast = json!({ "to": "faulty:other", "event": "add", "payload": { "by": 2 } });
    assert_eq!(
        only(effects(&mut actor, "cast", &cast)),
        json!({ "cast": cast })
    );
    let broadcast = json!({ "event": "hello", "payload": { "to": "all" } });
    assert_eq!(
        only(effects(&mut actor, "broadcast", &broadcast)),
        json!({ "broadcast": broadcast })
    );
    let timer = json!({ "name": "tea", "in_ms": 500, "payload": { "sugar": 2 } });
    let set = effects(&mut actor, "set_timer", &timer);
    let at_ms = actor.now_ms + 500;
    let wanted = json!({ "name": "tea", "at_ms": at_ms, "payload": { "sugar": 2 } });
    assert_eq!(only(set), json!({ "set_timer": wanted }));
    let cancel = json!({ "name": "tea" });
    assert_eq!(
        only(effects(&mut actor, "cancel_timer", &cancel)),
        json!({ "cancel_timer": cancel })
    );
    // Whether there is such an actor is not for the loader to say.
    let nobody = only(effects(&mut actor, "cast_bad_target", &json!({})));
    assert_eq!(nobody["cast"]["to"], "nobody");
}

#[test]
fn effects_keep_their_order() {
    let bench = Bench::new();
    let mut actor = Actor::new(&bench.open("faulty-v0-1-0"), "k");
    let many = effects(&mut actor, "many_effects", &json!({ "n": 100 }));
    for (n, effect) in many.iter().enumerate() {
        let Effect::Broadcast { payload, .. } = effect else {
            panic!("{effect:?}");
        };
        assert_eq!(payload.get(), format!(r#"{{"n":{n}}}"#));
    }
}

#[test]
fn a_timer_fires_sets_itself_again_or_is_refused() {
    let bench = Bench::new();
    let mut actor = Actor::new(&bench.open("faulty-v0-1-0"), "k");
    let tick = actor.message("tick", br#"{"every_ms":250}"#);
    let Ok(Verdict::Accepted(accepted)) = actor.state.timer(&tick) else {
        panic!("a tick is accepted");
    };
    let [
        Effect::Broadcast { .. },
        Effect::SetTimer { name, at_ms, .. },
    ] = &accepted.effects[..]
    else {
        panic!("{:?}", accepted.effects);
    };
    assert_eq!((name.as_str(), *at_ms), ("tick", NOON_MS + 250));
    assert_eq!(actor.summary()["ticks"], 1);

    let refused = actor.message("refuse", b"");
    let Ok(Verdict::Rejected(rejection)) = actor.state.timer(&refused) else {
        panic!("this timer is refused");
    };
    assert_eq!(rejection.reason, "refused");
    // Donations set no timers, and say so of any that is theirs nonetheless.
    let mut campaign = Actor::new(&bench.open("donations-v0-1-0"), "k");
    let tick = campaign.message("tick", b"{}");
    let Ok(Verdict::Rejected(rejection)) = campaign.state.timer(&tick) else {
        panic!("this timer is unknown");
    };
    assert_eq!(rejection.reason, "unknown_timer");
}

/// Hands the casts among `effects` to `payer`, as the host does for `zakat:ali`.
#[track_caller]
fn deliver(effects: &[Effect], payer: &mut Actor) -> Result<Value, String> {
    let mut casts = effects.iter().filter_map(|effect| match effect {
        Effect::Cast { to, event, payload } => Some((to, event, payload)),
        _ => None,
    });
    let (Some((to, event, payload)), None) = (casts.next(), casts.next()) else {
        panic!("one cast is expected: {effects:?}");
    };
    assert_eq!(to, "zakat:ali");
    payer.send(event, &serde_json::from_str(payload.get()).unwrap())
}

#[test]
fn zakat_that_was_donated_is_paid_and_given_back() {
    let bench = Bench::new();
    let mut campaign = Actor::new(&bench.open("donations-v0-2-0"), "ramadan-2026");
    let opening = json!({ "title": "Iftar", "currency": "USD", "goal": "5000" });
    campaign.send("open", &opening).unwrap();
    let gift = json!({
        "donation_id": "d3", "amount": "250", "currency": "USD",
        "fund": "zakat", "payer": "ali",
    });
    let given = effects(&mut campaign, "donate", &gift);
    let refund = json!({ "donation_id": "d3", "reason": "asked for" });
    let back = effects(&mut campaign, "refund", &refund);

    let mut payer = Actor::new(&bench.open("zakat-v0-2-0"), "ali");
    let paid = deliver(&given, &mut payer).unwrap();
    assert_eq!(paid["amount"], "250.00");
    assert_eq!(paid["payment_id"], "ramadan-2026/d3");
    assert_eq!(payer.summary()["payments"], 1);
    deliver(&back, &mut payer).unwrap();
    assert_eq!(payer.summary()["payments"], 0);

    // A payer who has not come over yet takes the payment, and knows no way back.
    let mut payer = Actor::new(&bench.open("zakat-v0-1-0"), "ali");
    deliver(&given, &mut payer).unwrap();
    assert_eq!(deliver(&back, &mut payer), Err("unknown_event".to_owned()));
    assert_eq!(payer.summary()["payments"], 1);
}
