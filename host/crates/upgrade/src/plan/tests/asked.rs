//! A plan as it is recorded: with what was asked for.

use super::*;

#[test]
fn what_is_recorded_is_what_was_asked_for() {
    let (from, to) = (
        release("0.1.0", &[("zakat", "0.1.0")]),
        release("0.2.0", &[("zakat", "0.2.0")]),
    );
    let appups = appups(&[("zakat", "0.2.0", BOTH_WAYS)]);
    let planned = plan(&from, &to, &appups, false).unwrap();
    let steps = |plan: &Plan| {
        plan.steps
            .iter()
            .map(|it| it.action.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(planned.probation_s, 60);

    let as_planned = planned.clone().asked(60, true);
    assert_eq!(as_planned, planned);

    let at_once = planned.clone().asked(0, false);
    assert_eq!(at_once.probation_s, 0);
    assert!(!steps(&at_once).contains(&Action::Rehearse));
    assert_eq!(at_once.steps.len(), planned.steps.len() - 1);
    let watch = at_once.steps.iter().find(|it| it.action == Action::Watch);
    assert_eq!(watch.unwrap().timeout_ms, Some(0));
}
