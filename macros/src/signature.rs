//! What crosses the process boundary: the checks of a signature, and its parameters.
//!
//! A remote call's arguments are written in one process and read in another. The types must therefore
//! be named and owned: no generics, no references, no `impl Trait`. [`check_function`] and
//! [`check_type`] say so at the token that breaks it; what only the compiler can know (does the type
//! serialise?) is left to the bounds of the runtime's functions, called with the user's type so that
//! the error points at it.
//!
//! Each parameter appears four times in an expansion, always under the parameter's own `#[cfg]`:
//! declared on the handle or launcher ([`Parameters::declarations`]), written there
//! ([`Parameters::writes`]), read in the worker ([`Parameters::reads`]) and passed on to the user's
//! function ([`Parameters::locals`]).

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote_spanned};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, FnArg, Lifetime, Pat, Path, ReturnType, Signature, Type, TypeImplTrait, TypeReference};

use crate::attributes;
use crate::errors::Errors;
use crate::fingerprint::Fingerprint;
use crate::returns;
use crate::self_type;

/// What a signature belongs to, in the words of an error message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// `new` of an actor.
    Constructor,
    /// A method that the handle offers.
    Method,
    /// A function that runs as a task.
    Task,
}

impl Subject {
    fn words(self) -> &'static str {
        match self {
            Subject::Constructor => "an actor's `new`",
            Subject::Method => "a remote method",
            Subject::Task => "a task",
        }
    }

    /// What a user may do who needs the thing nevertheless.
    fn way_out(self) -> &'static str {
        match self {
            Subject::Constructor | Subject::Task => "",
            Subject::Method => ", or make the method private",
        }
    }
}

/// Where a type stands in a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Parameter,
    Result,
    /// The error of a `Result`: it becomes a text in the worker, so it may refer to what is static.
    Error,
}

/// Complains about what a remote signature cannot have.
pub(crate) fn check_function(signature: &Signature, subject: Subject, errors: &mut Errors) {
    let what = subject.words();
    if !signature.generics.params.is_empty() {
        errors.add(
            &signature.generics,
            format!(
                "{what} cannot be generic, since the worker must know every type: name the types{}",
                subject.way_out()
            ),
        );
    }
    if let Some(asyncness) = &signature.asyncness {
        let refusal = match subject {
            Subject::Method if cfg!(feature = "async") => None,
            Subject::Method => Some("can be `async` only with the feature `async` of mobula"),
            Subject::Constructor => Some("cannot be `async`: no call can run before the actor is there"),
            Subject::Task => Some("cannot be `async`: it has a thread for itself, on which `block_on` runs any future"),
        };
        if let Some(refusal) = refusal {
            errors.add(asyncness, format!("{what} {refusal}"));
        }
    }
    if let Some(unsafety) = &signature.unsafety {
        errors.add(unsafety, format!("{what} cannot be `unsafe`: its caller is in another process"));
    }
    if let Some(variadic) = &signature.variadic {
        errors.add(variadic, format!("{what} cannot take a variable number of arguments"));
    }
    for input in &signature.inputs {
        if let FnArg::Typed(parameter) = input {
            check_type(&parameter.ty, Role::Parameter, subject, errors);
        }
    }
    if let ReturnType::Type(_, ty) = &signature.output {
        // Only the items of a stream leave the worker.
        let item = if subject == Subject::Constructor { None } else { returns::stream_item(ty) };
        let ty = item.unwrap_or(ty);
        match returns::result_parameters(ty) {
            Some(parameters) => {
                for (index, ty) in parameters.enumerate() {
                    let role = if index == 0 { Role::Result } else { Role::Error };
                    check_type(ty, role, subject, errors);
                }
            }
            None => check_type(ty, Role::Result, subject, errors),
        }
    }
}

/// Complains about what a value of another process cannot be.
fn check_type(ty: &Type, role: Role, subject: Subject, errors: &mut Errors) {
    Borrows { role, subject, errors }.visit_type(ty);
}

/// Finds references, `impl Trait` and borrowed types, however deep.
struct Borrows<'a> {
    role: Role,
    subject: Subject,
    errors: &'a mut Errors,
}

impl Borrows<'_> {
    /// "a remote method cannot take", "a task cannot return", "an actor's `new` cannot fail with".
    fn refusal(&self) -> String {
        let verb = match self.role {
            Role::Parameter => "take",
            Role::Result => "return",
            Role::Error => "fail with",
        };
        format!("{} cannot {verb}", self.subject.words())
    }

    fn reason(&self) -> &'static str {
        match self.role {
            Role::Parameter => "its arguments come from another process",
            Role::Result => "its result goes to another process",
            Role::Error => "its error goes to another process",
        }
    }
}

impl<'ast> Visit<'ast> for Borrows<'_> {
    fn visit_type_reference(&mut self, reference: &'ast TypeReference) {
        let lifetime = reference.lifetime.as_ref();
        if self.role == Role::Error && lifetime.is_some_and(is_static) {
            visit::visit_type_reference(self, reference);
            return;
        }
        let instead = match self_type::ungrouped(&reference.elem) {
            Type::Path(path) if path.path.is_ident("str") => "use `String`".to_owned(),
            Type::Slice(slice) => {
                let elem = slice.elem.to_token_stream();
                format!("use `Vec<{elem}>` or `mobula::Array<{elem}>`")
            }
            _ => "use an owned type".to_owned(),
        };
        let message = format!("{} a reference, since {}: {instead}", self.refusal(), self.reason());
        self.errors.add(reference, message);
    }

    fn visit_type_impl_trait(&mut self, opaque: &'ast TypeImplTrait) {
        let message = format!("{} `impl Trait`, since both processes must know the type: name it", self.refusal());

        self.errors.add(opaque, message);
    }

    fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
        if !is_static(lifetime) {
            let message = format!("{} a type that borrows, since {}: use an owned type", self.refusal(), self.reason());
            self.errors.add(lifetime, message);
        }
        visit::visit_lifetime(self, lifetime);
    }
}

fn is_static(lifetime: &Lifetime) -> bool {
    lifetime.ident == "static"
}

/// The parameters of a remote signature, the receiver apart.
pub(crate) struct Parameters {
    list: Vec<Parameter>,
}

/// One parameter.
struct Parameter {
    /// The `#[cfg]`s on it.
    conditions: Vec<Attribute>,
    /// Its name in generated signatures.
    name: Ident,
    /// The variable that holds the value in the worker.
    local: Ident,
    /// The pattern as the user wrote it, for error messages of the worker.
    text: String,
    /// Its type, with `Self` replaced.
    ty: Type,
}

impl Parameters {
    /// Reads the parameters of `signature`; `Self` in them means `self_type`.
    pub(crate) fn of(signature: &Signature, self_type: Option<&Type>) -> Parameters {
        let typed = signature.inputs.iter().filter_map(|input| match input {
            FnArg::Typed(parameter) => Some(parameter),
            FnArg::Receiver(_) => None,
        });
        let list = typed
            .enumerate()
            .map(|(index, parameter)| {
                let ty = self_type::ungrouped(&parameter.ty);
                let local = format_ident!("__arg{index}", span = Span::mixed_site());
                Parameter {
                    conditions: attributes::conditions(&parameter.attrs),
                    name: plain_name(&parameter.pat).unwrap_or_else(|| local.clone()),
                    text: pattern_text(&parameter.pat),
                    ty: match self_type {
                        Some(self_type) => self_type::replaced(ty, self_type),
                        None => ty.clone(),
                    },
                    local,
                }
            })
            .collect();
        Parameters { list }
    }

    /// Declares them: `by: impl Into<Arg<i64>>,`.
    pub(crate) fn declarations(&self, krate: &Path) -> TokenStream {
        self.each(|parameter| {
            let (name, ty) = (&parameter.name, &parameter.ty);
            emit!(#name: impl ::core::convert::Into<#krate::Arg<#ty>>,)
        })
    }

    /// Names them, to pass them on as they are: `by,`.
    pub(crate) fn names(&self) -> TokenStream {
        self.each(|parameter| {
            let name = &parameter.name;
            emit!(#name,)
        })
    }

    /// Makes the variable `__args` and writes every argument into it, in order.
    pub(crate) fn writes(&self) -> TokenStream {
        let pushes = self.each(|parameter| {
            let (name, ty) = (&parameter.name, &parameter.ty);
            let span = generated_at(ty);
            quote_spanned!(span=> __p::Args::push::<#ty>(&mut __args, ::core::convert::Into::into(#name));)
        });
        emit! {
            #[allow(unused_mut)]
            let mut __args = __p::Args::new();
            #pushes
        }
    }

    /// Reads every argument from the variable `__args` into its local, in order.
    pub(crate) fn reads(&self) -> TokenStream {
        self.each(|parameter| {
            let (local, ty, text) = (&parameter.local, &parameter.ty, &parameter.text);
            let span = generated_at(ty);
            quote_spanned!(span=> let #local = __p::ArgReader::next::<#ty>(__args, #text)?;)
        })
    }

    /// Names the locals: the arguments of the call of the user's function.
    pub(crate) fn locals(&self) -> TokenStream {
        self.each(|parameter| {
            let local = &parameter.local;
            emit!(#local,)
        })
    }

    /// Adds the types of those that are always there to `fingerprint`.
    pub(crate) fn fingerprint(&self, fingerprint: &mut Fingerprint) {
        for parameter in &self.list {
            if parameter.conditions.is_empty() {
                fingerprint.tokens(parameter.ty.to_token_stream()).text(",");
            }
        }
    }

    /// Gives the fingerprint of each of the others, with its conditions and its place.
    pub(crate) fn conditional_fingerprints(&self) -> Vec<(&[Attribute], u64)> {
        let conditional = self.list.iter().enumerate();
        conditional
            .filter(|(_, parameter)| !parameter.conditions.is_empty())
            .map(|(index, parameter)| {
                let mut fingerprint = Fingerprint::new();
                fingerprint.text(&index.to_string()).tokens(parameter.ty.to_token_stream());
                (parameter.conditions.as_slice(), fingerprint.value())
            })
            .collect()
    }

    /// Writes something for each parameter, under the parameter's conditions.
    fn each(&self, write: impl Fn(&Parameter) -> TokenStream) -> TokenStream {
        self.list
            .iter()
            .map(|parameter| {
                let conditions = attributes::tokens(&parameter.conditions);
                let written = write(parameter);
                emit!(#conditions #written)
            })
            .collect()
    }
}

/// Gives a span that shows the place of `tokens` and resolves names like the generated code.
pub(crate) fn generated_at(tokens: &impl ToTokens) -> Span {
    Span::mixed_site().located_at(tokens.to_token_stream().span())
}

/// Gives a name that the generated code uses for itself: shown at its place, and as generated code no
/// matter for lints about style.
pub(crate) fn generated_name(name: &Ident) -> Ident {
    let mut name = name.clone();
    name.set_span(Span::mixed_site().located_at(name.span()));
    name
}

/// Gives the name of a pattern that is only a name.
fn plain_name(pattern: &Pat) -> Option<Ident> {
    match pattern {
        Pat::Ident(name) if name.by_ref.is_none() && name.subpat.is_none() => Some(name.ident.clone()),
        _ => None,
    }
}

/// Gives a pattern as a text, a plain name without its `mut`.
fn pattern_text(pattern: &Pat) -> String {
    match plain_name(pattern) {
        Some(name) => name.unraw_text(),
        None => pattern.to_token_stream().to_string(),
    }
}

/// Names without the `r#` that only the compiler needs.
pub(crate) trait UnrawText {
    /// Gives the name as text.
    fn unraw_text(&self) -> String;
}

impl UnrawText for Ident {
    fn unraw_text(&self) -> String {
        syn::ext::IdentExt::unraw(self).to_string()
    }
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    fn complaints(signature: &Signature, subject: Subject) -> (usize, String) {
        let mut errors = Errors::default();
        check_function(signature, subject, &mut errors);
        (errors.count(), errors.into_compile_errors().to_string())
    }

    #[test]
    fn owned_types_pass() {
        let signature = parse_quote!(
            fn f(&self, a: u8, b: Vec<(String, Option<u8>)>, c: Foo<'static>) -> Result<(), E>
        );
        assert_eq!(complaints(&signature, Subject::Method).0, 0);
    }

    #[test]
    fn every_borrow_is_told_once() {
        let signature = parse_quote!(
            fn f(a: &str, b: Vec<&[u8]>, c: Cow<'_, str>, d: impl Into<u8>) -> Option<&u8>
        );
        let (count, shown) = complaints(&signature, Subject::Task);
        assert_eq!(count, 5, "{shown}");
        assert!(shown.contains("use `String`"), "{shown}");
        assert!(shown.contains("`Vec<u8>`"), "{shown}");
    }

    #[test]
    fn an_error_may_refer_to_what_is_static() {
        let signature = parse_quote!(fn f(&self) -> Result<u8, (&'static str, &'static [u8])>);
        assert_eq!(complaints(&signature, Subject::Method).0, 0);
        let signature = parse_quote!(fn f(&self) -> Result<&'static str, &str>);
        assert_eq!(complaints(&signature, Subject::Method).0, 2);
    }

    #[test]
    fn every_qualifier_is_told() {
        let signature = parse_quote!(async unsafe fn f<T>(&self, a: T));
        assert_eq!(complaints(&signature, Subject::Method).0, if cfg!(feature = "async") { 2 } else { 3 });
        assert_eq!(complaints(&signature, Subject::Task).0, 3);
    }

    #[test]
    fn patterns_get_a_name() {
        let signature = parse_quote!(fn f(&self, mut a: u8, (b, _): (u8, u8), _: u8, r#in: u8));
        let parameters = Parameters::of(&signature, None);
        let names: Vec<String> = parameters.list.iter().map(|parameter| parameter.name.to_string()).collect();
        assert_eq!(names, ["a", "__arg1", "__arg2", "r#in"]);
        let texts: Vec<&str> = parameters.list.iter().map(|parameter| parameter.text.as_str()).collect();
        assert_eq!(texts, ["a", "(b , _)", "_", "in"]);
    }
}
