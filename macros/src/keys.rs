//! The keys of an attribute: `#[mobula::actor(max_restarts = 2, num_gpus = 1.0)]`.
//!
//! Each attribute has a [`Vocabulary`]. [`Keys::parse`] reads the list once, complains about what the
//! vocabulary lacks, and the typed getters ([`Keys::amount`], [`Keys::retries`], ...) take the values
//! out, each complaining about a value of the wrong kind or range. No getter stops the expansion: a
//! key in error counts as absent. A key that names several things is written as a list of its own:
//! `concurrency_groups(io = 2, health = 1)`.
//!
//! The key `crate = path` is known to every attribute. It names the crate that stands for `mobula` in
//! the expansion, for frameworks that re-export it.

use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, ExprUnary, Ident, Lit, LitStr, Path, Token, UnOp, parse_quote};

use crate::errors::Errors;

/// The most values that one call may return as refs of their own.
pub(crate) const MAX_RETURNS: u8 = 8;

/// The only key that is written as a list.
const GROUPS: &str = "concurrency_groups";

/// Which keys an attribute knows.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    /// The attribute as the user writes it.
    pub(crate) attribute: &'static str,
    /// The keys it takes, `crate` apart.
    pub(crate) keys: &'static [&'static str],
    /// Options that a Ray user may look for here, but that belong to one actor or one call.
    pub(crate) options: &'static [&'static str],
    /// Where those options are set instead.
    pub(crate) options_place: &'static str,
}

/// The keys of `#[mobula::actor]`: defaults of the class.
pub(crate) const ACTOR: Vocabulary = Vocabulary {
    attribute: "#[mobula::actor]",
    keys: &[
        "num_cpus",
        "num_gpus",
        "max_restarts",
        "max_task_retries",
        "max_concurrency",
        "max_pending_calls",
        GROUPS,
        "shutdown_timeout",
    ],
    options: &["name", "namespace", "lifetime", "get_if_exists", "resource", "resources", "env"],
    options_place: "where the actor is created, with `options()`",
};

/// The keys of `#[mobula::method]`: defaults of one method.
pub(crate) const METHOD: Vocabulary = Vocabulary {
    attribute: "#[mobula::method]",
    keys: &["num_returns", "max_task_retries", "retry_errors", "concurrency_group", "stream_backpressure"],
    options: &[],
    options_place: "",
};

/// The keys of `#[mobula::task]`: defaults of the task.
pub(crate) const TASK: Vocabulary = Vocabulary {
    attribute: "#[mobula::task]",
    keys: &["num_cpus", "num_gpus", "max_retries", "retry_errors", "num_returns", "max_calls", "stream_backpressure"],
    options: &["resource", "resources", "env"],
    options_place: "where the task is submitted, with `options()`",
};

/// The keys of `#[mobula::main]`: none of its own.
pub(crate) const MAIN: Vocabulary =
    Vocabulary { attribute: "#[mobula::main]", keys: &[], options: &[], options_place: "" };

/// The keys of `#[mobula::test]`: none of its own.
pub(crate) const TEST: Vocabulary =
    Vocabulary { attribute: "#[mobula::test]", keys: &[], options: &[], options_place: "" };

/// How many refs a call gives, and where the source says so.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NumReturns {
    /// From 1 to [`MAX_RETURNS`].
    pub(crate) count: u8,
    /// The place of the number.
    pub(crate) span: Span,
}

/// The keys of one attribute, read and not yet taken.
pub(crate) struct Keys {
    krate: Option<Path>,
    entries: Vec<Entry>,
    /// What [`GROUPS`] lists.
    groups: Option<Vec<Entry>>,
}

/// One `name = value`.
struct Entry {
    name: Ident,
    value: Expr,
}

impl Keys {
    /// Gives the keys of an attribute written without any.
    pub(crate) fn none() -> Keys {
        Keys { krate: None, entries: Vec::new(), groups: None }
    }

    /// Reads `args`, what stands between the parentheses of an attribute.
    pub(crate) fn parse(args: TokenStream, vocabulary: &Vocabulary, errors: &mut Errors) -> Keys {
        let mut keys = Keys::none();
        let parser = |input: ParseStream<'_>| keys.read(input, vocabulary, errors);
        if let Err(error) = parser.parse2(args) {
            errors.absorb(error);
        }
        keys
    }

    /// Gives the path that stands for the crate `mobula`.
    pub(crate) fn krate(&self) -> Path {
        self.krate.clone().unwrap_or_else(|| parse_quote!(::mobula))
    }

    /// Takes an amount of a resource: zero or more, with a fraction.
    pub(crate) fn amount(&mut self, name: &str, errors: &mut Errors) -> Option<f64> {
        let value = self.take(name)?;
        let Some(amount) = Number::of(&value).and_then(|number| number.amount()) else {
            errors.add(&value, format!("`{name}` takes an amount, such as `1.0` or `0.5`"));
            return None;
        };
        if amount < 0.0 {
            errors.add(&value, format!("`{name}` cannot be negative"));
            return None;
        }
        // Also turns -0.0 into the zero that it is meant to be.
        Some(amount.abs())
    }

    /// Takes an amount of GPUs: up to 1 with a fraction, above it whole.
    pub(crate) fn gpus(&mut self, name: &str, errors: &mut Errors) -> Option<f64> {
        let span = self.span_of(name);
        let amount = self.amount(name, errors)?;
        if amount > 1.0 && amount.fract() != 0.0 {
            errors.add_at(span, format!("`{name}` above 1 must be whole: a share is a share of one GPU"));
            return None;
        }
        Some(amount)
    }

    /// Takes a number of repetitions: -1 for always, zero or more.
    pub(crate) fn retries(&mut self, name: &str, errors: &mut Errors) -> Option<i32> {
        let value = self.take(name)?;
        let Some(count) = Number::of(&value).and_then(|number| number.integer(&["", "i32"])) else {
            errors.add(&value, format!("`{name}` takes a whole number, such as `3`, or `-1` for always"));
            return None;
        };
        match i32::try_from(count) {
            Ok(count) if count >= -1 => Some(count),
            _ => {
                errors.add(&value, format!("`{name}` is -1 (always) or a number from 0 to {}", i32::MAX));
                None
            }
        }
    }

    /// Takes a limit: a whole number from 1.
    pub(crate) fn limit(&mut self, name: &str, errors: &mut Errors) -> Option<usize> {
        let value = self.take(name)?;
        let count = Number::of(&value).and_then(|number| number.integer(&["", "usize"]));
        match count.map(usize::try_from) {
            Some(Ok(limit)) if limit >= 1 => Some(limit),
            _ => {
                errors.add(&value, format!("`{name}` takes a whole number from 1; leave it out for the default"));
                None
            }
        }
    }

    /// Takes a bound: a whole number, 0 for none.
    pub(crate) fn bound(&mut self, name: &str, errors: &mut Errors) -> Option<usize> {
        let value = self.take(name)?;
        let count = Number::of(&value).and_then(|number| number.integer(&["", "usize"]));
        match count.map(usize::try_from) {
            Some(Ok(bound)) => Some(bound).filter(|&bound| bound != 0),
            _ => {
                errors.add(&value, format!("`{name}` takes a whole number, such as `10`; 0 is no bound"));
                None
            }
        }
    }

    /// Takes a time in seconds: above zero, with a fraction.
    pub(crate) fn seconds(&mut self, name: &str, errors: &mut Errors) -> Option<f64> {
        let value = self.take(name)?;
        let seconds = Number::of(&value).and_then(|number| number.amount());
        match seconds.filter(|seconds| Duration::try_from_secs_f64(*seconds).is_ok_and(|time| !time.is_zero())) {
            Some(seconds) => Some(seconds),
            None => {
                errors.add(&value, format!("`{name}` takes a time in seconds above zero, such as `2.5`"));
                None
            }
        }
    }

    /// Takes the list of groups with their limits, each name once.
    pub(crate) fn groups(&mut self, errors: &mut Errors) -> Vec<(String, usize)> {
        let mut groups: Vec<(String, usize)> = Vec::new();
        for Entry { name, value } in self.groups.take().unwrap_or_default() {
            let text = name.unraw().to_string();
            let count = Number::of(&value).and_then(|number| number.integer(&["", "usize"]));
            let limit = count.and_then(|count| usize::try_from(count).ok()).filter(|&limit| limit >= 1);
            if groups.iter().any(|(known, _)| *known == text) {
                errors.add(&name, format!("the group `{text}` is given twice"));
            } else if let Some(limit) = limit {
                groups.push((text, limit));
            } else {
                errors.add(
                    &value,
                    format!("the group `{text}` takes a whole number from 1: how many calls it runs at once"),
                );
            }
        }
        groups
    }

    /// Takes `true` or `false`.
    pub(crate) fn flag(&mut self, name: &str, errors: &mut Errors) -> Option<bool> {
        let value = self.take(name)?;
        match literal(&value) {
            Some(Lit::Bool(flag)) => Some(flag.value),
            _ => {
                errors.add(&value, format!("`{name}` takes `true` or `false`"));
                None
            }
        }
    }

    /// Takes a text that is not empty.
    pub(crate) fn text(&mut self, name: &str, errors: &mut Errors) -> Option<String> {
        let value = self.take(name)?;
        match literal(&value) {
            Some(Lit::Str(text)) if !text.value().is_empty() => Some(text.value()),
            _ => {
                errors.add(&value, format!("`{name}` takes a text that is not empty, such as `\"io\"`"));
                None
            }
        }
    }

    /// Takes `num_returns`.
    pub(crate) fn num_returns(&mut self, errors: &mut Errors) -> Option<NumReturns> {
        let value = self.take("num_returns")?;
        let Some(count) = Number::of(&value).and_then(|number| number.integer(&["", "u8"])) else {
            errors.add(&value, format!("`num_returns` takes a whole number from 1 to {MAX_RETURNS}"));
            return None;
        };
        if count < 1 {
            errors.add(
                &value,
                "`num_returns` is at least 1: what returns `()` gives one ref, which tells that it has run",
            );
            return None;
        }
        match u8::try_from(count) {
            Ok(count) if count <= MAX_RETURNS => Some(NumReturns { count, span: value.span() }),
            _ => {
                errors.add(
                    &value,
                    format!("`num_returns` is at most {MAX_RETURNS}: return a struct or a `Vec` as one value"),
                );
                None
            }
        }
    }

    /// Reads the whole list; a syntax error ends it.
    fn read(&mut self, input: ParseStream<'_>, vocabulary: &Vocabulary, errors: &mut Errors) -> syn::Result<()> {
        while !input.is_empty() {
            let Ok(name) = Ident::parse_any(input) else {
                return Err(input.error(format!("expected a key: {}", vocabulary.description())));
            };
            if name == GROUPS && vocabulary.keys.contains(&GROUPS) {
                self.read_groups(&name, input, errors)?;
                if input.is_empty() {
                    break;
                }
                input.parse::<Token![,]>()?;
                continue;
            }
            if !input.peek(Token![=]) {
                return Err(syn::Error::new(name.span(), format!("a key is written `{name} = value`")));
            }
            input.parse::<Token![=]>()?;
            if name == "crate" {
                let path = crate_path(input)?;
                if self.krate.replace(path).is_some() {
                    errors.add(&name, "`crate` is given twice");
                }
            } else {
                let value = input.parse::<Expr>()?;
                self.admit(Entry { name, value }, vocabulary, errors);
            }
            if input.is_empty() {
                break;
            }
            input.parse::<Token![,]>()?;
        }
        Ok(())
    }

    /// Reads the list of a key that has one.
    fn read_groups(&mut self, name: &Ident, input: ParseStream<'_>, errors: &mut Errors) -> syn::Result<()> {
        if !input.peek(syn::token::Paren) {
            return Err(syn::Error::new(name.span(), format!("groups are a list: `{name}(io = 2, health = 1)`")));
        }
        let list;
        syn::parenthesized!(list in input);
        let group = |input: ParseStream<'_>| {
            let name = Ident::parse_any(input)?;
            input.parse::<Token![=]>()?;
            Ok(Entry { name, value: input.parse()? })
        };
        let groups = list.parse_terminated(group, Token![,])?;
        if self.groups.replace(groups.into_iter().collect()).is_some() {
            errors.add(name, format!("`{name}` is given twice"));
        }
        Ok(())
    }

    /// Keeps a key that the vocabulary knows and that was not there before.
    fn admit(&mut self, entry: Entry, vocabulary: &Vocabulary, errors: &mut Errors) {
        let name = entry.name.to_string();
        if vocabulary.options.contains(&name.as_str()) {
            errors.add(
                &entry.name,
                format!("`{name}` is no key of {}: set it {}", vocabulary.attribute, vocabulary.options_place),
            );
        } else if !vocabulary.keys.contains(&name.as_str()) {
            errors.add(&entry.name, format!("unknown key `{name}`: {}", vocabulary.description()));
        } else if self.entries.iter().any(|known| known.name == entry.name) {
            errors.add(&entry.name, format!("`{name}` is given twice"));
        } else {
            self.entries.push(entry);
        }
    }

    /// Removes the key `name` and gives its value.
    fn take(&mut self, name: &str) -> Option<Expr> {
        let index = self.entries.iter().position(|entry| entry.name == name)?;
        Some(self.entries.swap_remove(index).value)
    }

    /// Gives the place of the value of `name`, if it is given.
    pub(crate) fn place_of(&self, name: &str) -> Option<Span> {
        self.entries.iter().find(|entry| entry.name == name).map(|entry| entry.value.span())
    }

    /// Gives the place of the value of `name`.
    fn span_of(&self, name: &str) -> Span {
        self.place_of(name).unwrap_or_else(Span::call_site)
    }
}

impl Vocabulary {
    /// Lists the keys for an error message.
    fn description(&self) -> String {
        if self.keys.is_empty() {
            return format!("{} knows only `crate`", self.attribute);
        }
        let keys: Vec<String> = self.keys.iter().map(|key| format!("`{key}`")).collect();
        format!("{} knows {} and `crate`", self.attribute, keys.join(", "))
    }
}

/// A literal number with its sign.
struct Number<'a> {
    negative: bool,
    literal: &'a Lit,
}

impl<'a> Number<'a> {
    /// Reads `value` as a literal number.
    fn of(value: &'a Expr) -> Option<Number<'a>> {
        match ungrouped(value) {
            Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) => {
                Some(Number { negative: true, literal: literal(expr)? })
            }
            other => Some(Number { negative: false, literal: literal(other)? }),
        }
    }

    /// Gives the number with its fraction, if it is finite and its suffix fits.
    fn amount(&self) -> Option<f64> {
        let magnitude = match self.literal {
            Lit::Int(int) if matches!(int.suffix(), "" | "f64") => int.base10_parse::<f64>(),
            Lit::Float(float) if matches!(float.suffix(), "" | "f64") => float.base10_parse::<f64>(),
            _ => return None,
        };
        let magnitude = magnitude.ok().filter(|amount| amount.is_finite())?;
        Some(if self.negative { -magnitude } else { magnitude })
    }

    /// Gives the whole number, if it is one with one of `suffixes`.
    fn integer(&self, suffixes: &[&str]) -> Option<i128> {
        match self.literal {
            Lit::Int(int) if suffixes.contains(&int.suffix()) => {
                let magnitude = int.base10_parse::<i128>().ok()?;
                Some(if self.negative { -magnitude } else { magnitude })
            }
            _ => None,
        }
    }
}

/// Writes an optional default into the expansion.
pub(crate) fn option_tokens(value: Option<impl quote::ToTokens>) -> TokenStream {
    match value {
        Some(value) => quote!(::core::option::Option::Some(#value)),
        None => quote!(::core::option::Option::None),
    }
}

/// Gives the literal that `value` is.
fn literal(value: &Expr) -> Option<&Lit> {
    match ungrouped(value) {
        Expr::Lit(ExprLit { lit, .. }) => Some(lit),
        _ => None,
    }
}

/// Looks through the invisible groups that macros by example put around what they pass on.
fn ungrouped(mut value: &Expr) -> &Expr {
    while let Expr::Group(group) = value {
        value = &group.expr;
    }
    value
}

/// Reads the path of `crate = path`, which may also stand in quotes, as other crates have it.
fn crate_path(input: ParseStream<'_>) -> syn::Result<Path> {
    if input.peek(LitStr) {
        return input.parse::<LitStr>()?.parse_with(Path::parse_mod_style);
    }
    Path::parse_mod_style(input)
        .map_err(|error| syn::Error::new(error.span(), "`crate` takes a path, such as `::framework::mobula`"))
}

#[cfg(test)]
mod tests {
    use quote::{ToTokens, quote};

    use super::*;

    fn actor_keys(args: TokenStream) -> (Keys, Errors) {
        let mut errors = Errors::default();
        let keys = Keys::parse(args, &ACTOR, &mut errors);
        (keys, errors)
    }

    fn complaints(errors: Errors) -> String {
        errors.into_compile_errors().to_string()
    }

    #[test]
    fn values_of_every_kind() {
        let (mut keys, mut errors) = actor_keys(quote!(
            num_cpus = 2,
            num_gpus = 0.5,
            max_restarts = -1,
            max_task_retries = 3i32,
            max_concurrency = 4,
        ));
        assert_eq!(keys.amount("num_cpus", &mut errors), Some(2.0));
        assert_eq!(keys.gpus("num_gpus", &mut errors), Some(0.5));
        assert_eq!(keys.retries("max_restarts", &mut errors), Some(-1));
        assert_eq!(keys.retries("max_task_retries", &mut errors), Some(3));
        assert_eq!(keys.limit("max_concurrency", &mut errors), Some(4));
        assert_eq!(keys.limit("max_pending_calls", &mut errors), None);
        assert_eq!(errors.count(), 0);
    }

    #[test]
    fn the_crate_is_a_path_or_a_text() {
        for args in [quote!(crate = ::framework::mobula), quote!(crate = "::framework::mobula")] {
            let (keys, errors) = actor_keys(args);
            assert_eq!(errors.count(), 0);
            let krate = keys.krate().to_token_stream().to_string();
            assert_eq!(krate, ":: framework :: mobula");
        }
        let (keys, _) = actor_keys(quote!());
        assert_eq!(keys.krate().to_token_stream().to_string(), ":: mobula");
    }

    #[test]
    fn wrong_signs_and_kinds_are_each_told() {
        let (mut keys, mut errors) = actor_keys(quote!(
            num_cpus = -1.0,
            num_gpus = 1.5,
            max_restarts = -2,
            max_task_retries = "three",
            max_concurrency = 0,
            max_pending_calls = 1.5
        ));
        assert_eq!(errors.count(), 0);
        assert_eq!(keys.amount("num_cpus", &mut errors), None);
        assert_eq!(keys.gpus("num_gpus", &mut errors), None);
        assert_eq!(keys.retries("max_restarts", &mut errors), None);
        assert_eq!(keys.retries("max_task_retries", &mut errors), None);
        assert_eq!(keys.limit("max_concurrency", &mut errors), None);
        assert_eq!(keys.limit("max_pending_calls", &mut errors), None);
        assert_eq!(errors.count(), 6);
    }

    #[test]
    fn groups_are_a_list_of_limits() {
        let (mut keys, mut errors) = actor_keys(quote!(concurrency_groups(io = 2, r#type = 1), max_concurrency = 3));
        assert_eq!(keys.groups(&mut errors), [("io".to_owned(), 2), ("type".to_owned(), 1)]);
        assert_eq!(keys.limit("max_concurrency", &mut errors), Some(3));
        assert_eq!(errors.count(), 0);
        let (mut keys, mut errors) = actor_keys(quote!(concurrency_groups(io = 0, a = 1, a = 2, b = "x", c = -1)));
        assert_eq!(keys.groups(&mut errors), [("a".to_owned(), 1)]);
        assert_eq!(errors.count(), 4);
        for args in [quote!(concurrency_groups = 2), quote!(concurrency_groups(io)), quote!(concurrency_groups(2 = 1))]
        {
            assert_eq!(actor_keys(args).1.count(), 1);
        }
    }

    #[test]
    fn times_are_above_zero() {
        let (mut keys, mut errors) = actor_keys(quote!(shutdown_timeout = 2.5));
        assert_eq!(keys.seconds("shutdown_timeout", &mut errors), Some(2.5));
        assert_eq!(errors.count(), 0);
        for args in [quote!(shutdown_timeout = 0), quote!(shutdown_timeout = -1.0), quote!(shutdown_timeout = 1e300)] {
            let (mut keys, mut errors) = actor_keys(args);
            assert_eq!(keys.seconds("shutdown_timeout", &mut errors), None);
            assert_eq!(errors.count(), 1);
        }
    }

    #[test]
    fn amounts_must_be_finite() {
        let (mut keys, mut errors) = actor_keys(quote!(num_cpus = 1e999));
        assert_eq!(keys.amount("num_cpus", &mut errors), None);
        assert_eq!(errors.count(), 1);
    }

    #[test]
    fn unknown_repeated_and_misplaced_keys_are_all_told() {
        let (_, errors) = actor_keys(quote!(max_restart = 2, name = "a", num_cpus = 1, num_cpus = 2));
        assert_eq!(errors.count(), 3);
        let shown = complaints(errors);
        assert!(shown.contains("unknown key `max_restart`"), "{shown}");
        assert!(shown.contains("`max_restarts`, `max_task_retries`"), "{shown}");
        assert!(shown.contains("where the actor is created"), "{shown}");
        assert!(shown.contains("given twice"), "{shown}");
    }

    #[test]
    fn hostile_lists_give_an_error_and_no_panic() {
        for args in [
            quote!(=),
            quote!(num_cpus),
            quote!(num_cpus =),
            quote!(num_cpus(2)),
            quote!(num_cpus = 1 num_gpus = 1),
            quote!("num_cpus" = 1),
            quote!(crate),
            quote!(crate = 7),
            quote!(crate = "not a path"),
            quote!(,),
        ] {
            let shown = args.to_string();
            let (_, errors) = actor_keys(args);
            assert!(errors.count() > 0, "accepted: {shown}");
        }
    }
}
