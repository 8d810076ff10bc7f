//! A query string as a JSON object.

use serde_json::{Map, Value};
use thiserror::Error;

use crate::limits::{QUERY_ARGUMENTS_MAX, QUERY_DEPTH_MAX};

/// A query string that is no object.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum BadArguments {
    #[error("there are more than {QUERY_ARGUMENTS_MAX} arguments; send a POST with a body instead")]
    TooMany,
    #[error(
        "{name:?} is no argument's name; one is like `a`, or `a[b]` with at most {QUERY_DEPTH_MAX} levels"
    )]
    Name { name: String },
    #[error("{name:?} is there twice, or once with and once without `[...]`; give it once")]
    Twice { name: String },
}

/// The object of `pairs`, decoded: `a=1&b[c]=2` is `{"a":"1","b":{"c":"2"}}`.
///
/// Every value stays a string, also where it looks like a number: money is a
/// decimal string.
pub(crate) fn object(pairs: &[(String, String)]) -> Result<Map<String, Value>, BadArguments> {
    if pairs.len() > QUERY_ARGUMENTS_MAX {
        return Err(BadArguments::TooMany);
    }
    let mut object = Map::new();
    for (name, value) in pairs {
        let twice = || BadArguments::Twice { name: name.clone() };
        let mut path = path(name).ok_or_else(|| BadArguments::Name { name: name.clone() })?;
        let last = path.pop().expect("a path has its first name");
        let mut within = &mut object;
        for step in path {
            let inner = within.entry(step).or_insert_with(|| Map::new().into());
            within = inner.as_object_mut().ok_or_else(twice)?;
        }
        if within
            .insert(last.to_owned(), value.as_str().into())
            .is_some()
        {
            return Err(twice());
        }
    }
    Ok(object)
}

/// `a[b][c]` as its names; nothing if it is none.
fn path(name: &str) -> Option<Vec<&str>> {
    let (first, rest) = match name.find('[') {
        Some(index) => name.split_at(index),
        None => (name, ""),
    };
    let mut path = vec![first];
    if !rest.is_empty() {
        let inner = rest.strip_prefix('[')?.strip_suffix(']')?;
        path.extend(inner.split("]["));
    }
    let is_name = |name: &&str| !name.is_empty() && !name.contains(['[', ']']);
    (path.len() <= QUERY_DEPTH_MAX && path.iter().all(is_name)).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Result<String, BadArguments> {
        let owned = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
        object(&pairs.iter().map(owned).collect::<Vec<_>>()).map(|map| Value::from(map).to_string())
    }

    #[test]
    fn values_are_strings_and_brackets_are_levels() {
        let found = of(&[
            ("currency", "USD"),
            ("prices[gold_gram]", "65.40"),
            ("prices[rates][EUR]", "1.10"),
        ]);
        let expected =
            r#"{"currency":"USD","prices":{"gold_gram":"65.40","rates":{"EUR":"1.10"}}}"#;
        assert_eq!(found, Ok(expected.to_owned()));
        assert_eq!(of(&[]), Ok("{}".to_owned()));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for name in [
            "",
            "a[",
            "a[]",
            "a]b",
            "[a]",
            "a[b]c",
            "a[b[c]]",
            "a[1][2][3][4][5][6][7][8]",
        ] {
            let refused = matches!(of(&[(name, "x")]), Err(BadArguments::Name { .. }));
            assert!(refused, "{name:?}");
        }
        for pairs in [
            [("a", "1"), ("a", "2")],
            [("a", "1"), ("a[b]", "2")],
            [("a[b]", "1"), ("a", "2")],
        ] {
            assert!(
                matches!(of(&pairs), Err(BadArguments::Twice { .. })),
                "{pairs:?}"
            );
        }
        assert_eq!(
            of(&[("a", "1"); QUERY_ARGUMENTS_MAX + 1]),
            Err(BadArguments::TooMany)
        );
    }
}
