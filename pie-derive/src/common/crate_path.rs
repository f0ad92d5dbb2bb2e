//! Where the library is: `::pie`, or what `#[pie(crate = path)]` says.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::Expr;

use super::attributes::Entry;
use super::errors::Errors;

/// The path of the library, from the entries of `#[pie(...)]`.
pub(crate) fn library(entries: &[Entry], errors: &mut Errors) -> TokenStream {
    let Some(entry) = entries.iter().find(|entry| entry.key == "crate") else { return quote!(::pie) };
    match errors.keep(entry.value("crate = my_crate::pie")) {
        Some(Expr::Path(path)) => path.to_token_stream(),
        Some(other) => {
            errors.push(other, "`crate` takes the path of the library: write `crate = my_crate::pie`");
            quote!(::pie)
        }
        None => quote!(::pie),
    }
}
