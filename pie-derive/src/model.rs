//! `#[derive(Model)]`.

pub(crate) mod expand;
pub(crate) mod ir;
pub(crate) mod parse;
mod stub;

use proc_macro2::TokenStream;
use quote::quote;

use crate::common::errors::Errors;

pub(crate) fn derive(input: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let Some(input) = errors.keep(syn::parse2::<syn::DeriveInput>(input)) else {
        return errors.into_tokens();
    };
    let model = parse::parse(&input, &mut errors).and_then(|parsed| ir::check(parsed, &mut errors));
    // What could be understood is generated beside the errors, so that none of them has second-hand errors behind it.
    let expanded = model.as_ref().map_or_else(|| stub::stub(&input), expand::expand);
    let errors = errors.into_tokens();
    quote!(#expanded #errors)
}
