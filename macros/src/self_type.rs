//! `Self` in a signature: replaced by the type that it means.
//!
//! A method's signature is repeated in the impl of another type (the handle's methods, the launcher),
//! where `Self` would mean that type.

use proc_macro2::{Group, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::visit_mut::{self, VisitMut};
use syn::{Expr, Macro, Path, Type};

/// Gives `ty` with every `Self` replaced by `self_type`.
pub(crate) fn replaced(ty: &Type, self_type: &Type) -> Type {
    let mut ty = ty.clone();
    Replacement { self_type }.visit_type_mut(&mut ty);
    ty
}

/// Tells whether `ty` is `Self`.
pub(crate) fn is_self(ty: &Type) -> bool {
    matches!(ungrouped(ty), Type::Path(path) if path.qself.is_none() && path.path.is_ident("Self"))
}

/// Tells whether `Self` stands anywhere in `ty`.
pub(crate) fn mentions_self(ty: &Type) -> bool {
    fn within(tokens: TokenStream) -> bool {
        tokens.into_iter().any(|token| match token {
            TokenTree::Ident(ident) => ident == "Self",
            TokenTree::Group(group) => within(group.stream()),
            _ => false,
        })
    }
    within(ty.to_token_stream())
}

/// Looks through parentheses and the invisible groups of macros by example.
pub(crate) fn ungrouped(mut ty: &Type) -> &Type {
    loop {
        ty = match ty {
            Type::Group(group) => &group.elem,
            Type::Paren(paren) => &paren.elem,
            other => return other,
        };
    }
}

/// Walks through a type, also into the lengths of its arrays.
struct Replacement<'a> {
    self_type: &'a Type,
}

impl Replacement<'_> {
    /// Gives the type as if it were written where `span` is, so that errors point there.
    fn located_at(&self, span: Span) -> TokenStream {
        relocated(self.self_type.to_token_stream(), span)
    }

    /// Gives `<Counter>::LEN` for `Self::LEN`.
    fn qualified(&self, path: &Path) -> Option<TokenStream> {
        let first = path.segments.first()?;
        if path.leading_colon.is_some() || first.ident != "Self" || path.segments.len() < 2 {
            return None;
        }
        let ty = self.located_at(first.ident.span());
        let rest = path.segments.iter().skip(1);
        Some(quote!(<#ty> #(:: #rest)*))
    }

    /// Replaces the identifier in tokens that only a macro understands.
    fn in_tokens(&self, tokens: TokenStream) -> TokenStream {
        tokens
            .into_iter()
            .flat_map(|token| match token {
                TokenTree::Ident(ident) if ident == "Self" => self.located_at(ident.span()),
                TokenTree::Group(group) => {
                    let mut inner = Group::new(group.delimiter(), self.in_tokens(group.stream()));
                    inner.set_span(group.span());
                    TokenTree::Group(inner).into()
                }
                other => other.into(),
            })
            .collect()
    }
}

impl VisitMut for Replacement<'_> {
    fn visit_type_mut(&mut self, ty: &mut Type) {
        if let Type::Path(path) = &*ty
            && path.qself.is_none()
        {
            if let Some(ident) = path.path.get_ident()
                && ident == "Self"
            {
                *ty = Type::Verbatim(self.located_at(ident.span()));
                return;
            }
            if let Some(tokens) = self.qualified(&path.path) {
                *ty = Type::Verbatim(tokens);
                return;
            }
        }
        visit_mut::visit_type_mut(self, ty);
    }

    fn visit_expr_mut(&mut self, expr: &mut Expr) {
        if let Expr::Path(path) = &*expr
            && path.qself.is_none()
            && let Some(tokens) = self.qualified(&path.path)
        {
            *expr = Expr::Verbatim(tokens);
            return;
        }
        visit_mut::visit_expr_mut(self, expr);
    }

    fn visit_macro_mut(&mut self, call: &mut Macro) {
        call.tokens = self.in_tokens(call.tokens.clone());
    }
}

/// Moves tokens to another place without changing what their names mean.
fn relocated(tokens: TokenStream, span: Span) -> TokenStream {
    tokens
        .into_iter()
        .map(|token| {
            let mut token = match token {
                TokenTree::Group(group) => {
                    let inner = relocated(group.stream(), span);
                    TokenTree::Group(Group::new(group.delimiter(), inner))
                }
                other => other,
            };
            token.set_span(token.span().located_at(span));
            token
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    #[test]
    fn self_is_replaced_wherever_a_type_can_hold_it() {
        let cases: [(Type, &str); 6] = [
            (parse_quote!(Self), "Counter"),
            (parse_quote!(Vec<(u8, Self)>), "Vec < (u8 , Counter) >"),
            (parse_quote!([u8; Self::LEN]), "[u8 ; < Counter > :: LEN]"),
            (parse_quote!(<Self as Iterator>::Item), "< Counter as Iterator > :: Item"),
            (parse_quote!(list![Self]), "list ! [Counter]"),
            (parse_quote!(Selfish), "Selfish"),
        ];
        let self_type: Type = parse_quote!(Counter);
        for (ty, expected) in cases {
            let got = replaced(&ty, &self_type).to_token_stream().to_string();
            assert_eq!(got, expected);
        }
    }

    #[test]
    fn self_is_recognised_in_parentheses() {
        assert!(is_self(&parse_quote!((Self))));
        assert!(!is_self(&parse_quote!(Box<Self>)));
        assert!(mentions_self(&parse_quote!(Box<(Self, u8)>)));
        assert!(!mentions_self(&parse_quote!(Box<Selfish>)));
    }
}
