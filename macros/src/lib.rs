//! The attributes of Mobula: [`macro@actor`] with [`macro@method`], [`macro@task`], [`macro@main`] and
//! [`macro@test`].
//!
//! Use them through the crate `mobula`, which re-exports them: the generated code names everything
//! through `::mobula`, or through the crate given as `crate = path`.
//!
//! # What is remote
//!
//! In a block marked `#[mobula::actor]`, exactly the `pub` methods with `&self` or `&mut self`, other
//! than `new`. They appear on `ActorHandle<Class>` with no trait to import, each with the parameters of
//! the method as `impl Into<Arg<T>>`. All else stays as it is.
//!
//! # Rules of the expansion
//!
//! 1. The user's item is emitted unchanged, apart from `#[mobula::method]`, which is removed; with
//!    `#[mobula::main]` its body gets one statement, with `#[mobula::test]` it moves inside a function.
//! 2. Helper items stand in one anonymous constant beside it, and all their names start with `__`.
//! 3. Nothing generated is `unsafe`: `#![forbid(unsafe_code)]` holds.
//! 4. Mistakes are collected and shown together, each at its token; what was right is emitted anyway.
//! 5. `#[cfg]`, docs and `#[deprecated]` of a method travel to the handle, those of `new` to `remote`.

#![forbid(unsafe_code)]

/// Writes tokens whose local names cannot meet the user's: `quote!` with the hygiene of `macro_rules!`.
macro_rules! emit {
    ($($tokens:tt)*) => {
        ::quote::quote_spanned!(::proc_macro2::Span::mixed_site()=> $($tokens)*)
    };
}

mod actor;
mod attributes;
mod entry_point;
mod errors;
mod fingerprint;
mod isolated_test;
mod keys;
mod launcher;
mod returns;
mod self_type;
mod signature;
mod task;

use proc_macro::TokenStream;

/// Makes a class of actors out of a type, by its inherent impl block.
///
/// The block holds `new`, which gives `Self` or `Result<Self, E>`, and the methods. The type gets
/// `remote`, with the parameters of `new`, and `options`; `ActorHandle` of the type gets the remote
/// methods. A class has one such block, and plain blocks beside it are free.
///
/// ```
/// use mobula::prelude::*;
///
/// struct Counter {
///     value: i64,
/// }
///
/// #[mobula::actor(max_restarts = 2)]
/// impl Counter {
///     pub fn new(start: i64) -> Self {
///         Counter { value: start }
///     }
///
///     pub fn add(&mut self, by: i64) -> i64 {
///         self.value += by;
///         self.value
///     }
///
///     /// An `Err` is the caller's error, and the actor lives on.
///     pub fn root(&self) -> Result<f64, String> {
///         if self.value < 0 {
///             return Err(format!("{} has no root", self.value));
///         }
///         Ok((self.value as f64).sqrt())
///     }
///
///     #[mobula::method(num_returns = 2)]
///     pub fn parts(&self) -> (i64, i64) {
///         (self.value / 10, self.value % 10)
///     }
/// }
///
/// fn use_it() -> mobula::Result<()> {
///     let counter: ActorHandle<Counter> = Counter::remote(0)?;
///     let sum: ObjectRef<i64> = counter.add(5).remote();
///     let next = counter.add(&sum).remote();
///     let (tens, ones) = counter.parts().remote();
///     assert_eq!(mobula::get(&next)?, 10);
///     assert_eq!((mobula::get(&tens)?, mobula::get(&ones)?), (1, 0));
///     Ok(())
/// }
/// ```
///
/// # Keys
///
/// Defaults of the class, which `options()` can override: `num_cpus`, `num_gpus`, `max_restarts`,
/// `max_task_retries`, `max_concurrency`, `max_pending_calls`. `crate = path` names the crate that
/// stands for `mobula`.
///
/// # Errors
///
/// It is a compile error, at its own place, if the block or a remote method is generic, `async` or
/// `unsafe`; takes `self` by value; has references, borrowed types or `impl Trait` in a remote
/// signature; lacks `new`; defines `remote` or `options`; or names a remote method `clone`, `to_owned`,
/// `into` or `try_into`, which the handle answers to itself. Remote methods named `borrow`, `type_id`
/// or `serialize` are hidden where a trait with that method is imported, so they give a warning (of the
/// lint `deprecated`, the only one open to macros; `#[allow(deprecated)]` on the method silences it).
#[proc_macro_attribute]
pub fn actor(args: TokenStream, item: TokenStream) -> TokenStream {
    actor::expand(args.into(), item.into()).into()
}

/// Sets the defaults of one remote method, inside a block marked [`macro@actor`].
///
/// # Keys
///
/// - `num_returns = n`: the method returns a written-out tuple of `n` (up to 8), or a `Result` of one,
///   and a call gives `n` refs in place of one.
/// - `max_task_retries`, `retry_errors`: how often, and after what, a call is tried again.
/// - `concurrency_group`: which group of threads runs it.
///
/// # Errors
///
/// On its own, or on a method that is not remote, it is a compile error.
#[proc_macro_attribute]
pub fn method(_args: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = errors::Errors::default();
    errors.add_at(
        proc_macro2::Span::call_site(),
        "#[mobula::method] stands on a `pub` method inside an `impl` block marked with #[mobula::actor]",
    );
    let complaint = errors.into_compile_errors();
    let item = proc_macro2::TokenStream::from(item);
    emit!(#complaint #item).into()
}

/// Makes a task out of a function.
///
/// The function stays as it is. Beside it stands a struct of the same name, which `use` imports along
/// with it, with the functions `remote`, `try_remote` and `options`.
///
/// ```
/// use mobula::prelude::*;
///
/// #[mobula::task(max_retries = 5)]
/// fn square(x: u64) -> u64 {
///     x * x
/// }
///
/// fn use_it() -> mobula::Result<()> {
///     let here = square(7);
///     let there: ObjectRef<u64> = square::remote(7);
///     let with_options = square::options().num_cpus(2.0).remote(&there);
///     assert_eq!(mobula::get(&there)?, here);
///     assert_eq!(mobula::get(&with_options)?, here * here);
///     Ok(())
/// }
/// ```
///
/// # Keys
///
/// Defaults of the task, which `options()` can override: `num_cpus`, `num_gpus`, `max_retries`,
/// `retry_errors`, `num_returns`, `max_calls`. `crate = path` names the crate that stands for `mobula`.
///
/// # Errors
///
/// It is a compile error, at its own place, if the function is generic, `async` or `unsafe`, has
/// references, borrowed types or `impl Trait` in its signature, or belongs to an `impl` block.
#[proc_macro_attribute]
pub fn task(args: TokenStream, item: TokenStream) -> TokenStream {
    task::expand(args.into(), item.into()).into()
}

/// Does the worker check before anything else in `fn main`.
///
/// Workers are processes of the same executable. In one of them `main` never gets past this check; in
/// any other process the check does nothing else, so that `mobula::init` may come later, more than once
/// or never. `main` may return what it likes.
///
/// ```no_run
/// #[mobula::main]
/// fn main() -> mobula::Result<()> {
///     let _runtime = mobula::init(mobula::Config::new())?;
///     Ok(())
/// }
/// ```
///
/// # Keys
///
/// `crate = path` names the crate that stands for `mobula`.
///
/// # Errors
///
/// It is a compile error on an `async fn`, since the check comes before any runtime, and on a function
/// that is not `main`.
#[proc_macro_attribute]
pub fn main(args: TokenStream, item: TokenStream) -> TokenStream {
    entry_point::expand(args.into(), item.into()).into()
}

/// Makes a test that runs in a process of its own, so that each test may `init` a runtime.
///
/// Takes the place of `#[test]`; `#[should_panic]`, `#[ignore]` and return types that implement
/// `Termination` work as there.
///
/// ```
/// #[mobula::test]
/// fn starts_and_ends() -> mobula::Result<()> {
///     let runtime = mobula::init(mobula::Config::new().num_cpus(1.0))?;
///     runtime.shutdown();
///     Ok(())
/// }
/// ```
///
/// # Keys
///
/// `crate = path` names the crate that stands for `mobula`.
///
/// # Errors
///
/// It is a compile error on a function that is `async`, `unsafe` or generic, that takes parameters, or
/// that has a `#[test]` of its own.
#[proc_macro_attribute]
pub fn test(args: TokenStream, item: TokenStream) -> TokenStream {
    isolated_test::expand(args.into(), item.into()).into()
}
