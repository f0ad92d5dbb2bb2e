//! `User::EMAIL`: one typed constant for each column.

use proc_macro2::{Ident, TokenStream};
use quote::quote_spanned;

use super::{Context, plain};
use crate::model::ir::ColumnIr;

pub(super) fn constants(context: &Context<'_>) -> TokenStream {
    let (p, vis) = (&context.p, &context.model.vis);
    let mut out = TokenStream::new();
    for (place, column) in context.model.columns.iter().enumerate() {
        let same =
            |other: &ColumnIr| plain(&other.ident).to_uppercase() == plain(&column.ident).to_uppercase();
        if context.model.columns[..place].iter().any(same) {
            // Told already.
            continue;
        }
        let (ty, name) = (&column.ty, &column.column);
        let constant = Ident::new(&plain(&column.ident).to_uppercase(), column.ident.span());
        let doc = format!("Column `{name}`.");
        let span = column.ident.span();
        let kind =
            if column.json { quote_spanned!(span=> #p::Json<#ty>) } else { quote_spanned!(span=> #ty) };
        out.extend(quote_spanned! {span=>
            #[doc = #doc]
            #[allow(non_upper_case_globals)]
            #vis const #constant: #p::Column<Self, #kind> = #p::Column::new(#place, #name);
        });
    }
    out
}
