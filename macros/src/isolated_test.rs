//! `#[mobula::test]` on a function: a test that runs in a process of its own.
//!
//! ```text
//! #[::core::prelude::v1::test]
//! #[should_panic]                       // and what else stood there
//! fn name() {
//!     fn name() -> R { body }
//!     ::mobula::__private::run_isolated(concat!(module_path!(), "::name"), name)
//! }
//! #[cfg(test)]
//! ::mobula::test_support! {}
//! ```

use proc_macro2::TokenStream;
use syn::{Attribute, ItemFn, Signature};

use crate::attributes;
use crate::errors::Errors;
use crate::keys::{self, Keys};
use crate::signature::UnrawText;

/// Expands `#[mobula::test(args)] item`.
pub(crate) fn expand(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let keys = Keys::parse(args, &keys::TEST, &mut errors);
    let expanded = match syn::parse2::<ItemFn>(item.clone()) {
        Ok(function) => {
            check(&function, &mut errors);
            if errors.count() == 0 { isolated(&keys, function) } else { item }
        }
        Err(_) => {
            errors.add(&item, "#[mobula::test] belongs on a function");
            item
        }
    };
    let complaints = errors.into_compile_errors();
    emit!(#expanded #complaints)
}

/// Moves the body into a function inside, and runs that one in a process of its own.
fn isolated(keys: &Keys, function: ItemFn) -> TokenStream {
    let krate = keys.krate();
    let conditions = attributes::tokens(&attributes::conditions(&function.attrs));
    let ItemFn { attrs, vis, sig, block } = function;
    let attributes = attributes::tokens(&attrs);
    let name = &sig.ident;
    // libtest names a test without the `r#` of a raw identifier, as `concat!` needs it.
    let text = format!("::{}", name.unraw_text());
    emit! {
        #[::core::prelude::v1::test]
        #attributes
        #vis fn #name() {
            #sig #block
            #krate::__private::run_isolated(::core::concat!(::core::module_path!(), #text), #name)
        }

        #conditions
        #[cfg(test)]
        #krate::test_support! {}
    }
}

fn check(function: &ItemFn, errors: &mut Errors) {
    let Signature { asyncness, unsafety, generics, inputs, .. } = &function.sig;
    if let Some(asyncness) = asyncness {
        errors
            .add(asyncness, "a #[mobula::test] cannot be `async`: it runs in a process of its own and may block there");
    }
    if let Some(unsafety) = unsafety {
        errors.add(unsafety, "a #[mobula::test] cannot be `unsafe`");
    }
    if !generics.params.is_empty() {
        errors.add(generics, "a #[mobula::test] cannot be generic");
    }
    if !inputs.is_empty() {
        errors.add(inputs, "a #[mobula::test] takes no parameters");
    }
    if let Some(repeated) = function.attrs.iter().find(|attribute| is_test(attribute)) {
        errors.add(repeated, "#[mobula::test] is a `#[test]` already: remove this one");
    }
}

fn is_test(attribute: &Attribute) -> bool {
    attribute.path().segments.last().is_some_and(|last| last.ident == "test")
}
