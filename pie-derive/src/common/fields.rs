//! The fields of a struct or of an enum's variants, for derives that treat all of them alike.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Data, Fields};

use super::errors::Errors;

/// The pattern that binds the fields, and the names that it binds them to.
pub(crate) fn pattern(fields: &Fields) -> (TokenStream, Vec<syn::Ident>) {
    match fields {
        Fields::Named(named) => {
            let idents: Vec<_> = named.named.iter().filter_map(|field| field.ident.clone()).collect();
            let names: Vec<_> = (0..idents.len()).map(|i| format_ident!("field_{i}")).collect();
            (quote!({ #(#idents: #names),* }), names)
        }
        Fields::Unnamed(unnamed) => {
            let names: Vec<_> = (0..unnamed.unnamed.len()).map(|i| format_ident!("field_{i}")).collect();
            (quote!((#(#names),*)), names)
        }
        Fields::Unit => (quote!(), Vec::new()),
    }
}

/// Refuses attributes of fields and variants, for a derive that has none there.
pub(crate) fn refuse_inner(data: &Data, message: &str, errors: &mut Errors) {
    let (variants, fields): (Vec<_>, Vec<_>) = match data {
        Data::Struct(data) => (Vec::new(), data.fields.iter().collect()),
        Data::Enum(data) => (
            data.variants.iter().collect(),
            data.variants.iter().flat_map(|variant| variant.fields.iter()).collect(),
        ),
        Data::Union(_) => return,
    };
    let attributes =
        variants.iter().map(|variant| &variant.attrs).chain(fields.iter().map(|field| &field.attrs));
    for attribute in attributes.flatten().filter(|attribute| attribute.path().is_ident("pie")) {
        errors.push(attribute.path(), message);
    }
}
