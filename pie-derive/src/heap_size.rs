//! `#[derive(HeapSize)]`: what the fields of a struct or of an enum's variants hold on the heap, together.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, Fields};

use crate::common::fields::{Derived, pattern};

/// The pattern that binds the fields, and the sum of what they hold.
fn bound(fields: &Fields, p: &TokenStream) -> (TokenStream, TokenStream) {
    let (pattern, names) = pattern(fields);
    let sizes = fields.iter().zip(names).map(|(field, name)| {
        let ty = &field.ty;
        // At the type, so that one that does not tell is told there.
        let size = quote_spanned!(ty.span()=> <#ty as #p::HeapSize>::heap_size);
        quote!(+ #size(#name))
    });
    (pattern, quote!(0 #(#sizes)*))
}

pub(crate) fn derive(input: TokenStream) -> TokenStream {
    let inner = "`#[derive(HeapSize)]` has no attributes here: every field is counted; for another sum write `impl HeapSize`";
    let mut derived = match Derived::read(input, "HeapSize", inner) {
        Ok(derived) => derived,
        Err(messages) => return messages,
    };
    let p = &derived.p;
    let arms: Vec<TokenStream> = match &derived.input.data {
        Data::Struct(data) => {
            let (pattern, sum) = bound(&data.fields, p);
            vec![quote!(Self #pattern => #sum)]
        }
        Data::Enum(data) => data
            .variants
            .iter()
            .map(|variant| {
                let (ident, (pattern, sum)) = (&variant.ident, bound(&variant.fields, p));
                quote!(Self::#ident #pattern => #sum)
            })
            .collect(),
        Data::Union(data) => {
            derived
                .errors
                .push(&data.union_token, "nobody knows which field of a union is there: write an enum");
            return derived.errors.into_tokens();
        }
    };
    let none = arms.is_empty().then(|| quote!(_ => 0));
    let method = quote! {
        fn heap_size(&self) -> #p::usize {
            match self {
                #(#arms,)*
                #none
            }
        }
    };
    derived.implementation(&quote!(HeapSize), &method)
}
