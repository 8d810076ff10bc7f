//! The grammar of systemd's EnvironmentFile.
//!
//! After `systemd.exec(5)` and `parse_env_file_internal` of systemd 254: lines
//! without `=`, and those that begin with `#` or `;`, are ignored; whitespace
//! around a value goes; a backslash takes the next character as it is, and joins
//! lines; single quotes keep everything, double quotes all but a backslash before
//! `"`, `\`, `` ` ``, `$` or the end of a line.
//!
//! Stricter in two places where systemd keeps silent and means something else than
//! the writer: a comment behind a value, and a name that is none, are errors.

/// What was read: the assignments in order, and what is wrong, with its line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct EnvFile {
    pub(crate) values: Vec<(String, String)>,
    pub(crate) faults: Vec<String>,
    /// Names that stand there, with a value that could not be read.
    pub(crate) torn: Vec<String>,
}

/// Reads the text of a file.
pub(crate) fn parse(text: &str) -> EnvFile {
    let mut reader = Reader {
        rest: text.chars().peekable(),
        line: 1,
        read: EnvFile::default(),
    };
    reader.file();
    reader.read
}

struct Reader<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    line: usize,
    read: EnvFile,
}

impl Reader<'_> {
    fn file(&mut self) {
        while let Some(&c) = self.rest.peek() {
            match c {
                c if c.is_ascii_whitespace() => _ = self.next(),
                '#' | ';' => self.skip_line(),
                _ => self.assignment(),
            }
        }
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.next();
        self.line += usize::from(c == Some('\n'));
        c
    }

    fn skip_line(&mut self) {
        while self.next().is_some_and(|c| c != '\n') {}
    }

    fn assignment(&mut self) {
        let line = self.line;
        let mut name = String::new();
        loop {
            match self.next() {
                Some('=') => break,
                Some('\n') | None => {
                    // Without what stands there, which may be a secret.
                    self.fault(
                        line,
                        "there is no `=` in it: NAME=value is wanted, or # before a comment",
                    );
                    return;
                }
                Some(c) => name.push(c),
            }
        }
        let name = name.trim_end();
        let value = self.value();
        if !is_name(name) {
            // No further than it is like one: what stands behind a colon may be a secret.
            let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let begin = &name[..end.unwrap_or(name.len())];
            self.fault(
                line,
                &format!("what begins with {begin:?} is no name of a variable (letters, digits and _; no `export`); NAME=value is wanted"),
            );
        } else {
            match value {
                Ok(value) => self.read.values.push((name.to_owned(), value)),
                Err(()) => self.read.torn.push(name.to_owned()),
            }
        }
    }

    /// Up to the end of the line. On a fault the rest of the line is skipped.
    fn value(&mut self) -> Result<String, ()> {
        let mut value = String::new();
        // Whitespace counts only between words of a value, so it is held back.
        let mut gap = String::new();
        let mut unquoted = false;
        loop {
            let line = self.line;
            let Some(c) = self.next() else {
                return Ok(value);
            };
            match c {
                '\n' => return Ok(value),
                '#' | ';' if !gap.is_empty() => {
                    let hint = format!(
                        "a comment behind a value would become part of it: give it a line of its own, or quote the value if it contains ` {c}`"
                    );
                    self.fault(line, &hint);
                    self.skip_line();
                    return Err(());
                }
                '\'' | '"' if !unquoted => {
                    gap.clear();
                    if !self.quoted(c, &mut value) {
                        self.fault(line, &format!("the quote {c} is not closed"));
                        return Err(());
                    }
                }
                c if c.is_ascii_whitespace() => gap.push(c),
                c => {
                    if unquoted {
                        value.push_str(&gap);
                    }
                    gap.clear();
                    unquoted = true;
                    match (c, self.rest.peek()) {
                        ('\\', Some('\n')) => _ = self.next(),
                        ('\\', Some(_)) => value.extend(self.next()),
                        ('\\', None) => {}
                        (c, _) => value.push(c),
                    }
                }
            }
        }
    }

    /// The inside of quotes; false if they are not closed.
    fn quoted(&mut self, quote: char, value: &mut String) -> bool {
        while let Some(c) = self.next() {
            match c {
                c if c == quote => return true,
                '\\' if quote == '"' => match self.next() {
                    Some('\n') | None => {}
                    Some(c @ ('"' | '\\' | '`' | '$')) => value.push(c),
                    Some(c) => value.extend(['\\', c]),
                },
                c => value.push(c),
            }
        }
        false
    }

    fn fault(&mut self, line: usize, problem: &str) {
        self.read.faults.push(format!("line {line}: {problem}"));
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> String {
        let read = parse(text);
        assert_eq!(read.faults, [] as [&str; 0], "{text:?}");
        assert_eq!(read.values.len(), 1, "{text:?}");
        assert_eq!(read.values[0].0, "A", "{text:?}");
        read.values[0].1.clone()
    }

    #[test]
    fn values_are_what_systemd_makes_of_them() {
        for (text, expected) in [
            ("A=b", "b"),
            ("A=", ""),
            ("A=  b c  \n", "b c"),
            ("  A =b\n", "b"),
            ("A=b=c", "b=c"),
            ("A=#fff", "#fff"),
            ("A=b#c", "b#c"),
            ("A=b\\ #c", "b #c"),
            ("A='b # c'", "b # c"),
            ("A=\"b ; c\"", "b ; c"),
            ("A='a''b' \"c\"", "abc"),
            ("A=\"a\"b", "ab"),
            ("A=it's", "it's"),
            ("A='a\\nb\\\\'", "a\\nb\\\\"),
            ("A=\"a\\nb\\\\\\\"\\$\\`\"", "a\\nb\\\"$`"),
            ("A=a\\nb\\\\", "anb\\"),
            ("A=one \\\n two", "one  two"),
            ("A=one\\\ntwo\n", "onetwo"),
            ("A=\"one\\\ntwo\"", "onetwo"),
            ("A='one\ntwo'", "one\ntwo"),
            ("A=b\r\n", "b"),
            ("A=سلام", "سلام"),
            ("A=b\\", "b"),
        ] {
            assert_eq!(value(text), expected, "{text:?}");
        }
    }

    #[test]
    fn lines_that_assign_nothing_are_ignored() {
        let read = parse("# A=1\n; B=2\n\n   # C=3 \\\nD=4\n\t\n");
        assert_eq!(read.values, [("D".to_owned(), "4".to_owned())]);
        assert_eq!(read.faults, [] as [&str; 0]);
    }

    #[test]
    fn every_fault_is_told_with_its_line_and_the_rest_is_read() {
        let text =
            "A=1 # one\nB=2\nC='x' ; y\nexport D=4\n1E=5\nF=a\\\nb # c\nG=7\nH= # none\nI=\"open\n";
        let read = parse(text);
        let names: Vec<_> = read.values.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["B", "G"]);
        assert_eq!(read.torn, ["A", "C", "F", "H", "I"]);
        let lines: Vec<_> = read
            .faults
            .iter()
            .map(|fault| fault.split(':').next().unwrap())
            .collect();
        assert_eq!(
            lines,
            [
                "line 1", "line 3", "line 4", "line 5", "line 7", "line 9", "line 10"
            ]
        );
        assert!(read.faults[0].contains("comment behind a value"));
        assert!(read.faults[2].contains("export"));
    }

    #[test]
    fn what_is_no_assignment_is_a_fault_and_is_not_repeated() {
        let read = parse("KEY: hunter2x?a=b\nKEY hunter2\nKEY\n");
        assert_eq!(read.values, []);
        assert_eq!(read.faults.len(), 3, "{:?}", read.faults);
        assert!(read.faults[0].contains("\"KEY\""), "{:?}", read.faults);
        assert!(
            !read.faults.concat().contains("hunter2"),
            "{:?}",
            read.faults
        );
    }

    #[test]
    fn no_text_breaks_it() {
        // Every arrangement of the characters that mean something, up to six long.
        let letters = ['A', '=', '\'', '"', '\\', '\n', ' ', '#'];
        for n in 0..letters.len().pow(6) {
            let mut n = n;
            let mut text = String::new();
            while n > 0 {
                text.push(letters[n % letters.len()]);
                n /= letters.len();
            }
            let read = parse(&text);
            assert!(read.values.len() + read.faults.len() <= text.len() + 1);
        }
    }
}
