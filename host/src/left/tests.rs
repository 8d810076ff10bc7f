//! Which files a release runs with, over upgrades, ways back and starts.

use super::*;

/// A home of which only the files of settings and what is kept of them are there.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(place.0.path().join("etc")).unwrap();
        place
    }

    fn say(&self, text: &str) {
        fs::write(self.0.path().join("etc/env"), text).unwrap();
    }

    fn kept(&self) -> PathBuf {
        self.0.path().join("configuration.json")
    }

    /// A process that boots `version`, with the files as they are or with what they said
    /// before, and what these say.
    fn start(&self, version: &str) -> (InForce, String) {
        let now = Files::read(self.0.path(), None);
        let left = Left::read(&self.kept()).unwrap();
        let version: Version = version.parse().unwrap();
        let files = left.instead(&version, &now).unwrap_or(now);
        let places = (self.0.path().to_owned(), None, self.kept());
        let process = InForce::start(places, version, files, left);
        let said = process.says();
        (process, said)
    }
}

/// A process that was started with "a", whose upgrade to 0.2.0 was committed with "b".
fn committed() -> (Place, InForce) {
    let place = Place::new();
    place.say("a");
    let (process, _) = place.start("0.1.0");
    place.say("b");
    process.switch("0.1.0", "0.2.0");
    process.commit("0.2.0");
    (place, process)
}

impl InForce {
    fn says(&self) -> String {
        let ruling = self.state.lock().ruling.to_string();
        self.would_say(&ruling)
    }

    /// What the files say that a release would run with.
    fn would_say(&self, release: &str) -> String {
        let files = self.files_of(&release.parse().unwrap());
        files.texts().unwrap().into_values().flatten().collect()
    }

    /// An upgrade up to where the other release rules.
    fn switch(&self, from: &str, to: &str) {
        let (from, next) = (from.parse().unwrap(), to.parse().unwrap());
        assert!(self.looked(&next, self.now()).unwrap());
        self.leave(&from, &next).unwrap();
        self.rules(&to.parse().unwrap());
    }

    fn commit(&self, version: &str) {
        self.permanent(&version.parse().unwrap());
    }
}

#[test]
fn a_way_back_restores_what_ran_in_this_process_and_in_the_next() {
    let place = Place::new();
    place.say("a");
    let (first, said) = place.start("0.1.0");
    assert_eq!(said, "a");
    place.say("b");
    first.switch("0.1.0", "0.2.0");
    assert_eq!(first.says(), "b");
    // The process dies, and the old release boots.
    let (second, said) = place.start("0.1.0");
    assert_eq!(said, "a");
    second.came_back();
    second.is_ready(false).unwrap();
    assert_eq!(place.start("0.1.0").1, "a", "as long as nobody changes it");
    // The other way back: the release that rules changes in the same process.
    second.switch("0.1.0", "0.2.0");
    assert_eq!(second.says(), "b");
    second.rules(&"0.1.0".parse().unwrap());
    second.came_back();
    assert_eq!(second.says(), "a");
    place.say("c");
    let (third, said) = place.start("0.1.0");
    assert_eq!(said, "c", "an operator's word");
    third.is_ready(false).unwrap();
    assert!(!place.kept().exists());
}

#[test]
fn behind_the_commit_too_until_a_start_took_the_files_as_they_are() {
    let place = Place::new();
    place.say("a");
    let (process, _) = place.start("0.1.0");
    place.say("b");
    process.switch("0.1.0", "0.2.0");
    process.commit("0.2.0");
    process.switch("0.2.0", "0.1.0");
    assert_eq!(process.says(), "a");
    process.commit("0.1.0");
    assert_eq!(place.start("0.1.0").1, "a");
    process.switch("0.1.0", "0.2.0");
    process.commit("0.2.0");
    let (next, said) = place.start("0.2.0");
    assert_eq!(said, "b");
    // It has not come up: the release before it goes back to what it ran with.
    assert_eq!(place.start("0.1.0").1, "a");
    next.is_ready(false).unwrap();
    next.switch("0.2.0", "0.1.0");
    assert_eq!(
        next.says(),
        "b",
        "another store may have been begun with it"
    );
}

#[test]
fn a_reload_is_an_operators_word_for_both_and_a_failed_one_is_none() {
    let place = Place::new();
    place.say("a");
    let (process, _) = place.start("0.1.0");
    place.say("b");
    process.switch("0.1.0", "0.2.0");
    let both = ["0.1.0", "0.2.0"].map(|it| it.parse().unwrap());
    place.say("c");
    let refused: Result<(), _> =
        process.reread(process.now(), &both, || Err(vec!["no".to_owned()]));
    assert_eq!(refused.unwrap_err(), ["no"]);
    let back = |process: &InForce| process.would_say("0.1.0");
    assert_eq!((process.says(), back(&process)), ("b".into(), "a".into()));
    assert_eq!(
        Left::read(&place.kept()).unwrap(),
        process.state.lock().left
    );
    let read = process.now();
    place.say("d");
    let told = process.reread(read, &both, || Ok(())).unwrap_err();
    assert!(told[0].contains("changed while it was read"), "{told:?}");
    place.say("c");
    process.reread(process.now(), &both, || Ok(())).unwrap();
    assert_eq!((process.says(), back(&process)), ("c".into(), "c".into()));
    assert_eq!(place.start("0.1.0").1, "c");
}

#[test]
fn only_an_upgrade_that_has_not_ended_stands_in_for_files_that_are_wrong() {
    let place = Place::new();
    place.say("a");
    let behind = |anyhow: bool| {
        let left = Left::read(&place.kept()).unwrap();
        let now = Files::read(place.0.path(), None);
        let behind = left.behind(&"0.1.0".parse().unwrap(), &now, anyhow);
        behind.is_some()
    };
    let (process, _) = place.start("0.1.0");
    let back = || {
        process.rules(&"0.1.0".parse().unwrap());
        process.came_back();
    };
    process.switch("0.1.0", "0.2.0");
    place.say("wrong");
    assert!(behind(false));
    back();
    assert!(!behind(false));
    // Nothing was changed for that upgrade, and so nothing is kept of it.
    assert!(!place.kept().exists());
    process.switch("0.1.0", "0.2.0");
    place.say("wrong again");
    back();
    assert!(!behind(false));
    assert!(behind(true), "as for a release that never came up");
}

#[test]
fn what_is_kept_is_the_owners_alone_and_a_damaged_file_says_what_to_do() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    place.say("SECRET=s");
    let (process, _) = place.start("0.1.0");
    process
        .leave(&"0.1.0".parse().unwrap(), &"0.2.0".parse().unwrap())
        .unwrap();
    let mode = fs::metadata(place.kept()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!format!("{process:?}").contains("SECRET"), "{process:?}");
    fs::write(place.kept(), "{").unwrap();
    let told = Left::read(&place.kept()).unwrap_err();
    assert!(
        told.contains("remove it, and etc/ holds as it stands"),
        "{told}"
    );
}

#[test]
fn an_upgrade_runs_with_what_was_looked_at_and_the_ruling_release_with_what_it_has() {
    let place = Place::new();
    place.say("a");
    let (process, _) = place.start("0.1.0");
    place.say("b");
    let (old, new) = ("0.1.0".parse().unwrap(), "0.2.0".parse().unwrap());
    let files = process.now();
    place.say("c");
    let told = process.looked(&new, files).unwrap_err();
    assert!(told.contains("changed while it was read"), "{told}");
    place.say("b");
    assert!(process.looked(&new, process.now()).unwrap());
    process.leave(&old, &new).unwrap();
    // A canary lasts for days, in which somebody changes the files again, and asks for a plan.
    place.say("c");
    assert!(!process.looked(&new, process.now()).unwrap());
    let says = |release| process.would_say(release);
    assert_eq!((says("0.1.0"), says("0.2.0")), ("a".into(), "b".into()));
    process.rules(&new);
    assert_eq!((says("0.1.0"), says("0.2.0")), ("a".into(), "b".into()));
    process.rules(&old);
    process.came_back();
    assert_eq!(process.says(), "a");
    assert_eq!(place.start("0.1.0").1, "c", "an operator's later word");
    place.say("b");
    assert_eq!(place.start("0.1.0").1, "a");
}

#[test]
fn a_way_back_over_two_releases_brings_back_what_the_first_ran_with() {
    let (place, process) = committed();
    place.say("c");
    process.switch("0.2.0", "0.3.0");
    process.commit("0.3.0");
    process.switch("0.3.0", "0.2.0");
    assert_eq!(process.says(), "b");
    process.commit("0.2.0");
    process.switch("0.2.0", "0.1.0");
    assert_eq!(process.says(), "a");
    process.commit("0.1.0");
    assert_eq!(place.start("0.1.0").1, "a");
}

#[test]
fn a_start_that_never_came_up_has_forgotten_nothing() {
    let place = Place::new();
    place.say("a");
    let (process, _) = place.start("0.1.0");
    place.say("b");
    process.switch("0.1.0", "0.2.0");
    // The process dies; one is started with other files, and its port is taken, say.
    place.say("c");
    assert_eq!(place.start("0.1.0").1, "c");
    place.say("b");
    assert_eq!(place.start("0.1.0").1, "a");
}

#[test]
fn what_cannot_be_written_is_known_to_the_process_and_written_with_the_next_change() {
    let place = Place::new();
    place.say("a");
    let (process, _) = place.start("0.1.0");
    place.say("b");
    let in_its_way = place.kept().with_extension("json.new");
    fs::create_dir(&in_its_way).unwrap();
    let (old, new) = ("0.1.0".parse().unwrap(), "0.2.0".parse().unwrap());
    process.leave(&old, &new).unwrap_err();
    assert!(process.state.lock().left.0.is_empty());
    fs::remove_dir(&in_its_way).unwrap();
    process.leave(&old, &new).unwrap();
    fs::create_dir(&in_its_way).unwrap();
    process.rules(&new);
    process.permanent(&new);
    let under_way = |left: &Left| left.0[&old].under_way;
    assert!(!under_way(&process.state.lock().left));
    assert!(under_way(&Left::read(&place.kept()).unwrap()));
    fs::remove_dir(&in_its_way).unwrap();
    process.permanent(&new);
    assert!(!under_way(&Left::read(&place.kept()).unwrap()));
}

#[test]
fn a_process_that_boots_behind_a_commit_finds_what_the_one_before_ran_with() {
    for (then, runs_with) in [("b", "a"), ("c", "c")] {
        let (place, process) = committed();
        place.say(then);
        process.switch("0.2.0", "0.1.0");
        assert_eq!(process.says(), runs_with);
        // Killed before anything is kept of the commit.
        for _ in 0..2 {
            let (next, said) = place.start("0.1.0");
            assert_eq!(said, runs_with);
            next.is_ready(false).unwrap();
        }
    }
}

#[test]
fn so_it_does_where_the_way_back_leads_over_two_releases() {
    let (place, process) = committed();
    place.say("c");
    process.switch("0.2.0", "0.3.0");
    process.commit("0.3.0");
    process.switch("0.3.0", "0.1.0");
    assert_eq!(process.says(), "a");
    for _ in 0..2 {
        let (next, said) = place.start("0.1.0");
        assert_eq!(said, "a");
        next.is_ready(false).unwrap();
    }
}

#[test]
fn a_reload_behind_the_commit_ends_the_way_back() {
    let (_place, process) = committed();
    let ruling = ["0.2.0".parse().unwrap()];
    process.reread(process.now(), &ruling, || Ok(())).unwrap();
    process.switch("0.2.0", "0.1.0");
    assert_eq!(process.says(), "b");
}
