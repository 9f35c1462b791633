//! What is wrong with the marked item: every complaint of one expansion, shown together.
//!
//! A macro that stops at its first complaint makes its user compile once for each of them. Here they
//! are collected, each with the span of the token that caused it, and come out as one
//! `compile_error!` each.

use std::fmt::Display;

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;

/// Collects the complaints about one marked item.
#[derive(Debug, Default)]
pub(crate) struct Errors {
    combined: Option<syn::Error>,
    count: usize,
}

impl Errors {
    /// Adds a complaint about `tokens`, underlined from the first to the last of them.
    pub(crate) fn add(&mut self, tokens: impl ToTokens, message: impl Display) {
        self.absorb(syn::Error::new_spanned(tokens, message));
    }

    /// Adds a complaint about the place `span`.
    pub(crate) fn add_at(&mut self, span: Span, message: impl Display) {
        self.absorb(syn::Error::new(span, message));
    }

    /// Adds what a parser of `syn` found.
    pub(crate) fn absorb(&mut self, error: syn::Error) {
        self.count += 1;
        match &mut self.combined {
            Some(combined) => combined.combine(error),
            none => *none = Some(error),
        }
    }

    /// Counts the complaints so far: equal before and after a check means that it found nothing.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Gives one `compile_error!` for each complaint, in the order of the findings.
    pub(crate) fn into_compile_errors(self) -> TokenStream {
        self.combined.map(|combined| combined.to_compile_error()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_complaint_gives_no_tokens() {
        assert!(Errors::default().into_compile_errors().is_empty());
    }

    #[test]
    fn every_complaint_is_shown() {
        let mut errors = Errors::default();
        errors.add_at(Span::call_site(), "the first");
        errors.add(quote::quote!(a b), "the second");
        assert_eq!(errors.count(), 2);
        let shown = errors.into_compile_errors().to_string();
        assert!(shown.contains("the first") && shown.contains("the second"), "{shown}");
    }
}
