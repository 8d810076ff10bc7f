//! The commands that a running host answers: one request and one text each.

use host_model::control::{
    ActorRow, ActorState, HistoryRow, InstalledNote, PlanReport, RehearsalRequest, ReleaseRow,
    Reloaded, RemoveReport, RemoveRequest, RollbackRequest, RpcRequest, Status, UpgradeRequest,
    UpgradeStatus,
};
use host_model::flight::FlightRecord;
use serde_json::{Value, json};

use crate::args::{Pace, Remote, Upgrade};
use crate::client::query;
use crate::failure::EXIT_REFUSED;
use crate::{Client, Failure, Output, flight, follow, repair, show, top, trace, verified};

/// Tells a running host what `host install` has done, so that its audit trail has it.
///
/// # Errors
///
/// The host's refusal, or that it cannot be reached.
pub async fn note_installed(note: &InstalledNote, client: &Client) -> Result<u8, Failure> {
    let _: Value = client.post("/v1/releases/installed", note).await?;
    Ok(0)
}

/// Carries out `command`, and says what to exit with.
///
/// # Errors
///
/// The failure, not yet told.
pub async fn run(command: Remote, client: &Client, out: &mut Output<'_>) -> Result<u8, Failure> {
    match command {
        Remote::Status => {
            let status: Status = client.get("/v1/status").await?;
            out.document(&status, show::status)?;
        }
        Remote::Reload => {
            let reloaded: Reloaded = client.post("/v1/reload", &json!({})).await?;
            out.document(&reloaded, |it| verified::reloaded(&it.config))?;
        }
        Remote::Pid => {
            let status: Status = client.get("/v1/status").await?;
            out.document(&json!({ "pid": status.pid }), |_| status.pid.to_string())?;
        }
        Remote::Rpc {
            actor,
            event,
            payload,
            key,
        } => {
            let request = RpcRequest {
                actor,
                event,
                payload,
                key,
            };
            let reply: Value = client.post("/v1/rpc", &request).await?;
            out.document(&reply, show::pretty)?;
        }
        Remote::State {
            actor,
            export: true,
        } => repair::export(&actor, client, out).await?,
        Remote::State { actor, .. } => {
            let path = query(&[("actor", Some(actor.to_string()))]);
            let state: ActorState = client.get(&format!("/v1/state{path}")).await?;
            out.document(&state, show::state)?;
        }
        Remote::Trace {
            actor,
            for_s,
            count,
        } => return trace::trace(&actor, for_s, count, client, out).await,
        Remote::Top { every, count } => return top::top(every, count, client, out).await,
        Remote::Actors {
            plugin,
            after,
            limit,
        } => {
            let path = query(&[
                ("plugin", plugin),
                ("after", after.map(|id| id.to_string())),
                ("limit", Some(limit.to_string())),
            ]);
            let rows: Vec<ActorRow> = client.get(&format!("/v1/actors{path}")).await?;
            out.document(&rows, |rows| show::actors(rows, limit))?;
        }
        Remote::Releases => {
            let rows: Vec<ReleaseRow> = client.get("/v1/releases").await?;
            releases(&rows, out)?;
        }
        Remote::Remove {
            version,
            no_way_back,
            no_replay,
        } => {
            let request = RemoveRequest {
                version,
                no_way_back,
                no_replay,
            };
            // It reads the whole store.
            let report = client.post_long("/v1/releases/remove", &request).await?;
            removed(&report, out)?;
        }
        Remote::Plan { version } => {
            let path = query(&[("to", Some(version.to_string()))]);
            let report: PlanReport = client.get(&format!("/v1/plan{path}")).await?;
            out.document(&report, |report| {
                show::plan(&report.plan)
                    + &verified::text(&report.problems, &report.notes, &report.config)
            })?;
            if !report.problems.is_empty() {
                return Ok(EXIT_REFUSED);
            }
        }
        Remote::Upgrade(Upgrade {
            pace: Some(pace), ..
        }) => {
            // Only to tell people that it is so already; the host takes both at any time.
            let before = match out.is_json() {
                true => None,
                false => client.get::<Status>("/v1/status").await.ok(),
            };
            let was_paused = before.and_then(|it| it.upgrade).map(|it| it.paused);
            let (path, so_already) = match pace {
                Pace::Pause => ("/v1/upgrade/pause", "it was paused already\n"),
                Pace::Resume => ("/v1/upgrade/resume", "it was not paused\n"),
            };
            let changes = was_paused != Some(pace == Pace::Pause);
            let status: UpgradeStatus = client.post(path, &json!({})).await?;
            out.document(&status, |it| {
                let so_already = if changes { "" } else { so_already };
                format!("{so_already}{}", show::under_way(it))
            })?;
        }
        Remote::Upgrade(upgrade) => {
            let to = upgrade.version.ok_or_else(|| {
                Failure::refused(
                    "no_version",
                    "upgrade: to which release? say `host upgrade 0.2.0`",
                )
            })?;
            let request = UpgradeRequest {
                to,
                probation_s: upgrade.probation,
                one_way: upgrade.one_way,
                retry_failed: upgrade.retry_failed,
                no_rehearsal: upgrade.no_rehearsal,
                extent: upgrade.extent.into(),
                canary: upgrade.canary,
                ramp: upgrade.ramp,
                deadline_s: upgrade.deadline,
            };
            return match client.follow("/v1/upgrade", &request).await {
                Ok(events) => follow::upgrade(events, upgrade.detach, client, out).await,
                Err(failure) => follow::refused(failure, &request.to, client, out).await,
            };
        }
        Remote::Commit => {
            let events = client.follow("/v1/commit", &json!({})).await?;
            return follow::upgrade(events, false, client, out).await;
        }
        Remote::Rehearse {
            version,
            extent,
            one_way,
            deadline,
        } => {
            let request = RehearsalRequest {
                to: version,
                extent: extent.into(),
                one_way,
                deadline_s: deadline,
            };
            let events = client.follow("/v1/rehearse", &request).await?;
            return follow::rehearsal(events, out).await;
        }
        Remote::Rollback { version, rehearse } => {
            let request = RollbackRequest {
                to: version,
                rehearse,
            };
            let events = client.follow("/v1/rollback", &request).await?;
            return follow::rollback(events, out).await;
        }
        Remote::History { id: Some(id), .. } => {
            let path = query(&[("id", Some(id.to_string()))]);
            let flight: FlightRecord = client.get(&format!("/v1/flight{path}")).await?;
            out.document(&flight, flight::flight)?;
        }
        Remote::History { limit, .. } => {
            let path = query(&[("limit", Some(limit.to_string()))]);
            let rows: Vec<HistoryRow> = client.get(&format!("/v1/history{path}")).await?;
            out.document(&rows, |rows| show::history(rows))?;
        }
        Remote::Quarantine(command) => repair::quarantine(command, client, out).await?,
        Remote::DeadLetters(command) => repair::dead_letters(command, client, out).await?,
        Remote::Outbox(command) => repair::outbox(command, client, out).await?,
    }
    Ok(0)
}

/// Shows the releases of a home.
///
/// # Errors
///
/// It cannot be written.
pub fn releases(rows: &[ReleaseRow], out: &mut Output<'_>) -> std::io::Result<()> {
    out.document(rows, show::releases)
}

/// Shows that a release was removed.
///
/// # Errors
///
/// It cannot be written.
pub fn removed(report: &RemoveReport, out: &mut Output<'_>) -> std::io::Result<()> {
    out.document(report, |report| {
        format!("release {} is removed", report.version)
    })
}
