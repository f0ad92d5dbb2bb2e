//! `insert`, `update_by_id`, `upsert_by_…`, `delete_by_id`, and the types `New…` and `…Update`.

use proc_macro2::TokenStream;
use quote::quote;

use super::finders::named;
use super::impls::datum;
use super::{Context, hidden, plain};

pub(super) fn functions(context: &Context<'_>) -> TokenStream {
    let Context { model, p, new, update } = context;
    let (vis, name) = (&model.vis, model.ident.to_string());
    let (on, row, rows) = (hidden("on"), hidden("row"), hidden("rows"));
    let (parameters, arguments) = context.parameters(&model.id);
    let docs = [
        format!("Inserts a `{name}`; gives it back as the database has it."),
        format!("Inserts several `{name}` rows, all or none; gives them back as the database has them."),
        format!("Changes the `{name}` with this id: name what to set, then await it."),
        format!("Deletes the `{name}` with this id; whether there was one."),
    ];
    let [insert_doc, many_doc, update_doc, delete_doc] = &docs;
    let mut out = quote! {
        #[doc = #insert_doc]
        #vis fn insert<'a>(#on: &'a impl #p::Handle, #row: #new) -> #p::Insert<'a, Self> {
            #p::insert(#on, #row)
        }
        #[doc = #many_doc]
        #vis fn insert_many<'a>(
            #on: &'a impl #p::Handle,
            #rows: impl #p::IntoIterator<Item = #new>,
        ) -> #p::InsertMany<'a, Self> {
            #p::insert_many(#on, #rows)
        }
        #[doc = #update_doc]
        #vis fn update_by_id<'a>(#on: &'a impl #p::Handle, #parameters) -> #update<'a> {
            #update(#p::update(#on, #arguments))
        }
        #[doc = #delete_doc]
        #vis fn delete_by_id<'a>(#on: &'a impl #p::Handle, #parameters) -> #p::DeleteOne<'a, Self> {
            #p::delete(#on, #arguments)
        }
    };
    let id_given = model.id.columns.iter().all(|place| !model.columns[*place].auto);
    let id = id_given.then(|| (&model.id, quote!(<Self as #p::Model>::SCHEMA.id)));
    let uniques = model
        .uniques
        .iter()
        .enumerate()
        .map(|(place, index)| (index, quote!(<Self as #p::Model>::SCHEMA.uniques[#place])));
    for (index, at) in id.into_iter().chain(uniques) {
        let upsert = named("upsert_by", index);
        let doc = format!("Inserts a `{name}`, or changes the one with the same {}.", context.words(index));
        out.extend(quote! {
            #[doc = #doc]
            #vis fn #upsert<'a>(#on: &'a impl #p::Handle, #row: #new) -> #p::Upsert<'a, Self> {
                #p::upsert(#on, &#at, #row)
            }
        });
    }
    out
}

pub(super) fn types(context: &Context<'_>) -> TokenStream {
    let Context { model, p, new, update } = context;
    let (vis, ident) = (&model.vis, &model.ident);
    let name = ident.to_string();

    let fields = model.given().map(|(_, column)| {
        let (vis, ident, ty, docs) = (&column.vis, &column.ident, &column.ty, &column.docs);
        let doc = format!("Column `{}`.", column.column);
        if docs.is_empty() {
            quote!(#[doc = #doc] #vis #ident: #ty)
        } else {
            quote!(#(#docs)* #vis #ident: #ty)
        }
    });
    let setters = model.given().map(|(place, column)| {
        let (vis, field, ty) = (&column.vis, &column.ident, &column.ty);
        let (value, doc) = (hidden("value"), format!("Sets `{}`.", plain(field)));
        if column.json {
            quote! {
                #[doc = #doc]
                #vis fn #field(self, #value: #ty) -> Self {
                    Self(#p::set_json::<#ident>(self.0, #place, <#ty as #p::JsonField>::to_datum(&#value)))
                }
            }
        } else {
            quote! {
                #[doc = #doc]
                #vis fn #field<'v>(self, #value: impl #p::Arg<'v, #ty>) -> Self {
                    Self(#p::set::<#ident, #ty>(self.0, #place, #value))
                }
            }
        }
    });
    let places = model.given().map(|(place, _)| place);
    let values = model.given().map(|(_, column)| {
        let datum = datum(column, p);
        quote!(#p::Datum::into_owned(#datum))
    });
    let new_doc = format!("A [`{name}`] to insert: all it has but what the database fills in.");
    let update_doc = format!("A change of one [`{name}`]: name what to set, then await it.");
    let (new_name, update_name) = (new.to_string(), update.to_string());
    quote! {
        #[doc = #new_doc]
        #[allow(dead_code)]
        #vis struct #new {
            #(#fields),*
        }
        #[doc = #update_doc]
        #[must_use = "a write does nothing until it is awaited"]
        #[allow(dead_code)]
        #vis struct #update<'a>(#p::UpdateOne<'a, #ident>);
        #[automatically_derived]
        #[allow(dead_code, clippy::all, clippy::pedantic)]
        impl<'a> #update<'a> {
            #(#setters)*
        }
        #[automatically_derived]
        impl<'a> #p::IntoFuture for #update<'a> {
            type Output = #p::Result<#p::Option<#p::Cached<#ident>>, #p::Error>;
            type IntoFuture = #p::WriteFuture<'a, #p::Option<#p::Cached<#ident>>>;
            fn into_future(self) -> Self::IntoFuture {
                #p::IntoFuture::into_future(self.0)
            }
        }
        #[automatically_derived]
        impl #p::fmt::Debug for #update<'_> {
            fn fmt(&self, f: &mut #p::fmt::Formatter<'_>) -> #p::fmt::Result {
                f.write_str(#update_name)
            }
        }
        #[automatically_derived]
        impl #p::fmt::Debug for #new {
            fn fmt(&self, f: &mut #p::fmt::Formatter<'_>) -> #p::fmt::Result {
                f.write_str(#new_name)
            }
        }
        #[automatically_derived]
        impl #p::NewRow for #new {
            type Model = #ident;
            const COLUMNS: &'static [#p::usize] = &[#(#places),*];
            fn into_values(self) -> #p::Result<#p::Vec<#p::Datum<'static>>, #p::ValueError> {
                #p::Ok(<#p::Vec<_> as #p::From<_>>::from([#(#values),*]))
            }
        }
    }
}
