//! The other way back, for a state that `down` cannot bring: the actor as it was before
//! it came over, and the commands since, which the older version decides at the times at
//! which they were accepted.
//!
//! They happened: so only the state is built again, and no effect leaves a second time.
//! And they stay accepted: so each of them must be taken by the older version, as a
//! change, or the actor stays as it is.

use std::sync::Arc;

use bytes::Bytes;
use host_journal::{Action, Outcome, Position, Record, Stored};
use host_loader::{Call, Caller, State, Verdict};
use host_model::carry::Carry;
use host_model::limits::OBSTACLES_NAMED_MAX;
use host_model::{ActorId, Version};
use serde_json::{Value, json};

use crate::Actors;
use crate::aside::Aside;
use crate::clock::unix_ms;
use crate::hindrance::Hindrance;
use crate::live::Live;
use crate::message::CallError;
use crate::over::{Over, carry_between};
use crate::release::{Code, Release, RouteHop, Way, leads_down};
use crate::shapes::{convert, schema};
use crate::wake::{reread, restore};
use crate::watchdog::goes_on;
use crate::{seed, token::Rebuilt};

/// A command that stands in the way.
struct Obstacle<'a> {
    record: &'a Record,
    why: String,
}

impl Actors {
    /// The actor of `live`, whose `down` did not work or is not there, in the version at the
    /// end of its way. All that it has appended is durable. Gives also how many commands the
    /// older version has decided.
    pub(crate) fn rebuild(
        &self,
        release: &Release,
        id: &ActorId,
        live: &Live,
        way: &Way,
        mut timers: Aside,
    ) -> Result<(Over, u64), Hindrance> {
        let (own, hops) = (live.code(), &way.hops);
        let last = hops.last().ok_or("the way has no steps")?;
        let past = self.past_tails();
        let mut before = self.journal.before(id, own.version(), &past, goes_on)?;
        let is_before = |record: &Record| record.version != *own.version();
        let split = before.records.iter().position(|record| !is_before(record));
        let since = before
            .records
            .split_off(split.unwrap_or(before.records.len()));
        let (at, state, mut carries) = match (&before.snapshot, before.records.first()) {
            // It came into being in this version.
            (None, None) => {
                let state = last.to.new_state(id).map_err(|fault| fault.to_string())?;
                (hops.len() - 1, state, Vec::new())
            }
            _ => begin(release, id, hops, before)?,
        };
        let target = &hops[at].to;
        if way.no_steps.is_some() && leads_down(&hops[at + 1..]) {
            let why = format!(
                "before, it had {}, from which no `down` leads on",
                target.version()
            );
            return Err(why.into());
        }
        let state = decide_again(release, id, state, target, &since)?;
        // What had come back when it came over is in the table, or has fired since.
        for carry in carries.iter_mut().skip(live.carries().len()) {
            carry.timers.clear();
        }
        let mut newer = own;
        for hop in &hops[..=at] {
            let carried = match leads_down(std::slice::from_ref(hop)) {
                true => timers.down(release, newer, hop.to.version()),
                false => Vec::new(),
            };
            if !carried.is_empty() {
                let carry = carry_between(&mut carries, newer.version(), hop.to.version());
                carry.timers.extend(carried);
            }
            newer = &hop.to;
        }
        let over = Over::rebuilt(state, carries, timers).go_on(release, &hops[at + 1..])?;
        Ok((over, since.len() as u64))
    }

    /// Notes in the audit trail that the actor is about to be rebuilt.
    pub(crate) fn intend_rebuild(
        &self,
        id: &ActorId,
        from: &Version,
        to: &Version,
        commands: u64,
        why: &str,
    ) -> (Action, Record) {
        let action = Action {
            name: "rebuild".to_owned(),
            principal: "host".to_owned(),
            peer: Value::Null,
            arguments: json!({
                "actor": id, "from": from, "to": to, "commands": commands, "why": why,
            }),
            release: self.release().version.clone(),
        };
        let intent = action.intended(unix_ms());
        (action, intent)
    }

    /// Notes in the audit trail that it has been, behind its snapshot.
    pub(crate) fn rebuilt(self: &Arc<Self>, id: ActorId, rebuilt: Rebuilt) {
        self.migrations.rebuilt(id);
        self.rebuild_ended(rebuilt, Outcome::done());
    }

    /// Notes in the audit trail how it ended.
    pub(crate) fn rebuild_ended(self: &Arc<Self>, rebuilt: Rebuilt, outcome: Outcome) {
        let actors = Arc::clone(self);
        self.data.spawn(async move {
            let Rebuilt { action, intent } = rebuilt;
            let ended = action.ended(unix_ms(), intent, &outcome);
            if let Err(lost) = actors.record_action(ended).await {
                tracing::error!(%lost, "the end of a rebuild is not in the audit trail");
            }
        });
    }
}

impl Rebuilt {
    pub(crate) fn new(action: Action, intent: Position) -> Self {
        Self { action, intent }
    }
}

/// The state before, and the hop to whose version it belongs.
fn begin(
    release: &Release,
    id: &ActorId,
    hops: &[RouteHop],
    before: host_journal::Before,
) -> Result<(usize, State<Code>, Vec<Carry>), String> {
    let stored = Stored {
        snapshot: before.snapshot,
        tail: before.records,
        head: Position::default(),
        quarantined: None,
    };
    let restored = restore(release, id, stored).map_err(|by| by.to_string())?;
    let code = restored.code();
    let same = |hop: &RouteHop| hop.to.version() == code.version();
    let alike = |hop: &RouteHop| schema(&hop.to) == schema(code);
    let at = hops.iter().position(same);
    let at = at.or_else(|| hops.iter().rposition(alike));
    let at = at.ok_or_else(|| {
        format!(
            "before, it had {}, which does not lie on its way back",
            code.version()
        )
    })?;
    let mut carries = restored.carries().to_vec();
    let state = match same(&hops[at]) {
        true => restored.state,
        false => reread(&restored.state, &mut carries, &hops[at].to)?,
    };
    Ok((at, state, carries))
}

/// Has `target` decide the commands of `since` on `state`, in order. All or nothing.
fn decide_again(
    release: &Release,
    id: &ActorId,
    mut state: State<Code>,
    target: &Arc<Code>,
    since: &[Record],
) -> Result<State<Code>, String> {
    let mut obstacles = Vec::new();
    let mut commands: Vec<(&Record, String, Bytes)> = Vec::with_capacity(since.len());
    for record in since {
        let shape = convert(
            release,
            target,
            &record.version,
            &record.command,
            &record.payload,
        );
        match shape {
            Ok(Some((event, payload))) => commands.push((record, event, payload)),
            Ok(None) => commands.push((record, record.command.clone(), record.payload.clone())),
            Err(error) => obstacles.push(Obstacle::new(record, &error)),
        }
        goes_on();
    }
    if !obstacles.is_empty() {
        return Err(named(&obstacles, since.len(), target));
    }
    for (record, event, payload) in &commands {
        let call = Call {
            key: id.key(),
            event,
            payload,
            claims: b"",
            now_ms: record.time_ms,
            seed: seed::next(),
            seq: record.seq - 1,
            caller: caller(record),
            hops: 0,
        };
        let verdict = match call.caller {
            Caller::TIMER => state.timer(&call),
            _ => state.handle(&call),
        };
        goes_on();
        let obstacle = match verdict {
            Ok(Verdict::Accepted(accepted)) if accepted.event.is_some() => continue,
            Ok(Verdict::Accepted(_)) => Obstacle {
                record,
                why: format!("{} sees nothing to change in it", target.version()),
            },
            Ok(Verdict::Rejected(rejection)) => {
                Obstacle::new(record, &CallError::Rejected(rejection))
            }
            Err(fault) => Obstacle::new(record, &CallError::Crashed(fault.to_string())),
        };
        return Err(named(&[obstacle], since.len(), target));
    }
    Ok(state)
}

/// As what a command came.
fn caller(record: &Record) -> Caller {
    match record.principal.as_str() {
        "timer" => Caller::TIMER,
        principal if principal.starts_with("actor:") => Caller::ACTOR,
        _ => Caller::CLIENT,
    }
}

impl<'a> Obstacle<'a> {
    fn new(record: &'a Record, error: &CallError) -> Self {
        Self {
            record,
            why: format!("{}: {error}", error.reason()),
        }
    }
}

/// The commands that stand in the way, in a sentence.
fn named(obstacles: &[Obstacle<'_>], of: usize, target: &Code) -> String {
    let names = obstacles.iter().take(OBSTACLES_NAMED_MAX);
    let names = names.map(|it| format!("{} {} ({})", it.record.seq, it.record.command, it.why));
    let names: Vec<_> = names.collect();
    let more = match obstacles.len().saturating_sub(OBSTACLES_NAMED_MAX) {
        0 => String::new(),
        n => format!(", and {n} more"),
    };
    format!(
        "of its {of} commands since, {} does not take: {}{more}",
        target.version(),
        names.join(", ")
    )
}
