//! What a start finds around it, read from what is really there: mounts, limits, control
//! groups and a server, each of a test's own.

use std::fs;

use e2e::Home;
use e2e::namespace::behind;
use serde_json::Value;
use test_postgres::shared;

/// What `config check` warns of, behind what a shell does before.
fn warnings(before: &str, home: &Home) -> Vec<String> {
    let ran = behind(before, home, &["config", "check", "--json"]).unwrap();
    let check: Value = ran.ok().unwrap().json().unwrap();
    let warnings = check["warnings"].as_array().unwrap().iter();
    warnings.map(|it| it.as_str().unwrap().to_owned()).collect()
}

/// A home in production that nothing is refused to.
fn in_production() -> Home {
    let mut home = Home::new().unwrap();
    for name in ["HOST_ALLOW_ROOT", "HOST_ALLOW_DEBUG"] {
        home.set(name, Some("yes"));
    }
    home.configure("HOST_ENV=prod\nHOST=give.example.org")
        .unwrap();
    home
}

/// Mounts a file system in which nothing may be executed, where `HOST_DATA` is.
const NOEXEC: &str =
    "mkdir -p \"$TEST_HOME/var\"; mount -t tmpfs -o noexec tmpfs \"$TEST_HOME/var\"";

#[test]
fn the_configuration_and_what_is_around_it_are_told_of_in_one_report() {
    let mut home = in_production();
    home.set("HOST_DATA", Some("var"));
    home.set("TRUSTED_KEY", Some("keys"));
    // RFC 5737: an address for documentation.
    home.configure("ADMIN_PORT=many\nLISTEN=192.0.2.1\nPROT=4000\nRUST_LOG=info # loud")
        .unwrap();
    let before = format!("ulimit -n 1024; {NOEXEC}");
    let wanted = [
        "4 things to correct",
        "ADMIN_PORT (",
        "a comment behind a value",
        "etc/env) has 192.0.2.1",
        "var/images is on a file system that is mounted noexec",
        "PROT is no setting that the host reads there; did you mean PORT?",
        "TRUSTED_KEY is no setting that the host reads; did you mean TRUSTED_KEYS?",
        "1024 files may be open",
    ];
    for line in ["config check", "start", "start --foreground", "console"] {
        let line: Vec<_> = line.split(' ').collect();
        let ran = behind(&before, &home, &line).unwrap();
        let told = ran.ends_with(1).unwrap().stderr;
        for part in wanted {
            assert_eq!(told.matches(part).count(), 1, "{line:?}: {part}: {told}");
        }
    }
    let ran = behind(&before, &home, &["config", "check", "--json"]).unwrap();
    let problem: Value = ran.ends_with(1).unwrap().json().unwrap();
    assert_eq!(problem["reason"], "bad_config", "{problem}");
    let told = problem["message"].as_str().unwrap();
    for part in wanted {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn a_release_that_is_not_there_is_told_of_by_the_check_as_by_a_start() {
    let home = Home::new().unwrap();
    home.configure("RUNTIME_THREADS=0").unwrap();
    let permanent = home.path().join("data/permanent");
    fs::create_dir_all(permanent.parent().unwrap()).unwrap();
    fs::write(permanent, "7.7.7\n").unwrap();
    let ran = home.host(&["config", "check"]).unwrap();
    let told = ran.ends_with(1).unwrap().stderr;
    assert!(told.contains("2 things to correct"), "{told}");
    assert!(told.contains("RUNTIME_THREADS ("), "{told}");
    assert!(told.contains("7.7.7"), "{told}");
    let told = home.host(&["start"]).unwrap().ends_with(1).unwrap().stderr;
    assert!(told.contains("7.7.7"), "{told}");
}

#[test]
fn nothing_follows_from_an_environment_that_there_is_not() {
    let home = Home::new().unwrap();
    fs::write(home.path().join("etc/env"), "HOST_ENV=production\n").unwrap();
    let ran = home.host(&["config", "check"]).unwrap();
    let told = ran.ends_with(1).unwrap().stderr;
    assert!(told.contains("one thing to correct"), "{told}");
    assert!(told.contains("is not prod or dev"), "{told}");
}

#[test]
fn a_restart_is_refused_before_the_host_has_stopped_where_a_start_would_be() {
    let home = Home::new().unwrap();
    let pid = home.start().unwrap().pid;
    home.configure("LISTEN=192.0.2.1").unwrap();
    let told = home
        .host(&["restart"])
        .unwrap()
        .ends_with(1)
        .unwrap()
        .stderr;
    assert!(told.contains("etc/env) has 192.0.2.1"), "{told}");
    assert_eq!(home.status().unwrap().pid, pid);
    home.stop().unwrap();
}

#[test]
fn a_restart_goes_by_the_settings_that_the_host_was_started_with() {
    let home = Home::new().unwrap();
    let own = home.path().join("own.env");
    fs::copy(home.path().join("etc/env"), &own).unwrap();
    let own_file = own.to_str().unwrap();
    home.done(&["--env-file", own_file, "start"]).unwrap();
    let first = home.status().unwrap().pid;
    // Whoever asks for it would read this.
    home.configure("RUNTIME_THREADS=0").unwrap();
    home.done(&["restart"]).unwrap();
    let second = home.status().unwrap().pid;
    assert_ne!(first, second);

    fs::write(&own, "HOST_ENV=dev\nRUNTIME_THREADS=0\n").unwrap();
    let ran = home.host(&["restart"]).unwrap().ends_with(1).unwrap();
    assert!(ran.stderr.contains("own.env"), "{}", ran.stderr);
    assert_eq!(home.status().unwrap().pid, second);
    home.stop().unwrap();
}

#[test]
fn images_where_nothing_may_be_executed_are_refused() {
    let mut home = Home::new().unwrap();
    home.set("HOST_DATA", Some("var"));
    let check = |before: &str| behind(before, &home, &["config", "check"]).unwrap();
    // It is looked for where the folder has yet to be made, and where it is there.
    for before in [
        NOEXEC.to_owned(),
        format!("{NOEXEC}; mkdir \"$TEST_HOME/var/images\""),
    ] {
        let told = check(&before).ends_with(1).unwrap().stderr;
        assert!(told.contains("var/images is on a file system"), "{told}");
    }
    check(&NOEXEC.replace("noexec", "exec")).ok().unwrap();
}

#[test]
fn few_open_files_are_counted_as_this_process_may_have_them() {
    let home = in_production();
    for files in ["1024", "2048"] {
        let warnings = warnings(&format!("ulimit -n {files}"), &home);
        let line = format!("{files} files may be open, which is room for ");
        let found = warnings.iter().filter(|it| it.starts_with(&line));
        assert_eq!(found.count(), 1, "{warnings:?}");
    }
}

#[test]
fn the_pool_is_held_against_what_the_server_gives() {
    let server = shared();
    let asked = |name: &str| -> usize {
        let sql = format!("SELECT current_setting('{name}')");
        server
            .sql("postgres", &sql)
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    };
    let given = asked("max_connections") - asked("superuser_reserved_connections");
    let home = Home::new().unwrap();
    let database = server.database().unwrap();
    home.configure(&format!("DATABASE_URL={database}")).unwrap();
    let told = |pool: usize| {
        home.configure(&format!("POOL_SIZE={pool}")).unwrap();
        warnings(":", &home)
    };
    assert_eq!(told(given), [""; 0]);
    let warnings = told(given + 1);
    let wanted = format!(
        "POOL_SIZE is {}, and the database's server gives {given} connections",
        given + 1
    );
    assert!(
        matches!(&warnings[..], [it] if it.starts_with(&wanted)),
        "{warnings:?}"
    );
    // Nobody listens on the port of a server that has yet to be started.
    let nobody = e2e::home::free_port().unwrap();
    home.configure(&format!(
        "DATABASE_URL=postgresql://u@127.0.0.1:{nobody}/giving"
    ))
    .unwrap();
    let warnings = told(10);
    assert!(
        matches!(&warnings[..], [it] if it.contains("max_connections is not known: ")),
        "{warnings:?}"
    );
}

/// Control groups as the second version has them, in files of a test's own: the limits of
/// this process's group, by name and text.
fn groups(limits: &[(&str, &str)]) -> String {
    let mut before = "group=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)
        mount -t tmpfs tmpfs /sys/fs/cgroup
        mkdir -p \"$group\""
        .to_owned();
    for (name, text) in limits {
        before += &format!("\necho '{text}' > \"$group/{name}\"");
    }
    before
}

#[test]
fn the_limits_of_the_control_group_are_read_from_its_files() {
    let home = in_production();
    let told = |limits: &[(&str, &str)]| {
        let warnings = warnings(&groups(limits), &home);
        let has = |word: &str| warnings.iter().any(|it| it.contains(word));
        (has("no limit of memory"), has("no limit of processor time"))
    };
    let memory = ("memory.max", "1073741824");
    let cpu = ("cpu.max", "200000 100000");
    assert_eq!(told(&[]), (true, true));
    assert_eq!(
        told(&[("memory.max", "max"), ("cpu.max", "max 100000")]),
        (true, true)
    );
    assert_eq!(told(&[memory, ("cpu.max", "max 100000")]), (false, true));
    assert_eq!(told(&[("memory.max", "max"), cpu]), (true, false));
    assert_eq!(told(&[memory, cpu]), (false, false));

    home.configure("RUNTIME_LIMITS_MEMORY_BYTES=1073741824")
        .unwrap();
    let warnings = warnings(&groups(&[memory, cpu]), &home);
    let wanted = "RUNTIME_LIMITS_MEMORY_BYTES is 1073741824, and the control group has 1073741824";
    assert!(
        warnings.iter().any(|it| it.starts_with(wanted)),
        "{warnings:?}"
    );
}
