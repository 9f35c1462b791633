//! The model of an actor class, read from its impl block.
//!
//! Remote are exactly the `pub` methods with `&self` or `&mut self`, other than `new`. All else in the
//! block is the user's own and stays as it is. Reading strips the block of `#[mobula::method]`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::ToTokens;
use syn::{
    Attribute, ImplItem, ImplItemFn, ItemImpl, Lifetime, Meta, Path, PathArguments, Receiver, ReturnType, Token, Type,
    Visibility,
};

use crate::attributes;
use crate::errors::Errors;
use crate::keys::{self, Keys};
use crate::returns::{self, Returns};
use crate::self_type;
use crate::signature::{self, Parameters, Subject, UnrawText, generated_at};

/// Names that the class itself gets.
const OWN_NAMES: [&str; 2] = ["remote", "options"];

/// What `new` gives.
const CONSTRUCTOR_RESULT: &str = "`new` must return `Self` or `Result<Self, E>`";

/// Methods of the standard prelude's traits, which `ActorHandle` answers to first.
const SHADOWED: [&str; 4] = ["clone", "to_owned", "into", "try_into"];

/// Methods of traits that programs often import, which `ActorHandle` then answers to first.
const SHADOWED_ON_IMPORT: [(&str, &str); 3] =
    [("borrow", "std::borrow::Borrow"), ("type_id", "std::any::Any"), ("serialize", "serde::Serialize")];

/// An actor class.
pub(super) struct Class {
    /// What stands for `mobula`.
    pub(super) krate: Path,
    /// The block's `#[cfg]`s.
    pub(super) conditions: Vec<Attribute>,
    /// The class.
    pub(super) self_type: Type,
    /// Its short name.
    pub(super) name: String,
    pub(super) defaults: ClassDefaults,
    /// Whether the names of [`OWN_NAMES`] are free for the class's own functions.
    pub(super) names_free: bool,
    /// `new`; several only under conditions of which one holds.
    pub(super) constructors: Vec<Constructor>,
    pub(super) methods: Vec<Method>,
    /// Whether the block says anything about deprecation.
    pub(super) deprecated: bool,
    pub(super) notes: Vec<Note>,
}

/// The keys of `#[mobula::actor]`.
#[derive(Debug)]
pub(super) struct ClassDefaults {
    pub(super) num_cpus: Option<f64>,
    pub(super) num_gpus: Option<f64>,
    pub(super) max_restarts: Option<i32>,
    pub(super) max_task_retries: Option<i32>,
    pub(super) max_concurrency: Option<usize>,
    pub(super) max_pending_calls: Option<usize>,
    /// Each name once.
    pub(super) concurrency_groups: Vec<(String, usize)>,
    /// In seconds.
    pub(super) shutdown_timeout: Option<f64>,
}

/// `new`.
pub(super) struct Constructor {
    pub(super) conditions: Vec<Attribute>,
    pub(super) travelling: Vec<Attribute>,
    pub(super) visibility: Visibility,
    pub(super) name: Ident,
    pub(super) parameters: Parameters,
    /// The return type, with `Self` replaced.
    pub(super) output: TokenStream,
    /// Where errors about the return type point.
    pub(super) output_span: Span,
    /// Whether it is a `Result`.
    pub(super) fallible: bool,
}

/// A remote method.
pub(super) struct Method {
    pub(super) conditions: Vec<Attribute>,
    pub(super) travelling: Vec<Attribute>,
    pub(super) name: Ident,
    /// Whether it takes `&mut self`.
    pub(super) exclusive: bool,
    /// Where it says that it is `async`.
    pub(super) asyncness: Option<Token![async]>,
    pub(super) parameters: Parameters,
    pub(super) returns: Returns,
    pub(super) max_task_retries: Option<i32>,
    pub(super) retry_errors: Option<bool>,
    pub(super) concurrency_group: Option<String>,
    pub(super) stream_backpressure: Option<usize>,
}

/// Something to warn about.
pub(super) struct Note {
    /// Attributes under which it is shown, or silenced.
    pub(super) attributes: Vec<Attribute>,
    pub(super) name: Ident,
    pub(super) text: String,
}

impl Class {
    /// Reads `block` and strips it of helper attributes. `None` if nothing can be generated.
    pub(super) fn read(mut keys: Keys, block: &mut ItemImpl, errors: &mut Errors) -> Option<Class> {
        let krate = keys.krate();
        let before = errors.count();
        check_block(block, errors);
        let whole_block_stands = errors.count() == before;

        let mut class = Class {
            krate,
            conditions: attributes::conditions(&block.attrs),
            name: class_name(&block.self_ty),
            self_type: (*block.self_ty).clone(),
            defaults: ClassDefaults {
                num_cpus: keys.amount("num_cpus", errors),
                num_gpus: keys.gpus("num_gpus", errors),
                max_restarts: keys.retries("max_restarts", errors),
                max_task_retries: keys.retries("max_task_retries", errors),
                max_concurrency: keys.limit("max_concurrency", errors),
                max_pending_calls: keys.limit("max_pending_calls", errors),
                concurrency_groups: keys.groups(errors),
                shutdown_timeout: keys.seconds("shutdown_timeout", errors),
            },
            names_free: true,
            constructors: Vec::new(),
            methods: Vec::new(),
            deprecated: attributes::is_about_deprecation(&block.attrs),
            notes: Vec::new(),
        };
        let mut has_new = false;
        for item in &mut block.items {
            if let ImplItem::Fn(function) = item {
                has_new |= function.sig.ident == "new";
                class.admit(function, errors);
            }
        }
        class.check_sharing(errors);
        if !has_new && whole_block_stands {
            errors.add(
                &block.self_ty,
                "an actor needs `new`: write `pub fn new(..) -> Self` in this block (a class has one block with #[mobula::actor], which holds `new` and all remote methods)",
            );
        }
        (whole_block_stands && !class.constructors.is_empty()).then_some(class)
    }

    /// Complains about `&mut self` where others run while a method waits.
    fn check_sharing(&self, errors: &mut Errors) {
        if self.methods.iter().any(|method| method.asyncness.is_some()) {
            for method in self.methods.iter().filter(|method| method.exclusive) {
                errors.add(
                    &method.name,
                    "a class with `async` methods has none with `&mut self`, since others run while one waits: take `&self`, and keep what changes in a `Mutex` or an atomic",
                );
            }
        }
    }

    /// Takes in a function of the block: `new`, a remote method, or none of the two.
    fn admit(&mut self, function: &mut ImplItemFn, errors: &mut Errors) {
        self.deprecated |= attributes::is_about_deprecation(&function.attrs);
        let helpers = self.take_helpers(function, errors);
        let name = &function.sig.ident;
        let receiver = function.sig.receiver();
        let text = name.unraw_text();

        if OWN_NAMES.contains(&text.as_str()) {
            self.names_free = false;
            errors.add(
                name,
                format!("`{text}` is a name that #[mobula::actor] gives to the class itself: choose another"),
            );
        } else if text == "new" {
            for helper in &helpers {
                errors.add(
                    helper,
                    "`new` takes no #[mobula::method]: the defaults of the class are keys of #[mobula::actor]",
                );
            }
            self.admit_constructor(function, errors);
        } else if let (Some(receiver), Visibility::Public(_)) = (receiver, &function.vis) {
            self.admit_method(function, receiver, &helpers, errors);
        } else {
            for helper in &helpers {
                errors.add(
                    helper,
                    format!("`{text}` is not remote, so #[mobula::method] has no effect: remote are the `pub` methods with `&self` or `&mut self`"),
                );
            }
        }
    }

    /// Removes `#[mobula::method]` from a function and gives what was removed.
    fn take_helpers(&self, function: &mut ImplItemFn, errors: &mut Errors) -> Vec<Attribute> {
        let (helpers, others) = std::mem::take(&mut function.attrs)
            .into_iter()
            .partition(|attribute| attributes::is_helper(attribute.path(), "method", &self.krate));
        function.attrs = others;
        function.attrs.retain(|attribute| {
            let conditional = attributes::is_conditional_helper(attribute, "method", &self.krate);
            if conditional {
                errors.add(
                    attribute,
                    "#[mobula::method] cannot stand under a condition: write the method twice, each under its own `#[cfg]`",
                );
            }
            !conditional
        });
        helpers
    }

    fn admit_constructor(&mut self, function: &ImplItemFn, errors: &mut Errors) {
        let signature = &function.sig;
        let before = errors.count();
        signature::check_function(signature, Subject::Constructor, errors);
        if let Some(receiver) = signature.receiver() {
            errors.add(receiver, "`new` makes the actor, so it cannot take `self`");
        }
        let ReturnType::Type(_, output) = &signature.output else {
            errors.add(&signature.ident, CONSTRUCTOR_RESULT);
            return;
        };
        // Any other type may be an alias of the class, which only the compiler knows.
        let output = self_type::ungrouped(output);
        let fallible = returns::is_fallible(output);
        if !fallible && !self_type::is_self(output) && self_type::mentions_self(output) {
            errors.add(output, CONSTRUCTOR_RESULT);
        }
        if errors.count() > before {
            return;
        }
        let replaced = self_type::replaced(output, &self.self_type).into_token_stream();
        self.constructors.push(Constructor {
            conditions: attributes::conditions(&function.attrs),
            travelling: attributes::travelling(&function.attrs),
            visibility: function.vis.clone(),
            name: signature.ident.clone(),
            parameters: Parameters::of(signature, Some(&self.self_type)),
            output_span: generated_at(output),
            output: replaced,
            fallible,
        });
    }

    fn admit_method(&mut self, function: &ImplItemFn, receiver: &Receiver, helpers: &[Attribute], errors: &mut Errors) {
        let signature = &function.sig;
        let name = &signature.ident;
        let text = name.unraw_text();
        let before = errors.count();
        signature::check_function(signature, Subject::Method, errors);
        if SHADOWED.contains(&text.as_str()) {
            errors.add(
                name,
                format!("a remote method cannot be named `{text}`: the handle has a method of that name itself, from a trait of the standard prelude"),
            );
        }
        let exclusive = exclusive(receiver, &self.self_type).unwrap_or_else(|| {
            errors.add(receiver, "a remote method takes `&self` or `&mut self`: the actor stays in its process");
            false
        });
        let broken = errors.count() > before;

        let mut keys = self.method_keys(helpers, errors);
        let num_returns = keys.num_returns(errors);
        let self_type = Some(&self.self_type);
        let returns = Returns::of(&signature.output, num_returns, self_type, errors);
        returns.check_keys(&keys, "max_task_retries", errors);
        if signature.asyncness.is_some() && returns.is_stream() {
            errors.add(
                &signature.output,
                "an `async` method cannot return a stream: its items are made one by one, on a thread; leave `async` away",
            );
        }
        let method = Method {
            conditions: attributes::conditions(&function.attrs),
            travelling: attributes::travelling(&function.attrs),
            name: name.clone(),
            exclusive,
            asyncness: signature.asyncness,
            parameters: Parameters::of(signature, self_type),
            returns,
            max_task_retries: keys.retries("max_task_retries", errors),
            retry_errors: keys.flag("retry_errors", errors),
            concurrency_group: keys.text("concurrency_group", errors),
            stream_backpressure: keys.limit("stream_backpressure", errors),
        };
        // A name twice without conditions is an error that the compiler shows better.
        let repeated = |known: &Method| known.name == method.name && method.conditions.is_empty();
        if broken || self.methods.iter().any(repeated) {
            return;
        }
        if let Some((_, owner)) = SHADOWED_ON_IMPORT.iter().find(|(name, _)| *name == text) {
            self.notes.push(Note {
                attributes: attributes::silenced(&function.attrs),
                name: name.clone(),
                text: format!(
                    "`handle.{text}(..)` means `{owner}` where that trait is imported: choose another name, or allow(deprecated) on the method"
                ),
            });
        }
        self.methods.push(method);
    }

    /// Reads the keys of `#[mobula::method]`.
    fn method_keys(&self, helpers: &[Attribute], errors: &mut Errors) -> Keys {
        let Some((first, rest)) = helpers.split_first() else {
            return Keys::none();
        };
        for repeated in rest {
            errors.add(repeated, "#[mobula::method] is given twice: put all keys into one");
        }
        match &first.meta {
            Meta::Path(_) => Keys::none(),
            Meta::List(list) => Keys::parse(list.tokens.clone(), &keys::METHOD, errors),
            Meta::NameValue(_) => {
                errors.add(first, "keys stand in parentheses: `#[mobula::method(num_returns = 2)]`");
                Keys::none()
            }
        }
    }
}

/// Complains about a block that cannot be a class.
fn check_block(block: &ItemImpl, errors: &mut Errors) {
    if !block.generics.params.is_empty() {
        errors.add(
            &block.generics,
            "an actor class cannot be generic, since the worker finds it by its name: write the block for one type",
        );
        return;
    }
    if let Some(unsafety) = &block.unsafety {
        errors.add(unsafety, "the block of an actor class cannot be `unsafe`");
    }
    match self_type::ungrouped(&block.self_ty) {
        Type::Path(path) => {
            if let Some(lifetime) = elided_lifetime(&path.path) {
                errors.add(lifetime, "an actor class cannot borrow: the actor lives in a process of its own");
            }
        }
        other => errors.add(other, "an actor class is a struct or an enum of this crate"),
    }
}

/// Gives the first lifetime of a path's last segment that is not `'static`.
fn elided_lifetime(path: &Path) -> Option<&Lifetime> {
    let PathArguments::AngleBracketed(arguments) = &path.segments.last()?.arguments else {
        return None;
    };
    arguments.args.iter().find_map(|argument| match argument {
        syn::GenericArgument::Lifetime(lifetime) if lifetime.ident != "static" => Some(lifetime),
        _ => None,
    })
}

/// Gives the short name of a class.
fn class_name(self_type: &Type) -> String {
    match self_type::ungrouped(self_type) {
        Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.unraw_text()).unwrap_or_default(),
        other => other.to_token_stream().to_string(),
    }
}

/// Tells `&mut self` from `&self`, also written with a type; `None` for `self` by value.
fn exclusive(receiver: &Receiver, self_type: &Type) -> Option<bool> {
    if receiver.colon_token.is_none() {
        return receiver.reference.is_some().then_some(receiver.mutability.is_some());
    }
    match self_type::ungrouped(&receiver.ty) {
        Type::Reference(reference) if self_type::is_self(&reference.elem) || same(&reference.elem, self_type) => {
            Some(reference.mutability.is_some())
        }
        _ => None,
    }
}

/// Tells whether two types are written with the same tokens.
fn same(one: &Type, other: &Type) -> bool {
    one.to_token_stream().to_string() == other.to_token_stream().to_string()
}
