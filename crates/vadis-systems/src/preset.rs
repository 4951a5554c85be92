//! Presets and the settings over them.

use std::fmt::{self, Display};
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::SystemError;

/// A named set of settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// The paper's.
    Paper,
    /// As good as an hour of two cores allows.
    Cpu,
    /// Seconds, for tests.
    Tiny,
}

impl Preset {
    /// All, with their names.
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::Paper, "paper"), (Self::Cpu, "cpu"), (Self::Tiny, "tiny")];
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(p, _)| p == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

impl FromStr for Preset {
    type Err = SystemError;

    fn from_str(text: &str) -> Result<Self, SystemError> {
        Self::ALL.iter().find(|(_, name)| *name == text).map(|(p, _)| *p).ok_or_else(|| {
            SystemError::Setting {
                key: "preset".to_owned(),
                reason: format!("`{text}` is none of paper, cpu, tiny"),
            }
        })
    }
}

/// One `key=value` of the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The setting's name.
    pub key: String,
    /// Its value, as text.
    pub value: String,
}

impl FromStr for Setting {
    type Err = SystemError;

    fn from_str(text: &str) -> Result<Self, SystemError> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                Ok(Self { key: key.trim().to_owned(), value: value.trim().to_owned() })
            }
            _ => Err(SystemError::Setting {
                key: text.to_owned(),
                reason: "settings have the form key=value".to_owned(),
            }),
        }
    }
}

/// `base` with `settings` over it. A value is read as TOML (`3`, `0.01`, `true`, `[16, 32]`), else as text.
///
/// # Errors
/// [`SystemError::Setting`] for a key that `base` does not have, or a value of another type.
pub fn resolve_config<C: Serialize + DeserializeOwned>(
    base: &C,
    settings: &[Setting],
) -> Result<C, SystemError> {
    let broken = |key: &str, reason: String| SystemError::Setting { key: key.to_owned(), reason };
    let mut value = serde_json::to_value(base).map_err(|e| broken("preset", e.to_string()))?;
    for Setting { key, value: text } in settings {
        let Some(fields) = value.as_object_mut() else { break };
        if !fields.contains_key(key) {
            let known = fields.keys().cloned().collect::<Vec<_>>().join(", ");
            return Err(broken(key, format!("there is none of that name; there are: {known}")));
        }
        let old = fields.insert(key.clone(), parse_value(text));
        if let Err(error) = serde_json::from_value::<C>(value.clone()) {
            let was = old.map_or_else(String::new, |v| format!(" (its default is {v})"));
            return Err(broken(key, format!("cannot be `{text}`: {error}{was}")));
        }
    }
    serde_json::from_value(value).map_err(|e| broken("preset", e.to_string()))
}

fn parse_value(text: &str) -> Value {
    let document = format!("value = {text}");
    let parsed = document.parse::<toml::Table>().ok().and_then(|mut table| table.remove("value"));
    parsed.and_then(|v| serde_json::to_value(v).ok()).unwrap_or_else(|| Value::String(text.to_owned()))
}

/// An error of the setting `key`.
pub(crate) fn setting(key: &str, reason: impl Display) -> SystemError {
    SystemError::Setting { key: key.to_owned(), reason: reason.to_string() }
}

/// The error of the first setting whose condition does not hold: its key, what it must be, and whether it is.
pub(crate) fn all_hold<const N: usize>(ranges: [(&str, &str, bool); N]) -> Result<(), SystemError> {
    match ranges.into_iter().find(|(_, _, holds)| !holds) {
        Some((key, reason, _)) => Err(setting(key, reason)),
        None => Ok(()),
    }
}

/// # Errors
/// [`SystemError::Setting`] if `value` is not in `least..=most`.
pub(crate) fn within(key: &str, value: usize, least: usize, most: usize) -> Result<(), SystemError> {
    match (least..=most).contains(&value) {
        true => Ok(()),
        false if most == usize::MAX => Err(setting(key, format!("must be at least {least}"))),
        false => Err(setting(key, format!("must be from {least} to {most}"))),
    }
}

/// # Errors
/// [`SystemError::Setting`] if `value` is no probability.
pub(crate) fn probability(key: &str, value: f64) -> Result<(), SystemError> {
    match (0.0..=1.0).contains(&value) {
        true => Ok(()),
        false => Err(setting(key, "must be from 0 to 1")),
    }
}

/// Each setting, put over `base`, is refused by `check`, and the error names its key: `(setting, key)`.
#[cfg(test)]
pub(crate) fn assert_are_named<C: Serialize + DeserializeOwned>(
    base: &C,
    check: impl Fn(&C) -> Result<(), SystemError>,
    wrong: &[(&str, &str)],
) {
    for (text, key) in wrong {
        let changed = resolve_config(base, &[text.parse().unwrap()]).unwrap();
        let told = check(&changed);
        assert!(matches!(&told, Err(SystemError::Setting { key: k, .. }) if k == key), "{text}: {told:?}");
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Config {
        epochs: usize,
        rate: f64,
        size: Option<String>,
    }

    fn settings(texts: &[&str]) -> Vec<Setting> {
        texts.iter().map(|t| t.parse().unwrap()).collect()
    }

    #[test]
    fn settings_override_by_name_and_type() {
        let base = Config { epochs: 3, rate: 0.1, size: None };
        let got = resolve_config(&base, &settings(&["epochs = 7", "rate=1e-3", "size=64x32"])).unwrap();
        assert_eq!(got, Config { epochs: 7, rate: 1e-3, size: Some("64x32".into()) });
    }

    #[test]
    fn wrong_settings_say_what_would_be_right() {
        let base = Config { epochs: 3, rate: 0.1, size: None };
        let unknown = resolve_config(&base, &settings(&["epoch=7"])).unwrap_err().to_string();
        assert!(unknown.contains("epochs, rate, size"), "{unknown}");
        let typed = resolve_config(&base, &settings(&["epochs=many"])).unwrap_err().to_string();
        assert!(typed.contains("`many`") && typed.contains("default is 3"), "{typed}");
        assert!("epochs".parse::<Setting>().is_err() && "=3".parse::<Setting>().is_err());
    }
}
