//! `#[cached(...)]`: functions are another room's; on a struct it hands its settings to `#[derive(Model)]`, above or below it.
//!
//! Above the derive, the attribute runs first: it puts itself behind the derive as `#[pie(cached(...))]`. Below, the derive
//! has read it already, and what is left to do is to make sure that there was one.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::{Attribute, Item, ItemStruct, Meta, Path, Token, punctuated::Punctuated};

use crate::common::attributes::entries;
use crate::common::crate_path::{at, library};
use crate::common::errors::Errors;

fn derives_model(attributes: &[Attribute]) -> bool {
    attributes.iter().filter(|attribute| attribute.path().is_ident("derive")).any(|attribute| {
        let paths = attribute.parse_args_with(Punctuated::<Path, Token![,]>::parse_terminated);
        let is_model = |path: &Path| path.segments.last().is_some_and(|last| last.ident == "Model");
        paths.is_ok_and(|paths| paths.iter().any(is_model))
    })
}

pub(crate) fn attribute(arguments: &TokenStream, item: &TokenStream) -> TokenStream {
    if let Ok(method) = syn::parse2::<syn::TraitItemFn>(item.clone())
        && method.default.is_none()
    {
        let message = "a method without a body has nothing to cache: write `#[cached]` on the implementation";
        let error = syn::Error::new(method.sig.ident.span(), message).to_compile_error();
        return quote!(#item #error);
    }
    match syn::parse2::<Item>(item.clone()) {
        Ok(Item::Struct(mut item)) if derives_model(&item.attrs) => {
            item.attrs.push(syn::parse_quote!(#[pie(cached(#arguments))]));
            item.into_token_stream()
        }
        Ok(Item::Struct(item)) => behind_the_derive(&item),
        Ok(Item::Fn(item)) => crate::function::cached(arguments.clone(), &item),
        Ok(other) => {
            let (what, span) = match &other {
                Item::Impl(item) => ("an impl block", item.impl_token.span),
                Item::Enum(item) => ("an enum", item.enum_token.span),
                Item::Trait(item) => ("a trait", item.trait_token.span),
                Item::Union(item) => ("a union", item.union_token.span),
                Item::Mod(item) => ("a module", item.mod_token.span),
                _ => ("this item", proc_macro2::Span::call_site()),
            };
            let message = format!(
                "`#[cached]` does not go on {what}: write it on a struct with `#[derive(Model)]`, or on an `async` function"
            );
            let error = syn::Error::new(span, message).to_compile_error();
            quote!(#item #error)
        }
        // Not an item at all, or one with a mistake that the compiler tells better.
        Err(_) => {
            let message = "`#[cached]` goes on a struct with `#[derive(Model)]`, or on an `async` function";
            let error = syn::Error::new(proc_macro2::Span::call_site(), message).to_compile_error();
            quote!(#item #error)
        }
    }
}

fn behind_the_derive(item: &ItemStruct) -> TokenStream {
    // Mistakes in these attributes are the derive's to tell.
    let mut unsaid = Errors::default();
    let library = library(&entries(&item.attrs, "pie", &mut unsaid), &mut unsaid);
    let ident = &item.ident;
    let (_, arguments, _) = item.generics.split_for_impl();
    let generic = !arguments.to_token_stream().is_empty();
    // The derive refuses generics with a message of its own.
    let check = if generic && item.attrs.iter().any(|attribute| matches!(&attribute.meta, Meta::List(_))) {
        TokenStream::new()
    } else {
        let p = at(&quote!(#library::__private), ident.span());
        quote_spanned!(ident.span()=> const _: () = #p::assert!(
            <#ident as #p::Model>::SCHEMA.policy.declared,
            "`#[derive(Model)]` did not see this `#[cached]`: write it below the derive"
        );)
    };
    quote!(#item #check)
}
