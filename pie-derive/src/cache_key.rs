//! `#[derive(CacheKey)]`: the fields of a struct or of an enum's variants, as parts of a key.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Fields, parse_quote};

use crate::common::attributes::{entries, refuse_repeated};
use crate::common::crate_path::library;
use crate::common::errors::Errors;
use crate::common::fields::{pattern, refuse_inner};
use crate::common::suggest;

/// The pattern that binds the fields, and what writes them.
fn bound(fields: &Fields, p: &TokenStream) -> (TokenStream, TokenStream) {
    let (pattern, names) = pattern(fields);
    let parts = fields.iter().zip(names).map(|(field, name)| {
        let ty = &field.ty;
        // At the type, so that one that cannot be part of a key is told there.
        let write = quote_spanned!(ty.span()=> <#ty as #p::CacheKey>::write_key);
        quote!(#write(#name, key); key.end_part();)
    });
    (pattern, quote!(#(#parts)*))
}

pub(crate) fn derive(input: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let Some(mut input) = errors.keep(syn::parse2::<DeriveInput>(input)) else { return errors.into_tokens() };
    let list = entries(&input.attrs, "pie", &mut errors);
    refuse_repeated(&list, &[], &mut errors);
    for entry in list.iter().filter(|entry| entry.key != "crate") {
        let message = suggest::unknown_key(&entry.key, "`#[pie]` beside `CacheKey`", &["crate"]);
        errors.add(syn::Error::new(entry.span, message));
    }
    let library = library(&list, &mut errors);
    refuse_inner(
        &input.data,
        "`#[derive(CacheKey)]` has no attributes here: every field is part of the key; for another key write `impl CacheKey`",
        &mut errors,
    );
    let p = quote!(#library::__private);
    let arms: Vec<TokenStream> = match &input.data {
        Data::Struct(data) => {
            let (pattern, parts) = bound(&data.fields, &p);
            vec![quote!(Self #pattern => key.group(|key| { #parts }))]
        }
        Data::Enum(data) => data
            .variants
            .iter()
            .map(|variant| {
                let (ident, (pattern, parts)) = (&variant.ident, bound(&variant.fields, &p));
                let name = ident.to_string();
                quote!(Self::#ident #pattern => {
                    key.text(#name);
                    key.group(|key| { #parts });
                })
            })
            .collect(),
        Data::Union(data) => {
            errors.push(&data.union_token, "a union cannot be part of a cache key: write an enum");
            return errors.into_tokens();
        }
    };
    for parameter in input.generics.type_params_mut() {
        parameter.bounds.push(parse_quote!(#p::CacheKey));
    }
    let (ident, (generics, arguments, clause)) = (&input.ident, input.generics.split_for_impl());
    let none = arms.is_empty().then(|| quote!(_ => {}));
    let errors = errors.into_tokens();
    quote! {
        #[automatically_derived]
        #[allow(clippy::all, clippy::pedantic)]
        impl #generics #p::CacheKey for #ident #arguments #clause {
            fn write_key(&self, key: &mut #p::KeyWriter) {
                match self {
                    #(#arms,)*
                    #none
                }
            }
        }
        #errors
    }
}
