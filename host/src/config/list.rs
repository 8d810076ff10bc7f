//! Settings that are lists, with a comma between two members.

/// The members of a list, of which there may be so many and each once, as `one` reads them;
/// or everything that is wrong with it.
pub(super) fn members<T: PartialEq>(
    text: &str,
    most: usize,
    one: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, Vec<String>> {
    let (mut members, mut problems) = (Vec::new(), Vec::new());
    for member in text.split(',').map(str::trim) {
        match one(member) {
            Ok(read) if members.contains(&read) => {
                problems.push(format!("{member} is named twice"));
            }
            Ok(read) => members.push(read),
            Err(problem) => problems.push(problem),
        }
    }
    let found = text.split(',').count();
    if found > most {
        problems.push(format!("it has {found} members, and may have {most}"));
    }
    match problems.is_empty() {
        true => Ok(members),
        false => Err(problems),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digit(text: &str) -> Result<u8, String> {
        text.parse().map_err(|_| format!("{text:?} is no digit"))
    }

    #[test]
    fn all_that_is_wrong_with_a_list_is_told() {
        assert_eq!(members("1, 2,3", 3, digit), Ok(vec![1, 2, 3]));
        let problems = members("1,x,01,", 3, digit).unwrap_err();
        let wanted = [
            "\"x\" is no digit",
            "01 is named twice",
            "\"\" is no digit",
            "it has 4 members, and may have 3",
        ];
        assert_eq!(problems, wanted);
    }
}
