//! `#[cached]` and `#[invalidates]` on functions.

mod expand;
mod ir;
mod template;

#[cfg(test)]
pub(crate) use ir::{INVALIDATES_KEYS, OWN_KEYS};
use proc_macro2::TokenStream;
use quote::quote;
use syn::ItemFn;

use crate::common::errors::Errors;

pub(crate) fn cached(arguments: TokenStream, item: &ItemFn) -> TokenStream {
    let mut errors = Errors::default();
    let checked = ir::cached(arguments, item, &mut errors);
    finish(errors, item, checked.map(|ir| move |item: &ItemFn| expand::cached(item, &ir)))
}

pub(crate) fn invalidates(arguments: TokenStream, item: &TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let Ok(item) = syn::parse2::<ItemFn>(item.clone()) else {
        errors.add(syn::Error::new(
            proc_macro2::Span::call_site(),
            "`#[invalidates]` goes on an `async` function: write it above one",
        ));
        let errors = errors.into_tokens();
        return quote!(#item #errors);
    };
    let checked = ir::invalidates(arguments, &item, &mut errors);
    finish(errors, &item, checked.map(|ir| move |item: &ItemFn| expand::invalidates(item, &ir)))
}

/// The expansion, or the function as it is beside the mistakes, so that nothing else is wrong because of them.
fn finish(errors: Errors, item: &ItemFn, expand: Option<impl FnOnce(&ItemFn) -> TokenStream>) -> TokenStream {
    let failed = errors.is_some();
    let errors = errors.into_tokens();
    match expand {
        Some(expand) if !failed => expand(item),
        _ => quote!(#item #errors),
    }
}
