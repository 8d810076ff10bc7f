//! What plugins are configured by: declared in the manifest of their release, set where the
//! host's own settings are, and told of in the same words.

use host_model::release::ReleasePlugin;
use host_model::setting::PluginSetting;
use serde_json::{Map, Value};

use crate::settings::Settings;

/// Everything that is wrong with the configuration of the release's plugins, a sentence
/// each.
pub(super) fn faults(settings: &Settings) -> Vec<String> {
    let declared = settings.declared().values();
    let read = declared.filter_map(|it| value(settings, &it.plugin, &it.setting).err());
    read.collect()
}

/// What `plugin` is to work with, as JSON.
///
/// # Errors
///
/// Everything that is wrong with it, a sentence each.
pub(crate) fn of(settings: &Settings, plugin: &ReleasePlugin) -> Result<Vec<u8>, Vec<String>> {
    let may_hide = |it: &PluginSetting| settings.may_hide(&it.key(&plugin.name));
    if plugin.settings.iter().any(may_hide) {
        // That it is not set, or by its default, would be a guess.
        return Err(settings.faults().to_vec());
    }
    let mut values = Map::new();
    let mut faults = Vec::new();
    for setting in &plugin.settings {
        match value(settings, &plugin.name, setting) {
            Ok(value) => values.extend(value.map(|it| (setting.name.clone(), it))),
            Err(fault) => faults.push(fault),
        }
    }
    match faults.is_empty() {
        true => Ok(Value::Object(values).to_string().into_bytes()),
        false => Err(faults),
    }
}

/// The value of a setting, if it has one.
fn value(
    settings: &Settings,
    plugin: &str,
    setting: &PluginSetting,
) -> Result<Option<Value>, String> {
    let key = setting.key(plugin);
    let Some(set) = settings.get(&key) else {
        return match &setting.default {
            Some(default) => setting.read(default).map(Some),
            None if setting.required && !settings.may_hide(&key) => {
                let about = match setting.about.as_str() {
                    "" => String::new(),
                    about => format!(" ({about})"),
                };
                let wanted = match setting.read("") {
                    Err(wanted) => format!(": {wanted}"),
                    Ok(_) => String::new(),
                };
                Err(format!(
                    "{key} is not set, and the plugin {plugin} needs it{about}{wanted}"
                ))
            }
            None => Ok(None),
        };
    };
    setting.read(set.value).map(Some).map_err(|wanted| {
        let found = match setting.secret {
            true => "its value, which is a secret,".to_owned(),
            false => format!("{:?}", set.value),
        };
        format!("{key} ({}): {found} is not {wanted}", set.from)
    })
}

#[cfg(test)]
mod tests {
    use host_model::Version;
    use host_model::setting::SettingKind;

    use super::*;

    fn plugin() -> ReleasePlugin {
        let setting = |name: &str, kind, default: Option<&str>| PluginSetting {
            name: name.to_owned(),
            kind,
            default: default.map(str::to_owned),
            required: false,
            secret: false,
            about: String::new(),
        };
        ReleasePlugin {
            name: "zakat-al-mal".to_owned(),
            version: Version::new(0, 2, 0),
            file: "x.so".into(),
            sha256: String::new(),
            start: Default::default(),
            shape: None,
            settings: vec![
                setting(
                    "nisab",
                    SettingKind::Integer { min: 1, max: 99 },
                    Some("85"),
                ),
                PluginSetting {
                    required: true,
                    about: "whom it is for".to_owned(),
                    ..setting("payee", SettingKind::Text, None)
                },
                PluginSetting {
                    secret: true,
                    ..setting("pin", SettingKind::Integer { min: 0, max: 9 }, None)
                },
            ],
        }
    }

    fn settings(toml: &str, environment: &[(&str, &str)]) -> Settings {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(home.path().join("etc")).unwrap();
        std::fs::write(home.path().join("etc/host.toml"), toml).unwrap();
        let environment = environment.iter();
        let environment = environment.map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let mut settings = Settings::read(home.path(), None, environment);
        settings.declare(&[plugin()]);
        settings
    }

    #[test]
    fn values_are_typed_and_the_strongest_layer_wins() {
        let toml = "[plugins.zakat-al-mal]\nnisab = 84\npayee = \"a\"\npim = 1\n";
        let settings = settings(toml, &[("ZAKAT_AL_MAL_PAYEE", "b")]);
        assert_eq!(faults(&settings), [""; 0]);
        let value: Value = serde_json::from_slice(&of(&settings, &plugin()).unwrap()).unwrap();
        assert_eq!(value, serde_json::json!({"nisab": 84, "payee": "b"}));
        // What no plugin of this release reads may be another's.
        let warnings = settings.warnings();
        assert!(
            matches!(&warnings[..], [it] if it.ends_with("pim in [plugins.zakat-al-mal] is no setting that the host reads there; did you mean ZAKAT_AL_MAL_PIN?")),
            "{warnings:?}"
        );
    }

    #[test]
    fn what_is_wrong_or_missing_is_told_with_its_place_and_never_a_secret() {
        let environment = [("ZAKAT_AL_MAL_PIN", "4711"), ("ZAKAT_AL_MAL_NISAB", "many")];
        let settings = settings("", &environment);
        assert_eq!(
            faults(&settings),
            [
                "ZAKAT_AL_MAL_NISAB (the environment): \"many\" is not a whole number, 1 to 99",
                "ZAKAT_AL_MAL_PAYEE is not set, and the plugin zakat-al-mal needs it (whom it is for)",
                "ZAKAT_AL_MAL_PIN (the environment): its value, which is a secret, is not a whole number, 0 to 9",
            ]
        );
        assert_eq!(of(&settings, &plugin()).unwrap_err().len(), 3);
    }

    #[test]
    fn a_name_that_is_the_hosts_own_is_refused() {
        let mut settings = Settings::default();
        let mut plugin = plugin();
        plugin.name = "pool".to_owned();
        plugin.settings[0].name = "size".to_owned();
        settings.declare(&[plugin]);
        let faults = settings.faults();
        assert!(faults[0].contains("which would be POOL_SIZE"), "{faults:?}");
    }
}
