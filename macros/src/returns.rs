//! What a remote call gives back: one ref or several, and what becomes of an `Err`.
//!
//! The macro sees tokens, no types, so three rules go by how the return type is written:
//!
//! 1. A type whose last path segment is `Result` is fallible. Its `Ok` type is named through
//!    `ResultLike`, so that aliases such as `io::Result<T>` work whatever their parameters are; its
//!    `Err` becomes the caller's error and needs only `Display`.
//! 2. `num_returns = n` from 2 needs a tuple of `n` written out, or such a tuple as the first
//!    parameter of a fallible type.
//!
//! 3. `impl Iterator<Item = T>` is a stream: a call gives its items, each as a ref of its own, and an item of a type that is
//!    fallible by rule 1 may be an error by itself.
//!
//! `!` is taken as `()`: the method never returns, and its ref only tells how it ended.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote_spanned};
use syn::{GenericArgument, Path, PathArguments, PathSegment, ReturnType, Type, TypeParamBound, TypeTuple};

use crate::errors::Errors;
use crate::fingerprint::Fingerprint;
use crate::keys::{Keys, NumReturns};
use crate::self_type;
use crate::signature::generated_at;

/// The results of a remote signature.
pub(crate) struct Returns {
    /// The whole return type, with `Self` replaced.
    whole: TokenStream,
    /// Whether it is a `Result`, or a stream of such.
    fallible: bool,
    /// The type of the items as written, if it is a stream; then `values` is what an item holds.
    stream: Option<TokenStream>,
    /// Whether it is `!`.
    never: bool,
    /// The type of each ref's value.
    values: Vec<TokenStream>,
    /// Where errors about the results point.
    span: Span,
}

impl Returns {
    /// Reads the results of a signature; `Self` in them means `self_type`.
    pub(crate) fn of(
        output: &ReturnType,
        num_returns: Option<NumReturns>,
        self_type: Option<&Type>,
        errors: &mut Errors,
    ) -> Returns {
        let ty = match output {
            ReturnType::Type(_, ty) if !matches!(**ty, Type::Never(_)) => self_type::ungrouped(ty),
            ReturnType::Type(..) | ReturnType::Default => {
                complain_about_count(num_returns, None, errors);
                return Returns {
                    whole: emit!(()),
                    fallible: false,
                    stream: None,
                    never: matches!(output, ReturnType::Type(..)),
                    values: vec![emit!(())],
                    span: generated_at(output),
                };
            }
        };
        let tokens_of = |ty: &Type| match self_type {
            Some(self_type) => self_type::replaced(ty, self_type).into_token_stream(),
            None => ty.to_token_stream(),
        };
        let whole = tokens_of(ty);
        if let Some(item) = stream_item(ty) {
            if let Some(NumReturns { span, .. }) = num_returns {
                errors.add_at(span, "`num_returns` has no meaning for a stream: each of its items is one ref");
            }
            let fallible = is_fallible(item);
            let item = tokens_of(item);
            let span = generated_at(&item);
            let value = if fallible { quote_spanned!(span=> <#item as __p::ResultLike>::Ok) } else { item.clone() };
            return Returns { whole, fallible, stream: Some(item), never: false, values: vec![value], span };
        }
        let span = generated_at(&whole);
        let fallible = result_segment(ty).is_some();
        let values = match written_tuple(ty, num_returns, errors) {
            Some(tuple) => tuple.elems.iter().map(tokens_of).collect(),
            None if fallible => {
                vec![quote_spanned!(span=> <#whole as __p::ResultLike>::Ok)]
            }
            None => vec![whole.clone()],
        };
        Returns { whole, fallible, stream: None, never: false, values, span }
    }

    /// Gives how many refs a call gives; 0 for a stream, which gives them one by one.
    pub(crate) fn count(&self) -> usize {
        if self.is_stream() { 0 } else { self.values.len() }
    }

    /// Tells whether a call gives a stream.
    pub(crate) fn is_stream(&self) -> bool {
        self.stream.is_some()
    }

    /// Complains about keys of the attribute that do not go with the results; `retries` names the one that counts tries.
    pub(crate) fn check_keys(&self, keys: &Keys, retries: &str, errors: &mut Errors) {
        if self.is_stream() {
            for name in [retries, "retry_errors"] {
                if let Some(span) = keys.place_of(name) {
                    let message = "a stream is never tried again, since its items may be in use";
                    errors.add_at(span, format!("{message}: leave `{name}` away"));
                }
            }
        } else if let Some(span) = keys.place_of("stream_backpressure") {
            errors.add_at(span, "`stream_backpressure` is for streams, which return `impl Iterator<Item = T>`");
        }
    }

    /// Adds the return type and the number of refs to `fingerprint`.
    pub(crate) fn fingerprint(&self, fingerprint: &mut Fingerprint) {
        fingerprint.text("->").tokens(self.whole.clone()).text(&self.count().to_string());
    }

    /// Gives the type that stands for the results in the runtime's generics.
    pub(crate) fn marker(&self) -> TokenStream {
        match self.values.as_slice() {
            [value] if self.is_stream() => emit!(__p::Stream<#value>),
            [value] => emit!(__p::One<#value>),
            values => emit!(__p::Many<(#(#values,)*)>),
        }
    }

    /// Gives the type of what a call gives.
    pub(crate) fn refs(&self, krate: &Path) -> TokenStream {
        match self.values.as_slice() {
            [value] if self.is_stream() => emit!(#krate::ObjectRefStream<#value>),
            [value] => emit!(#krate::ObjectRef<#value>),
            values => emit!((#(#krate::ObjectRef<#values>,)*)),
        }
    }

    /// Evaluates `call` and writes its results into the variable `__out`.
    pub(crate) fn writes(&self, call: &TokenStream) -> TokenStream {
        if self.never {
            return call.clone();
        }
        if let (Some(item), [value]) = (&self.stream, self.values.as_slice()) {
            return self.sends(call, item, value);
        }
        let whole = &self.whole;
        let outcome = if self.fallible {
            let call = quote_spanned!(self.span=> let __outcome: #whole = #call;);
            let unwrapped = quote_spanned!(self.span=> __p::ResultLike::into_result(__outcome));
            let refusal = quote_spanned!(self.span=> __p::CallError::user(&__error));
            emit! {
                #call
                let __value = match #unwrapped {
                    ::core::result::Result::Ok(__value) => __value,
                    ::core::result::Result::Err(__error) => {
                        return ::core::result::Result::Err(#refusal);
                    }
                };
            }
        } else {
            quote_spanned!(self.span=> let __value: #whole = #call;)
        };
        let pushes = match self.values.as_slice() {
            [value] => push(value, &emit!(__value)),
            values => {
                let names: Vec<_> =
                    (0..values.len()).map(|index| format_ident!("__value{index}", span = Span::mixed_site())).collect();
                let split = quote_spanned!(self.span=> let (#(#names,)*): (#(#values,)*) = __value;);
                let pushes = values.iter().zip(&names).map(|(value, name)| push(value, &name.to_token_stream()));
                let pushes: TokenStream = pushes.collect();
                emit!(#split #pushes)
            }
        };
        emit! {
            #outcome
            #pushes
            ::core::result::Result::Ok(())
        }
    }
}

impl Returns {
    /// Evaluates `call` and sends the items of the iterator that it gives, through the variables `__args` and `__out`.
    fn sends(&self, call: &TokenStream, item: &TokenStream, value: &TokenStream) -> TokenStream {
        let each = if self.fallible {
            let unwrapped = quote_spanned!(self.span=> __p::ResultLike::into_result(__item));
            let refusal = quote_spanned!(self.span=> __p::CallError::user(&__error));
            emit! {
                |__item: #item| match #unwrapped {
                    ::core::result::Result::Ok(__value) => ::core::result::Result::Ok(__value),
                    ::core::result::Result::Err(__error) => ::core::result::Result::Err(#refusal),
                }
            }
        } else {
            emit!(::core::result::Result::Ok)
        };
        // A type that does not serialise is the error of its own tokens.
        let send = quote_spanned!(self.span=> __p::ReturnWriter::stream::<#value>);
        emit! {
            let __window = __p::ArgReader::next::<::core::primitive::u64>(__args, "stream_backpressure")?;
            let __items = #call;
            #send(__out, __window, ::core::iter::Iterator::map(__items, #each))
        }
    }
}

/// Gives the type of the items if `ty` is `impl Iterator<Item = T>`, whatever else it promises.
pub(crate) fn stream_item(ty: &Type) -> Option<&Type> {
    let Type::ImplTrait(opaque) = self_type::ungrouped(ty) else {
        return None;
    };
    opaque.bounds.iter().find_map(|bound| {
        let TypeParamBound::Trait(bound) = bound else { return None };
        let last = bound.path.segments.last().filter(|last| last.ident == "Iterator")?;
        let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
        arguments.args.iter().find_map(|argument| match argument {
            GenericArgument::AssocType(item) if item.ident == "Item" => Some(&item.ty),
            _ => None,
        })
    })
}

/// Tells whether the last segment of `ty` is `Result`.
pub(crate) fn is_fallible(ty: &Type) -> bool {
    result_segment(ty).is_some()
}

/// Gives the type parameters of a type whose last segment is `Result`: by custom first what it holds,
/// then the error.
pub(crate) fn result_parameters(ty: &Type) -> Option<impl Iterator<Item = &Type>> {
    result_segment(ty).map(parameters)
}

/// Writes one result; a type that does not serialise is the error of its own tokens.
fn push(ty: &TokenStream, name: &TokenStream) -> TokenStream {
    let span = generated_at(ty);
    quote_spanned!(span=> __p::ReturnWriter::push::<#ty>(__out, &#name)?;)
}

/// Gives the last segment of `ty` if it is `Result`.
fn result_segment(ty: &Type) -> Option<&PathSegment> {
    match self_type::ungrouped(ty) {
        Type::Path(path) => {
            let last = path.path.segments.last()?;
            (last.ident == "Result").then_some(last)
        }
        _ => None,
    }
}

/// Gives the tuple that `num_returns` from 2 asks for, or complains.
fn written_tuple<'a>(ty: &'a Type, num_returns: Option<NumReturns>, errors: &mut Errors) -> Option<&'a TypeTuple> {
    let wanted = usize::from(num_returns?.count);
    if wanted == 1 {
        return None;
    }
    let value = match result_segment(ty) {
        Some(segment) => parameters(segment).next(),
        None => Some(ty),
    };
    let tuple = match value.map(self_type::ungrouped) {
        Some(Type::Tuple(tuple)) => Some(tuple),
        _ => None,
    };
    match tuple {
        Some(tuple) if tuple.elems.len() == wanted => Some(tuple),
        other => {
            complain_about_count(num_returns, other, errors);
            None
        }
    }
}

/// Says that `num_returns` and the return type disagree, if they do.
fn complain_about_count(num_returns: Option<NumReturns>, tuple: Option<&TypeTuple>, errors: &mut Errors) {
    let Some(NumReturns { count, span }) = num_returns else {
        return;
    };
    match tuple {
        _ if count == 1 => {}
        Some(tuple) => errors.add(
            tuple,
            format!(
                "`num_returns = {count}`, but this tuple has {}",
                values(tuple.elems.len())
            ),
        ),
        None => errors.add_at(
            span,
            format!(
                "`num_returns = {count}` needs a return type that is a tuple of {count} values, written out, or a `Result` of one"
            ),
        ),
    }
}

/// Counts in words.
fn values(count: usize) -> String {
    match count {
        0 => "no value".to_owned(),
        1 => "1 value".to_owned(),
        count => format!("{count} values"),
    }
}

/// Gives the type parameters of a path segment.
fn parameters(segment: &PathSegment) -> impl Iterator<Item = &Type> {
    let arguments = match &segment.arguments {
        PathArguments::AngleBracketed(arguments) => Some(&arguments.args),
        _ => None,
    };
    arguments.into_iter().flatten().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    fn returns(output: ReturnType, count: Option<u8>) -> (Returns, Errors) {
        let mut errors = Errors::default();
        let num_returns = count.map(|count| NumReturns { count, span: Span::call_site() });
        let returns = Returns::of(&output, num_returns, None, &mut errors);
        (returns, errors)
    }

    fn marker(output: ReturnType, count: Option<u8>) -> String {
        let (returns, errors) = returns(output, count);
        assert_eq!(errors.count(), 0);
        returns.marker().to_string().replace(' ', "")
    }

    #[test]
    fn one_value() {
        assert_eq!(marker(parse_quote!(-> i64), None), "__p::One<i64>");
        assert_eq!(marker(ReturnType::Default, None), "__p::One<()>");
        assert_eq!(marker(parse_quote!(-> !), None), "__p::One<()>");
        assert_eq!(marker(parse_quote!(-> (u8, u8)), None), "__p::One<(u8,u8)>");
        assert_eq!(marker(parse_quote!(-> (u8,)), Some(1)), "__p::One<(u8,)>");
        assert_eq!(marker(parse_quote!(-> io::Result<u8>), None), "__p::One<<io::Result<u8>as__p::ResultLike>::Ok>");
    }

    #[test]
    fn several_values() {
        let plain = marker(parse_quote!(-> (u8, String)), Some(2));
        assert_eq!(plain, "__p::Many<(u8,String,)>");
        let fallible = marker(parse_quote!(-> Result<(u8, String), E>), Some(2));
        assert_eq!(fallible, "__p::Many<(u8,String,)>");
    }

    #[test]
    fn streams() {
        assert_eq!(marker(parse_quote!(-> impl Iterator<Item = u8> + use<>), None), "__p::Stream<u8>");
        let fallible = marker(parse_quote!(-> impl Send + std::iter::Iterator<Item = Result<u8, E>>), None);
        assert_eq!(fallible, "__p::Stream<<Result<u8,E>as__p::ResultLike>::Ok>");
        let (counted, errors) = returns(parse_quote!(-> impl Iterator<Item = u8>), Some(2));
        assert_eq!((counted.count(), errors.count()), (0, 1));
        assert!(!returns(parse_quote!(-> impl Clone), None).0.is_stream());
    }

    #[test]
    fn a_count_that_disagrees_is_one_error_and_one_value() {
        for output in [
            parse_quote!(-> (u8, u8)),
            parse_quote!(-> Pair),
            parse_quote!(-> Result<Pair, E>),
            parse_quote!(-> fmt::Result),
            ReturnType::Default,
        ] {
            let (returns, errors) = returns(output, Some(3));
            assert_eq!(errors.count(), 1);
            assert_eq!(returns.count(), 1);
        }
    }
}
