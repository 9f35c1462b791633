//! `#[mobula::task]` on a function.
//!
//! The function stays as it is, for calls in the same process. Beside it, in the namespace of types,
//! comes a struct of the same name:
//!
//! ```text
//! fn square(x: u64) -> u64 { x * x }
//!
//! struct square {}
//! const _: () = {
//!     use ::mobula::__private as __p;
//!
//!     impl square {
//!         fn remote(x: impl Into<Arg<u64>>) -> ObjectRef<u64>;
//!         fn try_remote(x: impl Into<Arg<u64>>) -> Result<ObjectRef<u64>>;
//!         fn options() -> TaskOptions<square>;
//!     }
//!
//!     pub struct __Launcher(__p::TaskSettings);  // what TaskOptions<square> derefs to
//!     fn __run(args, out) -> Result<(), CallError>
//!     static __FUNCTION: __p::TaskFunction;
//!     impl Task for square { .. }
//!     __p::inventory::submit! { __p::Entry::Task(&__FUNCTION) }
//! };
//! ```
//!
//! The struct has braces because a unit or tuple struct would take the name in the namespace of values
//! too, which the function has.

use proc_macro2::{Ident, Literal, TokenStream};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemFn, Path, Visibility};

use crate::attributes;
use crate::errors::Errors;
use crate::fingerprint::{self, Fingerprint};
use crate::keys::{self, Keys, option_tokens};
use crate::launcher;
use crate::returns::Returns;
use crate::signature::{self, Parameters, Subject, UnrawText, generated_name};

/// Expands `#[mobula::task(args)] item`.
pub(crate) fn expand(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let keys = Keys::parse(args, &keys::TASK, &mut errors);
    let generated = function(item.clone(), &mut errors)
        .and_then(|function| Task::read(keys, &function, &mut errors))
        .map(|task| expansion(&task))
        .unwrap_or_default();
    let complaints = errors.into_compile_errors();
    emit!(#item #generated #complaints)
}

/// A task, read from its function.
struct Task {
    krate: Path,
    conditions: Vec<Attribute>,
    travelling: Vec<Attribute>,
    visibility: Visibility,
    name: Ident,
    /// Whether the function says anything about deprecation.
    deprecated: bool,
    defaults: Defaults,
    parameters: Parameters,
    returns: Returns,
}

/// The keys of `#[mobula::task]`, `num_returns` apart.
struct Defaults {
    num_cpus: Option<f64>,
    num_gpus: Option<f64>,
    max_retries: Option<i32>,
    retry_errors: Option<bool>,
    max_calls: Option<usize>,
    stream_backpressure: Option<usize>,
}

impl Task {
    /// Reads `function`. `None` if nothing can be generated.
    fn read(mut keys: Keys, function: &ItemFn, errors: &mut Errors) -> Option<Task> {
        let signature = &function.sig;
        let num_returns = keys.num_returns(errors);
        let returns = Returns::of(&signature.output, num_returns, None, errors);
        returns.check_keys(&keys, "max_retries", errors);
        let task = Task {
            krate: keys.krate(),
            conditions: attributes::conditions(&function.attrs),
            travelling: attributes::travelling(&function.attrs),
            visibility: function.vis.clone(),
            name: generated_name(&signature.ident),
            deprecated: attributes::is_about_deprecation(&function.attrs),
            defaults: Defaults {
                num_cpus: keys.amount("num_cpus", errors),
                num_gpus: keys.gpus("num_gpus", errors),
                max_retries: keys.retries("max_retries", errors),
                retry_errors: keys.flag("retry_errors", errors),
                max_calls: keys.bound("max_calls", errors),
                stream_backpressure: keys.limit("stream_backpressure", errors),
            },
            parameters: Parameters::of(signature, None),
            returns,
        };
        let before = errors.count();
        if let Some(receiver) = signature.receiver() {
            errors.add(
                receiver,
                "a task is a free function: the methods of a class are made remote by #[mobula::actor] on its `impl` block",
            );
        } else {
            signature::check_function(signature, Subject::Task, errors);
            // Inside an `impl` block no struct can be put beside the function; a receiver or `Self`
            // gives such a place away.
            let mut associated = MentionsSelf { errors };
            associated.visit_signature(signature);
        }
        (errors.count() == before).then_some(task)
    }
}

/// Complains about `Self` in a signature.
struct MentionsSelf<'a> {
    errors: &'a mut Errors,
}

impl<'ast> Visit<'ast> for MentionsSelf<'_> {
    fn visit_path(&mut self, path: &'ast Path) {
        if let Some(first) = path.segments.first()
            && first.ident == "Self"
        {
            self.errors.add(&first.ident, "a task is a free function, outside any `impl` block: it has no `Self`");
        }
        visit::visit_path(self, path);
    }
}

/// Gives the function that can be a task, or says what stands there instead.
fn function(item: TokenStream, errors: &mut Errors) -> Option<ItemFn> {
    match syn::parse2::<Item>(item) {
        Ok(Item::Fn(function)) => Some(function),
        Ok(Item::Impl(block)) => {
            errors.add(
                block.impl_token,
                "#[mobula::task] belongs on a function: an `impl` block is made remote by #[mobula::actor]",
            );
            None
        }
        Ok(other) => {
            errors.add(other, "#[mobula::task] belongs on a function");
            None
        }
        Err(error) => {
            errors.absorb(error);
            None
        }
    }
}

/// Writes out everything for `task`.
fn expansion(task: &Task) -> TokenStream {
    let krate = &task.krate;
    let conditions = attributes::tokens(&task.conditions);
    let documented = attributes::tokens(&task.travelling);
    let visibility = &task.visibility;
    let name = &task.name;
    let deprecation = task.deprecated.then(attributes::deprecation_allowed);
    let parts = [inherent(task), launcher_for(task), registration(task)];
    let missing_docs = (!attributes::is_documented(&task.travelling)).then(|| {
        let line = format!(" The task `{}`.", name.unraw_text());
        emit!(#[doc = #line])
    });
    emit! {
        #documented
        #missing_docs
        #[allow(dead_code)]
        #visibility struct #name {}

        #conditions
        #deprecation
        #[allow(dead_code)]
        const _: () = {
            use #krate::__private as __p;
            #(#parts)*
        };
    }
}

/// `square::remote`, `square::try_remote` and `square::options`.
fn inherent(task: &Task) -> TokenStream {
    let krate = &task.krate;
    let visibility = &task.visibility;
    let name = &task.name;
    let declarations = task.parameters.declarations(krate);
    let names = task.parameters.names();
    let refs = task.returns.refs(krate);
    let launcher = launcher::untouched();
    emit! {
        #[automatically_derived]
        impl #name {
            #[doc = " Submits the function as a task and gives its result as a ref, which also carries what goes wrong."]
            #visibility fn remote(#declarations) -> #refs {
                #launcher.remote(#names)
            }

            #[doc = " Submits the function as a task, or says at once why that cannot be."]
            #visibility fn try_remote(#declarations) -> #krate::Result<#refs> {
                #launcher.try_remote(#names)
            }

            #[doc = " Gives the options of this task: set them, then call `remote` on them."]
            #visibility fn options() -> #krate::TaskOptions<#name> {
                #krate::TaskOptions::<#name>::__new()
            }
        }
    }
}

/// `square::options().remote(..)`.
fn launcher_for(task: &Task) -> TokenStream {
    let krate = &task.krate;
    let name = &task.name;
    let definition = launcher::definition(&emit!(__p::TaskSettings));
    let declarations = task.parameters.declarations(krate);
    let writes = task.parameters.writes();
    let marker = task.returns.marker();
    let refs = task.returns.refs(krate);
    emit! {
        #definition

        #[automatically_derived]
        impl __Launcher {
            pub fn remote(&self, #declarations) -> #refs {
                #writes
                __p::submit_task::<#name, #marker>(&self.0, __args)
            }

            pub fn try_remote(&self, #declarations) -> #krate::Result<#refs> {
                #writes
                __p::try_submit_task::<#name, #marker>(&self.0, __args)
            }
        }
    }
}

/// The worker's side, and the task as the runtime knows it.
fn registration(task: &Task) -> TokenStream {
    let krate = &task.krate;
    let name = &task.name;
    let text = name.unraw_text();
    let reads = task.parameters.reads();
    let locals = task.parameters.locals();
    let writes = task.returns.writes(&emit!(#name(#locals)));
    let count = Literal::usize_unsuffixed(task.returns.count());
    let streams = task.returns.is_stream();
    let signature = signature(task);
    let defaults = defaults(&task.defaults);
    emit! {
        fn __run(
            __args: &mut __p::ArgReader<'_>,
            __out: &mut __p::ReturnWriter,
        ) -> ::core::result::Result<(), __p::CallError> {
            #reads
            #writes
        }

        const __SIGNATURE: ::core::primitive::u64 = #signature;

        static __FUNCTION: __p::TaskFunction = __p::TaskFunction {
            package: ::core::env!("CARGO_PKG_NAME"),
            version: ::core::env!("CARGO_PKG_VERSION"),
            type_name: ::core::any::type_name::<#name>,
            name: #text,
            signature: __SIGNATURE,
            defaults: #defaults,
            num_returns: #count,
            streams: #streams,
            run: __run,
        };

        #[automatically_derived]
        impl ::core::fmt::Debug for #name {
            fn fmt(&self, __formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                __formatter.write_str(#text)
            }
        }

        #[automatically_derived]
        impl #krate::Task for #name {
            type Launcher = __Launcher;

            fn function() -> &'static __p::TaskFunction {
                &__FUNCTION
            }
        }

        __p::inventory::submit! { __p::Entry::Task(&__FUNCTION) }
    }
}

/// The fingerprint of parameters and results. The function's own conditions hold for all that is
/// generated, so only those of parameters take part.
fn signature(task: &Task) -> TokenStream {
    let mut fingerprint = Fingerprint::new();
    fingerprint.text(&task.name.unraw_text());
    task.parameters.fingerprint(&mut fingerprint);
    task.returns.fingerprint(&mut fingerprint);
    let parts = task.parameters.conditional_fingerprints();
    fingerprint::constant([fingerprint.folded(&[], parts)])
}

fn defaults(defaults: &Defaults) -> TokenStream {
    let num_cpus = option_tokens(defaults.num_cpus);
    let num_gpus = option_tokens(defaults.num_gpus);
    let max_retries = option_tokens(defaults.max_retries);
    let retry_errors = option_tokens(defaults.retry_errors);
    let max_calls = option_tokens(defaults.max_calls);
    let stream_backpressure = option_tokens(defaults.stream_backpressure);
    emit! {
        __p::TaskDefaults {
            num_cpus: #num_cpus,
            num_gpus: #num_gpus,
            max_retries: #max_retries,
            retry_errors: #retry_errors,
            max_calls: #max_calls,
            stream_backpressure: #stream_backpressure,
        }
    }
}
