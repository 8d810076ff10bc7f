//! The audit trail and the store of a running host, and how both are shown: the
//! binary shows those of a stopped home in the same way.

use std::path::PathBuf;

use crate::bar::Progress;
use crate::client::query;
use crate::failure::EXIT_LOOK;
use crate::table::{Table, bytes, count};
use crate::{Client, Failure, Output};
use host_model::instant::rfc3339;
use host_model::keep::{
    BackupManifest, BackupReport, BackupRequest, CheckReport, Checking, DamageRow, ExportQuery,
    LackingRow, PinRequest, PinRow, Proof, ReplayReport, UnpinRequest, Verifying,
};

/// `host audit verify` on a running host.
///
/// # Errors
///
/// The failure, not yet told. That the chain is broken is none.
pub async fn verify(client: &Client, out: &mut Output<'_>) -> Result<u8, Failure> {
    let mut chunks = client.look("/v1/audit/verify").await?;
    let progress = Progress::new(out.is_json());
    while let Some(said) = chunks.document().await? {
        if let Verifying::Progress { position, of } = said {
            progress.tell(position, of);
        } else {
            progress.done();
            return verified(&said, out);
        }
    }
    Err(lost("verify the audit trail"))
}

fn lost(attempted: &str) -> Failure {
    Failure::look(
        "connection_lost",
        format!(
            "{attempted}: the host closed the connection before the end; look at `host status` and `host logs`"
        ),
    )
}

/// Shows how a verification ended. What to exit with: 0 it holds, 5 it does not.
///
/// # Errors
///
/// It cannot be written.
pub fn verified(said: &Verifying, out: &mut Output<'_>) -> Result<u8, Failure> {
    out.document(said, text)?;
    Ok(match said {
        Verifying::Verified(_) => 0,
        _ => EXIT_LOOK,
    })
}

/// `host audit export` of a running host.
///
/// # Errors
///
/// The failure, not yet told; what was written before is not whole.
pub async fn export(
    asked: &ExportQuery,
    client: &Client,
    out: &mut Output<'_>,
) -> Result<u8, Failure> {
    let path = query(&[
        ("actor", asked.actor.as_ref().map(ToString::to_string)),
        ("since_ms", asked.since_ms.map(|ms| ms.to_string())),
        ("format", Some(asked.format.name().to_owned())),
    ]);
    let mut chunks = client.look(&format!("/v1/audit/export{path}")).await?;
    while let Some(chunk) = chunks.next().await? {
        out.raw(&chunk)?;
        if out.is_closed() {
            break;
        }
    }
    Ok(0)
}

/// `host store backup` of a running host.
///
/// # Errors
///
/// The failure, not yet told.
pub async fn backup(file: PathBuf, client: &Client, out: &mut Output<'_>) -> Result<u8, Failure> {
    let request = BackupRequest { file };
    let report = client.post_long("/v1/store/backup", &request).await?;
    backed_up(&report, out)
}

/// Shows a backup that was made.
///
/// # Errors
///
/// It cannot be written.
pub fn backed_up(report: &BackupReport, out: &mut Output<'_>) -> Result<u8, Failure> {
    out.document(report, |report| {
        let mut table = Table::facts();
        table.fact("backup", report.file.display().to_string());
        table.fact("size", bytes(report.bytes));
        manifest(&report.manifest, &mut table);
        table.text()
    })?;
    Ok(0)
}

/// Shows a backup that was put back.
///
/// # Errors
///
/// It cannot be written.
pub fn restored(report: &BackupReport, out: &mut Output<'_>) -> Result<u8, Failure> {
    out.document(report, |report| {
        let mut table = Table::facts();
        table.fact("restored", report.file.display().to_string());
        manifest(&report.manifest, &mut table);
        table.text()
    })?;
    Ok(0)
}

fn manifest(manifest: &BackupManifest, table: &mut Table) {
    table.fact("made", rfc3339(manifest.time_ms));
    table.fact("store", &manifest.store_id);
    table.fact("release", manifest.release.to_string());
    if let Some(upgrade) = &manifest.upgrade {
        table.fact("upgrade", format!("to {}: {}", upgrade.to, upgrade.state));
    }
    for plugin in &manifest.plugins {
        let digest = plugin.sha256.as_deref().unwrap_or("unknown");
        table.fact(
            "needs",
            format!("{} {} {digest}", plugin.name, plugin.version),
        );
    }
}

/// `host store pin`
///
/// # Errors
///
/// The failure, not yet told.
pub async fn pin(
    name: String,
    position: Option<u64>,
    client: &Client,
    out: &mut Output<'_>,
) -> Result<u8, Failure> {
    let request = PinRequest { name, position };
    let pin: PinRow = client.post("/v1/store/pin", &request).await?;
    out.document(&pin, |pin| {
        format!("{} keeps all from position {} on", pin.name, pin.position)
    })?;
    Ok(0)
}

/// `host store unpin`
///
/// # Errors
///
/// The failure, not yet told.
pub async fn unpin(name: String, client: &Client, out: &mut Output<'_>) -> Result<u8, Failure> {
    let pin: PinRow = client
        .post("/v1/store/unpin", &UnpinRequest { name })
        .await?;
    out.document(&pin, |pin| format!("{} keeps nothing any more", pin.name))?;
    Ok(0)
}

/// `host store pins`
///
/// # Errors
///
/// The failure, not yet told.
pub async fn pins(client: &Client, out: &mut Output<'_>) -> Result<u8, Failure> {
    let pins: Vec<PinRow> = client.get("/v1/store/pins").await?;
    out.document(&pins, |pins| {
        let mut table = Table::new(&["pin", "from position"]);
        for pin in pins {
            table.row([pin.name.clone(), pin.position.to_string()]);
        }
        table.text()
    })?;
    Ok(0)
}

/// `host store check` of a running host.
///
/// # Errors
///
/// The failure, not yet told. That something is damaged is none.
pub async fn check(client: &Client, out: &mut Output<'_>) -> Result<u8, Failure> {
    let mut chunks = client.look("/v1/store/check").await?;
    let progress = Progress::new(out.is_json());
    while let Some(said) = chunks.document().await? {
        match said {
            Checking::Progress { position, of } => progress.tell(position, of),
            Checking::Checked(report) => {
                progress.done();
                return checked(&report, out);
            }
        }
    }
    Err(lost("check the store"))
}

/// Shows what a check found. What to exit with: 0 all is well, 5 something is damaged.
///
/// # Errors
///
/// It cannot be written.
pub fn checked(report: &CheckReport, out: &mut Output<'_>) -> Result<u8, Failure> {
    out.document(report, |report| {
        let looked = format!(
            "{} in {}, {}",
            count(report.records, "record"),
            count(report.groups, "group"),
            count(report.snapshots, "snapshot"),
        );
        if report.ok {
            let replayed = report.replay.as_ref().map_or(String::new(), |replay| {
                let actors = count(replay.actors, "actor");
                let events = count(replay.events, "event");
                let lacking = not_here(&replay.lacking);
                format!("; {actors} replayed to the same through {events}{lacking}")
            });
            return format!("the store is whole: {looked}{replayed}");
        }
        if let Some(replay) = report.replay.as_ref().filter(|_| report.damages.is_empty()) {
            return not_the_same(replay);
        }
        let mut text = format!("the store is damaged ({looked} looked at); nothing was changed:\n");
        text.push_str(&listed(&report.damages, report.more));
        text + "restore the store from a backup: `host store restore FILE` in a home without one\n"
    })?;
    Ok(if report.ok { 0 } else { EXIT_LOOK })
}

fn not_the_same(replay: &ReplayReport) -> String {
    let listed = listed(&replay.violations, replay.more);
    let lacking = not_here(&replay.lacking);
    format!(
        "a replay does not come to what is stored:\n{listed}the store is whole; its plugins are to blame{lacking}\n"
    )
}

/// What was not replayed.
fn not_here(lacking: &[LackingRow]) -> String {
    let lines = lacking.iter().map(|row| {
        format!(
            "\nnot replayed: {} of events of {} {}, which no release here has; `host install` one that has",
            count(row.runs, "run"),
            row.plugin,
            row.version
        )
    });
    lines.collect()
}

fn listed(rows: &[DamageRow], more: bool) -> String {
    let lines = rows
        .iter()
        .map(|row| format!("  {}: {}\n", row.what, row.problem));
    let more = if more { "  and more\n" } else { "" };
    lines.collect::<String>() + more
}

fn text(said: &Verifying) -> String {
    match said {
        Verifying::Progress { position, of } => format!("{position} of {of}"),
        Verifying::Broken { problem, .. } => format!("the audit trail does not hold: {problem}"),
        Verifying::Verified(proof) => proven(proof),
    }
}

fn proven(proof: &Proof) -> String {
    let mut table = Table::facts();
    table.fact("audit trail", "it holds");
    table.fact("store", &proof.store_id);
    table.fact(
        "proven",
        format!(
            "{} in {}",
            count(proof.records, "record"),
            count(proof.groups, "group")
        ),
    );
    let from = match &proof.anchor {
        None => "from the first record ever written".to_owned(),
        Some(anchor) => format!(
            "from behind position {}; {} records before it were removed by {}, anchor signed by {}",
            anchor.position,
            anchor.records,
            rfc3339(anchor.time_ms),
            anchor.public_key
        ),
    };
    table.fact("from", from);
    table.fact("to", format!("position {}", proof.position));
    table.fact("hash", &proof.hash);
    let foreign = proof.anchor.as_ref().is_some_and(|anchor| {
        let home = proof.public_key.as_ref();
        home.is_none_or(|home| *home != anchor.public_key)
    });
    if let Some(key) = &proof.public_key {
        table.fact("key of this home", key);
    }
    if foreign {
        table.fact(
            "look",
            "the anchor is not signed by a key of this home: compare it with the one you wrote down",
        );
    }
    table.text()
}
