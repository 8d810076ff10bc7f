//! The way between two versions of a plugin: a search in the graph of its appups.
//!
//! # The rule
//!
//! 1. A way goes up first and then down, never up again: what `down` leaves beside a
//!    state (a carry) is taken up by `up` of the same version only, so an `up` to any
//!    other would strand it. A step that changes only the code may stand anywhere.
//! 2. From a state that has carries beside it, a way up goes over the versions that wrote
//!    them, the last first.
//! 3. Of the ways that are left the one with the fewest steps is taken; of as many
//!    steps, the one with the fewest that have no way back; of those, the one over the
//!    higher versions, the first step counting most.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

use semver::Version;

use crate::limits::STATE_BYTES_MAX;
use crate::plan::StateChange;

/// What there is to say of a step to `to` that took longer than its appup allows, if it did.
/// Native code cannot be interrupted, so it is measured when it has ended.
///
/// ```
/// use std::time::Duration;
/// use host_model::{Version, way::too_slow};
///
/// let (to, ms) = (Version::new(0, 2, 0), Duration::from_millis);
/// assert_eq!(too_slow(&to, ms(7), None), None);
/// assert_eq!(too_slow(&to, ms(7), Some(ms(7))), None);
/// assert!(too_slow(&to, ms(8), Some(ms(7))).unwrap().contains("8 ms"));
/// ```
#[must_use]
pub fn too_slow(to: &Version, took: Duration, timeout: Option<Duration>) -> Option<String> {
    let timeout = timeout.filter(|timeout| took > *timeout)?;
    Some(format!(
        "the migration to {to} took {} ms, and its appup allows {} ms (timeout_ms)",
        took.as_millis(),
        timeout.as_millis()
    ))
}

/// What there is to say of a state that has come over and is not stored, for it has so many
/// `bytes` with what lies beside it.
#[must_use]
pub fn too_large(bytes: usize) -> String {
    format!(
        "the migrated state has {bytes} bytes with what lies beside it, and {STATE_BYTES_MAX} may be"
    )
}

/// What there is to say where no way leads `from` one version of a plugin `to` another, for a
/// state that has something beside it which `newer` has left.
#[must_use]
pub fn no_way(plugin: &str, from: &Version, to: &Version, newer: Option<&Version>) -> String {
    let no_way = format!("no way leads from {plugin} {from} to {to}");
    let Some(newer) = newer else {
        return format!("{no_way}; install releases whose appups of {plugin} lead there");
    };
    let on = match newer == to {
        true => String::new(),
        false => format!(", and appups that lead on from there to {to}"),
    };
    format!(
        "{no_way} for a state that holds what only {newer} can read, so it has to go up to \
         that first; install a release that has it, with {plugin}-{newer}.toml and a path from \
         {from} in that{on}"
    )
}

/// One step that could be taken.
#[derive(Debug, Clone, Copy)]
pub struct Edge<'a> {
    /// The version before.
    pub from: &'a Version,
    /// The version after.
    pub to: &'a Version,
    /// How the state crosses.
    pub state: StateChange,
    /// Whether there is a step back.
    pub reversible: bool,
}

/// The smaller, the better.
type Cost<'a> = (usize, usize, Vec<Reverse<&'a Version>>);

/// Where a search is: the version, how many carries are still held, and whether it has
/// gone down.
type Place<'a> = (&'a Version, usize, bool);

/// The way from `from` to `to` over `edges`, each of which `look` shows; empty for the
/// same version. `carried` are the versions whose `down` has left something beside the
/// state, the last one last. None: there is no such way.
///
/// Takes time with the number of edges, of which a plugin has a few.
pub fn way<'a, E>(
    edges: &'a [E],
    look: impl Fn(&'a E) -> Edge<'a>,
    from: &Version,
    to: &Version,
    carried: &[&Version],
) -> Option<Vec<&'a E>> {
    let mut settled: BTreeSet<Place<'_>> = BTreeSet::new();
    let start: (Cost<'_>, Place<'_>, Vec<usize>) =
        ((0, 0, Vec::new()), (from, carried.len(), false), Vec::new());
    let mut ahead = BTreeSet::from([start]);
    while let Some((cost, place, steps)) = ahead.pop_first() {
        let (here, held, descends) = place;
        if here == to {
            return Some(steps.into_iter().map(|step| &edges[step]).collect());
        }
        if !settled.insert(place) {
            continue;
        }
        for (step, edge) in edges.iter().map(&look).enumerate() {
            if edge.from != here {
                continue;
            }
            let (held, descends) = match edge.state {
                StateChange::Same => (held, descends),
                StateChange::Down => (held, true),
                StateChange::Up if descends => continue,
                StateChange::Up => match held.checked_sub(1) {
                    None => (0, false),
                    Some(rest) if carried[rest] == edge.to => (rest, false),
                    Some(_) => continue,
                },
            };
            let (count, one_way, mut over) = cost.clone();
            over.push(Reverse(edge.to));
            let cost = (count + 1, one_way + usize::from(!edge.reversible), over);
            let mut steps = steps.clone();
            steps.push(step);
            ahead.insert((cost, (edge.to, held, descends), steps));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_no_way_leads_it_is_said_what_to_install() {
        let says = |to, newer: Option<&Version>| no_way("zakat", &v(1), &v(to), newer);
        assert_eq!(
            says(2, None),
            "no way leads from zakat 0.1.0 to 0.2.0; install releases whose appups of zakat lead there"
        );
        let first = "for a state that holds what only 0.3.0 can read, so it has to go up to that \
                     first; install a release that has it, with zakat-0.3.0.toml and a path from \
                     0.1.0 in that";
        assert_eq!(
            says(3, Some(&v(3))),
            format!("no way leads from zakat 0.1.0 to 0.3.0 {first}")
        );
        assert_eq!(
            says(2, Some(&v(3))),
            format!(
                "no way leads from zakat 0.1.0 to 0.2.0 {first}, and appups that lead on from there to 0.2.0"
            )
        );
    }

    /// `1>2` is up from 0.1.0 to 0.2.0, `2<1` down to it, `1=2` code only; a `!` behind
    /// it has no way back.
    #[derive(Debug)]
    struct Step(Version, Version, StateChange, bool);

    fn v(minor: u64) -> Version {
        Version::new(0, minor, 0)
    }

    fn edges(text: &str) -> Vec<Step> {
        let edge = |word: &str| {
            let digit = |at: usize| v(u64::from(word.as_bytes()[at] - b'0'));
            let (first, second) = (digit(0), digit(2));
            let (one_way, sign) = (word.ends_with('!'), word.as_bytes()[1]);
            let state = match sign {
                b'>' => StateChange::Up,
                b'<' => StateChange::Down,
                _ => StateChange::Same,
            };
            Step(first, second, state, !one_way)
        };
        text.split_whitespace().map(edge).collect()
    }

    /// The versions after each step.
    fn found(graph: &str, from: u64, to: u64, carried: &[u64]) -> Option<Vec<u64>> {
        let edges = edges(graph);
        let carried: Vec<Version> = carried.iter().copied().map(v).collect();
        let carried: Vec<&Version> = carried.iter().collect();
        fn show(step: &Step) -> Edge<'_> {
            Edge {
                from: &step.0,
                to: &step.1,
                state: step.2,
                reversible: step.3,
            }
        }
        let (from, to) = (v(from), v(to));
        let way = way(&edges, show, &from, &to, &carried)?;
        Some(way.iter().map(|step| step.1.minor).collect())
    }

    const CHAIN: &str = "1>2 2<1 2>3 3<2 3>4 4<3";

    #[test]
    fn a_way_leads_over_all_that_is_between_and_back() {
        assert_eq!(found(CHAIN, 1, 4, &[]), Some(vec![2, 3, 4]));
        assert_eq!(found(CHAIN, 4, 1, &[]), Some(vec![3, 2, 1]));
        assert_eq!(found(CHAIN, 2, 2, &[]), Some(vec![]));
        assert_eq!(found("1>2", 2, 1, &[]), None);
    }

    #[test]
    fn fewer_steps_come_first_then_those_with_a_way_back_then_higher_versions() {
        let direct = format!("{CHAIN} 1>4");
        assert_eq!(found(&direct, 1, 4, &[]), Some(vec![4]));
        let forks = "1>2 2>4 1>3 3>4";
        assert_eq!(found(forks, 1, 4, &[]), Some(vec![3, 4]));
        let forks = "1>2 2>4 1>3! 3>4";
        assert_eq!(found(forks, 1, 4, &[]), Some(vec![2, 4]));
    }

    #[test]
    fn carries_are_taken_up_by_the_versions_that_wrote_them() {
        let graph = format!("{CHAIN} 1>3 3<1");
        assert_eq!(found(&graph, 1, 3, &[]), Some(vec![3]));
        assert_eq!(found(&graph, 1, 3, &[3, 2]), Some(vec![2, 3]));
        assert_eq!(found(&graph, 1, 4, &[3, 2]), Some(vec![2, 3, 4]));
        // Down from 0.3.0 at once: to 0.2.0 it goes over 0.3.0 again.
        assert_eq!(found(&graph, 1, 2, &[3]), Some(vec![3, 2]));
        // Going down leaves one more, and strands none.
        assert_eq!(found(&graph, 2, 1, &[3]), Some(vec![1]));
        // The version that wrote it has gone.
        assert_eq!(found("1>2 2<1", 1, 2, &[3]), None);
    }

    #[test]
    fn down_and_up_again_would_strand_what_down_leaves() {
        assert_eq!(found("2<1 1>3", 2, 3, &[]), None);
        assert_eq!(found("2=1 1>3", 2, 3, &[]), Some(vec![1, 3]));
        assert_eq!(found("1>3 3<2", 1, 2, &[]), Some(vec![3, 2]));
    }

    #[test]
    fn a_change_of_code_alone_leaves_carries_where_they_are() {
        assert_eq!(found("1=2 2>3", 1, 3, &[3]), Some(vec![2, 3]));
        assert_eq!(found("1=2 2=1 1>3", 2, 3, &[3]), Some(vec![1, 3]));
    }

    #[test]
    fn a_graph_with_circles_ends() {
        assert_eq!(found("1=2 2=1 2=3 3=2 3=1 1=3", 1, 9, &[]), None);
    }
}
