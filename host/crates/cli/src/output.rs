//! What goes to standard output: text for people, or JSON for programs.

use std::io::{self, ErrorKind, Write};

use serde::Serialize;

use crate::Failure;

/// Where a command's answer goes.
pub struct Output<'a> {
    json: bool,
    closed: bool,
    out: &'a mut dyn Write,
}

impl<'a> Output<'a> {
    /// Writes to `out`; JSON instead of text if `json`.
    pub fn new(json: bool, out: &'a mut dyn Write) -> Self {
        Self {
            json,
            closed: false,
            out,
        }
    }

    /// Whether programs read it.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Whether the reader went away, so that a stream may as well end.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Writes `value` as one line of JSON, or what `text` makes of it.
    ///
    /// # Errors
    ///
    /// Those of the writer, but for a reader that went away.
    pub fn document<T: Serialize + ?Sized>(
        &mut self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> io::Result<()> {
        let mut line = if self.json {
            serde_json::to_string(value)?
        } else {
            text(value)
        };
        if !line.is_empty() && !line.ends_with('\n') {
            line.push('\n');
        }
        self.put(line.as_bytes())
    }

    /// Writes what is an answer already, as it is.
    ///
    /// # Errors
    ///
    /// Those of the writer, but for a reader that went away.
    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.put(bytes)
    }

    /// Tells of a failure: the problem to `out` under `--json`, the message to
    /// standard error otherwise. Returns the exit code.
    pub fn failure(&mut self, failure: &Failure) -> u8 {
        if self.json {
            // There is no one left to tell if this cannot be written.
            let _ = self.document(failure.problem(), |_| String::new());
        } else {
            let _ = writeln!(io::stderr(), "error: {failure}");
        }
        failure.exit_code()
    }

    /// Tells people of something that is odd and stops nothing, on standard error.
    /// Programs get it as a field of the answer, where it has one.
    pub fn warn(&self, warning: &str) {
        if !self.json {
            // There is no one left to tell if this cannot be written.
            let _ = writeln!(io::stderr(), "warning: {warning}");
        }
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.out.write_all(bytes).and_then(|()| self.out.flush());
        match written {
            // `host logs -f | head` has read enough.
            Err(e) if e.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            other => other,
        }
    }
}
