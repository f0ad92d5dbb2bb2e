//! `#[derive(HeapSize)]`: what the fields of a struct or of an enum's variants hold on the heap, together.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Fields, parse_quote};

use crate::common::attributes::{entries, refuse_repeated};
use crate::common::crate_path::library;
use crate::common::errors::Errors;
use crate::common::fields::{pattern, refuse_inner};
use crate::common::suggest;

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
    let mut errors = Errors::default();
    let Some(mut input) = errors.keep(syn::parse2::<DeriveInput>(input)) else { return errors.into_tokens() };
    let list = entries(&input.attrs, "pie", &mut errors);
    refuse_repeated(&list, &[], &mut errors);
    for entry in list.iter().filter(|entry| entry.key != "crate") {
        let message = suggest::unknown_key(&entry.key, "`#[pie]` beside `HeapSize`", &["crate"]);
        errors.add(syn::Error::new(entry.span, message));
    }
    let library = library(&list, &mut errors);
    let message = "`#[derive(HeapSize)]` has no attributes here: every field is counted; for another sum write `impl HeapSize`";
    refuse_inner(&input.data, message, &mut errors);
    let p = quote!(#library::__private);
    let arms: Vec<TokenStream> = match &input.data {
        Data::Struct(data) => {
            let (pattern, sum) = bound(&data.fields, &p);
            vec![quote!(Self #pattern => #sum)]
        }
        Data::Enum(data) => data
            .variants
            .iter()
            .map(|variant| {
                let (ident, (pattern, sum)) = (&variant.ident, bound(&variant.fields, &p));
                quote!(Self::#ident #pattern => #sum)
            })
            .collect(),
        Data::Union(data) => {
            errors.push(&data.union_token, "nobody knows which field of a union is there: write an enum");
            return errors.into_tokens();
        }
    };
    for parameter in input.generics.type_params_mut() {
        parameter.bounds.push(parse_quote!(#p::HeapSize));
    }
    let (ident, (generics, arguments, clause)) = (&input.ident, input.generics.split_for_impl());
    let none = arms.is_empty().then(|| quote!(_ => 0));
    let errors = errors.into_tokens();
    quote! {
        #[automatically_derived]
        #[allow(clippy::all, clippy::pedantic)]
        impl #generics #p::HeapSize for #ident #arguments #clause {
            fn heap_size(&self) -> #p::usize {
                match self {
                    #(#arms,)*
                    #none
                }
            }
        }
        #errors
    }
}
