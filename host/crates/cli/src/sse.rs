//! Server-sent events: the lines of a stream put together to events.
//!
//! Only `data:` is of interest here; see the HTML standard, section 9.2.

/// Bytes of one event; a progress report is a few hundred.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// Takes a stream's bytes as they come and gives whole events.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    data: String,
}

/// An event that grows past its bound.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of the host is longer than {EVENT_BYTES_MAX} bytes")]
pub(crate) struct TooLong;

impl Parser {
    /// The data of every event that these bytes end.
    ///
    /// # Errors
    ///
    /// [`TooLong`]; nothing behind it can be trusted.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<String>, TooLong> {
        let mut events = Vec::new();
        for &byte in bytes {
            if byte != b'\n' {
                self.line.push(byte);
                if self.line.len() + self.data.len() > EVENT_BYTES_MAX {
                    return Err(TooLong);
                }
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = String::from_utf8_lossy(&line);
            let line = line.strip_suffix('\r').unwrap_or(&line);
            if line.is_empty() {
                if !self.data.is_empty() {
                    events.push(std::mem::take(&mut self.data));
                }
            } else if let Some(data) = line.strip_prefix("data:") {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(data.strip_prefix(' ').unwrap_or(data));
            }
        }
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_out_whole_however_the_bytes_are_cut() {
        let stream =
            ": hello\nevent: progress\ndata: {\"a\":\ndata: 1}\n\ndata:two\r\n\r\n\nid: 3\n\n";
        let whole = Parser::default().feed(stream.as_bytes()).unwrap();
        assert_eq!(whole, ["{\"a\":\n1}", "two"]);
        for cut in 0..stream.len() {
            let (a, b) = stream.as_bytes().split_at(cut);
            let mut parser = Parser::default();
            let mut events = parser.feed(a).unwrap();
            events.extend(parser.feed(b).unwrap());
            assert_eq!(events, whole, "cut at {cut}");
        }
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut parser = Parser::default();
        assert_eq!(parser.feed(&vec![b'x'; EVENT_BYTES_MAX + 1]), Err(TooLong));
    }
}
