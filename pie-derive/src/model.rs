//! `#[derive(Model)]`.

pub(crate) mod expand;
pub(crate) mod ir;
pub(crate) mod parse;

use proc_macro2::TokenStream;
use quote::quote;

use crate::common::errors::Errors;

pub(crate) fn derive(input: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let parsed = errors.keep(syn::parse2::<syn::DeriveInput>(input));
    let model = parsed
        .and_then(|input| parse::parse(&input, &mut errors))
        .and_then(|parsed| ir::check(parsed, &mut errors));
    // What could be understood is generated beside the errors, so that none of them has second-hand errors behind it.
    let expanded = model.as_ref().map(expand::expand).unwrap_or_default();
    let errors = errors.into_tokens();
    quote!(#expanded #errors)
}
