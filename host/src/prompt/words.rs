//! A line of the prompt as words, as a shell would make them; and JSON as it is.

use thiserror::Error;

/// A line that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum LineError {
    /// A quote without its end.
    #[error(
        "read the line: a {0} is not closed; close it, or write \\{0} for the character itself"
    )]
    Open(char),
    /// JSON without its end.
    #[error("read the line: its JSON is not closed: a brace or a bracket is missing")]
    Json,
}

/// The words of `line`. Quotes and backslashes are a shell's; a word that begins with a
/// brace or a bracket is JSON up to where that is closed, quotes and blanks included. A
/// `#` at the beginning of a word makes the rest a comment.
pub(super) fn words(line: &str) -> Result<Vec<String>, LineError> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let (word, behind) = match first {
            '#' => break,
            '{' | '[' => json(rest)?,
            _ => plain(rest)?,
        };
        words.push(word);
        rest = behind.trim_start();
    }
    Ok(words)
}

/// JSON at the beginning of `text`, and what is behind it.
fn json(text: &str) -> Result<(String, &str), LineError> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            '{' | '[' if !in_string => depth += 1,
            '}' | ']' if !in_string => {
                depth -= 1;
                if depth == 0 {
                    let (word, behind) = text.split_at(at + c.len_utf8());
                    return Ok((word.to_owned(), behind));
                }
            }
            _ => {}
        }
    }
    Err(LineError::Json)
}

/// A word as a shell reads it, and what is behind it.
fn plain(text: &str) -> Result<(String, &str), LineError> {
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (None, c) if c.is_whitespace() => return Ok((word, &text[at..])),
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None | Some('"'), '\\') => match chars.next() {
                // Within double quotes it stands for itself before most characters.
                Some((_, next)) => {
                    if quote.is_some() && !matches!(next, '"' | '\\') {
                        word.push('\\');
                    }
                    word.push(next);
                }
                None => word.push('\\'),
            },
            (_, c) => word.push(c),
        }
    }
    match quote {
        Some(open) => Err(LineError::Open(open)),
        None => Ok((word, "")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_a_shell_reads_it() {
        let read = |line: &str| words(line).unwrap();
        assert_eq!(read(""), [""; 0]);
        assert_eq!(read("  status  "), ["status"]);
        assert_eq!(
            read("upgrade 0.2.0 --probation 0s"),
            ["upgrade", "0.2.0", "--probation", "0s"]
        );
        assert_eq!(
            read(r#"a 'b c' "d \" e" f\ g ''"#),
            ["a", "b c", "d \" e", "f g", ""]
        );
        assert_eq!(read(r#""\n" '\n'"#), ["\\n", "\\n"]);
        assert_eq!(read("status # how it is"), ["status"]);
        assert_eq!(read("# all of it"), [""; 0]);
        assert_eq!(read("rpc a:b#c x"), ["rpc", "a:b#c", "x"]);
    }

    #[test]
    fn json_needs_no_quotes_around_it() {
        let line = r#"rpc d:a open {"title": "a } \" {", "n": [1, {"x": 2}]} --key k"#;
        assert_eq!(
            words(line).unwrap(),
            [
                "rpc",
                "d:a",
                "open",
                r#"{"title": "a } \" {", "n": [1, {"x": 2}]}"#,
                "--key",
                "k"
            ]
        );
        let quoted = r#"rpc d:a open '{"title":"x"}'"#;
        assert_eq!(words(quoted).unwrap()[3], r#"{"title":"x"}"#);
    }

    #[test]
    fn what_is_not_closed_is_refused() {
        assert_eq!(words("a 'b"), Err(LineError::Open('\'')));
        assert_eq!(words("a \"b"), Err(LineError::Open('"')));
        assert_eq!(words("a {\"b\": \"}\""), Err(LineError::Json));
    }
}
