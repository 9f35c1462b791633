//! The environment twins of options: how their text is read.

use std::collections::BTreeMap;
use std::str::FromStr;

use mobula_store::Segment;

use super::{ConfigError, invalid};

/// Reads the twins; an empty variable counts as unset.
pub(super) struct Environment<F> {
    pub(super) var: F,
}

impl<F: Fn(&str) -> Option<String>> Environment<F> {
    pub(super) fn text(&self, name: &str) -> Option<String> {
        (self.var)(name).filter(|text| !text.is_empty())
    }

    pub(super) fn parse_with<T>(
        &self,
        name: &str,
        wanted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        match parse(text.trim()) {
            Some(value) => Ok(Some(value)),
            None => Err(invalid(name, format!("must be {wanted}, not {text:?}"))),
        }
    }

    pub(super) fn parse<T: FromStr>(&self, name: &str, wanted: &str) -> Result<Option<T>, ConfigError> {
        self.parse_with(name, wanted, |text| text.parse().ok())
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<f64>, ConfigError> {
        self.parse(name, "a number")
    }

    pub(super) fn bytes(&self, name: &str) -> Result<Option<usize>, ConfigError> {
        self.parse_with(name, "a number of bytes such as 1048576, 512M or 4G", |text| {
            let (digits, shift) = match text.chars().last()?.to_ascii_uppercase() {
                'K' => (&text[..text.len() - 1], 10),
                'M' => (&text[..text.len() - 1], 20),
                'G' => (&text[..text.len() - 1], 30),
                'T' => (&text[..text.len() - 1], 40),
                _ => (text, 0),
            };
            digits.trim().parse::<usize>().ok()?.checked_mul(1 << shift)
        })
    }

    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, ConfigError> {
        self.parse_with(name, "1, true, 0 or false", |text| match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Some(true),
            "0" | "false" | "no" | "off" => Some(false),
            _ => None,
        })
    }

    /// Returns what the builder says, or the variable, or the default.
    pub(super) fn flag_unless(&self, set: Option<bool>, name: &str, default: bool) -> Result<bool, ConfigError> {
        match set {
            Some(yes) => Ok(yes),
            None => Ok(self.flag(name)?.unwrap_or(default)),
        }
    }

    /// As [`flag_unless`](Self::flag_unless) for options of a few named values.
    pub(super) fn choice_unless<T: Copy + Default + FromStr>(
        &self,
        set: Option<T>,
        name: &str,
        wanted: &str,
    ) -> Result<T, ConfigError> {
        match set {
            Some(choice) => Ok(choice),
            None => Ok(self.parse(name, wanted)?.unwrap_or_default()),
        }
    }

    pub(super) fn words(&self, name: &str) -> Vec<String> {
        let text = self.text(name).unwrap_or_default();
        text.split_whitespace().map(str::to_owned).collect()
    }

    pub(super) fn pairs(&self, name: &str) -> Result<Vec<(String, String)>, ConfigError> {
        let pairs = self.parse_with(name, "KEY=value pairs with commas between them", |text| {
            text.split(',')
                .map(|pair| pair.split_once('=').map(|(key, value)| (key.trim().to_owned(), value.to_owned())))
                .collect::<Option<Vec<_>>>()
        })?;
        Ok(pairs.unwrap_or_default())
    }

    pub(super) fn amounts(&self, name: &str) -> Result<BTreeMap<String, f64>, ConfigError> {
        let number = |(key, text): (String, String)| match text.trim().parse() {
            Ok(amount) => Ok((key, amount)),
            Err(_) => Err(invalid(name, format!("must give a number for {key}, not {text:?}"))),
        };
        self.pairs(name)?.into_iter().map(number).collect()
    }

    pub(super) fn segment(&self, name: &str) -> Result<Segment, ConfigError> {
        let segment = self.parse_with(name, "anonymous or named:NAME", |text| match text.split_once(':') {
            Some(("named", name)) => Some(Segment::Named(name.to_owned())),
            None if text == "anonymous" => Some(Segment::Anonymous),
            _ => None,
        })?;
        Ok(segment.unwrap_or(Segment::Anonymous))
    }
}
