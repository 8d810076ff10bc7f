//! Shows the end of the log, and what is added to it.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use host_cli::{Failure, Output};
use serde_json::{Value, json};

use crate::logfile;

/// Bytes read from the end of a log to find its last lines.
const TAIL_BYTES_MAX: u64 = 1 << 20;

/// How often a log is looked at for more.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// `host logs`
pub(crate) fn show(
    path: &Path,
    lines: usize,
    follow: bool,
    out: &mut Output<'_>,
) -> Result<u8, Failure> {
    let failed = |e: io::Error| match e.kind() {
        ErrorKind::NotFound => Failure::refused(
            "no_log",
            format!(
                "read {}: there is none; the host logs there when it was started in the background",
                path.display()
            ),
        ),
        _ => Failure::refused("io", format!("read {}: {e}", path.display())),
    };
    let mut file = File::open(path).map_err(failed)?;
    let mut at = file.metadata().map_err(failed)?.len();
    for line in tail_of_both(path, lines).map_err(failed)? {
        print(&line, out)?;
    }
    let mut rest = Vec::new();
    let mut is_moved = false;
    while follow && !out.is_closed() {
        let now = file.metadata().map_err(failed)?.len();
        if now < at {
            // It was cut: what is there now is new.
            at = 0;
        }
        file.seek(SeekFrom::Start(at)).map_err(failed)?;
        let read = (&mut file).take(TAIL_BYTES_MAX).read_to_end(&mut rest);
        let read = read.map_err(failed)?;
        at += read as u64;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            print(String::from_utf8_lossy(&line[..end]).as_ref(), out)?;
        }
        if read > 0 {
            continue;
        }
        if std::mem::take(&mut is_moved) {
            // Of the one that was moved nothing is left: the next one is shown from its beginning.
            (file, at) = (File::open(path).map_err(failed)?, 0);
            continue;
        }
        // What was written between the last look and its move is read first. While there is
        // none of its name, there is none to go on with.
        is_moved = is_another(&file, path).map_err(failed)?;
        if !is_moved {
            std::thread::sleep(LOOK_EVERY);
        }
    }
    Ok(0)
}

/// Whether another file than this one has the name by now.
fn is_another(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    Ok(fs::metadata(path).is_ok_and(|it| (it.dev(), it.ino()) != (ours.dev(), ours.ino())))
}

/// The last `lines` lines of the log, those of the file before it too where it has fewer.
fn tail_of_both(path: &Path, lines: usize) -> io::Result<Vec<String>> {
    let last = tail(path, 0, lines)?;
    let missing = lines.saturating_sub(last.len());
    let before = match missing {
        0 => Vec::new(),
        // It was never rotated, or whoever did gives it another name.
        _ => tail(&logfile::older(path, 1), 0, missing).unwrap_or_default(),
    };
    Ok([before, last].concat())
}

/// The last `lines` lines of the file behind byte `from`; of all of it, if it has become
/// shorter than that.
pub(crate) fn tail(path: &Path, from: u64, lines: usize) -> io::Result<Vec<String>> {
    let mut file = File::open(path)?;
    let end = file.metadata()?.len();
    let from = if from > end { 0 } else { from };
    let start = end.saturating_sub(TAIL_BYTES_MAX).max(from);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    let last = &all[all.len().saturating_sub(lines)..];
    Ok(last.iter().map(|line| (*line).to_owned()).collect())
}

fn print(line: &str, out: &mut Output<'_>) -> io::Result<()> {
    let document = match serde_json::from_str(line) {
        Ok(object @ Value::Object(_)) => object,
        _ => json!({ "line": line }),
    };
    out.document(&document, |_| format!("{line}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_shown_as_they_are_or_as_json() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("host.log");
        std::fs::write(&path, "one\ntwo\n{\"level\":\"info\"}\n").unwrap();
        for (json, lines, expected) in [
            (false, 2, "two\n{\"level\":\"info\"}\n"),
            (true, 2, "{\"line\":\"two\"}\n{\"level\":\"info\"}\n"),
            (false, 0, ""),
        ] {
            let mut text = Vec::new();
            show(&path, lines, false, &mut Output::new(json, &mut text)).unwrap();
            assert_eq!(String::from_utf8(text).unwrap(), expected);
        }
        assert_eq!(tail(&path, 4, 100).unwrap()[0], "two");
        assert!(tail(&path, 25, 100).unwrap().is_empty());
        assert_eq!(
            tail(&path, 999, 100).unwrap().len(),
            3,
            "it was cut meanwhile"
        );
        let none = dir.path().join("none.log");
        assert!(show(&none, 1, false, &mut Output::new(false, &mut Vec::new())).is_err());
    }
}
