//! Attributes of the user's items: which of them the generated items carry too.
//!
//! An attribute macro sees `#[cfg]` before it is evaluated. Whatever is generated for an item that may
//! vanish must therefore vanish under the same condition, and what is generated for a documented or
//! deprecated item should say so as well. `#[cfg_attr]` is carried with those of its parts that are
//! of that kind.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Attribute, Ident, Meta, Path, Token, parse_quote};

/// Gives the attributes that decide whether an item exists.
pub(crate) fn conditions(attributes: &[Attribute]) -> Vec<Attribute> {
    carried(attributes, &["cfg"])
}

/// Gives the attributes that travel to the public face of an item: existence, docs, deprecation.
pub(crate) fn travelling(attributes: &[Attribute]) -> Vec<Attribute> {
    carried(attributes, &["cfg", "doc", "deprecated"])
}

/// Gives the attributes that say which lints the user has silenced.
pub(crate) fn silenced(attributes: &[Attribute]) -> Vec<Attribute> {
    carried(attributes, &["cfg", "allow"])
}

/// Tells whether one of `attributes` is documentation.
pub(crate) fn is_documented(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| attribute.path().is_ident("doc"))
}

/// Tells whether an item is deprecated, or uses what is and says so.
pub(crate) fn is_about_deprecation(attributes: &[Attribute]) -> bool {
    fn mentions(tokens: TokenStream) -> bool {
        tokens.into_iter().any(|token| match token {
            TokenTree::Ident(ident) => ident == "deprecated",
            TokenTree::Group(group) => mentions(group.stream()),
            TokenTree::Punct(_) | TokenTree::Literal(_) => false,
        })
    }
    attributes.iter().any(|attribute| mentions(attribute.meta.to_token_stream()))
}

/// Gives the attribute for generated code that uses such an item. It stands only where it is needed:
/// under `forbid(deprecated)` it would be an error.
pub(crate) fn deprecation_allowed() -> TokenStream {
    emit!(#[allow(deprecated)])
}

/// Tells whether `path` names the attribute `name` of Mobula, whose crate is `krate`: alone, after an
/// import, or through `mobula` or anything on the way to `krate`, such as a framework that re-exports
/// the attributes beside the crate.
pub(crate) fn is_helper(path: &Path, name: &str, krate: &Path) -> bool {
    let mut reversed = path.segments.iter().rev();
    if reversed.next().is_none_or(|last| last.ident != name) {
        return false;
    }
    let mut parents = reversed.peekable();
    let on_the_way = |ident: &Ident| ident == "mobula" || krate.segments.iter().any(|segment| segment.ident == *ident);
    parents.peek().is_none() || parents.any(|parent| on_the_way(&parent.ident))
}

/// Tells whether `attribute` applies the helper `name` under a condition, where no macro can see it.
pub(crate) fn is_conditional_helper(attribute: &Attribute, name: &str, krate: &Path) -> bool {
    conditional_parts(attribute)
        .is_some_and(|parts| parts.iter().skip(1).any(|part| is_helper(part.path(), name, krate)))
}

/// Writes attributes one after the other.
pub(crate) fn tokens(attributes: &[Attribute]) -> TokenStream {
    attributes.iter().map(ToTokens::to_token_stream).collect()
}

/// Filters by name, looking into `cfg_attr`.
fn carried(attributes: &[Attribute], names: &[&str]) -> Vec<Attribute> {
    let wanted = |path: &Path| names.iter().any(|name| path.is_ident(name));
    let mut kept = Vec::new();
    for attribute in attributes {
        if wanted(attribute.path()) {
            kept.push(attribute.clone());
            continue;
        }
        let Some(parts) = conditional_parts(attribute) else {
            continue;
        };
        let mut parts = parts.into_iter();
        let Some(condition) = parts.next() else {
            continue;
        };
        let parts: Vec<Meta> = parts.filter(|part| wanted(part.path())).collect();
        if !parts.is_empty() {
            kept.push(parse_quote!(#[cfg_attr(#condition, #(#parts),*)]));
        }
    }
    kept
}

/// Splits `#[cfg_attr(condition, part, ..)]`; what does not parse is left to the compiler.
fn conditional_parts(attribute: &Attribute) -> Option<Punctuated<Meta, Token![,]>> {
    let Meta::List(list) = &attribute.meta else {
        return None;
    };
    if !list.path.is_ident("cfg_attr") {
        return None;
    }
    Punctuated::<Meta, Token![,]>::parse_terminated.parse2(list.tokens.clone()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(attributes: &[Attribute]) -> String {
        tokens(attributes).to_string()
    }

    #[test]
    fn only_the_known_ones_travel() {
        let attributes: Vec<Attribute> = vec![
            parse_quote!(#[doc = "Adds."]),
            parse_quote!(#[inline]),
            parse_quote!(#[cfg(unix)]),
            parse_quote!(#[deprecated]),
            parse_quote!(#[cfg_attr(unix, deprecated, inline)]),
            parse_quote!(#[cfg_attr(unix, inline)]),
        ];
        let kept = shown(&travelling(&attributes));
        assert!(kept.contains("Adds.") && kept.contains("cfg (unix)"), "{kept}");
        assert!(kept.contains("cfg_attr (unix , deprecated)"), "{kept}");
        assert!(!kept.contains("inline"), "{kept}");
        assert_eq!(shown(&conditions(&attributes)), "# [cfg (unix)]");
    }

    #[test]
    fn helpers_are_known_by_their_path() {
        let krate: Path = parse_quote!(::framework::ray);
        let known: [Path; 5] = [
            parse_quote!(method),
            parse_quote!(mobula::method),
            parse_quote!(framework::mobula::method),
            parse_quote!(framework::method),
            parse_quote!(::framework::ray::method),
        ];
        for path in known {
            assert!(is_helper(&path, "method", &krate));
        }
        let foreign: [Path; 2] = [parse_quote!(method::other), parse_quote!(other::method)];
        for path in foreign {
            assert!(!is_helper(&path, "method", &krate));
        }
    }
}
