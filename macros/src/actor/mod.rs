//! `#[mobula::actor]` on the impl block of a class, and `#[mobula::method]` inside it.
//!
//! [`class`] reads the block into a model and complains about what breaks a rule; [`expansion`]
//! writes the model out. What was right is written out even if something else was wrong, so that the
//! user sees the mistake and not its consequences.

mod class;
mod expansion;

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{Item, ItemImpl};

use crate::errors::Errors;
use crate::keys::{self, Keys};

use self::class::Class;

/// Expands `#[mobula::actor(args)] item`.
pub(crate) fn expand(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let keys = Keys::parse(args, &keys::ACTOR, &mut errors);
    let expanded = match impl_block(item.clone(), &mut errors) {
        Some(mut block) => {
            let class = Class::read(keys, &mut block, &mut errors);
            let generated = class.map(|class| expansion::of(&class)).unwrap_or_default();
            emit!(#block #generated)
        }
        None => item,
    };
    let complaints = errors.into_compile_errors();
    emit!(#expanded #complaints)
}

/// Gives the block that can be a class, or says what stands there instead.
fn impl_block(item: TokenStream, errors: &mut Errors) -> Option<ItemImpl> {
    let item = match syn::parse2::<Item>(item) {
        Ok(item) => item,
        Err(error) => {
            errors.absorb(error);
            return None;
        }
    };
    match item {
        Item::Impl(block) => match &block.trait_ {
            None => Some(block),
            Some((_, path, _)) => {
                errors.add(
                    path,
                    "#[mobula::actor] belongs on an inherent `impl` block: the methods of a trait are not remote",
                );
                None
            }
        },
        Item::Struct(item) => misplaced(item.struct_token, errors),
        Item::Enum(item) => misplaced(item.enum_token, errors),
        Item::Fn(item) => {
            errors.add(
                item.sig.fn_token,
                "#[mobula::actor] belongs on an `impl` block: a function is made remote by #[mobula::task]",
            );
            None
        }
        other => misplaced(other, errors),
    }
}

fn misplaced(tokens: impl ToTokens, errors: &mut Errors) -> Option<ItemImpl> {
    errors.add(tokens, "#[mobula::actor] belongs on the `impl` block that holds `new` and the methods");
    None
}
