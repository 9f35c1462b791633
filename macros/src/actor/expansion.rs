//! What is generated for an actor class.
//!
//! ```text
//! const _: () = {
//!     use ::mobula::__private as __p;
//!
//!     impl Counter { pub fn remote(..) -> Result<ActorHandle<Counter>>; pub fn options() -> .. }
//!
//!     pub struct __Methods(__p::RawHandle);      // what ActorHandle<Counter> derefs to
//!     impl __Methods { pub fn add(&self, by: impl Into<Arg<i64>>) -> Call<One<i64>> }
//!
//!     pub struct __Launcher(__p::ActorSettings); // what ActorOptions<Counter> derefs to
//!     impl __Launcher { pub fn remote(&self, ..) -> Result<ActorHandle<Counter>> }
//!
//!     enum __Index { add, __Count }              // a method's place in the table
//!     fn __call_add(actor, args, out) -> Result<(), CallError>
//!     static __METHODS: [__p::MethodDef; __Index::__Count as usize];
//!     static __CLASS: __p::ActorClass;
//!     impl Actor for Counter { .. }
//!     __p::inventory::submit! { __p::Entry::Actor(&__CLASS) }
//! };
//! ```
//!
//! The constant is anonymous, so that several classes can stand in one module and a class in a
//! function's body. Everything for a method stands under the method's own `#[cfg]`s; the places in the
//! table come from an enum because only the compiler knows which methods are left.

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{format_ident, quote_spanned};

use crate::attributes;
use crate::fingerprint::{self, Fingerprint};
use crate::keys::option_tokens;
use crate::launcher;
use crate::signature::{UnrawText, generated_at, generated_name};

use super::class::{Class, ClassDefaults, Constructor, Method, Note};

/// Writes out everything for `class`.
pub(super) fn of(class: &Class) -> TokenStream {
    let krate = &class.krate;
    let conditions = attributes::tokens(&class.conditions);
    let inherent = class.names_free.then(|| inherent(class));
    let parts = [inherent.unwrap_or_default(), methods(class), launcher_for(class), table(class), registration(class)];
    let notes = class.notes.iter().map(note);
    let deprecation = class.deprecated.then(attributes::deprecation_allowed);
    emit! {
        #conditions
        #deprecation
        #[allow(dead_code)]
        const _: () = {
            use #krate::__private as __p;
            #(#parts)*
        };
        #(#conditions #notes)*
    }
}

/// `Counter::remote` and `Counter::options`.
fn inherent(class: &Class) -> TokenStream {
    let krate = &class.krate;
    let self_type = &class.self_type;
    let functions = class.constructors.iter().map(|constructor| {
        let conditions = attributes::tokens(&constructor.conditions);
        let travelling = attributes::tokens(&constructor.travelling);
        let separator = attributes::is_documented(&constructor.travelling).then(|| emit!(#[doc = ""]));
        let visibility = &constructor.visibility;
        let declarations = constructor.parameters.declarations(krate);
        let names = constructor.parameters.names();
        let launcher = launcher::untouched();
        emit! {
            #[doc = " Creates an actor of this class in a process of its own, with the class's options."]
            #separator
            #travelling
            #visibility fn remote(#declarations) -> #krate::Result<#krate::ActorHandle<#self_type>> {
                #launcher.remote(#names)
            }

            #[doc = " Gives the options of an actor of this class: set them, then call `remote` on them."]
            #conditions
            #visibility fn options() -> #krate::ActorOptions<#self_type> {
                #krate::ActorOptions::<#self_type>::__new()
            }
        }
    });
    emit! {
        #[automatically_derived]
        impl #self_type {
            #(#functions)*
        }
    }
}

/// The methods of the handle.
fn methods(class: &Class) -> TokenStream {
    let krate = &class.krate;
    let functions = class.methods.iter().map(|method| {
        let travelling = attributes::tokens(&method.travelling);
        let name = &method.name;
        let index = generated_name(name);
        let declarations = method.parameters.declarations(krate);
        let writes = method.parameters.writes();
        let marker = method.returns.marker();
        emit! {
            #travelling
            pub fn #name(&self, #declarations) -> #krate::Call<#marker> {
                #writes
                #krate::Call::<#marker>::__new(
                    &self.0,
                    &__METHODS[__Index::#index as ::core::primitive::usize],
                    __Index::#index as ::core::primitive::u16,
                    __args,
                )
            }
        }
    });
    emit! {
        pub struct __Methods(__p::RawHandle);

        #[automatically_derived]
        impl ::core::convert::From<__p::RawHandle> for __Methods {
            fn from(__handle: __p::RawHandle) -> Self {
                __Methods(__handle)
            }
        }

        #[automatically_derived]
        impl ::core::convert::AsRef<__p::RawHandle> for __Methods {
            fn as_ref(&self) -> &__p::RawHandle {
                &self.0
            }
        }

        #[automatically_derived]
        impl __Methods {
            #(#functions)*
        }
    }
}

/// `Counter::options().remote(..)`.
fn launcher_for(class: &Class) -> TokenStream {
    let krate = &class.krate;
    let self_type = &class.self_type;
    let definition = launcher::definition(&emit!(__p::ActorSettings));
    let functions = class.constructors.iter().map(|constructor| {
        let travelling = attributes::tokens(&constructor.travelling);
        let declarations = constructor.parameters.declarations(krate);
        let writes = constructor.parameters.writes();
        emit! {
            #travelling
            pub fn remote(&self, #declarations) -> #krate::Result<#krate::ActorHandle<#self_type>> {
                #writes
                __p::create_actor::<#self_type>(&self.0, __args)
            }
        }
    });
    emit! {
        #definition

        #[automatically_derived]
        impl __Launcher {
            #(#functions)*
        }
    }
}

/// The functions of the worker's side, and the table that names them.
fn table(class: &Class) -> TokenStream {
    let calls = class.methods.iter().map(|method| call(class, method));
    let creations = class.constructors.iter().map(|constructor| creation(class, constructor));
    let variants = class.methods.iter().map(|method| {
        let conditions = attributes::tokens(&method.conditions);
        let name = generated_name(&method.name);
        emit!(#conditions #name,)
    });
    let entries = class.methods.iter().map(|method| {
        let conditions = attributes::tokens(&method.conditions);
        let name = method.name.unraw_text();
        let count = Literal::usize_unsuffixed(method.returns.count());
        let max_task_retries = option_tokens(method.max_task_retries);
        let retry_errors = option_tokens(method.retry_errors);
        let streams = method.returns.is_stream();
        let stream_backpressure = option_tokens(method.stream_backpressure);
        let concurrency_group = option_tokens(method.concurrency_group.as_ref());
        let call = call_name(&method.name);
        let run = match method {
            Method { asyncness: Some(_), .. } => emit!(__p::Run::Async(#call)),
            Method { exclusive: true, .. } => emit!(__p::Run::Exclusive(#call)),
            _ => emit!(__p::Run::Shared(#call)),
        };
        emit! {
            #conditions
            __p::MethodDef {
                name: #name,
                num_returns: #count,
                max_task_retries: #max_task_retries,
                retry_errors: #retry_errors,
                concurrency_group: #concurrency_group,
                streams: #streams,
                stream_backpressure: #stream_backpressure,
                run: #run,
            },
        }
    });
    emit! {
        enum __Index {
            #(#variants)*
            __Count,
        }

        #(#calls)*
        #(#creations)*

        static __METHODS: [__p::MethodDef; __Index::__Count as ::core::primitive::usize] = [
            #(#entries)*
        ];
    }
}

/// The function that runs one method on the actor.
fn call(class: &Class, method: &Method) -> TokenStream {
    let self_type = &class.self_type;
    let conditions = attributes::tokens(&method.conditions);
    let function = call_name(&method.name);
    let name = generated_name(&method.name);
    let reads = method.parameters.reads();
    let locals = method.parameters.locals();
    if let Some(asyncness) = method.asyncness {
        let writes = method.returns.writes(&emit!(<#self_type>::#name(&*__actor, #locals).await));
        // A future that cannot change threads is the error of its own `async`.
        let body = emit! {
            let __done: ::core::result::Result<(), __p::CallError> = async {
                let __out = &mut __out;
                #writes
            }
            .await;
            (__out, __done)
        };
        let span = generated_at(&asyncness);
        let boxed = quote_spanned!(span=> ::std::boxed::Box::pin(async move { #body }));
        return emit! {
            #conditions
            fn #function(
                __actor: ::std::sync::Arc<dyn ::core::any::Any + ::core::marker::Send + ::core::marker::Sync>,
                __args: &mut __p::ArgReader<'_>,
                mut __out: __p::ReturnWriter,
            ) -> ::core::result::Result<__p::AsyncCall, __p::CallError> {
                let ::core::result::Result::Ok(__actor) = __actor.downcast::<#self_type>() else {
                    return ::core::result::Result::Err(__p::CallError::wrong_state());
                };
                #reads
                ::core::result::Result::Ok(#boxed)
            }
        };
    }
    let writes = method.returns.writes(&emit!(<#self_type>::#name(__actor, #locals)));
    let (reference, downcast) =
        if method.exclusive { (emit!(&mut), emit!(downcast_mut)) } else { (emit!(&), emit!(downcast_ref)) };
    emit! {
        #conditions
        fn #function(
            __actor: #reference dyn ::core::any::Any,
            __args: &mut __p::ArgReader<'_>,
            __out: &mut __p::ReturnWriter,
        ) -> ::core::result::Result<(), __p::CallError> {
            let ::core::option::Option::Some(__actor) = __actor.#downcast::<#self_type>() else {
                return ::core::result::Result::Err(__p::CallError::wrong_state());
            };
            #reads
            #writes
        }
    }
}

/// The function that runs `new`.
fn creation(class: &Class, constructor: &Constructor) -> TokenStream {
    let self_type = &class.self_type;
    let conditions = attributes::tokens(&constructor.conditions);
    let name = &constructor.name;
    let output = &constructor.output;
    let reads = constructor.parameters.reads();
    let locals = constructor.parameters.locals();
    let span = constructor.output_span;
    let outcome = quote_spanned!(span=> let __outcome: #output = <#self_type>::#name(#locals););
    let actor = if constructor.fallible {
        let unwrapped = quote_spanned!(span=> __p::ResultLike::into_result(__outcome));
        let actor = quote_spanned!(span=> let __actor: #self_type = __actor;);
        let refusal = quote_spanned!(span=> __p::CallError::user(&__error));
        emit! {
            let __actor = match #unwrapped {
                ::core::result::Result::Ok(__actor) => __actor,
                ::core::result::Result::Err(__error) => {
                    return ::core::result::Result::Err(#refusal);
                }
            };
            #actor
        }
    } else {
        quote_spanned!(span=> let __actor: #self_type = __outcome;)
    };
    emit! {
        #conditions
        fn __new(
            __args: &mut __p::ArgReader<'_>,
        ) -> ::core::result::Result<::std::boxed::Box<dyn ::core::any::Any>, __p::CallError> {
            #reads
            #outcome
            #actor
            ::core::result::Result::Ok(::std::boxed::Box::new(__actor))
        }
    }
}

/// The class as the runtime knows it.
fn registration(class: &Class) -> TokenStream {
    let krate = &class.krate;
    let self_type = &class.self_type;
    let name = &class.name;
    let defaults = defaults(&class.defaults);
    let signature = signature(class);
    emit! {
        const __SIGNATURE: ::core::primitive::u64 = #signature;

        static __CLASS: __p::ActorClass = __p::ActorClass {
            package: ::core::env!("CARGO_PKG_NAME"),
            version: ::core::env!("CARGO_PKG_VERSION"),
            type_name: ::core::any::type_name::<#self_type>,
            name: #name,
            signature: __SIGNATURE,
            defaults: #defaults,
            methods: &__METHODS,
            new: __new,
            share: {
                #[allow(unused_imports)]
                use __p::NotShared as _;
                __p::Sharing::<#self_type>::__SHARE
            },
            needs_drop: ::core::mem::needs_drop::<#self_type>(),
        };

        #[automatically_derived]
        impl #krate::Actor for #self_type {
            type Methods = __Methods;
            type Launcher = __Launcher;

            fn class() -> &'static __p::ActorClass {
                &__CLASS
            }
        }

        __p::inventory::submit! { __p::Entry::Actor(&__CLASS) }
    }
}

fn defaults(defaults: &ClassDefaults) -> TokenStream {
    let num_cpus = option_tokens(defaults.num_cpus);
    let num_gpus = option_tokens(defaults.num_gpus);
    let max_restarts = option_tokens(defaults.max_restarts);
    let max_task_retries = option_tokens(defaults.max_task_retries);
    let max_concurrency = option_tokens(defaults.max_concurrency);
    let max_pending_calls = option_tokens(defaults.max_pending_calls);
    let groups = defaults.concurrency_groups.iter().map(|(name, limit)| emit!((#name, #limit),));
    let shutdown_timeout = option_tokens(defaults.shutdown_timeout);
    emit! {
        __p::ActorDefaults {
            num_cpus: #num_cpus,
            num_gpus: #num_gpus,
            max_restarts: #max_restarts,
            max_task_retries: #max_task_retries,
            max_concurrency: #max_concurrency,
            max_pending_calls: #max_pending_calls,
            concurrency_groups: &[#(#groups)*],
            shutdown_timeout: #shutdown_timeout,
        }
    }
}

/// The fingerprint of everything remote.
fn signature(class: &Class) -> TokenStream {
    let constructors = class.constructors.iter().map(|constructor| {
        let mut fingerprint = Fingerprint::new();
        fingerprint.text("new");
        constructor.parameters.fingerprint(&mut fingerprint);
        let parts = constructor.parameters.conditional_fingerprints();
        fingerprint.folded(&constructor.conditions, parts)
    });
    let methods = class.methods.iter().map(|method| {
        let mut fingerprint = Fingerprint::new();
        fingerprint.text(&method.name.unraw_text()).text(if method.exclusive { "&mut self" } else { "&self" });
        method.parameters.fingerprint(&mut fingerprint);
        method.returns.fingerprint(&mut fingerprint);
        let parts = method.parameters.conditional_fingerprints();
        fingerprint.folded(&method.conditions, parts)
    });
    fingerprint::constant(constructors.chain(methods))
}

/// A warning at the name of a method. Stable Rust lets no macro warn in so many words, but using
/// something deprecated warns at the place of use.
fn note(note: &Note) -> TokenStream {
    let attributes = attributes::tokens(&note.attributes);
    let text = &note.text;
    let warning = format_ident!("ambiguous_method", span = note.name.span());
    emit! {
        #attributes
        const _: () = {
            #[deprecated(note = #text)]
            #[allow(non_upper_case_globals)]
            const ambiguous_method: () = ();
            #warning
        };
    }
}

fn call_name(method: &Ident) -> Ident {
    format_ident!("__call_{}", method, span = Span::mixed_site())
}
