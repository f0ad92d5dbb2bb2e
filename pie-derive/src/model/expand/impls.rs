//! `impl Model`: the schema as a constant, and the columns one by one.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use super::Context;
use crate::common::policy;
use crate::model::ir::IndexIr;

pub(super) fn impls(context: &Context<'_>) -> TokenStream {
    let Context { model, p, new, .. } = context;
    let (ident, family, table) = (&model.ident, &model.family, &model.table);
    let name = ident.to_string();

    let columns = model.columns.iter().map(|column| {
        let (ty, name, auto) = (&column.ty, &column.column, column.auto);
        if column.json {
            quote!(#p::ColumnDef::of::<#p::Json<#ty>>(#name, #auto))
        } else {
            quote!(#p::ColumnDef::of::<#ty>(#name, #auto))
        }
    });
    let shapes = model.columns.iter().map(|column| {
        let (ty, name) = (&column.ty, &column.column);
        if column.json {
            // What serde writes is the type's own affair; its name is all that is known here.
            let text = format!("json {}", quote!(#ty));
            quote!((#name, #p::fingerprint(#text)))
        } else {
            quote!((#name, <#ty as #p::Value>::SHAPE))
        }
    });
    let index = |index: &IndexIr, prefix: String| {
        let (name, columns) = (&index.name, &index.columns);
        quote!(#p::Index::new(#name, #prefix, &[#(#columns),*]))
    };
    let id = index(&model.id, format!("{family}:"));
    let uniques = model.uniques.iter().map(|unique| index(unique, format!("{family}:{}:", unique.name)));
    let indexes = model.indexes.iter().map(|list| index(list, format!("{table}:{}:", list.name)));
    let policy = policy::tokens(model.policy.as_ref(), p);

    let takes = model.columns.iter().enumerate().map(|(place, column)| {
        let (ident, ty) = (&column.ident, &column.ty);
        if column.json {
            quote!(#ident: row.take_json::<#ty>(#place)?)
        } else {
            quote!(#ident: row.take::<#ty>(#place)?)
        }
    });
    let skipped = model.skipped.iter().map(|ident| quote!(#ident: #p::Default::default()));
    let data = model.columns.iter().enumerate().map(|(place, column)| {
        let ident = &column.ident;
        if column.json {
            quote!(#place => #p::Json::datum(&self.#ident)?)
        } else {
            quote!(#place => #p::Value::to_datum(&self.#ident))
        }
    });
    let heaps = model.columns.iter().map(|column| {
        let ident = &column.ident;
        if column.json {
            quote!(#p::Json::text_bytes(&self.#ident))
        } else {
            quote!(#p::Value::heap_bytes(&self.#ident))
        }
    });
    let checks = model.columns.iter().filter(|column| column.auto).map(|column| {
        let ty = &column.ty;
        quote_spanned!(ty.span()=> const _: () = #p::assert_auto::<#ty>();)
    });

    quote! {
        #(#checks)*
        #[automatically_derived]
        #[allow(clippy::all, clippy::pedantic)]
        impl #p::Model for #ident {
            const SCHEMA: &'static #p::Schema = &#p::Schema::new(
                #name,
                #family,
                #table,
                &[#(#columns),*],
                #id,
                &[#(#uniques),*],
                &[#(#indexes),*],
                #policy,
                #p::row_fingerprint(&[#(#shapes),*]),
                {
                    static GROUP: #p::GroupId = #p::GroupId::model(#name);
                    || &GROUP
                },
            );
            type New = #new;
            fn from_row(mut row: #p::RowReader) -> #p::Result<Self, #p::Error> {
                #p::Ok(Self { #(#takes,)* #(#skipped,)* })
            }
            fn datum(&self, column: #p::usize) -> #p::Result<#p::Datum<'_>, #p::ValueError> {
                #p::Ok(match column {
                    #(#data,)*
                    _ => #p::Datum::Null,
                })
            }
            fn heap_bytes(&self) -> #p::usize {
                #(#heaps)+*
            }
        }
    }
}
