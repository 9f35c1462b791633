//! `#[mobula::main]` on `fn main`: the worker check comes before anything else.

use proc_macro2::TokenStream;
use syn::{Block, ItemFn, Signature, Stmt};

use crate::errors::Errors;
use crate::keys::{self, Keys};

/// Expands `#[mobula::main(args)] item`.
pub(crate) fn expand(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let keys = Keys::parse(args, &keys::MAIN, &mut errors);
    let expanded = match syn::parse2::<ItemFn>(item.clone()) {
        Ok(mut function) => {
            check(&function.sig, &mut errors);
            let krate = keys.krate();
            let check = emit!({ #krate::__private::worker_check(); });
            match syn::parse2::<Block>(check) {
                Ok(check) => prepend(check.stmts, &mut function.block),
                Err(error) => errors.absorb(error),
            }
            emit!(#function)
        }
        Err(_) => {
            errors.add(&item, "#[mobula::main] belongs on `fn main`");
            item
        }
    };
    let complaints = errors.into_compile_errors();
    emit!(#expanded #complaints)
}

/// Puts `first` before the statements of `block`.
fn prepend(mut first: Vec<Stmt>, block: &mut Block) {
    first.append(&mut block.stmts);
    block.stmts = first;
}

fn check(signature: &Signature, errors: &mut Errors) {
    if signature.ident != "main" {
        errors.add(&signature.ident, "#[mobula::main] belongs on `fn main`, where a worker's process starts");
    }
    if let Some(asyncness) = &signature.asyncness {
        errors.add(
            asyncness,
            "#[mobula::main] needs a `fn main` that is not `async`: the worker check comes before any runtime, so start the runtime inside `main`",
        );
    }
    if !signature.inputs.is_empty() {
        errors.add(&signature.inputs, "`fn main` takes no parameters");
    }
}
