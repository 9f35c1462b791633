//! The fingerprint of a signature: 64 bits by which two binaries see that they mean the same call.
//!
//! FNV-1a over the tokens, not over the text: how the source is laid out does not count, and neither
//! do parameter names, docs and bodies. What is under a `#[cfg]` cannot be decided by a macro, so it
//! comes out as code: [`constant`] is an expression that folds the fingerprints of single functions
//! into one, each under its condition, with one step of the same function over a whole word.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::Attribute;

use crate::attributes;

/// The start value of FNV-1a with 64 bits.
const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;

/// The prime of FNV-1a with 64 bits.
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// A fingerprint in the making.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fingerprint(u64);

impl Fingerprint {
    /// Starts with nothing.
    pub(crate) fn new() -> Fingerprint {
        Fingerprint(OFFSET_BASIS)
    }

    /// Adds a text, and an end mark, so that `ab, c` and `a, bc` differ.
    pub(crate) fn text(&mut self, text: &str) -> &mut Fingerprint {
        for &byte in text.as_bytes() {
            self.byte(byte);
        }
        self.byte(0);
        self
    }

    /// Adds tokens, each as a text.
    pub(crate) fn tokens(&mut self, tokens: TokenStream) -> &mut Fingerprint {
        for token in tokens {
            match token {
                TokenTree::Group(group) => {
                    let (open, close) = match group.delimiter() {
                        Delimiter::Parenthesis => ("(", ")"),
                        Delimiter::Brace => ("{", "}"),
                        Delimiter::Bracket => ("[", "]"),
                        // Put there by a macro by example, and not part of what was written.
                        Delimiter::None => {
                            self.tokens(group.stream());
                            continue;
                        }
                    };
                    self.text(open).tokens(group.stream()).text(close);
                }
                // Joint and alone would be one more difference of layout.
                TokenTree::Punct(punct) => {
                    self.text(punct.as_char().encode_utf8(&mut [0; 4]));
                }
                TokenTree::Ident(ident) => {
                    self.text(&ident.to_string());
                }
                TokenTree::Literal(literal) => {
                    self.text(&literal.to_string());
                }
            }
        }
        self
    }

    /// Gives the step of a [`constant`] that folds in this fingerprint under `conditions`, and behind
    /// it `parts` of the same thing under conditions of their own.
    pub(crate) fn folded<'a>(
        &self,
        conditions: &[Attribute],
        parts: impl IntoIterator<Item = (&'a [Attribute], u64)>,
    ) -> TokenStream {
        let conditions = attributes::tokens(conditions);
        let whole = fold(self.value());
        let parts = parts.into_iter().map(|(conditions, value)| {
            let conditions = attributes::tokens(conditions);
            let part = fold(value);
            emit!(#conditions { #part })
        });
        emit!(#conditions { #whole #(#parts)* })
    }

    /// Gives the value.
    pub(crate) fn value(&self) -> u64 {
        self.0
    }

    fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(PRIME);
    }
}

/// Gives an expression of the steps' fingerprint, for a constant.
pub(crate) fn constant(steps: impl IntoIterator<Item = TokenStream>) -> TokenStream {
    let steps = steps.into_iter();
    emit!({
        let mut __hash: ::core::primitive::u64 = #OFFSET_BASIS;
        #(#steps)*
        __hash
    })
}

/// Gives the statement that folds `value` into the expression's variable.
fn fold(value: u64) -> TokenStream {
    emit!(__hash = (__hash ^ #value).wrapping_mul(#PRIME);)
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    fn of(source: &str) -> u64 {
        let tokens = TokenStream::from_str(source).unwrap();
        Fingerprint::new().tokens(tokens).value()
    }

    #[test]
    fn layout_does_not_count() {
        assert_eq!(of("Vec<Option<u8>>"), of("Vec < Option <\n u8 > >"));
    }

    #[test]
    fn every_token_counts() {
        let sources = ["u8", "u16", "(u8,)", "[u8; 2]", "[u8; 3]", "a b", "ab", ""];
        for (index, one) in sources.iter().enumerate() {
            for other in &sources[index + 1..] {
                assert_ne!(of(one), of(other), "{one} and {other}");
            }
        }
    }

    #[test]
    fn the_function_is_fnv_1a() {
        // The published value for "a", with the end mark left off.
        let mut fingerprint = Fingerprint::new();
        fingerprint.byte(b'a');
        assert_eq!(fingerprint.value(), 0xaf63_dc4c_8601_ec8c);
    }
}
