//! Which layer wins, and what is told of names that nobody reads.

use std::fs;

use super::*;

#[test]
fn the_strongest_layer_wins_and_is_named() {
    let home = tempfile::tempdir().unwrap();
    let release = home.path().join("releases/0.1.0");
    fs::create_dir_all(home.path().join("etc")).unwrap();
    fs::create_dir_all(&release).unwrap();
    fs::write(home.path().join("etc/env"), "HOST=b\nPORT=2\nRUST_LOG=\n").unwrap();
    let toml = "host = \"c\"\nport = 3\nadmin_port = 4\nrust_log = \"info\"\n";
    fs::write(home.path().join("etc/host.toml"), toml).unwrap();
    fs::write(release.join("host.toml"), "log_format = \"json\"\nport = 9").unwrap();
    let environment = [("HOST", "a"), ("PATH", "/bin")].map(|(k, v)| (k.into(), v.into()));
    let mut settings = Settings::read(home.path(), None, environment);
    settings.add_release(&release);
    assert_eq!(settings.faults(), [] as [&str; 0]);
    for (key, value, from) in [
        ("HOST", "a", "the environment"),
        ("PORT", "2", "etc/env"),
        ("ADMIN_PORT", "4", "etc/host.toml"),
        ("RUST_LOG", "info", "etc/host.toml"),
        ("LOG_FORMAT", "json", "releases/0.1.0/host.toml"),
    ] {
        let found = settings.get(key).unwrap();
        assert_eq!(found.value, value, "{key}");
        assert!(found.from.ends_with(from), "{key}: {}", found.from);
    }
    // What is no setting of the host's may be one of a plugin's.
    assert_eq!(settings.get("PATH").unwrap().value, "/bin");
}

#[test]
fn a_name_within_a_table_goes_on_the_tables() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir_all(home.path().join("etc")).unwrap();
    let toml = "[runtime]\nthreads = 3\n[runtime.limits]\nidle_s = 60\n";
    fs::write(home.path().join("etc/host.toml"), toml).unwrap();
    let settings = Settings::read(home.path(), None, []);
    assert_eq!(settings.faults(), [] as [&str; 0]);
    assert_eq!(settings.get("RUNTIME_THREADS").unwrap().value, "3");
    assert_eq!(settings.get("RUNTIME_LIMITS_IDLE_S").unwrap().value, "60");
    let toml = "[runtime]\nthread = 3\n[limits]\nidle_s = 60\n";
    fs::write(home.path().join("etc/host.toml"), toml).unwrap();
    let faults = Settings::read(home.path(), None, []).faults().join("\n");
    assert!(
        faults.contains("\"runtime_thread\" is no setting; did you mean threads in [runtime]?"),
        "{faults}"
    );
    assert!(
        faults.contains("\"limits_idle_s\" is no setting"),
        "{faults}"
    );
}

#[test]
fn what_nobody_reads_is_named() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir_all(home.path().join("etc")).unwrap();
    fs::write(home.path().join("etc/env"), "PORT=1\nPROT=2\n").unwrap();
    let environment = [("PATH", "/bin")].map(|(k, v)| (k.into(), v.into()));
    let settings = Settings::read(home.path(), None, environment);
    let [warning] = &settings.warnings()[..] else {
        panic!("{:?}", settings.warnings());
    };
    let wanted = "etc/env: PROT is no setting that the host reads there; did you mean PORT?";
    assert!(warning.ends_with(wanted), "{warning}");
    assert_eq!(settings.faults(), [] as [&str; 0]);
}

#[test]
fn a_slip_in_the_environment_is_named_and_what_is_meant_for_others_is_not() {
    let home = tempfile::tempdir().unwrap();
    let names = [
        "TRUSTED_KEY",
        "database_url",
        "ZAKAT_NISAB_GRAM",
        "SSL_CERT_DIR",
        "URL_HOST",
        "HOSTNAME",
        "POST",
        "PATH",
        "PORT",
    ];
    let environment = names.map(|name| (name.to_owned(), "1".to_owned()));
    let mut settings = Settings::read(home.path(), None, environment);
    let said = |name: &str, meant: &str| {
        format!("the environment: {name} is no setting that the host reads; did you mean {meant}?")
    };
    let of_host = [
        said("TRUSTED_KEY", "TRUSTED_KEYS"),
        said("database_url", "DATABASE_URL"),
    ];
    assert_eq!(settings.warnings(), of_host);
    settings.declare(&[plugin("zakat", "nisab_grams")]);
    let of_plugin = said("ZAKAT_NISAB_GRAM", "ZAKAT_NISAB_GRAMS");
    assert_eq!(settings.warnings(), [&of_host[..], &[of_plugin]].concat());
    assert_eq!(settings.faults(), [] as [&str; 0]);
    // Whose setting is set, too, has not been missed.
    let both = ["DATABASE_URL", "DATABASE_URI"].map(|name| (name.to_owned(), "1".to_owned()));
    let settings = Settings::read(home.path(), None, both);
    assert_eq!(settings.warnings(), [] as [&str; 0]);
}

/// A plugin with this one setting.
fn plugin(name: &str, setting: &str) -> ReleasePlugin {
    ReleasePlugin {
        name: name.to_owned(),
        version: host_model::Version::new(0, 1, 0),
        file: Default::default(),
        sha256: String::new(),
        start: Default::default(),
        settings: vec![PluginSetting {
            name: setting.to_owned(),
            kind: host_model::setting::SettingKind::Text,
            default: None,
            required: false,
            secret: false,
            about: String::new(),
        }],
        shape: None,
    }
}

#[test]
fn faults_of_all_files_are_gathered() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir_all(home.path().join("etc")).unwrap();
    fs::write(home.path().join("etc/env"), "PORT=1 # one\n").unwrap();
    let toml = "prot = 4000\nPort = 1\nhost = [1]\n";
    fs::write(home.path().join("etc/host.toml"), toml).unwrap();
    let settings = Settings::read(home.path(), None, []);
    let faults = settings.faults();
    assert_eq!(faults.len(), 4, "{faults:?}");
    assert!(faults[0].contains("etc/env line 1: a comment"));
    let meant = "\"prot\" is no setting; did you mean port?";
    assert!(faults.iter().any(|f| f.ends_with(meant)), "{faults:?}");
    let torn = "port = 1\nsecret_key_base = \"hunter2\n";
    fs::write(home.path().join("etc/host.toml"), torn).unwrap();
    let told = Settings::read(home.path(), None, []).faults().join("\n");
    assert!(told.contains("host.toml line 2: this is no TOML"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
    let absent = Settings::read(home.path(), Some(Path::new("/nowhere/env")), []);
    assert!(absent.faults()[0].starts_with("/nowhere/env cannot be read"));
}

#[test]
fn a_line_that_is_no_text_hides_no_other() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("etc")).unwrap();
    let file = home.path().join("etc/env");
    fs::write(&file, b"FOO\n\xff=hunter2\nPORT=many\n").unwrap();
    let settings = Settings::read(home.path(), None, []);
    let told = settings.faults().join("\n");
    assert!(told.contains("etc/env line 2: this is no text"), "{told}");
    assert!(told.contains("line 1: there is no `=` in it"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
    assert_eq!(settings.get("PORT").unwrap().value, "many");
    assert!(settings.may_hide("HOST"), "it may stand there");
}

#[test]
fn a_value_that_is_no_text_is_told_of_and_does_not_count_as_missing() {
    let home = tempfile::tempdir().unwrap();
    let mut settings = Settings::read(home.path(), None, []);
    let names = ["HOST_DATA", "HOST_HOME", "SOMEBODY_ELSES"];
    settings.refuse_garbled(names.map(str::to_owned).to_vec());
    assert_eq!(
        settings.faults(),
        ["HOST_DATA (the environment): its value is no text in UTF-8"]
    );
    assert!(settings.may_hide("HOST_DATA"));
    assert!(!settings.may_hide("HOST"));
}
