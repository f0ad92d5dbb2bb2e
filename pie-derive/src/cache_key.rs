//! `#[derive(CacheKey)]`: the fields of a struct or of an enum's variants, as parts of a key.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, Fields};

use crate::common::fields::{Derived, pattern};

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
    let inner = "`#[derive(CacheKey)]` has no attributes here: every field is part of the key; for another key write `impl CacheKey`";
    let mut derived = match Derived::read(input, "CacheKey", inner) {
        Ok(derived) => derived,
        Err(messages) => return messages,
    };
    let p = &derived.p;
    let arms: Vec<TokenStream> = match &derived.input.data {
        Data::Struct(data) => {
            let (pattern, parts) = bound(&data.fields, p);
            vec![quote!(Self #pattern => key.group(|key| { #parts }))]
        }
        Data::Enum(data) => data
            .variants
            .iter()
            .map(|variant| {
                let (ident, (pattern, parts)) = (&variant.ident, bound(&variant.fields, p));
                let name = ident.to_string();
                quote!(Self::#ident #pattern => {
                    key.text(#name);
                    key.group(|key| { #parts });
                })
            })
            .collect(),
        Data::Union(data) => {
            derived.errors.push(&data.union_token, "a union cannot be part of a cache key: write an enum");
            return derived.errors.into_tokens();
        }
    };
    let none = arms.is_empty().then(|| quote!(_ => {}));
    let method = quote! {
        fn write_key(&self, key: &mut #p::KeyWriter) {
            match self {
                #(#arms,)*
                #none
            }
        }
    };
    derived.implementation(&quote!(CacheKey), &method)
}
