//! `find_by_…`, `list_by_…`, `query`, `key_by_…`: one line each over a function of the library.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};

use super::{Context, hidden};
use crate::model::ir::IndexIr;

pub(super) fn finders(context: &Context<'_>) -> TokenStream {
    let (p, vis) = (&context.p, &context.model.vis);
    let name = context.model.ident.to_string();
    let on = hidden("on");
    let id = quote!(<Self as #p::Model>::SCHEMA.id);
    let mut out = find(context, &context.model.id, &id);
    out.extend(find_many(context, &on));
    for (place, index) in context.model.uniques.iter().enumerate() {
        out.extend(find(context, index, &quote!(<Self as #p::Model>::SCHEMA.uniques[#place])));
    }
    for (place, index) in context.model.indexes.iter().enumerate() {
        out.extend(list(context, index, place));
    }
    let explained = format!("What the reads of `{name}` depend on, and what its writes end.");
    out.extend(quote! {
        #[doc = #explained]
        #vis fn explain() -> #p::ModelExplanation {
            #p::explain_model(<Self as #p::Model>::SCHEMA)
        }
    });
    let doc = format!("Any `{name}` rows: add a filter, an order, a limit, or await it for all.");
    out.extend(quote! {
        #[doc = #doc]
        #vis fn query<'a>(#on: &'a impl #p::Handle) -> #p::Query<'a, Self, #p::Rows> {
            #p::query(#on)
        }
    });
    out
}

fn find(context: &Context<'_>, index: &IndexIr, at: &TokenStream) -> TokenStream {
    let (p, vis) = (&context.p, &context.model.vis);
    let (parameters, arguments) = context.parameters(index);
    let (find, key, on) = (named("find_by", index), named("key_by", index), hidden("on"));
    let (model, words) = (context.model.ident.to_string(), context.words(index));
    let find_doc = format!("Finds the `{model}` with this {words}, or none.");
    let key_doc = format!("The cache key of the `{model}` with this {words}.");
    // At the field, so that a function of the same name is told there.
    quote_spanned! {index.span=>
        #[doc = #find_doc]
        #vis fn #find<'a>(#on: &'a impl #p::Handle, #parameters) -> #p::Query<'a, Self, #p::First> {
            #p::find(#on, &#at, #arguments)
        }
        #[doc = #key_doc]
        #vis fn #key<'a>(#parameters) -> #p::String {
            #p::key(&#at, &#arguments)
        }
    }
}

fn find_many(context: &Context<'_>, on: &Ident) -> TokenStream {
    let (p, vis) = (&context.p, &context.model.vis);
    let columns: Vec<_> =
        context.model.id.columns.iter().map(|place| &context.model.columns[*place]).collect();
    let types = columns.iter().map(|column| &column.ty);
    let types_again = types.clone();
    let names: Vec<Ident> = (0..columns.len()).map(|i| hidden(&format!("id_{i}"))).collect();
    let (ty, pattern) = match names.as_slice() {
        [name] => (quote!(#(#types)*), quote!(#name)),
        names => (quote!((#(#types),*)), quote!((#(#names),*))),
    };
    let ids = hidden("ids");
    let doc = format!(
        "The `{}` rows of these ids, in their order; one load for all that no cache has.",
        context.model.ident
    );
    quote! {
        #[doc = #doc]
        #vis fn find_by_ids<'a>(#on: &'a impl #p::Handle, #ids: &'a [#ty]) -> #p::FindMany<'a, Self> {
            #p::find_many(#on, #p::Iterator::map(
                #p::IntoIterator::into_iter(#ids),
                |#pattern| #p::args([#(#p::arg::<#types_again>(#names)),*]),
            ))
        }
    }
}

fn list(context: &Context<'_>, index: &IndexIr, place: usize) -> TokenStream {
    let (p, vis) = (&context.p, &context.model.vis);
    let (parameters, arguments) = context.parameters(index);
    let (list, on) = (named("list_by", index), hidden("on"));
    let doc = format!("Lists the `{}` rows with this {}.", context.model.ident, context.words(index));
    quote_spanned! {index.span=>
        #[doc = #doc]
        #vis fn #list<'a>(#on: &'a impl #p::Handle, #parameters) -> #p::Query<'a, Self, #p::Rows> {
            #p::list(#on, &<Self as #p::Model>::SCHEMA.indexes[#place], #arguments)
        }
    }
}

/// `find_by_email`, where the field is: going to its definition leads to the field.
pub(super) fn named(verb: &str, index: &IndexIr) -> Ident {
    let mut ident = format_ident!("{}_{}", verb, index.name);
    ident.set_span(index.span);
    ident
}
