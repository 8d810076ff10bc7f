//! In which versions a message of another one is understood.

use super::*;

fn v(minor: u64) -> Version {
    Version::new(0, minor, 0)
}

/// Up only, each `newer` from each `older`.
fn up_only(steps: &[(u64, u64)]) -> Appups {
    let appup = |&(newer, older): &(u64, u64)| {
        let text = format!(
            "plugin = \"zakat\"\nversion = \"0.{newer}.0\"\n[[path]]\nfrom = \"=0.{older}.0\"\n\
             up = [{{ update = \"state\" }}]\n"
        );
        let appup = Appup::parse(&format!("zakat-0.{newer}.0.toml"), &text).unwrap();
        ((appup.plugin.clone(), appup.version.clone()), appup)
    };
    steps.iter().map(appup).collect()
}

#[test]
fn a_message_goes_over_the_versions_between_in_whichever_direction_states_do() {
    let asks = |appups: &Appups, from, to, installed: &[u64]| {
        let installed: Vec<_> = installed.iter().copied().map(v).collect();
        let libraries: Libraries<'_> = installed.iter().map(|it| (it, None)).collect();
        is_understood("zakat", &v(from), &v(to), &libraries, appups)
    };
    let chain = up_only(&[(2, 1), (3, 2)]);
    for (from, to) in [(1, 3), (3, 1)] {
        assert!(asks(&chain, from, to, &[1, 2, 3]), "{from} to {to}");
        assert!(!asks(&chain, from, to, &[1, 3]), "{from} to {to}");
    }
    // Down to the one that both came from, and up again.
    let fork = up_only(&[(2, 1), (3, 1)]);
    for (from, to) in [(2, 3), (3, 2)] {
        assert!(asks(&fork, from, to, &[1, 2, 3]), "{from} to {to}");
        assert!(!asks(&fork, from, to, &[2, 3]), "{from} to {to}");
    }
}
