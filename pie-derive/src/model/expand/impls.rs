//! `impl Model`: the schema as a constant, and the columns one by one.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use super::Context;
use crate::common::crate_path::at;
use crate::common::policy;
use crate::model::ir::{ColumnIr, IndexIr};

/// The trait that knows how a field is stored. Everything that is generated asks it through a path on the field's type: so the
/// compiler has one thing to say of a type that cannot be stored, and says it once.
pub(super) fn field(column: &ColumnIr, p: &TokenStream) -> TokenStream {
    if column.json { quote!(#p::JsonField) } else { quote!(#p::Value) }
}

/// The neutral form of a field of `self`.
pub(super) fn datum(column: &ColumnIr, p: &TokenStream) -> TokenStream {
    let (ident, ty, field) = (&column.ident, &column.ty, field(column, p));
    let failing = column.json.then(|| quote!(?));
    let write = quote_spanned!(ty.span()=> <#ty as #field>::to_datum);
    quote!(#write(&self.#ident) #failing)
}

/// Whether a type could hold two forms of `NULL`: an `Option` of an `Option`, or a name that says nothing.
fn may_be_nested(ty: &syn::Type) -> bool {
    const PLAIN: [&str; 18] = [
        "i8",
        "i16",
        "i32",
        "i64",
        "u8",
        "u16",
        "u32",
        "u64",
        "f32",
        "f64",
        "bool",
        "String",
        "Vec",
        "Uuid",
        "NaiveDate",
        "NaiveTime",
        "NaiveDateTime",
        "DateTime",
    ];
    let is_plain = |ty: &syn::Type| {
        let syn::Type::Path(path) = ty else { return false };
        path.path.segments.last().is_some_and(|last| PLAIN.iter().any(|plain| last.ident == plain))
    };
    let inner = match ty {
        syn::Type::Path(path) => {
            path.path.segments.last().filter(|last| last.ident == "Option").and_then(|last| {
                let syn::PathArguments::AngleBracketed(list) = &last.arguments else { return None };
                list.args.first()
            })
        }
        _ => None,
    };
    match inner {
        Some(syn::GenericArgument::Type(inner)) => !is_plain(inner),
        _ => !is_plain(ty),
    }
}

pub(super) fn impls(context: &Context<'_>) -> TokenStream {
    let Context { model, p, new, .. } = context;
    let (ident, family, table) = (&model.ident, &model.family, &model.table);
    let name = ident.to_string();

    let columns = model.columns.iter().map(|column| {
        let (ty, name, auto) = (&column.ty, &column.column, column.auto);
        let field = field(column, p);
        quote!(#p::ColumnDef::new(#name, #auto, <#ty as #field>::FACTS))
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
    // Keys in memory tell the finders of a model by the numbers of what they are over.
    let mut numbers = 0_u16..;
    let mut index = |index: &IndexIr, prefix: String| {
        let (name, columns, number) = (&index.name, &index.columns, numbers.next());
        quote!(#p::Index::new(#name, #prefix, &[#(#columns),*]).number(#number))
    };
    let id = index(&model.id, format!("{family}:"));
    let uniques: Vec<_> =
        model.uniques.iter().map(|unique| index(unique, format!("{family}:{}:", unique.name))).collect();
    let indexes: Vec<_> =
        model.indexes.iter().map(|list| index(list, format!("{table}:{}:", list.name))).collect();
    let policy = policy::tokens(model.policy.as_ref(), p);

    let takes = model.columns.iter().enumerate().map(|(place, column)| {
        let (ident, ty, field) = (&column.ident, &column.ty, field(column, p));
        let read = quote_spanned!(ty.span()=> <#ty as #field>::from_datum);
        quote!(#ident: #read(row.take(#place)).map_err(row.refused(#place))?)
    });
    let skipped = model.skipped.iter().map(|(ident, ty)| {
        let default = quote_spanned!(ty.span()=> <#ty as #p::Skipped>::skipped());
        quote!(#ident: #default)
    });
    let data = model.columns.iter().enumerate().map(|(place, column)| {
        let datum = datum(column, p);
        quote!(#place => #datum)
    });
    let heaps = model.columns.iter().map(|column| {
        let (ident, ty, field) = (&column.ident, &column.ty, field(column, p));
        let count = quote_spanned!(ty.span()=> <#ty as #field>::heap_bytes);
        quote!(#p::HeapOf::new(&self.#ident, #count).heap_bytes())
    });
    let checks = model.columns.iter().filter(|column| column.auto).map(|column| {
        let (ty, p) = (&column.ty, at(p, column.ty.span()));
        quote_spanned!(ty.span()=> const _: () = #p::assert!(
            <#ty as #p::Value>::FACTS.counts(),
            "`auto` takes an integer id, or an `ObjectId`: make it an `i64`, or leave `auto` away and give the id in `insert`"
        );)
    });

    // An `Option` in an `Option` can only be where there is one, or a name for one.
    let nested = model.columns.iter().filter(|column| !column.json && may_be_nested(&column.ty)).map(|column| {
        let (ty, p) = (&column.ty, at(p, column.ty.span()));
        quote_spanned!(ty.span()=> const _: () = #p::assert!(
            !<#ty as #p::Value>::NESTED,
            "an `Option` in an `Option`, and a column has only one `NULL`: write a single `Option`, or `#[pie(json)]` on the field"
        );)
    });

    let manual = model.manual.then(|| quote!(.manual()));
    let touches = &model.touches;
    let touching = (!touches.is_empty()).then(|| {
        quote!(.touching(|| {
            static TOUCHES: &[&#p::Schema] = &[#(<#touches as #p::Model>::SCHEMA),*];
            TOUCHES
        }))
    });
    let ids: Vec<_> = model.id.columns.iter().map(|place| &model.columns[*place].ty).collect();
    let id_type = match ids.as_slice() {
        [one] => quote!(#one),
        several => quote!((#(#several),*)),
    };

    quote! {
        #(#checks)*
        #(#nested)*
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
            ) #manual #touching;
            type Id = #id_type;
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
        }
        #[automatically_derived]
        #[allow(clippy::all, clippy::pedantic)]
        impl #p::HeapSize for #ident {
            fn heap_size(&self) -> #p::usize {
                #[allow(unused_imports)]
                use #p::questions::*;
                #(#heaps)+*
            }
        }
    }
}
