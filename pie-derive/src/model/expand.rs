//! Data to tokens. Cannot fail; gives the same tokens for the same data.

mod columns;
mod finders;
mod impls;
mod writes;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};
use syn::ext::IdentExt;

use super::ir::{ColumnIr, IndexIr, ModelIr};

/// What every part of the expansion needs.
struct Context<'m> {
    model: &'m ModelIr,
    /// The path of what generated code may name.
    p: TokenStream,
    new: Ident,
    update: Ident,
}

pub(crate) fn expand(model: &ModelIr) -> TokenStream {
    let library = &model.library;
    let context = Context {
        model,
        p: quote!(#library::__private),
        new: format_ident!("New{}", model.ident),
        update: format_ident!("{}Update", model.ident),
    };
    let constants = columns::constants(&context);
    let finders = finders::finders(&context);
    let writes = writes::functions(&context);
    let types = writes::types(&context);
    let impls = impls::impls(&context);
    let ident = &model.ident;
    quote! {
        #[automatically_derived]
        #[allow(dead_code, clippy::all, clippy::pedantic)]
        impl #ident {
            #constants
            #finders
            #writes
        }
        #types
        #impls
        #library::__from_rows!(#ident);
    }
}

/// A name of generated code that no field can be confused with.
fn hidden(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

fn plain(ident: &Ident) -> String {
    ident.unraw().to_string()
}

impl Context<'_> {
    /// The parameters of a finder and the expression of its arguments.
    fn parameters(&self, index: &IndexIr) -> (TokenStream, TokenStream) {
        let p = &self.p;
        let columns: Vec<&ColumnIr> = index.columns.iter().map(|place| &self.model.columns[*place]).collect();
        let names: Vec<&Ident> = columns.iter().map(|column| &column.ident).collect();
        let types = columns.iter().map(|column| &column.ty);
        let types_again = types.clone();
        (
            quote!(#(#names: impl #p::Arg<'a, #types>),*),
            quote!(#p::args([#(#p::arg::<#types_again>(#names)),*])),
        )
    }

    /// `email`, or `org_id and slug`, for docs.
    fn words(&self, index: &IndexIr) -> String {
        let names: Vec<String> = index
            .columns
            .iter()
            .map(|place| format!("`{}`", plain(&self.model.columns[*place].ident)))
            .collect();
        names.join(" and ")
    }
}
