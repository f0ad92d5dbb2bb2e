//! Where the library is: `::pie`, or what `#[pie(crate = path)]` says.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::Expr;

use super::attributes::Entry;
use super::errors::Errors;

/// The same path, as if it stood at this place: what the compiler says of a macro or a constant behind it is told there.
pub(crate) fn at(path: &TokenStream, span: Span) -> TokenStream {
    let moved = |mut token: TokenTree| {
        token.set_span(span);
        token
    };
    path.clone().into_iter().map(moved).collect()
}

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
