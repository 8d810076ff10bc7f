//! Defaults, and faults told together.

use std::path::Path;

use host_gateway::{ClientLimits, Origins, Proxies};

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn resolve(environment: &[(&str, &str)]) -> Result<Config, ConfigFaults> {
    let root = Path::new("/srv/giving");
    let environment = environment
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    let settings = Settings::read(root, None, environment);
    Config::resolve(&settings, &Home::new(root, &settings))
}

#[test]
fn a_developer_needs_nothing() {
    let config = resolve(&[("HOST_ENV", "dev")]).unwrap();
    assert_eq!(
        config,
        Config {
            environment: Environment::Dev,
            allow_root: false,
            allow_debug: false,
            store: Store::Sqlite {
                path: "/srv/giving/data/host.db".into(),
                default: true
            },
            port: 4000,
            listen: Vec::new(),
            cors: CorsRules::default(),
            tls: None,
            admin_port: 4001,
            clients: Clients {
                auth: false,
                secret_key_base_old: None,
                token_keys_file: None,
                audience: "localhost".to_owned(),
                origins: Some(Origins::new("http", "localhost", 4000, Vec::new(), true)),
                proxies: Proxies::default(),
                limits: ClientLimits::default(),
            },
            host: "localhost".to_owned(),
            secret_key_base: None,
            ssl_cert_file: None,
            log_format: LogFormat::Pretty,
            log_bounds: LogBounds::default(),
            log_filter: "info".to_owned(),
            retention_days: None,
            trusted_keys: TrustedKeys::default(),
            runtime: Runtime::default(),
            warnings: Vec::new(),
        }
    );
}

#[test]
fn production_needs_a_name_and_a_secret_which_is_never_shown() {
    let faults = resolve(&[]).unwrap_err().0;
    assert_eq!(faults.len(), 2, "{faults:?}");
    let config = resolve(&[
        ("PHX_HOST", "give.example.org"),
        ("SECRET_KEY_BASE", SECRET),
    ])
    .unwrap();
    assert_eq!(config.host, "give.example.org");
    assert_eq!(config.log_format, LogFormat::Json);
    assert_eq!(config.secret_key_base.as_ref().unwrap().expose(), SECRET);
    assert!(!format!("{config:?}").contains(SECRET));
}

#[test]
fn everything_wrong_is_told_at_once_with_its_place() {
    let error = resolve(&[
        ("HOST_ENV", "dev"),
        ("PORT", "70000"),
        ("ADMIN_PORT", "none"),
        ("LOG_FORMAT", "xml"),
        ("SECRET_KEY_BASE", "short"),
        (
            "DATABASE_URL",
            "postgresql://u:hunter2@db/giving?sslmode=hunter2",
        ),
        ("POOL_SIZE", "2"),
        ("SSL_CERT_FILE", "/nowhere/ca.pem"),
        ("HOST", "https://x"),
    ])
    .unwrap_err();
    let shown = error.to_string();
    assert_eq!(error.0.len(), 8, "{shown}");
    for part in [
        "8 things",
        "PORT (the environment): \"70000\" is not a port",
        "\"xml\" is not pretty or json",
        "5 characters",
        "its sslmode is none of",
        "\"2\" is no number of connections, 3 to 1000",
        "/nowhere/ca.pem cannot be read",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains("hunter2") && !shown.contains("short"));
}

#[test]
fn everything_wrong_with_one_value_or_with_a_pair_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let no_pem = dir.path().join("no.pem").display().to_string();
    std::fs::write(&no_pem, "no PEM").unwrap();
    let many = vec!["x"; 100].join(",");
    let told = |rows: &[(&str, &str)]| {
        let rows = [&[("HOST_ENV", "dev")], rows].concat();
        resolve(&rows).unwrap_err().0
    };
    for (key, wrong, words) in [
        ("LISTEN", "a,::1,b,[::1]:4000", "\"a\" \"b\" twice"),
        ("ALLOWED_ORIGINS", "a,https://*.*.com", "\"a\" *.*.com"),
        ("CORS_ORIGINS", "a,https://a.example,b", "\"a\" \"b\""),
        ("TRUSTED_PROXIES", "a,::1,10.0.0.0/33", "\"a\" /33"),
    ] {
        let (faults, words) = (told(&[(key, wrong)]), words.split(' '));
        assert_eq!(faults.len(), words.clone().count(), "{faults:?}");
        for (fault, word) in faults.iter().zip(words) {
            assert!(fault.starts_with(key) && fault.contains(word), "{fault}");
        }
        let faults = told(&[(key, &many)]);
        assert_eq!(faults.len(), 17, "{faults:?}");
        assert!(faults[16].contains("more things are wrong"), "{faults:?}");
    }
    let faults = told(&[("TLS_CERT_FILE", &no_pem), ("TLS_KEY_FILE", "/nowhere")]);
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].contains("no certificate in it"), "{faults:?}");
    assert!(faults[1].contains("cannot be read"), "{faults:?}");
}

#[test]
fn the_public_name_is_one_that_a_page_can_have() {
    let host = |name| resolve(&[("HOST_ENV", "dev"), ("HOST", name)]).map(|it| it.host);
    for name in "localhost give.example.org my_host-2 192.0.2.1 ::1 [::1]".split(' ') {
        assert_eq!(host(name).unwrap(), name);
    }
    for name in "- -a a-.org a..b . *.org a:4000 bücher.example".split(' ') {
        let told = host(name).unwrap_err().to_string();
        assert!(told.contains("is no name of a host"), "{name}: {told}");
    }
}

#[test]
fn what_the_host_takes_of_its_machine_is_bounded() {
    let dev = ("HOST_ENV", "dev");
    let config = resolve(&[
        dev,
        ("RUNTIME_THREADS", "3"),
        ("RUNTIME_LIMITS_IDLE_S", "60"),
    ]);
    let runtime = Runtime {
        threads: Some(3),
        idle_s: Some(60),
        ..Runtime::default()
    };
    assert_eq!(config.unwrap().runtime, runtime);
    for (key, wrong) in [
        ("RUNTIME_THREADS", "0"),
        ("RUNTIME_STACK_BYTES", "64k"),
        ("RUNTIME_LIMITS_AWAKE_ACTORS", "1"),
        ("RUNTIME_LIMITS_MAILBOX_MESSAGES", "-1"),
        ("RUNTIME_LIMITS_CALLS_UNDER_WAY", "0"),
        ("RUNTIME_LIMITS_IDLE_S", "0.5"),
    ] {
        let error = resolve(&[dev, (key, wrong)]).unwrap_err().to_string();
        assert!(error.contains(key) && error.contains(wrong), "{error}");
    }
}

#[test]
fn nothing_stays_for_its_age_on_a_developers_machine_only() {
    let days = |env: &str| {
        let settings = [
            ("HOST_ENV", env),
            ("HOST", "give.example.org"),
            ("SECRET_KEY_BASE", SECRET),
            ("RETENTION", "0"),
        ];
        resolve(&settings).map(|config| config.retention_days)
    };
    assert_eq!(days("dev").unwrap(), Some(0));
    let error = days("prod").unwrap_err().to_string();
    assert!(error.contains("1 or more"), "{error}");
}

#[test]
fn a_database_address_is_taken_apart() {
    for (url, path) in [
        ("sqlite:data/x.db", "/srv/giving/data/x.db"),
        ("sqlite:/var/x.db", "/var/x.db"),
        ("sqlite:///var/x.db", "/var/x.db"),
        ("sqlite://x.db", "/srv/giving/x.db"),
    ] {
        let config = resolve(&[("HOST_ENV", "dev"), ("DATABASE_URL", url)]).unwrap();
        let path = PathBuf::from(path);
        assert_eq!(
            config.store,
            Store::Sqlite {
                path,
                default: false
            },
            "{url}"
        );
    }
    for url in [
        "x.db",
        "sqlite:",
        "sqlite:x?mode=ro",
        "mysql://x",
        "sqlite:/usr",
    ] {
        assert!(
            resolve(&[("HOST_ENV", "dev"), ("DATABASE_URL", url)]).is_err(),
            "{url}"
        );
    }
}

#[test]
fn in_production_a_database_must_prove_who_it_is() {
    let url = ("DATABASE_URL", "postgresql://u:hunter2@db/giving");
    let prod = [
        ("HOST", "give.example.org"),
        ("SECRET_KEY_BASE", SECRET),
        url,
    ];
    let dev = [("HOST_ENV", "dev"), url];
    for (environment, ssl_mode) in [
        (&prod[..], SslMode::VerifyFull),
        (&dev[..], SslMode::Prefer),
    ] {
        let config = resolve(environment).unwrap();
        let Store::Postgres { address, pool_size } = &config.store else {
            panic!("{config:?}");
        };
        assert_eq!((address.ssl_mode(), *pool_size), (ssl_mode, 10));
        assert_eq!(address.to_string(), "postgresql://u@db:5432/giving");
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}

#[test]
fn ports_differ_unless_both_are_any() {
    let dev = ("HOST_ENV", "dev");
    assert!(resolve(&[dev, ("PORT", "0"), ("ADMIN_PORT", "0")]).is_ok());
    let told = resolve(&[dev, ("PORT", "4001")]).unwrap_err().to_string();
    let wanted = "PORT (the environment) and ADMIN_PORT (the default) are both 4001";
    assert!(told.contains(wanted), "{told}");
}

#[test]
fn a_home_too_deep_for_a_socket_is_refused() {
    let deep = format!("/{}", "d".repeat(100));
    let error = resolve(&[("HOST_ENV", "dev"), ("HOST_DATA", &deep)]).unwrap_err();
    assert!(error.to_string().contains("HOST_DATA"), "{error}");
}

#[test]
fn what_stands_in_a_file_that_cannot_be_read_is_not_said_to_be_missing() {
    let dir = tempfile::tempdir().unwrap();
    // A folder can be read by nobody, whatever the permissions.
    std::fs::create_dir_all(dir.path().join("etc/env")).unwrap();
    let settings = Settings::read(dir.path(), None, []);
    let home = Home::new(dir.path(), &settings);
    let ConfigFaults(faults) = Config::resolve(&settings, &home).unwrap_err();
    let [fault] = &faults[..] else {
        panic!("{faults:?}");
    };
    assert!(fault.contains("etc/env cannot be read"), "{fault}");
}

#[test]
fn what_is_wrong_or_may_stand_elsewhere_is_not_taken_for_known() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("etc")).unwrap();
    let text = "POOL_SIZE=many\nPORT=5\nLISTEN=::1 # here\n";
    std::fs::write(dir.path().join("etc/env"), text).unwrap();
    let settings = Settings::read(dir.path(), None, []);
    let home = Home::new(dir.path(), &settings);
    let draft = Config::draft(&settings, &home);
    assert_eq!(draft.config.port, 5);
    assert!(draft.knows(&["PORT", "ADMIN_PORT"]));
    // Wrong, torn, needed and nowhere.
    for key in ["POOL_SIZE", "LISTEN", "HOST", "SECRET_KEY_BASE"] {
        assert!(!draft.knows(&["PORT", key]), "{key}");
    }
    assert!(draft.place("PORT").ends_with("etc/env"));
    assert_eq!(draft.place("ADMIN_PORT"), "the default");
}

#[test]
fn ports_of_which_one_is_wrong_are_not_said_to_be_the_same() {
    let dev = ("HOST_ENV", "dev");
    let told = |port| {
        resolve(&[dev, ("PORT", port), ("ADMIN_PORT", "4000")])
            .unwrap_err()
            .to_string()
    };
    assert!(told("4000").contains("both 4000"));
    let wrong = told("abc");
    assert!(
        wrong.contains("is not a port") && !wrong.contains("both"),
        "{wrong}"
    );
}

#[test]
fn what_stands_on_a_line_that_is_wrong_is_not_said_to_be_missing() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("etc")).unwrap();
    let faults = |file: &str, text: &str| {
        std::fs::write(dir.path().join(file), text).unwrap();
        let settings = Settings::read(dir.path(), None, []);
        let home = Home::new(dir.path(), &settings);
        Config::resolve(&settings, &home).unwrap_err().0
    };
    let told = faults("etc/env", "HOST=give.example.org # ours\n");
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("etc/env line 1"), "{told:?}");
    assert!(
        told[1].starts_with("SECRET_KEY_BASE is not set"),
        "{told:?}"
    );
    // Nor is one that has no value that a setting can have.
    std::fs::remove_file(dir.path().join("etc/env")).unwrap();
    let told = faults("etc/host.toml", "host = [1]\nhost_allow_root = true\n");
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("host.toml: host is a text"), "{told:?}");
    // What is no TOML may have had all of them.
    faults("etc/env", "HOST=give.example.org # ours\n");
    let told = faults("etc/host.toml", "host = give.example.org\n");
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[1].contains("host.toml line 1"), "{told:?}");
}

#[test]
fn every_default_that_is_shown_is_what_a_start_takes() {
    let root = Path::new("/srv/giving");
    let home = Home::new(root, &Settings::default());
    let dev = ("HOST_ENV", "dev");
    let nothing = resolve(&[dev]).unwrap();
    let derived = |key| clients::derived(key, &Settings::default(), Environment::Dev);
    for key in ["TOKEN_AUDIENCE", "URL_PORT", "URL_SCHEME"] {
        assert!(derived(key).is_some(), "{key}");
    }
    for key in crate::settings::KEYS {
        let default = || defaults::default(key, Environment::Dev, &home);
        let Some(value) = derived(key).or_else(default) else {
            continue;
        };
        let set = match key {
            "HOST_ENV" => continue,
            key => resolve(&[dev, (key, &value)]).unwrap(),
        };
        let same = Config {
            // Whether it was asked for is known of these.
            store: match (&set.store, &nothing.store) {
                (Store::Sqlite { path, .. }, Store::Sqlite { path: default, .. }) => {
                    assert_eq!(path, default);
                    nothing.store.clone()
                }
                _ => panic!("{set:?}"),
            },
            runtime: Runtime::default(),
            ..set
        };
        assert_eq!(same, nothing, "{key}");
    }
}

#[test]
fn a_wrong_value_of_every_setting_is_told_with_what_is_wanted_and_where_it_is_from() {
    let long = format!("/{}", "d".repeat(100));
    // What was found is shown, but for a secret's; the last is what is wanted.
    let rows = [
        ("ADMIN_PORT", "70000", "a port, 0 to 65535"),
        ("ALLOWED_ORIGINS", "example.org", "https://app.example.org"),
        ("AUTH", "yes", "on or off"),
        ("CORS_CREDENTIALS", "true", "yes or no"),
        (
            "CORS_ORIGINS",
            "give.example.org",
            "https://give.example.org",
        ),
        (
            "DATABASE_URL",
            "mysql://u:hunter2@db/x",
            "sqlite:data/host.db or postgresql://",
        ),
        ("HOST", "https://give", "give.example.org"),
        ("HOST_ALLOW_DEBUG", "true", "yes or no"),
        ("HOST_ALLOW_ROOT", "1", "yes or no"),
        ("HOST_DATA", &long, "set HOST_DATA to a shorter folder"),
        ("HOST_ENV", "production", "prod or dev"),
        ("LIMITS_ADDRESS_BYTES", "2M", "bytes, 0 to"),
        ("LIMITS_ADDRESS_CONNECTIONS", "-1", "connections, 0 to"),
        ("LIMITS_ADDRESS_JOINS", "many", "joins, 0 to"),
        ("LIMITS_ADDRESS_MESSAGES", "1/s", "messages, 0 to"),
        ("LIMITS_CONNECTION_BYTES", "1e9", "bytes, 0 to"),
        ("LIMITS_CONNECTION_JOINS", "0.5", "joins, 0 to"),
        ("LIMITS_CONNECTION_MESSAGES", "no", "messages, 0 to"),
        ("LISTEN", "localhost:4000", "[::1]:4000"),
        ("LOG_FILES", "many", "files, 0 to 1000"),
        ("LOG_FORMAT", "xml", "pretty or json"),
        ("LOG_MAX_BYTES", "64M", "bytes, 4096 to"),
        ("PHX_HOST", "a host", "give.example.org"),
        ("POOL_SIZE", "2", "connections, 3 to 1000"),
        ("PORT", "http", "a port, 0 to 65535"),
        ("PROXY_HEADER", "x-real-ip", "x-forwarded-for or forwarded"),
        ("RETENTION", "soon", "a number of days"),
        ("RUNTIME_LIMITS_AWAKE_ACTORS", "1", "actors, 2048 to"),
        ("RUNTIME_LIMITS_CALLS_UNDER_WAY", "0", "calls, 1 to"),
        ("RUNTIME_LIMITS_IDLE_S", "0.5", "seconds, 1 to"),
        ("RUNTIME_LIMITS_MAILBOX_MESSAGES", "-1", "messages, 1 to"),
        ("RUNTIME_LIMITS_MEMORY_BYTES", "1G", "bytes, 16777216 to"),
        ("RUNTIME_STACK_BYTES", "64k", "bytes, 524288 to"),
        ("RUNTIME_THREADS", "0", "threads, 1 to"),
        ("RUST_LOG", "host=loud=er", "filter of log lines"),
        ("SECRET_KEY_BASE", "hunter2", "at least 64"),
        ("SECRET_KEY_BASE_OLD", "hunter2", "at least 64"),
        ("SSL_CERT_FILE", "/nowhere/ca.pem", "certificates in PEM"),
        (
            "TLS_CERT_FILE",
            "/nowhere/cert.pem",
            "TLS_KEY_FILE is not set",
        ),
        (
            "TLS_KEY_FILE",
            "/nowhere/key.pem",
            "TLS_CERT_FILE is not set",
        ),
        ("TOKEN_AUDIENCE", "a host", "give.example.org"),
        ("TOKEN_KEYS_FILE", "/nowhere/keys", "cannot be read"),
        ("TRUSTED_KEYS", "/nowhere/keys", "public key"),
        ("TRUSTED_PROXIES", "10.0.0.0/99", "such as 10.0.0.0/8"),
        (
            "URL_PORT",
            "http",
            "a port that clients can reach, 1 to 65535",
        ),
        ("URL_SCHEME", "ftp", "http or https"),
    ];
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("etc")).unwrap();
    for (key, wrong, wanted) in rows {
        let dev = if key == "HOST_ENV" {
            ""
        } else {
            "HOST_ENV=dev\n"
        };
        let text = format!("{dev}{key}='{wrong}'\n");
        std::fs::write(dir.path().join("etc/env"), text).unwrap();
        let settings = Settings::read(dir.path(), None, []);
        let home = Home::new(dir.path(), &settings);
        let ConfigFaults(faults) = Config::resolve(&settings, &home).unwrap_err();
        let fault = faults.iter().find(|it| it.starts_with(key));
        let fault = fault.unwrap_or_else(|| panic!("{key}: {faults:?}"));
        assert!(fault.contains("etc/env)"), "{key}: where: {fault}");
        assert!(fault.contains(wanted), "{key}: what is wanted: {fault}");
        let is_secret = wrong.contains("hunter2");
        assert_eq!(fault.contains(wrong), !is_secret, "{key}: {fault}");
        assert!(!fault.contains("hunter2"), "{fault}");
    }
    // HOST_HOME names where all of them are, and is read before: see the launcher's tests.
    let told: Vec<_> = rows.iter().map(|(key, ..)| *key).collect();
    let missing = crate::settings::KEYS
        .iter()
        .filter(|key| !told.contains(key));
    assert_eq!(missing.collect::<Vec<_>>(), [&"HOST_HOME"]);
}

#[test]
fn pages_of_other_origins_are_nobody_everyone_or_named() {
    let dev = ("HOST_ENV", "dev");
    assert_eq!(resolve(&[dev]).unwrap().cors, CorsRules::default());
    let one = ("CORS_ORIGINS", "https://give.example.org");
    let cors = resolve(&[dev, one, ("CORS_CREDENTIALS", "yes")])
        .unwrap()
        .cors;
    assert!(cors.credentials);
    let everyone = ("CORS_ORIGINS", "*");
    assert!(!resolve(&[dev, everyone]).unwrap().cors.credentials);
    let faults = resolve(&[dev, everyone, ("CORS_CREDENTIALS", "yes")]).unwrap_err();
    assert!(faults.0[0].starts_with("CORS_CREDENTIALS"), "{faults}");
    let faults = resolve(&[dev, ("CORS_ORIGINS", "give.example.org")]).unwrap_err();
    assert!(faults.0[0].starts_with("CORS_ORIGINS"), "{faults}");
}
